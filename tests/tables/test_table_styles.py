"""The same rows as Markdown, CSV and LaTeX, long and wide."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from run_folders import audited, hops, run_folder, seeds, summary
from unspoken.recipes import find_recipe
from unspoken.records import wilson
from unspoken.tables import collect, render
from unspoken.tables.layouts import Grid
from unspoken.tables.styles import latex, markdown
from unspoken.tasks.symbolic import SymbolicProsQA


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three seeds of one recipe, single runs of two others, and a method on two other tasks."""
    coconut, cot = find_recipe("prosqa/gpt2/coconut"), find_recipe("prosqa/gpt2/cot")
    control = find_recipe("prosqa/gpt2/shuffled-thoughts")
    made = [
        run_folder(tmp_path / "control", control, summary(2, 4, seconds_single=None)),
        *seeds(tmp_path / "coconut", coconut, [90, 94, 98], 100),
        run_folder(tmp_path / "cot", cot, summary(3, 4, thoughts=0.0)),
        run_folder(tmp_path / "gsm8k", find_recipe("gsm8k/gpt2/icot"), summary(1, 4, thoughts=0.0)),
        run_folder(tmp_path / "hops", hops(), summary()),
    ]
    run_folder(made[1], coconut, summary(1, 4), evaluation="far_#1")
    audited(made[1], "yes")
    return made


def test_csv_tells_a_counterparts_figure_apart(tmp_path: Path) -> None:
    """Guards against 97.0 taken for the paper's figure on symbols: Markdown has parentheses, CSV columns of its own."""
    made = run_folder(tmp_path / "run", hops(task=SymbolicProsQA()), summary())
    (row,) = csv.DictReader(io.StringIO(render(collect([made]), "csv")))
    assert (row["paper_accuracy"], row["difference"]) == ("", "")
    assert (row["paper_counterpart_accuracy"], row["paper_counterpart_deviation"]) == ("97.0", "0.3")


def test_csv_reads_back_one_line_a_run(runs: list[Path]) -> None:
    """Guards people's own plots: plain numbers, a line a seed, commas in text quoted, blanks for what is not there."""
    rows = list(csv.DictReader(io.StringIO(render(collect(runs), "csv"))))
    assert [(row["run"], row["seed"]) for row in rows] == [
        ("gsm8k", "0"),
        ("hops", "0"),
        ("cot", "0"),
        ("coconut-0", "0"),
        ("coconut-1", "1"),
        ("coconut-2", "2"),
        ("control", "0"),
    ]
    assert [float(row["accuracy"]) for row in rows] == [0.25, 0.75, 0.75, 0.9, 0.94, 0.98, 0.5]
    assert {row["hardware"] for row in rows} == {"Some CPU, with a comma"}
    assert [row["paper_accuracy"] for row in rows] == ["30.0", "", "77.5", "97.0", "97.0", "97.0", ""]
    assert [row["paper_deviation"] for row in rows] == ["", "", "1.9", "0.3", "0.3", "0.3", ""]
    assert [row["difference"] for row in rows] == ["-5.000", "", "-2.500", "-7.000", "-3.000", "1.000", ""]
    assert float(rows[0]["difference_in_se"]) == pytest.approx(-5 / (100 * (0.25 * 0.75 / 4) ** 0.5), abs=1e-3)
    assert rows[-1]["difference_in_se"] == ""
    assert [row["verdict"] for row in rows] == ["", "", "", "yes", "", "", ""]
    assert [row["far_#1_accuracy"] for row in rows] == ["", "", "", "0.250000", "", "", ""]
    assert float(rows[3]["far_#1_low"]) < 0.25 < float(rows[3]["far_#1_high"])
    assert [row["seconds_single"] for row in rows] == ["0.100000"] * 6 + [""]
    for row in rows:
        low, high = wilson(round(float(row["accuracy"]) * int(row["num"])), int(row["num"]))
        assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high), abs=1e-6)
    assert render(collect(runs), "csv", "wide") == render(collect(runs), "csv")


def test_wide_has_a_line_for_each_method_and_columns_for_each_task(runs: list[Path]) -> None:
    """Guards the shape of the paper's Table 1: every figure in the cell of its own method and task."""
    head, _, *body = render(collect(runs), "md", "wide").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (head, *body)]
    assert rows[0] == [
        "Method",
        *("GSM8K: accuracy %", "GSM8K: paper %", "GSM8K: tokens"),
        *("Hops: accuracy %", "Hops: tokens + thoughts"),
        *("ProsQA: accuracy %", "ProsQA: paper %", "ProsQA: tokens + thoughts"),
    ]
    assert [row[0] for row in rows[1:]] == ["CoT", "iCoT", "Coconut", "- shuffled thoughts"]
    assert rows[1][1:] == ["-"] * 5 + ["75.0 [30.1, 95.4]", "77.5 ± 1.9", "4.0"]
    assert rows[2][1:] == ["25.0 [4.6, 69.9]", "30.0", "4.0"] + ["-"] * 5
    assert rows[3][4:] == ["75.0 [30.1, 95.4]", "4.0 + 2.0", "94.0 ± 4.0 (3 seeds)", "97.0 ± 0.3", "4.0 + 2.0"]


def test_wide_has_a_line_for_each_recipe_where_a_method_has_several(tmp_path: Path) -> None:
    """Guards the page of GSM8K, which has Coconut with one, two and three thoughts a step and was refused."""
    made = [
        run_folder(tmp_path / name, find_recipe(f"gsm8k/smollm2/{name}"), summary(1 + i, 4))
        for i, name in enumerate(["coconut", "coconut-c1", "cot"])
    ]
    made.append(run_folder(tmp_path / "prosqa", find_recipe("prosqa/gpt2/coconut"), summary(0, 4)))
    _, _, *body = render(collect(made), "md", "wide").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]
    assert [row[0] for row in rows] == ["CoT", "Coconut", "Coconut (coconut-c1)"]
    assert [row[1][:4] for row in rows] == ["75.0", "25.0", "50.0"]
    assert [row[4][:4] for row in rows] == ["-", "0.0 ", "-"]


def test_wide_has_columns_for_each_family_where_a_task_has_several(tmp_path: Path) -> None:
    """Guards against the two-layer model's figure in the column of GPT-2, and against a figure that is left out."""
    made = [run_folder(tmp_path / str(i), hops(recipe=f"{family}/coconut"), summary(1 + i, 4)) for i, family in
            enumerate(["two-layer", "four-layer"])]  # fmt: skip
    head, _, line = render(collect(made), "md", "wide").splitlines()
    assert "Hops (two-layer): accuracy %" in head
    assert "Hops (four-layer): accuracy %" in head
    assert line.count("%") == 0
    assert line.index("50.0 [") < line.index("25.0 ["), "families by name"
    again = run_folder(tmp_path / "again", hops(recipe="two-layer/coconut", max_steps=3), summary())
    with pytest.raises(ValueError, match=r"again and .*0 are different runs of Coconut on Hops \(two-layer\).*long"):
        render(collect([*made, again]), "md", "wide")


@pytest.mark.parametrize(("layout", "columns"), [("long", 12), ("wide", 9)])
def test_latex_escapes_what_it_must(runs: list[Path], layout: str, columns: int) -> None:
    """Guards against a table that TeX refuses: a % that comments a line away, a # or _ in the name of an evaluation."""
    text = render(collect(runs), "latex", "long" if layout == "long" else "wide")
    lines = text.splitlines()
    assert re.fullmatch(r"\\begin\{tabular\}\{[lr]+\}", lines[0])
    assert len(lines[0]) - len(r"\begin{tabular}{}") == columns
    assert lines[-1] == r"\end{tabular}"
    for line in lines[1:-1]:
        if line.startswith((r"\hline", r"\cline")):
            continue
        assert line.endswith(r" \\")
        spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
        assert len(re.findall(r"(?<!\\)&", line)) + 1 + spanned == columns
        assert not re.search(r"(?<!\\)[%#_]|[±^~<>]", line.replace("$<$", "").replace("$>$", ""))
        assert line.count("{") == line.count("}")
    assert r"Accuracy \%" in text
    assert r"94.0 $\pm$ 4.0 (3 seeds)" in text
    if layout == "long":
        assert r"far\_\#1 \%" in text
        assert r"$-$5.0 (" in text
    else:
        assert r"\multicolumn{3}{c}{GSM8K}" in text
        assert r"\cline{2-4}" in text


def test_any_name_can_stand_in_a_cell() -> None:
    """Guards names from users' folders: a bar would be a new cell, a bracket after a line an argument to its end."""
    grid = Grid(groups=(), head=("a|b", "c"), text=(True, False), body=((r"[x]~{\}^&", "-1.0 - 2"),))
    assert markdown(grid).splitlines()[0] == r"| a\|b | c |"
    line = latex(grid).splitlines()[4]
    assert line == r"{}[x]\textasciitilde{}\{\textbackslash{}\}\textasciicircum{}\& & $-$1.0 - 2 \\"


def test_seeds_in_one_table_are_told_in_every_cell(tmp_path: Path) -> None:
    """Guards the wide table against a spread that does not say over how many runs."""
    made = seeds(tmp_path / "hops", replace(hops(), recipe="a/coconut"), [1, 3], 4)
    assert "50.0 ± 35.4 (2 seeds)" in render(collect(made), "md", "wide")
