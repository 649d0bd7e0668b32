"""Who may lend thoughts to whom, whose answer is whose, and slots of families that scale what is fed back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tiny import FAMILIES, forward, row, rows, shared, tolerance
from unspoken.audit.changes import Identity
from unspoken.audit.context import Context, says
from unspoken.audit.interventions import standard
from unspoken.audit.slots import Feeding, as_fed, shortened, slotted
from unspoken.audit.transplants import FromSameAnswer
from unspoken.build import build_model
from unspoken.evaluate import evaluate
from unspoken.layout import Layout, Marks
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.specs import Llama
from unspoken.tasks.base import Task
from unspoken.tasks.hops import Hops
from unspoken.tasks.prosqa import ProsQA, ProsQAProblems
from unspoken.walk import itself

PROSQA = ProsQA()
EXAMPLES = list(ProsQAProblems().problems(num=60, seed=0))
MODEL = Llama(layers=1, width=32, heads=2, mlp_width=32, positions=512)


@cache
def untrained(task: Task) -> LatentLM:
    """Random weights: what is fed changes what is written, which is all that is needed here."""
    return build_model(MODEL, task, seed=0)


def test_whose_answer_is_it() -> None:
    """In words an answer names whoever was asked: a model that follows Sam's thoughts when asked about Tom says "Tom is
    a ...", and would be counted as following nobody."""
    pairs = [(example, PROSQA.asked_otherwise(example)) for example in EXAMPLES]
    found = [(example, other) for example, other in pairs if other is not None]
    assert len(found) > 50
    for example, other in found:
        ours, theirs = example.question.split()[-5], other.question.split()[-5]
        concept = other.answer.split()[-1]
        assert ours != theirs
        assert says(PROSQA, f"{ours} is a {concept}", other, asked=example)
        assert says(PROSQA, f"{theirs} is a {concept}", other, asked=example)
        assert not says(PROSQA, example.answer, other, asked=example)
        assert not says(PROSQA, f"Nobody is a {concept}", other, asked=example)


def test_answers_are_compared_without_names() -> None:
    """ "Tom is a lempus." and "Sam is a lempus." are the same answer; by their letters no two problems would agree."""
    context = Context(untrained(PROSQA), PROSQA, Coconut(max_stage=2), EXAMPLES)
    assert all(answer.startswith("_ is a ") for answer in context.answers)
    dealt = FromSameAnswer().deal(context)
    assert len(dealt) > 20
    assert all(EXAMPLES[i].answer.split()[-1] == EXAMPLES[j].answer.split()[-1] for i, j in dealt.items())
    assert any(EXAMPLES[i].answer != EXAMPLES[j].answer for i, j in dealt.items())


def test_every_intervention_on_problems_in_words() -> None:
    """Names of several tokens, six thoughts, problems without another question: nothing may break or go missing."""
    task, examples = PROSQA, EXAMPLES[:24]
    context = Context(untrained(task), task, Coconut(max_stage=6), examples, rows=24)
    assert context.most == 6
    for each in standard(6):
        if (why := each.refusal(context)) is not None:
            assert why.startswith("only "), (each.name, why)
            continue
        change = each.change(context)
        assert change.vectors.shape[:2] == (len(change.problems), change.vectors.shape[1])
        assert change.vectors.shape[1] >= change.slots.max()
        assert not np.isnan(context.thoughts).any()
    found = context.answer(Identity().change(context)).records
    assert [record.output for record in found] == [record.output for record in context.clean]
    assert [record.path_class for record in found] == [record.path_class for record in context.clean]


def test_problems_without_graphs() -> None:
    """Tasks that cannot be asked otherwise have all the other interventions, and the reason for those left out."""
    task = Hops(nodes=6, hops=2)
    context = Context(untrained(task), task, Coconut(max_stage=2), task.examples("test")[:40])
    left = {each.name: each.refusal(context) for each in standard(2)}
    out = {name for name, why in left.items() if why is not None}
    assert out == {
        "transplant-same-asked",
        "swapped-thoughts",
        "swapped-question",
        "asked-otherwise",
        "one-swapped-1",
        "one-swapped-2",
    }
    assert left["swapped-thoughts"] == (
        "only 0 of 40 problems can be asked about somebody else, with a chain of a known length"
    )
    records = evaluate(context.model, task, context.method, context.examples)
    found = context.answer(Identity().change(context)).records
    assert [record.output for record in found] == [record.output for record in records]


def test_other_questions_have_chains_of_lengths_that_are_asked_anyway() -> None:
    """In ProsQA the right option lies deepest: guards against calling a model blind to its thoughts because it fails
    questions of one or two hops, which nobody has ever asked it."""
    task, examples = PROSQA, EXAMPLES
    context = Context(untrained(task), task, Coconut(max_stage=6), examples, rows=24)
    lengths = {len(example.steps) for example in examples}
    possible = {i: task.asked_otherwise(example) for i, example in enumerate(examples)}
    shorter = [i for i, other in possible.items() if other is not None and len(other.steps) < min(lengths)]
    assert len(shorter) > 10
    assert context.others
    assert {len(other.steps) for other in context.others.values()} <= lengths
    assert not set(shorter) & set(context.others)


def test_vectors_reach_their_own_rows_and_columns() -> None:
    """Rows think in different columns: a counter per batch instead of one per row would feed the wrong thoughts."""
    vectors = torch.arange(2 * 3, dtype=torch.float32).reshape(2, 3, 1).repeat(1, 1, 4)
    vectors[1, 1] = torch.nan
    feeding = Feeding(vectors, itself)
    hidden = torch.full((2, 4), 9.0)
    fed = [feeding(hidden, torch.tensor(thinks))[:, 0].tolist() for thinks in ([True, False], [True, True])]
    fed += [feeding(hidden, torch.tensor(thinks))[:, 0].tolist() for thinks in ([False, True], [True, True])]
    assert (fed[0][0], fed[1][0], fed[3][0]) == (0, 1, 2)
    assert (fed[1][1], fed[2][1], fed[3][1]) == (3, 9, 5), "where nothing is given the method's own is fed"


@pytest.mark.parametrize(("family", "attention"), FAMILIES)
def test_a_token_fed_as_a_thought_is_that_token(family: str, attention: str) -> None:
    """Granite scales embeddings inside and thoughts on the way in: a pause fed as it is would be another vector."""
    model = shared(family, attention)
    plain = row("qqqqqqaa", seed=3)
    slots = replace(plain, is_thought=[i in (3, 4) for i in range(8)])
    with torch.no_grad():
        embeddings = model.backbone.embed(torch.tensor(plain.input_ids[3:5]))
        fed = as_fed(model.backbone, embeddings)[None]
        ours = forward(model, [slots], feed_back=Feeding(fed, itself), return_logits=True).logits
        theirs = forward(model, [plain], return_logits=True).logits
    assert ours is not None and theirs is not None
    assert torch.allclose(ours[:, -2:], theirs[:, -2:], atol=max(tolerance(model), 1e-5))


def test_slots_are_marked_and_cut() -> None:
    """A pause that is no slot would be left as it is; a cut in the wrong place would take the <eot> along."""
    marks = Marks(bot=60, eot=61, thought=62, pause=63)
    prompt = Layout(input_ids=[1, 2, 60, 63, 63, 63, 61], labels=[-100] * 7, is_thought=[False] * 7)
    found = slotted(prompt, marks)
    assert [i for i, thinks in enumerate(found.is_thought) if thinks] == [3, 4, 5]
    cut = shortened(found, 1)
    assert cut.input_ids == [1, 2, 60, 63, 61] and cut.num_thoughts == 1
    assert shortened(found, 0).input_ids == [1, 2, 60, 61]
    assert shortened(found, 3) == found
    (other,) = rows("qqTT")
    assert slotted(other, marks).is_thought == other.is_thought
