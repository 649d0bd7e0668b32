"""The page of Table 1 that `results/table1.py` makes of kept run folders, at any time of a sweep."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from run_folders import run_folder, summary
from unspoken.recipes import find_recipe

SCRIPT = Path(__file__).parents[2] / "results" / "table1.py"


def kept(runs: Path, recipe: str, right: dict[int, int]) -> None:
    """A kept run of a recipe for each seed, with so many of 1,000 right and a few steps of metrics."""
    for seed, each in right.items():
        folder = runs / f"{recipe.replace('/', '-')}-seed{seed}"
        run_folder(folder, find_recipe(recipe).with_seed(seed), summary(each, 1000))
        steps = [{"kind": "step", "step": s, "epoch": 0, "stage": 0, "loss": 1.0 / s} for s in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))


def page(monkeypatch: pytest.MonkeyPatch, runs: Path, to: Path, *more: str) -> str:
    """What the script writes."""
    monkeypatch.setattr(sys, "argv", ["table1.py", "--runs", str(runs), "--page", str(to), *more])
    runpy.run_path(str(SCRIPT))["main"]()
    return to.read_text()


def test_a_page_in_the_middle_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a page that can only be made once all is done: some cells have three seeds, some one; ablations
    whose base is not there yet wait for it. Figures go beside the page, not over those of another."""
    runs, before = tmp_path / "runs", sorted((SCRIPT.parent / "figures").iterdir())
    stamps = [path.stat().st_mtime_ns for path in before]
    kept(runs, "small/words/coconut", {0: 400, 1: 420, 2: 440})
    kept(runs, "small/words/no-cot", {0: 430, 1: 430, 2: 430})
    kept(runs, "small/prosqa/coconut", {0: 990, 1: 970})
    kept(runs, "small/prosqa-4-layers/coconut", {0: 1000})
    kept(runs, "small/words/ablation/c0", {0: 380, 1: 420})
    kept(runs, "small/prontoqa/ablation/c0", {0: 500})
    text = page(monkeypatch, runs, tmp_path / "page" / "table1.md")
    assert "seeds 0, 1, 2" in text
    assert "| Coconut | 98.0 ± 1.4 (2 seeds) |" in text
    assert "100.0 [99.6, 100.0]" in text
    assert text.index("### Symbolic ProsQA, `small/prosqa`") < text.index(
        "### Symbolic ProsQA, `small/prosqa-4-layers`"
    )
    # sd 2 points: 2 / sqrt(3) = 1.15 against the binomial's 0.90, and No-CoT's 0.90 beside it.
    assert "| -1.0 ± 1.5 | better | not told apart | **not seen here** | 3 |" in text
    # The base's 1.15 and sqrt(2.83^2 / 2) = 2.0.
    assert "| `c0` | 40.0 ± 2.8 (2 seeds) | -2.0 ± 2.3 | 13 |" in text
    assert "`small/prontoqa`, stages" not in text
    links = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(links) == 2
    assert all((tmp_path / "page" / link).is_file() for link in links)
    assert [path.stat().st_mtime_ns for path in before] == stamps


def test_a_run_that_is_still_trained_is_in_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against half a curve: a sweep that is stopped keeps the metrics of what it was at."""
    runs = tmp_path / "runs"
    for name in ("coconut", "ablation/c0", "ablation/c1", "ablation/c3"):
        kept(runs, f"small/words/{name}", {0: 400, 1: 420})
    (runs / "small-words-ablation-c1-seed0" / "eval" / "test" / "summary.json").unlink()
    page(monkeypatch, runs, tmp_path / "table1.md")
    drawn = (tmp_path / "figures" / "table1-c-words.csv").read_text().splitlines()
    assert list(dict.fromkeys(line.partition(",")[0] for line in drawn[1:])) == [
        "small-words-ablation-c0-seed0",
        "small-words-coconut-seed0",
        "small-words-ablation-c3-seed0",
    ]


def test_no_runs_are_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against a traceback from the depths of a figure, and against an empty page over a full one."""
    with pytest.raises(SystemExit):
        page(monkeypatch, tmp_path, tmp_path / "table1.md", "--start", "large")
    assert "no evaluated run" in capsys.readouterr().err
    assert not (tmp_path / "table1.md").exists()


def test_a_base_that_differs_in_its_seeds_is_one_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the comparison of one seed of an ablation with three of its base: the error holds both."""
    runs = tmp_path / "runs"
    kept(runs, "small/words/coconut", {0: 300, 1: 400, 2: 500})
    kept(runs, "small/words/ablation/reversed", {2: 400})
    text = page(monkeypatch, runs, tmp_path / "table1.md")
    # 10 / sqrt(3) = 5.77 and the binomial 1.55; what rounds to nothing has no sign of its own.
    assert "| `reversed` | 40.0 [37.0, 43.1] | +0.0 ± 6.0 | 13 |" in text


def test_the_committed_page_and_readme_are_of_the_committed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards figures on pages: whoever changes a table or adds runs makes both again (`make table1`)."""
    for name in ("results/table1-notes.md", "README.md"):
        shutil.copy(SCRIPT.parents[1] / name, tmp_path)
    made = page(monkeypatch, SCRIPT.parent / "runs", tmp_path / "table1.md", "--readme", str(tmp_path / "README.md"))
    assert made == (SCRIPT.parent / "table1.md").read_text()
    assert (tmp_path / "README.md").read_text() == (SCRIPT.parents[1] / "README.md").read_text()


def test_a_readme_without_marks_is_refused(tmp_path: Path) -> None:
    """Guards against a table put nowhere, or over half a page."""
    script = runpy.run_path(str(SCRIPT))
    (tmp_path / "README.md").write_text("<!-- table 1 -->\n")
    with pytest.raises(ValueError, match="expected <!-- table 1 --> and <!-- end of table 1 -->"):
        script["put_between"](tmp_path / "README.md", "table 1", ["x"])
