"""What the cells of a table say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from run_folders import audited, hops, run_folder, seeds, summary
from unspoken.config import RunConfig, to_builtins
from unspoken.paper import Cell
from unspoken.recipes import find_recipe
from unspoken.tables import collect, render
from unspoken.tables.columns import difference, signed
from unspoken.tasks.known import TASKS
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA

COCONUT, COT = find_recipe("prosqa/gpt2/coconut"), find_recipe("prosqa/gpt2/cot")


def shown(runs: Sequence[Path], **options: Any) -> list[dict[str, str]]:
    """The Markdown table as a dict for each row."""
    head, _, *body = render(collect(runs, **options), "md").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (head, *body)]
    return [dict(zip(cells[0], line, strict=True)) for line in cells[1:]]


def test_runs_that_differ_in_the_seed_share_a_row(tmp_path: Path) -> None:
    """Guards the table's message: mean and spread over seeds, the interval for one, and the paper's figure beside."""
    control = find_recipe("prosqa/gpt2/shuffled-thoughts")
    rows = shown(
        [
            run_folder(tmp_path / "control", control, summary(2, 4, seconds_single=None)),
            *seeds(tmp_path / "coconut", COCONUT, [90, 94, 98], 100),
            run_folder(tmp_path / "cot", COT, summary(3, 4, thoughts=0.0)),
        ]
    )
    assert [row["Method"] for row in rows] == ["CoT", "Coconut", "- shuffled thoughts"]
    assert [row["Accuracy %"] for row in rows] == ["75.0 [30.1, 95.4]", "94.0 ± 4.0 (3 seeds)", "50.0 [15.0, 85.0]"]
    assert [row["Paper %"] for row in rows] == ["77.5 ± 1.9", "97.0 ± 0.3", "-"]
    assert [row["n"] for row in rows] == ["4", "300", "4"]
    assert [row["Tokens"] for row in rows] == ["4.0"] * 3
    assert [row["Tokens + thoughts"] for row in rows] == ["4.0", "6.0", "6.0"]
    assert [row["ms/problem, batch 1"] for row in rows] == ["100.0", "100.0", "-"]
    assert [row["ms/problem, batched"] for row in rows] == ["500.0"] * 3
    assert not {"Recipe", "Thoughts carry the answer"} & set(rows[0]), "no column of nothing"


def test_seconds_are_a_mean_where_all_were_measured_alike(tmp_path: Path) -> None:
    """Guards against a mean of a GPU and a CPU, which is the time of neither."""
    alike = [
        run_folder(tmp_path / str(s), replace(COT, seed=s), summary(seconds_single=t, seconds_batched=t / 2))
        for s, t in enumerate([0.1, 0.3])
    ]
    (row,) = shown(alike)
    assert (row["ms/problem, batch 1"], row["ms/problem, batched"]) == ("200.0", "100.0")
    run_folder(alike[0], COT, summary(seconds_single=0.1, seconds_batched=0.05, hardware="GPU"))
    (row,) = shown(alike)
    assert (row["ms/problem, batch 1"], row["ms/problem, batched"]) == ("100.0 to 300.0", "50.0 to 150.0")


def test_a_task_the_paper_does_not_have_gets_no_column_for_it(tmp_path: Path) -> None:
    """Guards against a column of dashes, and against a figure of another task beside ours."""
    ours = run_folder(tmp_path / "hops", hops(), summary())
    assert not {"Paper %", "Difference"} & set(shown([ours])[0])
    both = shown([ours, run_folder(tmp_path / "prosqa", COCONUT, summary())])
    assert [row["Paper %"] for row in both] == ["-", "97.0 ± 0.3"]


@pytest.mark.parametrize(
    ("asked", "split", "paper"),
    [
        (ProsQA(), "test", "97.0 ± 0.3"),
        (ProsQA(), "valid", "-"),
        (TASKS["prosqa-debiased"], "test", "-"),
        (TASKS["prontoqa"], "test", "-"),
        (ProsQA(test_file=Path("mine.json")), "test", "-"),
    ],
)
def test_the_papers_figure_stands_beside_its_own_test_problems_only(
    asked: Any, split: str, paper: str, tmp_path: Path
) -> None:
    """Guards against 97.0 beside the debiased or validation accuracy of a run trained on ProsQA (`--eval NAME`)."""
    own = run_folder(tmp_path / "own", COT, summary())
    found = summary(task={**to_builtins(asked), "version": "1"}, split=split)
    other = run_folder(tmp_path / "other", COCONUT, found)
    assert [(row["Paper %"], row["Difference"] == "-") for row in shown([own, other])][1] == (paper, paper == "-")


@pytest.mark.parametrize(
    ("task", "cell", "fair"),
    [
        (SymbolicProsQA(), "(97.0 ± 0.3)", "prosqa-debiased"),
        (SymbolicProntoQA(), "(99.8 ± 0.2)", "prontoqa-paired"),
    ],
)
def test_a_counterpart_has_the_papers_figure_in_parentheses_and_no_difference(
    task: Any, cell: str, fair: str, tmp_path: Path
) -> None:
    """Guards against a small model on symbols that passes as a reproduction of GPT-2 on text."""
    config = hops(task=task)
    (row,) = shown([run_folder(tmp_path / "run", config, summary())])
    assert row["Paper %"] == cell
    assert "Difference" not in row
    debiased = summary(task={**to_builtins(replace(task, problems=TASKS[fair])), "version": "1"})
    (row,) = shown([run_folder(tmp_path / "fair", config, debiased)])
    assert "Paper %" not in row, "nor beside other problems than the paper's"


# -------------------------------------------------------------------------------------------------------- differences


def test_a_difference_is_in_standard_errors_of_both(tmp_path: Path) -> None:
    """Guards the comparison with the paper, by hand: sd / sqrt(seeds) and the paper's deviation."""
    found = difference([summary(r, 1000) for r in (900, 940, 980)], Cell(97.0, 0.3, 14.2))
    assert found.points == pytest.approx(-3.0)
    assert found.error == pytest.approx(math.hypot(4.0 / math.sqrt(3), 0.3))
    (row,) = shown(seeds(tmp_path / "coconut", COCONUT, [900, 940, 980], 1000))
    assert row["Difference"] == "-3.0 (1.3 SE)"
    (row,) = shown(seeds(tmp_path / "cot", COT, [780, 820], 1000))
    assert row["Difference"] == f"+2.5 ({2.5 / math.hypot(2.0, 1.9):.1f} SE)"


def test_seeds_that_agree_by_luck_do_not_make_a_figure_exact() -> None:
    """Guards against hundreds of standard errors: three equal seeds of 100 problems are still only 300 problems."""
    binomial = 100 * math.sqrt(0.9 * 0.1 / 300)
    assert difference([summary(90, 100)] * 3, Cell(97.0, 0.3, 1.0)).error == pytest.approx(math.hypot(binomial, 0.3))
    alone = difference([summary(90, 100)], Cell(97.0, None, 1.0))
    assert alone.error == pytest.approx(math.sqrt(3) * binomial), "a figure that the paper quotes has no error"
    assert alone.errors == pytest.approx(-7 / alone.error)


@pytest.mark.parametrize("right", [0, 4])
def test_none_or_all_right_has_an_error_too(right: int) -> None:
    """Guards against a division by 0: four of four right says little, and no less than three of four."""
    found = difference([summary(right, 4)], Cell(50.0, None, 1.0))
    assert found.error == pytest.approx(100 * math.sqrt(0.125 * 0.875 / 4))
    assert math.isfinite(found.errors)


@pytest.mark.parametrize(("points", "said"), [(-0.04, "+0.0"), (0.04, "+0.0"), (-0.06, "-0.1"), (12.34, "+12.3")])
def test_what_rounds_to_nothing_has_no_sign_of_its_own(points: float, said: str) -> None:
    """Guards against -0.0 beside +0.0 in one column."""
    assert signed(points) == said


# ------------------------------------------------------------------------------------- further evaluations, verdicts


def test_further_evaluations_are_columns_over_the_runs_that_have_them(tmp_path: Path) -> None:
    """Guards against a mean over two of three seeds that passes for three."""
    runs = seeds(tmp_path / "coconut", COCONUT, [90, 94, 98], 100)
    for seed, right in ((0, 50), (2, 54)):
        run_folder(runs[seed], replace(COCONUT, seed=seed), summary(right, 100), evaluation="fair")
    run_folder(runs[1], replace(COCONUT, seed=1), summary(3, 4), evaluation="far")
    (cot,) = seeds(tmp_path / "cot", COT, [3], 4)
    run_folder(cot, COT, summary(3, 4), evaluation="fair")
    rows = shown([*runs, cot])
    assert [row["fair %"] for row in rows] == ["75.0 [30.1, 95.4]", "52.0 ± 2.8 (2 seeds)"]
    assert [row["far %"] for row in rows] == ["-", "75.0 [30.1, 95.4] (1 seed)"]
    assert "far %" not in shown([*runs, cot], also=["fair"])[0]


@pytest.mark.parametrize(
    ("verdicts", "cell"),
    [
        (["partly"], "partly"),
        (["yes", "yes", "yes"], "yes 3/3"),
        (["no", "yes", "yes"], "yes 2, no 1"),
        (["cannot be told", "cannot be told"], "cannot be told 2/2"),
        (["yes", None, "yes"], "yes 2, not audited 1"),
    ],
)
def test_verdicts_over_seeds(verdicts: list[str | None], cell: str, tmp_path: Path) -> None:
    """Guards the column no paper has: seeds that disagree, or were not audited, are counted and not hidden."""
    runs = seeds(tmp_path / "coconut", COCONUT, [3] * len(verdicts), 4)
    for run, verdict in zip(runs, verdicts, strict=True):
        if verdict is not None:
            audited(run, verdict)
    (cot,) = seeds(tmp_path / "cot", COT, [3], 4)
    assert [row["Thoughts carry the answer"] for row in shown([*runs, cot])] == ["-", cell]


def test_rows_of_one_recipe_say_what_sets_them_apart(tmp_path: Path) -> None:
    """Guards against two lines that nobody can tell apart."""
    config: RunConfig = hops()
    other = replace(config, curriculum=replace(config.curriculum, mix=0.1))
    rows = shown([run_folder(tmp_path / "a", config, summary()), run_folder(tmp_path / "b", other, summary())])
    assert [row["Recipe"] for row in rows] == ["tiny/coconut (curriculum.mix 0.0)", "tiny/coconut (curriculum.mix 0.1)"]
