"""Writes the page of a sweep: Table 1, claims, ablations and figures, all from kept run folders.

    unspoken sweep small --jobs 2 --keep results/runs     # trains, evaluates, probes and audits what is missing
    python results/table1.py                              # results/table1.md and its figures

`table1-notes.md` is what a person has to say about it; it goes in as it stands. Whatever is complete is shown, so the
page can be made at any time.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from unspoken.claims import judge, render_claims
from unspoken.config import RunConfig
from unspoken.curves import draw_curves, read_curves
from unspoken.figures import efficiency
from unspoken.tables import Row, accuracy_cell, by_task, collect, render
from unspoken.tables.columns import ABSENT, method_cell, signed, standard_error, verdict_cell

HERE = Path(__file__).parent
TITLES = {
    "SymbolicProsQA": "Symbolic ProsQA",
    "SymbolicProntoQA": "Symbolic ProntoQA",
    "WordProblems": "Word problems of two operations",
}


def complete(runs: Path, start: str) -> list[Path]:
    """The kept runs of a sweep that have been evaluated, by the start of their names."""
    return sorted(run for run in runs.glob(f"{start}-*") if (run / "eval" / "test" / "summary.json").is_file())


def is_ablation(run: Path) -> bool:
    """Whether a run is one of the curriculum's ablations."""
    return "/ablation/" in RunConfig.load(run / "config.json").recipe


def tables(rows: Sequence[Row]) -> list[str]:
    """The whole table in the paper's shape, then each task with all its columns."""
    lines = [render(rows, "md", "wide")]
    for group in by_task(rows):
        title = TITLES.get(group.rows[0].task, group.title)
        family = group.rows[0].recipe.rpartition("/")[0]
        lines += [f"### {title}, `{family}`", "", render(group.rows, "md")]
    return lines


def ablations(rows: Sequence[Row], bases: Sequence[Row]) -> list[str]:
    """What each change of the curriculum costs or brings, beside the run it changes."""
    lines: list[str] = []
    for base in bases:
        family = base.recipe.rpartition("/")[0]
        own = [row for row in rows if row.recipe.startswith(f"{family}/ablation/")]
        if not own:
            continue
        lines += [
            f"### `{family}`, stages of {' '.join(map(str, base.runs[0].config.curriculum.stage_epochs))} epochs",
            "",
            "| change | accuracy % | against the base, points | epochs |",
            "|---|---:|---:|---:|",
            f"| none (`{base.recipe}`) | {accuracy_cell(base)} | | {base.runs[0].config.curriculum.epochs} |",
        ]
        for row in sorted(own, key=lambda row: row.recipe):
            points = 100 * (row.accuracy - base.accuracy)
            error = 100 * (standard_error(row.summaries) ** 2 + standard_error(base.summaries) ** 2) ** 0.5
            epochs = row.runs[0].config.curriculum.epochs
            name = row.recipe.rpartition("/")[2]
            lines.append(f"| `{name}` | {accuracy_cell(row)} | {signed(points)} ± {error:.1f} | {epochs} |")
        lines.append("")
    return lines


def curves(found: Sequence[Path], family: str, names: Sequence[str], figure: Path) -> list[str]:
    """Losses of some runs of a family, seed 0, side by side; of those that have been evaluated, since the others are
    still being trained. Nothing where there are no two of them."""
    start = family.replace("/", "-")
    wanted = [f"{start}-{name.replace('/', '-')}-seed0" for name in names]
    shown = sorted((run for run in found if run.name in wanted), key=lambda run: wanted.index(run.name))
    if len(shown) < 2:
        return []
    draw_curves(read_curves(shown), figure)
    return [f"![training loss and validation accuracy](figures/{figure.name})", ""]


SHOWN = (
    ("released ProsQA", "small/prosqa-released", None),
    ("the same without shortcuts", "small/prosqa-released", "prosqa-debiased-test"),
    ("ProsQA of half the size", "small/prosqa", None),
    ("ProntoQA", "small/prontoqa", None),
    ("word problems", "small/words", None),
)
"""What the README shows: columns, each a family of recipes and perhaps a further evaluation of theirs."""


def excerpt(rows: Sequence[Row]) -> list[str]:
    """The table in a few columns, every seed's figure for itself: of two or three seeds that disagree a mean tells
    little."""
    by_recipe = {row.recipe: row for row in rows}
    names = [row.recipe.rpartition("/")[2] for row in rows if row.recipe.startswith("small/prosqa/")]
    families = list(dict.fromkeys(family for _, family, _ in SHOWN))
    asked = "; ".join(dict.fromkeys(heading for heading, _, further in SHOWN if further is None))
    headings = " | ".join(heading for heading, _, _ in SHOWN)
    lines = [
        f"| % right, each seed | {headings} | thoughts carry the answer: {asked} |",
        f"|---|{'---:|' * len(SHOWN)}---|",
    ]
    for name in names:
        cells = [_of_each_seed(by_recipe.get(f"{family}/{name}"), further) for _, family, further in SHOWN]
        verdicts = [verdict_cell(by_recipe[of]) if (of := f"{f}/{name}") in by_recipe else ABSENT for f in families]
        told = "" if set(verdicts) <= {ABSENT} else "; ".join(verdicts)
        cells = [method_cell(by_recipe[f"small/prosqa/{name}"]).strip(), *cells, told]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _of_each_seed(row: Row | None, further: str | None) -> str:
    if row is None:
        return ABSENT
    found = row.summaries if further is None else row.of(further)
    return ", ".join(f"{100 * summary.accuracy:.1f}" for summary in found) or ABSENT


def put_between(page: Path, mark: str, lines: Sequence[str]) -> None:
    """Replaces what stands between two marks of a page."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page}: expected {begin.strip()} and {end}")
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + after)


def main() -> None:
    """Writes the page from what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="kept run folders")
    parser.add_argument("--start", default="small", help="what their names start with")
    parser.add_argument("--page", type=Path, default=HERE / "table1.md")
    parser.add_argument("--readme", type=Path, help="put the table's main columns between its marks, too")
    options = parser.parse_args()
    found = complete(options.runs, options.start)
    rows = collect([run for run in found if not is_ablation(run)])
    if not rows:
        parser.error(f"{options.runs}: no evaluated run of a row here whose name starts with {options.start}-")
    varied = collect([run for run in found if is_ablation(run)], also=())
    figures = options.page.parent / "figures"
    efficiency(rows, figures / "table1-efficiency.png")
    seeds = sorted({seed for row in rows for seed in row.seeds})
    problems = statistics.mode(summary.num for row in rows for summary in row.summaries)
    lines = [
        "# Table 1, in the small world",
        "",
        f"{len(found)} runs of `unspoken sweep {options.start}`, seeds {', '.join(map(str, seeds))}, {problems:,} test",
        "problems each (released ProsQA: the published 500). One seed: 95 % Wilson interval over problems; more:",
        "mean ± standard deviation over seeds. The paper's figures, in parentheses, are GPT-2's on the tasks that ours",
        "are made after: landmarks, not targets.",
        "Made by `python results/table1.py`.",
        "",
        *tables(rows),
        "## What it costs",
        "",
        "![accuracy against tokens and seconds](figures/table1-efficiency.png)",
        "",
        "## The paper's claims, held against these runs",
        "",
        'A difference counts from two standard errors on. "not told apart" is no proof of sameness. A spread over',
        "three seeds is itself uncertain: of rows that are alike, up to about one in nine are two standard errors",
        "apart. With one seed the error is that of the problems alone, and the luck of a seed is not in it.",
        "",
        render_claims(judge(rows)),
    ]
    if varied:
        bases = [row for row in rows if row.method == "Coconut"]
        lines += ["## The curriculum, varied", "", *ablations(varied, bases)]
        for family in ("small/words", "small/prontoqa"):
            own = next((row for row in bases if row.recipe.startswith(f"{family}/")), None)
            if own is None:
                continue
            c = own.runs[0].config.method.thoughts_per_step  # type: ignore[attr-defined]
            names = ["coconut" if n == c else f"ablation/c{n}" for n in range(4)]
            figure = figures / f"table1-c-{family.rpartition('/')[2]}.png"
            lines += curves(found, family, names, figure)
    notes = options.page.with_name(f"{options.page.stem}-notes.md")
    if notes.is_file():
        lines += notes.read_text().splitlines()
    options.page.write_text("\n".join(lines).rstrip() + "\n")
    if options.readme is not None:
        put_between(options.readme, "table 1", excerpt(rows))
    print(f"{options.page}: {len(rows)} rows, {len(varied)} ablations, {len(found)} runs")


if __name__ == "__main__":
    main()
