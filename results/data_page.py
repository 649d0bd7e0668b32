"""Makes docs/data.md: every data set measured, ours beside the published one, and what shortcuts get right on each.

    python results/data_page.py            # measures (minutes), writes results/runs/data-page and the page
    python results/data_page.py --render   # the page again, from the figures of the last measurement

The page reads results/runs/data-page (this script's figures) and results/runs/data-loading (data_loading.py's).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unspoken.environment import describe_environment
from unspoken.shortcuts.audit import Audit, audit, render_audit
from unspoken.shortcuts.figure import audit_figure
from unspoken.shortcuts.findings import Group
from unspoken.tasks.base import Example, FileTask, Split, Task
from unspoken.tasks.equations import count_equations
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.known import GRAPHS, KINDS, TASKS, recognise
from unspoken.tasks.prontoqa import ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_file
from unspoken.tasks.statistics import Comparison, compare, limit, statistics

RUN = Path("results/runs/data-page")
FIGURES = Path("results/figures")
PAGE = Path("docs/data.md")
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
NUM = 3_000
"""Problems made of every generated set, but where more of them stand beside the published ones."""


# ----------------------------------------------------------------------------------------------------------- measuring


def made(kind: str, num: int = NUM, seed: int = 1) -> list[Example]:
    """Problems of a generator, under a seed that no recipe trains on."""
    return list(KINDS[kind].generator.problems(num=num, seed=seed))


def published(task: Task, *splits: Split) -> list[Example]:
    """Published problems of some splits."""
    return [example for split in splits for example in task.examples(split)]


def rows_of(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as plain numbers."""
    return [
        {
            "name": row.name,
            "published": [row.theirs.value, row.theirs.error],
            "ours": [row.ours.value, row.ours.error],
            "apart": row.apart,
        }
        for row in comparisons
    ]


def side_by_side(task: Task, ours: Sequence[Example], theirs: Sequence[Example]) -> dict[str, Any]:
    """Every figure of ours beside the published set's."""
    found = compare(statistics(ours, task), statistics(theirs, task))
    return {"ours": len(ours), "published": len(theirs), "limit": limit(len(found)), "rows": rows_of(found)}


def audited(name: str, examples: Sequence[Example], task: str = "", *, figure: bool = False) -> dict[str, Any]:
    """The audit of a set: kept whole as Markdown, its rows as numbers."""
    found = audit(examples, title=name, task=task)
    slug = name.split(",")[0].lower().replace(" ", "-")
    (RUN / f"audit-{slug}.md").write_text(render_audit(found))
    if figure:
        for path in audit_figure(found, FIGURES / f"audit-{slug}"):
            path.unlink() if path.suffix == ".svg" else None
    return {"num": found.num, "best": best(found)}


def best(found: Audit) -> dict[str, Any]:
    """The best row of every group, and whether luck explains it."""
    rows: dict[str, Any] = {}
    for group in Group:
        inside = [row for row in found.rows if row.group is group]
        if inside:
            top = max(inside, key=lambda row: row.accuracy)
            learned = [row for row in inside if row.name.startswith("learned")]
            rows[group.value] = {
                "name": top.name,
                "accuracy": top.accuracy,
                "low": top.low,
                "high": top.high,
                "luck": top.chance is not None and not top.beyond_luck(found.tests),
                "learned": max((row.accuracy for row in learned), default=None),
            }
    return rows


def equations() -> dict[str, dict[str, int]]:
    """How many equations of the GSM8K files are right."""
    found: dict[str, dict[str, int]] = {}
    for file in ("gsm_train_noaug.json.gz", "gsm_valid.json", "gsm_test.json", "gsm8k_aug_sample.json"):
        counts = count_equations(example.steps for example in GSM8K().read(data_file(f"gsm8k/{file}")))
        found[file] = {kind.value: num for kind, num in counts.items()}
    return found


def splits() -> dict[str, dict[str, Any]]:
    """Rows of every task's splits, and what reads the files."""
    found: dict[str, dict[str, Any]] = {}
    for name, task in TASKS.items():
        rows: dict[str, list[Any]] = {}
        for split in SPLITS:
            file = task.file(split) if isinstance(task, FileTask) else None
            if file is not None:
                assert type(recognise(file)) is type(task)
            if file is not None or name in KINDS:
                rows[split] = [len(task.examples(split)), "published" if file is not None else "generated"]
        if rows:
            found[name] = {"class": type(task).__name__, "rows": rows}
    return found


GRAPH_KINDS = ["prosqa", *GRAPHS]
SHOWN = ["nodes", "edges", "shortest paths"]


def measure() -> None:
    """Every figure of the page, into the run folder."""
    RUN.mkdir(parents=True, exist_ok=True)
    (RUN / "env.json").write_text(json.dumps(describe_environment(), indent=2) + "\n")
    figures: dict[str, Any] = {"splits": splits(), "equations": equations()}
    prosqa, prontoqa = ProsQA(), ProntoQA()
    released = published(prosqa, "valid", "test")
    figures["prosqa"] = side_by_side(prosqa, made("prosqa", 10_000), released)
    everything = published(prontoqa, "train", "valid", "test")
    figures["prontoqa"] = side_by_side(prontoqa, made("prontoqa", 10_000), everything)
    sets = {kind: made(kind) for kind in GRAPH_KINDS}
    figures["graphs"] = {
        kind: {name: [f.value, f.error] for name, f in statistics(examples, prosqa).items()}
        for kind, examples in sets.items()
    }
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "prosqa released": lambda: audited("prosqa released", released, "ProsQA", figure=True),
        "prosqa generated": lambda: audited("prosqa generated", sets["prosqa"]),
        **{
            kind: lambda kind=kind: audited(kind, sets[kind], figure=kind == "prosqa-debiased")
            for kind in GRAPH_KINDS
            if kind != "prosqa"
        },
        "prontoqa published": lambda: audited("prontoqa published", everything, "ProntoQA", figure=True),
        "prontoqa-paired": lambda: audited("prontoqa-paired", made("prontoqa-paired")),
        "gsm8k test": lambda: audited("gsm8k test", published(TASKS["gsm8k"], "test"), "GSM8K"),
        "svamp": lambda: audited("svamp", published(TASKS["svamp"], "test")),
        "gsm-hard": lambda: audited("gsm-hard", published(TASKS["gsm-hard"], "test")),
        "commonsenseqa dev": lambda: audited("commonsenseqa dev", published(TASKS["commonsenseqa"], "test")),
        "strategyqa": lambda: audited("strategyqa", published(TASKS["strategyqa"], "train", "valid", "test")),
    }
    figures["audits"] = {}
    for name, job in jobs.items():
        figures["audits"][name] = job()
        print(name, figures["audits"][name]["best"], flush=True)
    (RUN / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


# ----------------------------------------------------------------------------------------------------------- rendering


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; columns of numbers are aligned to the right."""
    numeric = [all(cell[:1] in "-+0123456789" for cell in column) for column in zip(*rows, strict=True)]
    lines = [header, ["---:" if right else "---" for right in numeric], *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def pair(value: Sequence[float]) -> str:
    """A figure and its standard error."""
    return f"{value[0]:.4g} ± {value[1]:.2g}"


def percent(found: dict[str, Any]) -> str:
    """The best of a group with its interval."""
    star = " (luck)" if found["luck"] else ""
    return f"{100 * found['accuracy']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}] {found['name']}{star}"


def comparison(found: dict[str, Any]) -> list[str]:
    """The table of two sets, and its largest difference."""
    rows = [[r["name"], pair(r["published"]), pair(r["ours"]), f"{r['apart']:+.1f}"] for r in found["rows"]]
    far = max(found["rows"], key=lambda row: abs(row["apart"]))
    beyond = [row["name"] for row in found["rows"] if abs(row["apart"]) > found["limit"]]
    said = f"Beyond it: {', '.join(beyond)}." if beyond else "None is beyond it."
    return [
        f"{len(found['rows'])} figures; the largest difference is {abs(far['apart']):.1f} standard errors "
        f"({far['name']}), where chance alone stays below {found['limit']:.1f} in 99 of 100 such tables. {said}",
        "",
        "<details><summary>all figures</summary>",
        "",
        *table(
            ["figure", f"published, {found['published']:,}", f"generated, {found['ours']:,}", "apart, standard errors"],
            rows,
        ),
        "</details>",
        "",
    ]


def render() -> None:
    """The page, from the run folders."""
    figures = json.loads((RUN / "figures.json").read_text())
    env = json.loads((RUN / "env.json").read_text())
    template = (Path(__file__).parent / "data_page.md").read_text()
    parts: dict[str, list[str]] = {"commit": [env["commit"]], "prosqa": comparison(figures["prosqa"])}
    parts["prontoqa"] = comparison(figures["prontoqa"])
    parts["splits"] = table(
        ["name", "task", *SPLITS],
        [
            [
                f"`{name}`",
                f"`{of['class']}`",
                *("{:,} {}".format(*of["rows"][split]) if split in of["rows"] else "-" for split in SPLITS),
            ]
            for name, of in figures["splits"].items()
        ],
    )
    kinds = ["right", "rounded", "wrong", "no equation"]
    parts["equations"] = table(
        ["file", *kinds],
        [
            [f"`{file}`", *(f"{counts.get(kind, 0):,}" for kind in kinds)]
            for file, counts in figures["equations"].items()
        ],
    )
    columns = [*SHOWN, *(f"hops: {k}" for k in (3, 4, 5, 6, 7, 8, 10))]
    parts["graphs"] = table(
        ["set", *columns],
        [
            [f"`{kind}`", *(f"{found[c][0]:.3g}" if c in found else "-" for c in columns)]
            for kind, found in figures["graphs"].items()
        ],
    )
    parts["audits"] = table(
        ["set", "problems", "best shortcut of each kind: right in % [95 % interval]"],
        [
            [name, f"{found['num']:,}", "<br>".join(f"{kind}: {percent(of)}" for kind, of in found["best"].items())]
            for name, found in figures["audits"].items()
        ],
    )
    loading = Path("results/runs/data-loading/loading.json")
    if loading.is_file():
        found = json.loads(loading.read_text())
        where = json.loads(loading.with_name("env.json").read_text())
        tokenizing = found["first_epoch_seconds"] - found["later_epoch_seconds"]
        parts["loading"] = [
            f"{found['rows']:,} rows ({found['file_mib']:.0f} MiB; the 6,973 shared ones over and over with other "
            f"numbers, since GSM8k-Aug is not here) load in {found['load_seconds']:.1f} s and are tokenized in "
            f"{tokenizing:.0f} s, {found['gib_peak']:.2f} GiB at the peak of the whole process, on {where['cores']} "
            f"cores ({where['processor']}). Laying all of them out for an epoch takes another "
            f"{found['later_epoch_seconds']:.0f} s, spread over its steps."
        ]
    for name, lines in parts.items():
        assert f"<!-- {name} -->" in template, name
        template = template.replace(f"<!-- {name} -->", "\n".join(lines).strip())
    assert "<!--" not in template, "a part of the page was not measured"
    PAGE.write_text(template)
    print(PAGE)


def main() -> None:
    """Measures and renders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--render", action="store_true", help="only make the page again")
    if not parser.parse_args().render:
        measure()
    render()


if __name__ == "__main__":
    main()
