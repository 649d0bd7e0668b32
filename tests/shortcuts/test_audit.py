"""The audit: intervals, chance, what is called a shortcut and what is not, table, figure."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.paper import table1
from unspoken.records import wilson
from unspoken.shortcuts.audit import Audit, audit, render_audit, verdict
from unspoken.shortcuts.figure import audit_figure
from unspoken.shortcuts.findings import Finding, Group
from unspoken.shortcuts.guesses import most_frequent
from unspoken.tasks.base import Example
from unspoken.tasks.fork import Fork
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root

shared = pytest.mark.skipif(
    not data_root().joinpath("prosqa/prosqa_valid.json").is_file()
    or not data_root().joinpath("prosqa/prosqa_test.json").is_file(),
    reason=f"no ProsQA files in {data_root()}",
)

OPEN = [Example(question=f"Who {i}?", steps=(), answer="nobody" * i) for i in range(1, 401)]


def planted(*findings: tuple[str, Sequence[float], float | None], group: Group = Group.BLIND) -> Audit:
    """An audit of 400 open questions with these findings beside the most frequent answer."""

    def probe(problems: Sequence[Example]) -> list[Finding]:
        return [
            Finding(name=name, about="a test", group=group, points=tuple(points), chance=chance)
            for name, points, chance in findings
        ]

    return audit(OPEN, title="planted", further=[probe])


def points(right: int, undecided: int = 0, num: int = 400) -> list[float]:
    return [1.0] * right + [0.5] * undecided + [0.0] * (num - right - undecided)


@shared
def test_the_published_problems_are_biased() -> None:
    """Guards the issue's figures: 91.6 % for min-depth on valid and test, and that the paper's CoT lies below it."""
    task = ProsQA()
    found = audit([*task.examples("valid"), *task.examples("test")], title="published", task="ProsQA")
    rows = {row.name: row for row in found.rows}
    assert found.num == 800
    assert 100 * rows["nearest source"].accuracy == pytest.approx(91.6, abs=0.05)
    assert (100 * rows["nearest source"].low, 100 * rows["nearest source"].high) == pytest.approx((89.5, 93.4), abs=0.1)
    assert {row.name for row in found.rows if not row.beyond_luck(found.tests)} == {
        "earlier last mention", "first in the alphabet", "asked first", "longer name", "more chains",
        "learned (names)", "parent within 1 hop of the root",
    }  # fmt: skip
    said = "\n".join(verdict(found))
    assert "an accuracy below that does not show reasoning" in said
    assert "not above it: CoT 77.5, No-CoT 76.7" in said and "above it: iCoT 98.2, Coconut 97.0" in said
    cell = table1("Coconut", "ProsQA")
    assert cell is not None and ("Coconut", cell.accuracy) in found.references


@pytest.mark.parametrize("seed", range(3))
def test_a_fair_set_is_not_called_biased(seed: int) -> None:
    """Guards against false alarms: of some forty shortcuts on fair problems a few are above the 95 % interval."""
    found = audit(Fork(data_seed=seed).examples("test")[:400], title="fork")
    assert [row.name for row in found.biased if row.group is Group.BLIND] == []
    said = "\n".join(verdict(found))
    assert "No shortcut that does not see what is asked is further from chance than luck explains" in said
    assert "no proof that there is none" in said and "Above chance" not in said
    assert "paper" not in said, "Fork is none of the paper's tasks"


def test_the_level_allows_for_the_best_of_many() -> None:
    """Guards multiple testing: 55.5 % of 400 is beyond luck for one test, not for the best of forty."""
    alone = planted(("a", points(222), 0.5))
    (row,) = [row for row in alone.rows if row.name == "a"]
    assert row.beyond_luck(1) and [row.name for row in alone.biased] == ["a"]
    among = planted(*[("a" if i == 0 else f"b{i}", points(222 if i == 0 else 200), 0.5) for i in range(40)])
    assert among.tests == 40 and among.biased == ()
    # P(Binomial(400, 1/2) > 233) = .0004 is below .05 / 40 / 2 = .0006, P(> 232) = .0006 is not.
    assert among.luck(0.5) == pytest.approx(232 / 400, abs=1.01 / 400)
    assert alone.luck(0.5) < among.luck(0.5)


@given(st.integers(0, 400))
def test_rows_at_the_level_are_within_luck(right: int) -> None:
    """Guards the figure against the table: where every problem is decided, the band and the verdict are the same."""
    found = planted(("a", points(right), 0.5), ("b", points(200), 0.5))
    (row,) = [row for row in found.rows if row.name == "a"]
    inside = 1 - found.luck(0.5) <= row.accuracy <= found.luck(0.5)
    assert inside is not row.beyond_luck(found.tests)


def test_undecided_problems_count_half_and_say_nothing() -> None:
    """Guards ties: 30 right of 30 decided are no luck, though 53.8 % of 400 alone might be; the interval stays wide."""
    found = planted(("rare", points(30, 370), 0.5), ("never", points(0, 400), 0.5), ("luck", points(215), 0.5))
    rows = {row.name: row for row in found.rows}
    assert rows["rare"].accuracy == 0.5375 == rows["luck"].accuracy
    assert [row.name for row in found.biased] == ["rare"]
    assert rows["never"].p_value == 1.0
    half = planted(("odd", points(201, 1), 0.5)).rows[0]
    assert (half.low, half.high) == (wilson(201, 400)[0], wilson(202, 400)[1])


def test_a_bad_choice_between_two_is_a_good_one() -> None:
    """Guards biases the other way round: 30 % right means 70 % for the opposite; with five choices it means little."""
    two = planted(("opposite", points(120), 0.5))
    assert [row.name for row in two.biased] == ["opposite"]
    assert "the opposite choice is a shortcut: opposite 30.0" in "\n".join(verdict(two))
    five = planted(("rarely", points(20), 0.2))
    assert five.biased == ()


def test_the_verdict_on_a_set_that_a_shortcut_solves() -> None:
    """Guards the sentence for ProntoQA: where a shortcut is always right, no accuracy shows anything."""
    said = "\n".join(verdict(planted(("all", points(400), 0.5))))
    assert "The best shortcut, all (100.0 %, interval 99.0 to 100.0), solves nothing: no accuracy" in said


def test_partial_searches_do_not_make_a_set_biased() -> None:
    """Guards fair sets: a search of three hops is right in many problems because it is part of the task."""
    said = "\n".join(verdict(planted(("search", points(300), 0.5), group=Group.SEARCH)))
    assert "Above chance" not in said and "does not show reasoning" not in said
    assert "only a part of what the task asks for, the best is search (75.0 %" in said


def test_what_lies_around_the_asked_entity_is_said_apart() -> None:
    """Guards Fork: its families are apart, so ignoring directions solves it; that is no bias of what is not asked."""
    said = "\n".join(verdict(planted(("around", points(400), 0.5), group=Group.ASKED)))
    assert "Above chance" not in said and "solves nothing" not in said
    assert "around (100.0 %, interval 99.0 to 100.0), so no accuracy below that shows that facts are followed" in said


def test_answers_without_a_chance_level() -> None:
    """Guards number answers: any guess is above no chance at all, and nothing is called biased for it."""
    found = planted(("last", points(12), None))
    assert found.tests == 0 and found.biased == () and found.chance is None
    assert verdict(found) == [
        "The best guess, last (3.0 %, interval 1.7 to 5.2), is right without solving anything: that much of a score "
        "shows nothing."
    ]


def test_table_and_csv_say_the_same() -> None:
    """Guards readers of either: every row in both, percent in one and plain numbers in the other."""
    found = audit(Fork().examples("test")[:60], title="fork, 60", task="ProsQA")
    text = render_audit(found)
    assert text.startswith("fork, 60: 60 problems\n\n| Shortcut |") and text.endswith("\n")
    rows = list(csv.DictReader(io.StringIO(render_audit(found, "csv"))))
    assert [row["name"] for row in rows] == [row.name for row in found.rows] + [name for name, _ in found.references]
    for row, line in zip(found.rows, rows, strict=False):
        assert float(line["accuracy"]) == pytest.approx(row.accuracy, rel=1e-5)
        assert f"| {row.name} | {row.about} | {100 * row.accuracy:.1f} |" in text
        assert line["beyond_luck"] == str(row.beyond_luck(found.tests)).lower()
        assert line["title"] == "fork, 60" and line["num"] == "60"


def test_only_the_first_problems_where_so_asked() -> None:
    """Guards large files: `most` keeps an audit short, and says how many were looked at."""
    assert audit(Fork().examples("test"), title="some", most=55).num == 55
    with pytest.raises(ValueError, match="at least one problem"):
        audit([], title="none")


def test_figure_is_three_files_that_stay_the_same(tmp_path: Path) -> None:
    """Guards the figure: PNG, SVG and its data beside it; the same audit gives the same SVG, without a date."""
    found = audit(Fork().examples("test")[:60], title="fork", task="ProsQA")
    written = audit_figure(found, tmp_path / "deep" / "fork.png")
    assert [path.name for path in written] == ["fork.png", "fork.svg", "fork.csv"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[2].read_text() == render_audit(found, "csv")
    svg = written[1].read_bytes()
    audit_figure(found, tmp_path / "again")
    assert (tmp_path / "again.svg").read_bytes() == svg
    assert b"<dc:date>" not in svg
    few = planted(("last", points(12), None))
    assert all(path.is_file() for path in audit_figure(few, tmp_path / "few"))


def test_repeated_problems_are_no_shortcut() -> None:
    """Guards files with repeated rows: known by heart from another fold, a fair set would be called biased."""
    problems = list(Fork().examples("test")[:100])
    once, thrice = audit(problems, title="once"), audit(problems * 3, title="thrice")
    assert (thrice.num, thrice.repeated, once.repeated) == (100, 200, 0)
    assert [row.accuracy for row in thrice.rows] == [row.accuracy for row in once.rows]
    assert "200 further problems repeat a question and were left out." in render_audit(thrice)


def test_the_most_frequent_of_many_answers_is_luck() -> None:
    """Guards the answer picked on the very problems it is tested on: the best of ten is often above one in ten."""
    rng = random.Random(0)
    biased = 0
    for _ in range(200):
        problems = [Example(question=f"{i}?", steps=(), answer=str(int(10 * rng.random()))) for i in range(49)]
        found = most_frequent(problems, 0.1)
        biased += audit(problems, title="fair", further=[lambda _, found=found: [found]]).biased != ()
    assert biased <= 20
