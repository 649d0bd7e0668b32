"""What the page is given, on models whose use of thoughts is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from explore.looked import EXAMPLES, seen
from scripted import METHOD, TASK, scripted
from unspoken.config import RunConfig
from unspoken.explore.look import look
from unspoken.explore.payload import Wrote
from unspoken.methods import Coconut, Method
from unspoken.runs import load_run
from unspoken.shipped import FOLDER
from unspoken.tasks.chains import PathClass


def test_values_are_shown_where_they_are() -> None:
    """A search that is breadth first by construction must look like one: all on the frontier, evenly."""
    for problem, example in zip(seen("bfs").problems, EXAMPLES, strict=True):
        graph = problem.graph
        assert graph is not None and graph.names == tuple(example.meta["idx_to_symbol"])
        for stop in problem.stops[:-1]:
            frontier = [node for node, hops in enumerate(graph.hops) if hops == stop.hops]
            assert stop.values is not None and stop.breadth is not None
            for node, value in enumerate(stop.values):
                assert value == pytest.approx(1 / len(frontier) if node in frontier else 0, abs=1e-3)
            assert (stop.breadth.frontier, stop.breadth.reachable, stop.breadth.elsewhere) == (1, 0, 0)
            assert stop.breadth.candidates == pytest.approx(len(frontier), abs=1e-3)
        # Behind the last thought comes the answer: nothing is that far away.
        assert problem.stops[-1].hops == TASK.hops + 1 and problem.stops[-1].breadth is None


def test_thoughts_decode_to_what_was_fed() -> None:
    """Thought k decoded one step early or late would shift the whole page by a thought."""
    for problem in seen("bfs").problems:
        assert problem.graph is not None
        assert problem.stops[0].decoded == ()
        for k in range(1, TASK.hops + 1):
            held = {problem.graph.names[n] for n, hops in enumerate(problem.graph.hops) if hops == k}
            decoded = {text for text, share in problem.stops[k].decoded if share > 0.01}
            assert decoded == held


def test_aggregates_are_those_of_the_problems() -> None:
    """Figures that are computed apart from what is shown may tell another story."""
    found = seen("bfs")
    for after in found.after:
        written = [problem.stops[after.slots].wrote for problem in found.problems]
        right = [w.right for w in written if w is not None]
        assert len(right) == after.accuracy.num == len(EXAMPLES)
        assert after.accuracy.mean == pytest.approx(sum(right) / len(right), abs=1e-4)
    for after in found.after[:-1]:
        assert after.frontier is not None and after.candidates is not None and after.frontier_size is not None
        sizes = [sum(h == after.slots + 1 for h in p.graph.hops) / len(p.graph.hops) for p in found.problems if p.graph]
        assert after.frontier_by_chance is not None
        assert after.frontier_by_chance.mean == pytest.approx(sum(sizes) / len(sizes), abs=1e-4)
        assert after.frontier.mean == 1 and after.frontier.num == len(EXAMPLES)
        assert after.candidates.mean == pytest.approx(after.frontier_size.mean, abs=1e-3)
    assert found.after[-1].frontier is None
    assert found.accuracy.mean == found.after[-1].accuracy.mean == 1


def test_classes_are_counted_in_an_order_of_their_own() -> None:
    """Classes in order of frequency would have other colours on every page."""
    found = seen("bfs")
    assert found.paths == tuple(PathClass)
    for after in found.after:
        written = [problem.stops[after.slots].wrote for problem in found.problems]
        assert after.paths == tuple(sum(w is not None and w.path == name for w in written) for name in PathClass)
        assert sum(after.paths) == len(EXAMPLES)


def test_interventions_change_the_answers_they_should() -> None:
    """Another problem's or another intervention's answer beside a name would be worse than none."""
    found = seen("bfs")
    index = {each.name: i for i, each in enumerate(found.changed.interventions)}
    for problem, example in zip(found.problems, EXAMPLES, strict=True):
        other = TASK.asked_otherwise(example)
        assert other is not None
        swapped = problem.under[index["swapped-thoughts"]]
        assert swapped is not None and swapped.answer == other.answer and not swapped.right
        asked = problem.under[index["asked-otherwise"]]
        assert asked is not None and asked.answer == other.answer and asked.right
    swaps = found.changed.interventions[index["swapped-thoughts"]]
    assert (swaps.accuracy.mean, swaps.changed.mean, swaps.asks_other) == (0, 1, False)
    assert found.changed.interventions[index["asked-otherwise"]].asks_other


def test_a_model_that_ignores_its_thoughts_is_not_changed() -> None:
    """Interventions that change answers by being run at all would show thoughts where there are none."""
    for each in seen("ignores").changed.interventions:
        # Without slots it writes a whole chain, to any leaf.
        if not each.asks_other and each.name != "first-0":
            assert each.changed.mean == 0, each.name


def test_what_stands_beside_is_of_the_same_problem() -> None:
    """Records of the other run in another order would be compared with the wrong problems."""
    assert [p.beside.text for p in seen("bfs").problems if p.beside] == [f"written {i}" for i in range(len(EXAMPLES))]


def test_the_same_seed_makes_the_same_page() -> None:
    """Noise and transplants drawn anew each time would make a page that cannot be made again."""
    model = scripted("bfs")
    again, other = (
        look(model, TASK, METHOD, EXAMPLES, rows=24, seed=seed, mix=0.1, beside=None).changed for seed in (0, 1)
    )
    assert again == seen("bfs").changed
    assert again.by_intervention != other.by_intervention


SHIPPED = {
    "demo-planning-coconut": "thought",
    "demo-planning-pause-as-thought": "pause",
    "demo-planning-cot": "step",
    "demo-planning-no-cot": "none",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_kind_of_method_has_a_page(name: str) -> None:
    """A page that takes thoughts for granted fails on the baselines it is to be compared with."""
    run: Path = FOLDER / name
    config = RunConfig.load(run / "config.json")
    model, _ = load_run(run)
    examples = config.task.examples("test")[:8]
    found = look(model, config.task, config.method, examples, rows=8, seed=0, mix=0, beside=None)
    assert found.slot == SHIPPED[name]
    assert len(found.after) == (1 if found.slot == "none" else 4)
    assert all(len(problem.stops) == len(found.after) for problem in found.problems)
    if found.slot in ("step", "none"):
        assert found.changed.interventions == () and "nothing between" in found.changed.why_none
        assert all(stop.decoded == () for problem in found.problems for stop in problem.stops)
    else:
        assert found.changed.interventions and not found.changed.why_none
        assert all(stop.decoded for problem in found.problems for stop in problem.stops[1:])


def test_behind_right_steps_a_written_chain_goes_on() -> None:
    """A written chain's stop is a number of right steps given; what is shown there is the rest, not all of it."""
    run = FOLDER / "demo-planning-cot"
    config = RunConfig.load(run / "config.json")
    model, _ = load_run(run)
    examples = config.task.examples("test")[:8]
    found = look(model, config.task, config.method, examples, rows=8, seed=0, mix=0, beside=None)
    for problem, example in zip(found.problems, examples, strict=True):
        written = [stop.wrote for stop in problem.stops]
        assert all(isinstance(w, Wrote) for w in written)
        assert [len(w.text.split()) for w in written if w] == [len(example.steps) - k + 1 for k in range(len(written))]
        assert written[0] is not None and written[0].text == problem.final.text
        assert written[-1] is not None and written[-1].text == example.answer


@pytest.mark.parametrize("method", [Coconut(max_stage=2, thoughts_per_step=2)])
def test_two_thoughts_a_step(method: Method) -> None:
    """With two thoughts for a step, the stop after one of them still stands for no step."""
    found = look(scripted("ignores"), TASK, method, EXAMPLES[:4], rows=4, seed=0, mix=0, beside=None)
    assert [stop.hops for stop in found.problems[0].stops] == [1, 1, 2, 2, 3]
