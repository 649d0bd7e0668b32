"""Layouts are pinned as pictures: q question, 1 2 3 steps, a answer, T thought, P pause, < bot, > eot; . = no loss."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from unspoken.layout import IGNORE_INDEX, Layout, Marks, Tokens
from unspoken.methods import (
    Coconut,
    CoconutWithoutCurriculum,
    CoT,
    DetachedThoughts,
    ICoT,
    Method,
    NoCoT,
    OpenedCoT,
    Pause,
    PauseAsThought,
    ShuffledThoughts,
    WithoutThought,
)

MARKS = Marks(bot=30, eot=31, thought=32, pause=33)
THREE = Tokens(question=[1, 1], steps=[[11, 11], [12], [13, 13]], answer=[2])
ONE = Tokens(question=[1, 1], steps=[[11, 11]], answer=[2])
NONE = Tokens(question=[1, 1], steps=[], answer=[2])
NAME = {1: "q", 11: "1", 12: "2", 13: "3", 2: "a", 30: "<", 31: ">", 32: "T", 33: "P"}


def drawn(layout: Layout) -> str:
    assert layout.is_thought == [token == MARKS.thought for token in layout.input_ids]
    labels = ("." if label == IGNORE_INDEX else NAME[label] for label in layout.labels)
    return "".join(NAME[token] for token in layout.input_ids) + "|" + "".join(labels)


def picture(method: Method, stage: int, tokens: Tokens = THREE, **kwargs: Any) -> str:
    return drawn(method.layout(tokens, stage, MARKS, **kwargs))


TWO = Coconut(thoughts_per_step=2, max_stage=2)
SINGLY = Coconut(thoughts_per_step=3, max_stage=2, added="singly")
ICOT = ICoT(tokens_per_stage=2, remove_all_beyond=3, smoothing=4.0)

PICTURES = [
    (CoT(), 0, "qq11233a|..11233a"),
    (OpenedCoT(), 0, "qq<11233a|...11233a"),
    (NoCoT(), 0, "qqa|..a"),
    (Pause(pauses=3), 0, "qqPPPa|.....a"),
    (Pause(pauses=0), 0, "qqa|..a"),
    (ICOT, 0, "qq11233a|..11233a"),
    (ICOT, 1, "qq233a|..233a"),
    (ICOT, 2, "qqa|..a"),
    (TWO, 0, "qq<>11233a|....11233a"),
    (TWO, 1, "qq<TT>233a|......233a"),
    (TWO, 2, "qq<TTTT>33a|........33a"),
    (TWO, 3, "qq<TTTT>a|........a"),
    (Coconut(thoughts_per_step=1, max_stage=3), 3, "qq<TTT>a|.......a"),
    (Coconut(thoughts_per_step=0, max_stage=2), 2, "qq<>33a|....33a"),
    (Coconut(max_stage=0), 0, "qq<>11233a|....11233a"),
    (Coconut(max_stage=0), 1, "qq<>a|....a"),
    (Coconut(max_stage=2, steps_kept=1), 0, "qq<>11|....11"),
    (Coconut(max_stage=2, steps_kept=1), 1, "qq<T>2|.....2"),
    (Coconut(max_stage=2, steps_kept=1), 2, "qq<TT>33a|......33a"),
    (Coconut(max_stage=2, steps_kept=1), 3, "qq<TT>a|......a"),
    (Coconut(max_stage=2, steps_kept=2), 0, "qq<>112|....112"),
    (Coconut(max_stage=2, steps_kept=2), 1, "qq<T>233a|.....233a"),
    (SINGLY, 0, "qq<>11233a|....11233a"),
    (SINGLY, 1, "qq<T>233a|.....233a"),
    (SINGLY, 2, "qq<TT>233a|......233a"),
    (SINGLY, 3, "qq<TTT>233a|.......233a"),
    (SINGLY, 4, "qq<TTTT>33a|........33a"),
    (SINGLY, 6, "qq<TTTTTT>33a|..........33a"),
    (SINGLY, 7, "qq<TTTTTT>a|..........a"),
    (Coconut(max_stage=2, added="singly"), 2, "qq<TT>33a|......33a"),
    (Coconut(thoughts_per_step=2, max_stage=2, added="singly", steps_kept=1), 2, "qq<TT>2|......2"),
    (PauseAsThought(thoughts_per_step=2, max_stage=2, added="singly"), 3, "qq<PPP>33a|.......33a"),
    (ShuffledThoughts(thoughts_per_step=2, max_stage=2, added="singly"), 5, "qq<TTTT>a|........a"),
    (CoconutWithoutCurriculum(max_stage=2, thoughts_per_step=2), 0, "qq<TTTT>a|........a"),
    (WithoutThought(max_stage=2), 0, "qq11233a|..11233a"),
    (WithoutThought(max_stage=2), 1, "qq233a|..233a"),
    (WithoutThought(max_stage=2), 2, "qq33a|..33a"),
    (WithoutThought(max_stage=2), 3, "qqa|..a"),
    (WithoutThought(max_stage=2, steps_kept=1), 1, "qq2|..2"),
    (PauseAsThought(max_stage=2), 0, "qq<>11233a|....11233a"),
    (PauseAsThought(max_stage=2, thoughts_per_step=2), 1, "qq<PP>233a|......233a"),
    (PauseAsThought(max_stage=2), 3, "qq<PP>a|......a"),
    (ShuffledThoughts(max_stage=2), 1, "qq<T>233a|.....233a"),
    (ShuffledThoughts(max_stage=2), 3, "qq<TT>a|......a"),
    (DetachedThoughts(max_stage=2, thoughts_per_step=2), 2, "qq<TTTT>33a|........33a"),
    (DetachedThoughts(max_stage=2), 3, "qq<TT>a|......a"),
]


@pytest.mark.parametrize(("method", "stage", "want"), PICTURES)
def test_three_steps(method: Method, stage: int, want: str) -> None:
    """Guards the paper's tables: one token removed too many or one thought too few trains another method, silently."""
    assert picture(method, stage) == want


@pytest.mark.parametrize(
    ("method", "stage", "want"),
    [
        (TWO, 0, "qq<>11a|....11a"),
        (TWO, 1, "qq<TT>a|......a"),
        # A chain shorter than the stage still gets the stage's thoughts, as in the published code.
        (TWO, 2, "qq<TTTT>a|........a"),
        (TWO, 3, "qq<TTTT>a|........a"),
        (Coconut(max_stage=2, pad_thoughts="steps"), 2, "qq<TT>a|......a"),
        (Coconut(max_stage=2, pad_thoughts="steps"), 3, "qq<T>a|.....a"),
        (Coconut(max_stage=2, thoughts_per_step=2, pad_thoughts="steps"), 3, "qq<TT>a|......a"),
        (SINGLY, 1, "qq<T>a|.....a"),
        (SINGLY, 5, "qq<TTTTT>a|.........a"),
        (Coconut(max_stage=2, thoughts_per_step=2, added="singly", pad_thoughts="steps"), 4, "qq<TTTT>a|........a"),
        (Coconut(max_stage=2, thoughts_per_step=2, added="singly", pad_thoughts="steps"), 5, "qq<TT>a|......a"),
        (CoconutWithoutCurriculum(max_stage=2), 0, "qq<TT>a|......a"),
        (CoconutWithoutCurriculum(max_stage=2, pad_thoughts="steps"), 0, "qq<T>a|.....a"),
        (PauseAsThought(max_stage=2, pad_thoughts="steps"), 3, "qq<P>a|.....a"),
        (WithoutThought(max_stage=2), 2, "qqa|..a"),
        (Coconut(max_stage=2, steps_kept=1), 0, "qq<>11a|....11a"),
        (ICOT, 1, "qqa|..a"),
        (ICOT, 2, "qqa|..a"),
    ],
)
def test_a_chain_shorter_than_the_stage(method: Method, stage: int, want: str) -> None:
    """Guards short chains: an index error, a dropped answer, or a thought count that tells the chain's length."""
    assert picture(method, stage, ONE) == want


def test_padding_to_steps_is_capped_by_the_last_stage() -> None:
    """Guards long chains: three steps where training stops at two must not get a third, never trained, thought."""
    assert picture(Coconut(max_stage=2, pad_thoughts="steps"), 3, THREE) == "qq<TT>a|......a"


@pytest.mark.parametrize(
    ("method", "stage", "want"),
    [
        (CoT(), 0, "qqa|..a"),
        (OpenedCoT(), 0, "qq<a|...a"),
        (NoCoT(), 0, "qqa|..a"),
        (ICOT, 1, "qqa|..a"),
        (TWO, 0, "qq<>a|....a"),
        (TWO, 2, "qq<TTTT>a|........a"),
        (Coconut(max_stage=2, pad_thoughts="steps"), 3, "qq<>a|....a"),
        (Coconut(max_stage=2, steps_kept=1), 0, "qq<>a|....a"),
        (WithoutThought(max_stage=2), 1, "qqa|..a"),
    ],
)
def test_no_steps_at_all(method: Method, stage: int, want: str) -> None:
    """Guards examples without a chain: the answer is always a target."""
    assert picture(method, stage, NONE) == want


@pytest.mark.parametrize(
    ("method", "want"),
    [
        (CoT(), 1),
        (OpenedCoT(), 1),
        (NoCoT(), 1),
        (Pause(), 1),
        (ICoT(), 6),  # 0, 8, 16, 24, 32 tokens, then the whole chain
        (ICoT(tokens_per_stage=1, remove_all_beyond=39), 41),
        (ICoT(tokens_per_stage=8, remove_all_beyond=40), 7),
        (Coconut(max_stage=6), 8),
        (Coconut(max_stage=0), 2),
        (SINGLY, 8),
        (Coconut(max_stage=6, thoughts_per_step=1, added="singly"), 8),
        (ShuffledThoughts(max_stage=3, thoughts_per_step=2, added="singly"), 8),
        (CoconutWithoutCurriculum(max_stage=6), 1),
        (WithoutThought(max_stage=3), 5),
        (PauseAsThought(max_stage=3), 5),
        (ShuffledThoughts(max_stage=3), 5),
        (DetachedThoughts(max_stage=3), 5),
    ],
)
def test_number_of_stages(method: Method, want: int) -> None:
    """Guards the curriculum's length; one stage too few never removes the last text."""
    assert method.stages == want


@pytest.mark.parametrize("settings", [(8, 39), (8, 40), (3, 7), (1, 1)])
def test_icot_removes_everything_in_its_last_stage_and_not_before(settings: tuple[int, int]) -> None:
    """Guards the two places that know `remove_all_beyond` against drifting apart."""
    per_stage, beyond = settings
    method = ICoT(tokens_per_stage=per_stage, remove_all_beyond=beyond)
    long = Tokens(question=[1], steps=[[11] * 100], answer=[2])
    left = [len(method.layout(long, stage, MARKS)) - 2 for stage in range(method.stages)]
    assert left == [*(100 - per_stage * stage for stage in range(method.stages - 1)), 0]


def test_icot_smoothing_removes_more_with_the_stated_probability() -> None:
    """Guards the sampling formula: o more tokens with a probability in proportion to exp(-lambda * o)."""
    long = Tokens(question=[1], steps=[[11] * 50], answer=[2])
    method, rng = ICoT(tokens_per_stage=8, smoothing=1.0), random.Random(0)
    more = Counter(50 - 8 - (len(method.layout(long, 1, MARKS, rng)) - 2) for _ in range(4000))
    assert min(more) == 0
    for o in range(3):
        expected = (1 - 2.718281828459045**-1) * 2.718281828459045**-o
        assert more[o] / 4000 == pytest.approx(expected, abs=0.025)
    unsmoothed = ICoT(tokens_per_stage=8, smoothing=0.0)
    assert {len(unsmoothed.layout(long, 1, MARKS, rng)) for _ in range(200)} == {50 - 8 + 2}


def test_icot_is_not_random_in_evaluation() -> None:
    """Guards evaluation: without a generator the same layout every time, and only the stage's tokens removed."""
    method = ICoT(tokens_per_stage=2, smoothing=0.01)
    assert {picture(method, 1) for _ in range(50)} == {"qq233a|..233a"}


def test_opened_chains_in_training() -> None:
    """Guards further <bot>s: before later steps only, with their probability, no targets, none in evaluation."""
    tokens = Tokens(question=[1, 1], steps=[[11], [12]], answer=[2])
    want = {"qq<12a|...12a", "qq<1<2a|...1.2a", "qq<12<a|...12.a", "qq<1<2<a|...1.2.a"}
    rng = random.Random(0)
    seen = Counter(picture(OpenedCoT(between=0.25), 0, tokens, rng=rng) for _ in range(2000))
    assert seen.keys() == want
    assert seen["qq<12a|...12a"] / 2000 == pytest.approx(0.75**2, abs=0.04)
    assert {picture(OpenedCoT(between=1.0), 0, tokens) for _ in range(20)} == {"qq<12a|...12a"}


def test_icot_smoothing_beyond_the_chain_keeps_the_answer() -> None:
    """Guards the offset's tail: an offset longer than the chain must not eat into the answer."""
    method = ICoT(tokens_per_stage=1, remove_all_beyond=100, smoothing=0.01)
    seen = {picture(method, 0, rng=random.Random(seed)) for seed in range(50)}
    assert "qqa|..a" in seen
    assert all(layout.endswith("a") for layout in seen)


@pytest.mark.parametrize("method", [Coconut, CoconutWithoutCurriculum, ShuffledThoughts, DetachedThoughts])
def test_prompt_with_a_forced_number_of_thoughts(method: type) -> None:
    """Guards evaluation at other counts than trained: exactly so many thoughts, and nothing after them."""
    made = method(max_stage=2)
    for count in range(5):
        assert drawn(made.prompt(THREE, MARKS, thoughts=count)) == f"qq<{'T' * count}>|" + "." * (4 + count)


def test_prompt_with_a_forced_number_of_pauses() -> None:
    """Guards "pause as thought": its forced count is of pauses, not of thoughts it was never trained with."""
    assert drawn(PauseAsThought(max_stage=2).prompt(THREE, MARKS, thoughts=3)) == "qq<PPP>|......."


@pytest.mark.parametrize(
    ("method", "stage", "want"),
    [
        (CoT(), None, "qq|.."),
        (OpenedCoT(), None, "qq<|..."),
        (NoCoT(), None, "qq|.."),
        (Pause(pauses=2), None, "qqPP|...."),
        (ICOT, None, "qq|.."),
        (TWO, 0, "qq<>|...."),
        (TWO, 1, "qq<TT>|......"),
        (TWO, 3, "qq<TTTT>|........"),
        (TWO, None, "qq<TTTT>|........"),
        (SINGLY, 2, "qq<TT>|......"),
        (SINGLY, None, "qq<TTTTTT>|.........."),
        (CoconutWithoutCurriculum(max_stage=2), None, "qq<TT>|......"),
        (WithoutThought(max_stage=2), None, "qq|.."),
        (PauseAsThought(max_stage=2), None, "qq<PP>|......"),
    ],
)
def test_prompt_is_the_training_layout_up_to_its_first_target(method: Method, stage: int | None, want: str) -> None:
    """Guards against test and training layouts drifting apart."""
    assert drawn(method.prompt(THREE, MARKS, stage=stage)) == want


@pytest.mark.parametrize("method", [CoT(), OpenedCoT(), NoCoT(), ICoT(), Pause(), WithoutThought()])
def test_methods_without_thoughts_refuse_a_number_of_thoughts(method: Method) -> None:
    """Guards `--thoughts` against being ignored in silence."""
    with pytest.raises(ValueError, match=rf"{type(method).__name__} has no continuous thoughts, got thoughts=2"):
        method.prompt(THREE, MARKS, thoughts=2)
    assert method.trained_thoughts is None


def test_a_negative_number_of_thoughts_is_refused() -> None:
    """Guards `[thought] * -1`, which is an empty list and would pass as zero thoughts."""
    with pytest.raises(ValueError, match="at least 0, got -1"):
        TWO.prompt(THREE, MARKS, thoughts=-1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Coconut(max_stage=-1), "max_stage must be at least 0, got -1"),
        (lambda: WithoutThought(max_stage=-1), "max_stage must be at least 0, got -1"),
        (lambda: Coconut(steps_kept=0), "steps_kept must be at least 1 or None, got 0"),
        (lambda: Coconut(thoughts_per_step=0, added="singly"), "needs thoughts_per_step of at least 1, got 0"),
        (lambda: CoconutWithoutCurriculum(added="singly"), 'expected added="together", got "singly"'),
        (lambda: PauseAsThought(thoughts_per_step=-1), "thoughts_per_step must be at least 0, got -1"),
        (lambda: ShuffledThoughts(pad_thoughts="steps"), "ShuffledThoughts needs pad_thoughts"),
    ],
)
def test_settings_out_of_range(make: Any, message: str) -> None:
    """Guards settings that would otherwise lay out nonsense without complaint."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ICoT(tokens_per_stage=0).stages,
        lambda: ICoT(tokens_per_stage=-8),
        lambda: ICoT(remove_all_beyond=-1),
        lambda: ICoT(smoothing=-1.0),
        lambda: Pause(pauses=-1),
    ],
)
def test_settings_of_written_methods_out_of_range(make: Any) -> None:
    """Guards `ICoT(tokens_per_stage=0)`, a ZeroDivisionError, and negative counts that pass as zero."""
    with pytest.raises(ValueError, match=r"must be"):
        make()


def test_counts_of_trained_thoughts_and_rows() -> None:
    """Guards what warnings and the shuffled control's smallest batch are computed from."""
    assert TWO.trained_thoughts == 4
    assert CoconutWithoutCurriculum(max_stage=6).trained_thoughts == 6
    assert TWO.min_rows() == 1
    assert SINGLY.trained_thoughts == 6
    assert Coconut(thoughts_per_step=0).trained_thoughts is None
    assert ShuffledThoughts(thoughts_per_step=2, max_stage=3).min_rows() == 7
    assert ShuffledThoughts(thoughts_per_step=2, max_stage=3, added="singly").min_rows() == 7


@pytest.mark.parametrize(
    ("method", "by_stage", "by_thoughts"),
    [
        (TWO, [0, 1, 2, 2], [0, 0, 1, 1, 2]),
        (Coconut(thoughts_per_step=1, max_stage=2), [0, 1, 2, 2], [0, 1, 2]),
        (Coconut(thoughts_per_step=1, max_stage=2, added="singly"), [0, 1, 2, 2], [0, 1, 2]),
        (SINGLY, [0, 1, 1, 1, 2, 2, 2, 2], [0, 1, 1, 1, 2, 2, 2]),
        (Coconut(thoughts_per_step=0, max_stage=2), [0, 1, 2, 2], []),
        (WithoutThought(max_stage=2), [0, 1, 2, 2], []),
    ],
)
def test_steps_that_a_prompt_stands_for(method: Method, by_stage: list[int], by_thoughts: list[int]) -> None:
    """Guards what probes hold a thought against: with thoughts added singly a step is gone with its first thought, and
    a stage's number is no longer a number of steps."""
    assert [method.hidden_steps(stage=stage) for stage in range(method.stages)] == by_stage
    assert [method.hidden_steps(thoughts=thoughts) for thoughts in range(len(by_thoughts))] == by_thoughts
    for stage, steps in enumerate(by_stage[:-1]):
        left = [label for label in method.layout(THREE, stage, MARKS).labels if label in (11, 12, 13)]
        assert len(set(left)) == len(THREE.steps) - steps
    assert method.hidden_steps() == 2


def test_no_thoughts_a_step_is_a_method_without_thoughts() -> None:
    """Guards c = 0, the ablation's end: `--thoughts 3` would ask for thoughts it was never trained with."""
    with pytest.raises(ValueError, match="Coconut with thoughts_per_step 0 and max_stage 6 has no thoughts, got thou"):
        Coconut(thoughts_per_step=0).prompt(THREE, MARKS, thoughts=3)


@pytest.mark.parametrize(
    ("method", "want"),
    [
        (CoT(), [True]),
        (TWO, [False, False, True, True]),
        (SINGLY, [False] * 6 + [True] * 2),
        (Coconut(max_stage=2, pad_thoughts="steps"), [False, False, False, True]),
        (WithoutThought(max_stage=2), [True] * 4),
        (Coconut(thoughts_per_step=0, max_stage=2), [True] * 4),
    ],
)
def test_stages_that_ask_as_evaluation_does(method: Method, want: list[bool]) -> None:
    """Guards what is validated twice, and warned of: the stage that removes all text asks as the one before it, unless
    it has a thought for each step of a chain that may be short."""
    assert [method.asks_as_evaluation(stage) for stage in range(method.stages)] == want
