"""What is written at all stops together is what an evaluation at each of them writes."""

from __future__ import annotations

import pytest

from scripted import METHOD, TASK, scripted
from unspoken.analysis.forced import write_at_stops
from unspoken.config import RunConfig
from unspoken.evaluate import evaluate
from unspoken.runs import load_run
from unspoken.shipped import FOLDER


@pytest.mark.parametrize("name", ["coconut", "pause-as-thought"])
def test_as_an_evaluation_at_each_number_of_thoughts(name: str) -> None:
    """Guards the interpolation: one pass for all stops must not let one stop see another's text."""
    run = FOLDER / f"demo-planning-{name}"
    config = RunConfig.load(run / "config.json")
    model, _ = load_run(run)
    examples = config.task.examples("test")[:70]
    found = write_at_stops(model, config.task, config.method, examples, rows=32)
    for thoughts in range(4):
        records = evaluate(model, config.task, config.method, examples, thoughts=thoughts)
        ours = [each[thoughts] for each in found]
        assert [each.text for each in ours] == [record.output for record in records]
        assert [each.path_class for each in ours] == [record.path_class for record in records]
        assert [each.correct for each in ours] == [record.correct for record in records]


def test_written_chains_go_on_behind_right_steps() -> None:
    """A chain given k right steps writes the rest of it."""
    run = FOLDER / "demo-planning-cot"
    config = RunConfig.load(run / "config.json")
    model, _ = load_run(run)
    example = config.task.examples("test")[0]
    (found,) = write_at_stops(model, config.task, config.method, [example], rows=8)
    assert len(found) == 4
    assert found[3].text == example.answer and found[3].correct


def test_as_many_thoughts_as_are_asked_for() -> None:
    """`--thoughts` may stop earlier than training did."""
    (found,) = write_at_stops(scripted("bfs"), TASK, METHOD, TASK.examples("test")[:1], rows=4, most=1)
    assert len(found) == 2
