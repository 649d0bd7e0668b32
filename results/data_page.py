"""Makes docs/data.md: every data set measured, ours beside the published one, and what shortcuts get right on each.

    python results/data_page.py                # measures (an hour), writes results/runs/data-page and the page
    python results/data_page.py --only splits  # measures some parts again, keeps the others; commits are noted
    python results/data_page.py --small        # measures the sets of the small world alone (minutes)
    python results/data_page.py --render       # the page again, from the figures of the last measurement

The page reads results/runs/data-page (this script's figures) and results/runs/data-loading (data_loading.py's).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from data_tables import comparison, guess_table, shortcuts, since, small_table, table

from unspoken.data import tokenize
from unspoken.environment import describe_environment
from unspoken.recipes.small import PRONTOQA, PROSQA
from unspoken.shortcuts.audit import Audit, audit, render_audit
from unspoken.shortcuts.figure import audit_figure
from unspoken.shortcuts.findings import Group
from unspoken.specs import Words
from unspoken.sweeps.small import ASKED
from unspoken.tasks.base import Example, FileTask, Split, Task
from unspoken.tasks.equations import count_equations
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.known import GRAPHS, KINDS, TASKS, WORD_PROBLEMS, find_task, recognise
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_file
from unspoken.tasks.statistics import Comparison, compare, limit, statistics
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA
from unspoken.tasks.word_problems import WordProblems
from unspoken.tokenization import build_tokenizer

RUN = Path("results/runs/data-page")
FIGURES = Path("results/figures")
PAGE = Path("docs/data.md")
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
NUM = 3_000
"""Problems made of every generated set, but where more of them stand beside the published ones."""


# ----------------------------------------------------------------------------------------------------------- measuring


@cache
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
    """The audit of a set: kept whole as Markdown, the best of it as numbers."""
    found = kept(name, examples, task)
    if figure:
        for path in audit_figure(found, FIGURES / f"audit-{slug(name)}"):
            path.unlink() if path.suffix == ".svg" else None
    return {"num": found.num, "best": best(found)}


def kept(name: str, examples: Sequence[Example], task: str = "") -> Audit:
    """The audit of a set, kept whole as Markdown."""
    found = audit(examples, title=name, task=task)
    (RUN / f"audit-{slug(name)}.md").write_text(render_audit(found))
    return found


def slug(name: str) -> str:
    """A set's name in names of files."""
    return name.lower().replace(" ", "-")


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
            if file is not None or name in KINDS or not isinstance(task, FileTask):
                rows[split] = [len(task.examples(split)), "published" if file is not None else "generated"]
        if rows:
            found[name] = {"class": type(task).__name__, "rows": rows}
    return found


GRAPH_KINDS = ["prosqa", *GRAPHS]
SHOWN = ["nodes", "edges", "shortest paths"]


def parts() -> dict[str, Callable[[], dict[str, Any]]]:
    """What figures.json is made of, in order; names are sections, or sections and sets, `audits/svamp`."""
    prosqa, prontoqa = ProsQA(), ProntoQA()

    def graphs(kind: str) -> dict[str, Any]:
        return {name: [f.value, f.error] for name, f in statistics(made(kind), prosqa).items()}

    def everything() -> list[Example]:
        return published(prontoqa, *SPLITS)

    def test(name: str) -> list[Example]:
        return published(TASKS[name], "test")

    sets: dict[str, Callable[[], dict[str, Any]]] = {
        "prosqa released": lambda: audited(
            "prosqa released", published(prosqa, "valid", "test"), "ProsQA", figure=True
        ),
        "prosqa generated": lambda: audited("prosqa generated", made("prosqa")),
        **{
            kind: lambda kind=kind: audited(kind, made(kind), figure=kind == "prosqa-debiased")
            for kind in GRAPH_KINDS
            if kind != "prosqa"
        },
        "prontoqa published": lambda: audited("prontoqa published", everything(), "ProntoQA", figure=True),
        "prontoqa-paired": lambda: audited("prontoqa-paired", made("prontoqa-paired")),
        "gsm8k test": lambda: audited("gsm8k test", test("gsm8k"), "GSM8K"),
        "svamp": lambda: audited("svamp", test("svamp")),
        "gsm-hard": lambda: audited("gsm-hard", test("gsm-hard")),
        "commonsenseqa dev": lambda: audited("commonsenseqa dev", test("commonsenseqa")),
        "strategyqa": lambda: audited("strategyqa", published(TASKS["strategyqa"], *SPLITS)),
    }
    return {
        "splits": splits,
        "equations": equations,
        "prosqa": lambda: side_by_side(prosqa, made("prosqa", 10_000), published(prosqa, "valid", "test")),
        "prontoqa": lambda: side_by_side(prontoqa, made("prontoqa", 10_000), everything()),
        **{f"graphs/{kind}": lambda kind=kind: graphs(kind) for kind in GRAPH_KINDS},
        **{f"audits/{name}": job for name, job in sets.items()},
    }


def measure(only: Sequence[str], env: dict[str, Any]) -> None:
    """Figures into the run folder: every part, or some, beside those measured before; the commit of each is noted."""
    file, jobs = RUN / "figures.json", parts()
    before: dict[str, Any] = json.loads(file.read_text()) if only else {}
    again: dict[str, str | None] = before.get("again", {})
    figures: dict[str, Any] = {}
    if not only:
        (RUN / "env.json").write_text(json.dumps(env, indent=2) + "\n")
    for name, job in jobs.items():
        section, _, inside = name.partition("/")
        if not only or name in only:
            found = job()
            print(name, flush=True)
            again.update({name: env["commit"]} if only else {})
        else:
            found = before.get(section, {}).get(inside) if inside else before.get(section)
        if found is not None and inside:
            figures.setdefault(section, {})[inside] = found
        elif found is not None:
            figures[section] = found
    file.write_text(json.dumps({**figures, "again": again}, indent=1) + "\n")


# ----------------------------------------------------------------------------------------------------- the small world


def small_sets() -> dict[str, Task]:
    """What models of the small world are trained on and asked, by name, as they are asked."""
    found: dict[str, Task] = {}
    for where, task in (("small/prosqa", PROSQA), ("small/prontoqa", PRONTOQA)):
        found |= {where: task, **{name: task.asking(find_task(name)) for name in ASKED[where]}}
    return found | {name: task for name, (task, _) in WORD_PROBLEMS.items()}


def with_tests(task: Task, num: int) -> Task:
    """The task with so many test problems."""
    match task:
        case SymbolicProsQA():
            return replace(task, problems=replace(task.problems, num_test=num))
        case SymbolicProntoQA():
            return replace(task, problems=with_tests(task.problems, num))
        case GeneratedProntoQA() | WordProblems():
            return replace(task, num_test=num)
        case _:
            raise AssertionError(type(task).__name__)


def small_set(name: str, task: Task) -> dict[str, Any]:
    """How long a set's problems are, and what shortcuts get right on it."""
    more = with_tests(task, NUM)
    examples, asked = list(more.examples("test")), list(task.examples("test"))
    assert examples[: len(asked)] == asked, "more test problems are other ones"
    tokens = tokenize(examples, more, build_tokenizer(Words(), more))
    # In symbols the rules of ProntoQA are none that its shortcuts read; the problems in words have the same answers.
    problems = list(more.problems.examples("test")) if isinstance(more, SymbolicProntoQA) else examples
    assert [problem.answer for problem in problems] == [example.answer for example in examples]
    found = kept(f"small {name.removeprefix('small/')}", problems)
    return {
        "num": found.num,
        "asked": len(asked),
        "tokens": fmean(len(each.question) for each in tokens),
        "steps": fmean(len(example.steps) for example in examples),
        "best": best(found),
        "guesses": {row.name: row.accuracy for row in found.rows} if isinstance(task, WordProblems) else {},
    }


def measure_small(env: dict[str, Any]) -> None:
    """The sets of the small world, into a file with its own commit."""
    sets: dict[str, Any] = {}
    for name, task in small_sets().items():
        sets[name] = small_set(name, task)
        print(name, sets[name]["best"], flush=True)
    (RUN / "small.json").write_text(json.dumps({"env": env, "sets": sets}, indent=1) + "\n")


# ----------------------------------------------------------------------------------------------------------- rendering


def render() -> None:
    """The page, from the run folders."""
    figures = json.loads((RUN / "figures.json").read_text())
    env = json.loads((RUN / "env.json").read_text())
    template = (Path(__file__).parent / "data_page.md").read_text()
    parts: dict[str, list[str]] = {"commit": [env["commit"]], "again": [since(figures["again"])]}
    parts["prosqa"], parts["prontoqa"] = comparison(figures["prosqa"]), comparison(figures["prontoqa"])
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
        [[name, f"{found['num']:,}", shortcuts(found["best"])] for name, found in figures["audits"].items()],
    )
    small = json.loads((RUN / "small.json").read_text())
    parts["small commit"] = [small["env"]["commit"]]
    parts["small"], parts["small guesses"] = small_table(small["sets"]), guess_table(small["sets"])
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
        template = template.replace(f"<!-- {name} -->", "\n".join(lines).rstrip())
    assert "<!--" not in template, "a part of the page was not measured"
    PAGE.write_text(template)
    print(PAGE)


def main() -> None:
    """Measures and renders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--only", nargs="+", default=[], metavar="PART", help="measure these again: splits, audits/svamp")
    how.add_argument("--small", action="store_true", help="measure only the sets of the small world")
    how.add_argument("--render", action="store_true", help="only make the page again")
    wanted = parser.parse_args()
    if unknown := {*wanted.only} - {*parts()}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; the parts are {', '.join(parts())}")
    RUN.mkdir(parents=True, exist_ok=True)
    env = describe_environment()  # before anything is written that the commit has otherwise
    if not wanted.render and not wanted.small:
        measure(wanted.only, env)
    if not wanted.render and not wanted.only:
        measure_small(env)
    render()


if __name__ == "__main__":
    main()
