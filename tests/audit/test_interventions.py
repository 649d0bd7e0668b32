"""Interventions on models whose use of their thoughts is known, and on trained ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from scripted import KINDS, METHOD, TASK, Kind, scripted
from unspoken.analysis.cache import ThoughtCache, make_cache
from unspoken.audit.changes import AddedNoise, Identity, Intervention, Mean, Noise, Permuted, Zero
from unspoken.audit.context import Context
from unspoken.audit.interventions import STRENGTHS, context_of, intervene, standard
from unspoken.audit.parts import FirstOnly, LastOnly, OneAveragedThenOn, OneFromAnother
from unspoken.audit.swaps import AskedOtherwise, OneSwapped, SwappedQuestion, SwappedThoughts
from unspoken.audit.transplants import FromAnother, FromOtherAnswer, FromSameAnswer, FromSameAsked
from unspoken.config import RunConfig
from unspoken.evaluate import evaluate
from unspoken.methods import Coconut, CoT, DetachedThoughts, Method, Pause, PauseAsThought, ShuffledThoughts
from unspoken.model import LatentLM
from unspoken.runs import load_run
from unspoken.shipped import FOLDER
from unspoken.tasks.base import Task

EXAMPLES = TASK.examples("test")[:40]


@cache
def made(kind: Kind) -> tuple[LatentLM, ThoughtCache]:
    """A constructed model and what it thinks."""
    model = scripted(kind)
    return model, make_cache(model, TASK, METHOD, EXAMPLES)


@cache
def shipped(name: str) -> tuple[LatentLM, Task]:
    """A trained model that comes with the package, and its task."""
    run = FOLDER / f"demo-planning-{name}"
    return load_run(run)[0], RunConfig.load(run / "config.json").task


def predictions(kind: Kind, intervention: Intervention, *, seed: int = 0) -> dict[int, str]:
    """By number of problem."""
    model, cache = made(kind)
    found = intervene(model, TASK, METHOD, cache, [intervention], seed=seed)[intervention.name]
    return {record.index: record.prediction for record in found}


def right(kind: Kind, intervention: Intervention) -> float:
    """Share of right answers."""
    model, cache = made(kind)
    found = intervene(model, TASK, METHOD, cache, [intervention])[intervention.name]
    return float(np.mean([record.correct for record in found]))


@pytest.mark.parametrize("method", [Coconut, DetachedThoughts, ShuffledThoughts, PauseAsThought])
@pytest.mark.parametrize("slots", [None, 2])
def test_own_thoughts_fed_back_change_nothing(method: type[Coconut], slots: int | None) -> None:
    """Every other figure means nothing if the door through which vectors go in changes them, or shifts them by one."""
    model, task = shipped("pause-as-thought" if method is PauseAsThought else "coconut")
    chosen: Method = method(max_stage=3)
    examples = task.examples("test")[:60]
    cache = make_cache(model, task, chosen, examples, most=slots, rows=16)
    found = intervene(model, task, chosen, cache, [Identity()], rows=16)["identity"]
    ordinary = evaluate(model, task, chosen, examples, rows=16, thoughts=slots)
    assert [record.output for record in found] == [record.output for record in ordinary]
    assert [record.correct for record in found] == [record.correct for record in ordinary]
    assert [record.path_class for record in found] == [record.path_class for record in ordinary]
    assert [record.num_thoughts for record in found] == [record.num_thoughts for record in ordinary]


@pytest.mark.parametrize("kind", KINDS)
def test_own_thoughts_fed_back_to_a_script(kind: Kind) -> None:
    """The same, where a thought may look exactly like a token."""
    ordinary = evaluate(made(kind)[0], TASK, METHOD, EXAMPLES)
    assert list(predictions(kind, Identity()).values()) == [record.prediction for record in ordinary]


def test_thoughts_are_stored_as_the_model_fed_them() -> None:
    """A context without a cache works the same thoughts out itself: for other problems nothing else is run."""
    model, cache = made("bfs")
    context = Context(model, TASK, METHOD, EXAMPLES)
    assert np.array_equal(context.thoughts, cache.thoughts)
    assert np.array_equal(context.thoughts, context_of(model, TASK, METHOD, cache).thoughts)


def test_swapped_thoughts_are_followed_by_who_reads_them_only() -> None:
    """The verdict rests on this: an intervention that swaps the question too would call every model one that thinks."""
    others = {i: TASK.asked_otherwise(example) for i, example in enumerate(EXAMPLES)}
    answers = {i: other.answer for i, other in others.items() if other is not None}
    own = {i: EXAMPLES[i].answer for i in answers}
    assert len(answers) == len(EXAMPLES)
    assert predictions("bfs", SwappedThoughts()) == answers
    assert predictions("bfs", SwappedQuestion()) == own
    assert predictions("bfs", OneSwapped(2)) == answers
    assert predictions("bfs", OneSwapped(0)) == own
    for kind in ("ignores", "copies"):
        assert predictions(kind, SwappedThoughts()) == own
        assert predictions(kind, SwappedQuestion()) == answers
    for kind in ("bfs", "ignores", "copies"):
        assert predictions(kind, AskedOtherwise()) == answers


def test_thoughts_of_other_problems_hurt_who_reads_them_only() -> None:
    """A transplant that gives a problem its own thoughts back would find every model robust."""
    for intervention in (FromAnother(), FromOtherAnswer(), FromSameAsked(), Zero(), Mean(), Noise(), OneFromAnother(2)):
        assert right("bfs", intervention) < 0.8, intervention
        assert right("ignores", intervention) == 1, intervention
        assert right("copies", intervention) == 1, intervention
    assert right("bfs", OneFromAnother(0)) == 1, "the answer is read from the last thought alone"


def test_donors_are_others() -> None:
    """A donor that is the problem itself, or of another kind than was said, is no transplant."""
    model, cache = made("bfs")
    context = context_of(model, TASK, METHOD, cache)
    answers = [example.answer for example in EXAMPLES]
    asked = [example.question.split()[-1] for example in EXAMPLES]
    for transplant in (FromAnother(), FromSameAnswer(), FromOtherAnswer(), FromSameAsked()):
        dealt = transplant.deal(context)
        assert len(dealt) >= 20
        assert all(i != j for i, j in dealt.items()), transplant
    assert all(answers[i] == answers[j] for i, j in FromSameAnswer().deal(context).items())
    assert all(answers[i] != answers[j] for i, j in FromOtherAnswer().deal(context).items())
    assert all(asked[i] == asked[j] for i, j in FromSameAsked().deal(context).items())
    assert sorted(FromAnother().deal(context).values()) == list(range(len(EXAMPLES))), "everybody lends once"


def test_what_is_fed() -> None:
    """Each refill, seen in numbers: a wrong norm, order or mean shows in no accuracy."""
    model, cache = made("bfs")
    context = context_of(model, TASK, METHOD, cache)
    thoughts = context.thoughts
    norms = np.linalg.norm(thoughts, axis=-1)
    assert np.allclose(np.linalg.norm(Noise().fed(context), axis=-1), norms, rtol=1e-5)
    for strength in STRENGTHS:
        added = AddedNoise(strength).fed(context) - thoughts
        assert np.allclose(np.linalg.norm(added, axis=-1), strength * norms, rtol=1e-4)
    assert np.allclose(Mean().fed(context)[7, 1], thoughts[:, 1].mean(0), atol=1e-6)
    permuted = Permuted().change(context).vectors
    assert not any(np.array_equal(a, b) for a, b in zip(permuted, thoughts, strict=True))
    assert np.allclose(np.sort(permuted, axis=1), np.sort(thoughts, axis=1))
    assert np.array_equal(LastOnly(2).fed(context), thoughts[:, 1:])
    assert np.array_equal(FirstOnly(2).fed(context), thoughts[:, :2])
    anew = OneAveragedThenOn(1).fed(context)
    assert np.array_equal(anew[:, 0], thoughts[:, 0])
    assert np.isnan(anew[:, 2]).all() and not np.isnan(anew[:, 1]).any()


def test_fewer_slots_make_a_shorter_prompt() -> None:
    """A slot left in the prompt would be filled by the model itself, and nothing would have been removed."""
    model, task = shipped("coconut")
    method = Coconut(max_stage=3)
    examples = task.examples("test")[:30]
    cache = make_cache(model, task, method, examples)
    for num in range(3):
        found = intervene(model, task, method, cache, [FirstOnly(num)])[f"first-{num}"]
        forced = evaluate(model, task, method, examples, thoughts=num)
        assert [record.output for record in found] == [record.output for record in forced]
        assert [record.path_class for record in found] == [record.path_class for record in forced]


def test_pauses_are_changed_too() -> None:
    """A method without continuous thoughts has slots all the same, and an intervention on them must reach the model."""
    model, task = shipped("pause-as-thought")
    method = PauseAsThought(max_stage=3)
    cache = make_cache(model, task, method, task.examples("test")[:60])
    context = context_of(model, task, method, cache)
    assert context.constant
    clean = [record.prediction for record in context.clean]
    assert [r.prediction for r in context.answer(Zero().change(context)).records] != clean
    assert all(each.refusal(context) for each in (FromAnother(), SwappedThoughts(), Permuted(), Mean()))
    assert intervene(model, task, method, cache, [FromAnother()]) == {"transplant": []}


def test_pauses_without_a_curriculum_have_slots() -> None:
    """`Pause` has no number of thoughts that could be forced; its pauses are slots like any other."""
    model, task = shipped("pause-as-thought")
    method = Pause(pauses=4)
    examples = task.examples("test")[:20]
    context = Context(model, task, method, examples)
    assert context.most == 4
    ordinary = evaluate(model, task, method, examples)
    found = context.answer(Identity().change(context)).records
    assert [record.output for record in found] == [record.output for record in ordinary]


def test_a_seed_of_its_own_for_each_intervention() -> None:
    """An intervention whose draws depend on which others were asked for cannot be repeated."""
    model, cache = made("bfs")
    alone = intervene(model, TASK, METHOD, cache, [FromAnother()], seed=3)["transplant"]
    among = intervene(model, TASK, METHOD, cache, [Noise(), FromAnother()], seed=3)["transplant"]
    assert [record.prediction for record in alone] == [record.prediction for record in among]
    assert predictions("bfs", FromAnother(), seed=3) != predictions("bfs", FromAnother(), seed=4)


def test_names_are_unique_and_fit_for_files() -> None:
    """Two interventions of one name would overwrite each other's records."""
    names = [each.name for each in standard(6)]
    assert len(set(names)) == len(names) > 40
    assert all(name == name.lower() and " " not in name and "/" not in name for name in names)


def test_chains_of_different_lengths_keep_their_own_slots() -> None:
    """With as many thoughts as steps a problem's prompt must not get the longest problem's slots."""
    model, task = shipped("coconut")
    method = Coconut(max_stage=3, pad_thoughts="steps")
    examples = [
        replace(example, steps=example.steps[: 1 + i % 3]) for i, example in enumerate(task.examples("test")[:30])
    ]
    cache = make_cache(model, task, method, examples)
    found = intervene(model, task, method, cache, [Identity(), FromAnother(), LastOnly(2)], rows=8)
    ordinary = evaluate(model, task, method, examples)
    assert [r.num_thoughts for r in found["identity"]] == [1 + i % 3 for i in range(30)]
    assert [r.output for r in found["identity"]] == [r.output for r in ordinary]
    assert [r.num_thoughts for r in found["transplant"]] == [1 + i % 3 for i in range(30)]
    assert [r.num_thoughts for r in found["last-2"]] == [min(2, 1 + i % 3) for i in range(30)]


def test_refusals() -> None:
    """Whoever audits a run without slots must be told so, not shown a page of zeros."""
    model, task = shipped("coconut")
    with pytest.raises(ValueError, match="CoT puts nothing between question and answer"):
        Context(model, task, CoT(), task.examples("test")[:4])
    with pytest.raises(ValueError, match="no problems"):
        Context(model, task, METHOD, [])
    with pytest.raises(ValueError, match="rows"):
        Context(model, task, METHOD, task.examples("test")[:4], rows=0)
    with pytest.raises(ValueError, match="with 0 thoughts"):
        Context(model, task, METHOD, task.examples("test")[:4], slots=0)
    with pytest.raises(ValueError, match="at least 4 problems together, got 3"):
        Context(model, task, ShuffledThoughts(max_stage=3), task.examples("test")[:3])
