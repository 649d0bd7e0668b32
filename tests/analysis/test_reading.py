"""What is read from thoughts, as words and by linear maps: all of it where it is, nothing where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.subjects import NUM, subject
from unspoken.analysis.base import DoesNotApply, Subject
from unspoken.analysis.interpolation import Interpolation, InterpolationFound
from unspoken.analysis.lens import Lens, LensFound
from unspoken.analysis.linear import Linear, LinearFound
from unspoken.analysis.words import FirstTokens, results_of
from unspoken.methods import NoCoT
from unspoken.tasks.base import Example
from unspoken.tokenization import tokenizer_named, word_tokenizer


def test_the_words_of_a_search_are_its_frontiers() -> None:
    """Guards the lens: states off by one stop, or the head of another model, would name other nodes."""
    found = Lens().measure(subject("bfs"))
    assert isinstance(found, LensFound)
    assert found.among == 1
    for stop, hops in zip(found.stops, (1, 2, 3, 3), strict=True):
        assert stop.hops == stop.stop + 1
        assert stop.entropy.mean == pytest.approx(np.log(2), abs=1e-5)
        assert stop.probability.mean == pytest.approx(0.5, abs=1e-5)
        assert {name for name, each in stop.holds.items() if each.found.mean == 1} == {f"hop {hops}", "any node"}
        held = stop.holds[f"hop {hops}"]
        assert held.num == NUM
        assert held.chance is not None
        # Two of sixteen names.
        assert 0.05 < held.chance.mean < 0.25
        assert 0.9 < held.found.low < 1, "a share of all has a Wilson interval, which has a width"
    # In language mode it goes on from there, and after the last thought it answers.
    for stop, hops in zip(found.stops[:3], (1, 2, 3), strict=True):
        assert stop.closed_holds[f"hop {hops}"].found.mean == 1
    assert found.stops[3].closed_holds["right option"].found.mean == 1
    assert found.stops[3].closed_entropy.mean == pytest.approx(0, abs=1e-5)
    first = found.examples[0]
    assert first.closed[3][0].token == first.answer
    names = {word.token for word in first.states[0][:2]}
    assert names <= {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"}
    assert first.states[0][0].probability == pytest.approx(0.5, abs=1e-5)


def test_the_words_of_a_parrot_are_an_option() -> None:
    """Guards who is right: half of the first options are, and a lens must not call all of them the answer."""
    found = Lens().measure(subject("parrots"))
    assert isinstance(found, LensFound)
    for stop in found.stops[:3]:
        right, wrong = stop.holds["right option"].found.mean, stop.holds["wrong option"].found.mean
        assert right + wrong == 1
        assert 0.25 < right < 0.75
        assert stop.entropy.mean == pytest.approx(0, abs=1e-5)


def test_a_linear_map_reads_a_search_and_no_copy() -> None:
    """Guards probes at both ends: a hop is read where it is held, and at chance where nothing is."""
    found = Linear().measure(subject("bfs"))
    assert isinstance(found, LinearFound)
    assert found.answer_by_chance == 0.5
    for stop, hops in zip(found.stops, (1, 2, 3, 3), strict=True):
        read = stop.read[f"hop {hops}"]
        assert read.found.mean > 0.95
        assert read.chance is not None
        assert 0.35 < read.chance.mean < 0.65
    nothing = Linear().measure(subject("ignores"))
    assert isinstance(nothing, LinearFound)
    for stop in nothing.stops:
        for each in stop.read.values():
            assert 0.3 < each.found.mean < 0.7


def test_the_answer_is_read_only_where_it_is_held() -> None:
    """Guards the probe for the answer: a search ends with both ends of its own family, one of them an option."""
    found = Linear().measure(subject("bfs"))
    assert isinstance(found, LinearFound)
    assert found.stops[3].read["answer"].found.mean > 0.9
    copies = Linear().measure(subject("copies"))
    assert isinstance(copies, LinearFound)
    assert copies.stops[3].read["answer"].found.mean < 0.75


def test_forced_thoughts_by_model() -> None:
    """Guards the number forced: a search is certain once its last thought holds the end, a parrot never."""
    found = Interpolation().measure(subject("bfs"))
    assert isinstance(found, InterpolationFound)
    assert [each.thoughts for each in found.forced] == [0, 1, 2, 3]
    assert found.forced[3].num_correct == NUM
    assert found.forced[0].num_correct < NUM
    parrot = Interpolation().measure(subject("parrots"))
    assert isinstance(parrot, InterpolationFound)
    assert 0.2 < parrot.forced[3].accuracy.mean < 0.8
    assert parrot.forced[3].accuracy.low < 0.5 < parrot.forced[3].accuracy.high


def test_methods_without_thoughts_are_told_apart() -> None:
    """Guards No-CoT: there is nothing to force, and a page must say so."""
    found = Interpolation().measure(replace(subject("bfs"), method=NoCoT()))
    assert isinstance(found, DoesNotApply)
    assert "NoCoT" in found.why


def test_few_problems_are_no_probe() -> None:
    """Guards probes trained on a handful of problems."""
    whole = subject("bfs")
    few = Linear().measure(_first(whole, 10))
    assert isinstance(few, DoesNotApply)
    assert "at least 20 problems, got 10" in few.why


def _first(whole: Subject, num: int) -> Subject:
    from unspoken.analysis.bootstrap import Bootstrap

    cache = whole.cache
    assert cache.log_values is not None and cache.hops is not None and whole.searches is not None
    return replace(
        whole,
        searches=whole.searches[:num],
        bootstrap=Bootstrap(num, seed=0, num=50),
        cache=replace(
            cache,
            examples=cache.examples[:num],
            num_stops=cache.num_stops[:num],
            steps=cache.steps[:num],
            thoughts=cache.thoughts[:num],
            states=cache.states[:num],
            closed=cache.closed[:num],
            log_values=cache.log_values[:num],
            hops=cache.hops[:num],
        ),
    )


def test_one_problem_has_no_chance_level(tmp_path: Path) -> None:
    """Guards a single problem: there is no other one to compare with, and nothing to divide by."""
    one = _first(subject("bfs"), 1)
    found = Lens().measure(one)
    assert isinstance(found, LensFound)
    assert all(each.chance is None for stop in found.stops for each in stop.holds.values())
    assert Lens().page(found)


def test_results_of_steps() -> None:
    """Guards what is looked for on the way: the number behind the last equals sign, or the last word."""
    example = Example(question="?", steps=("<<16-3-4=9>>", "<<9*2=18>>", "", "Tom is a lempus."), answer="18")
    assert results_of(example) == ("9", "18", "", "lempus.")


def test_first_tokens() -> None:
    """Guards both spellings of a word, and words that a closed vocabulary does not have."""
    words = FirstTokens(word_tokenizer(["a", "b"]))
    assert words.of(["a"]) == words.of(["a", "zebra"])
    assert len(words.of(["a", "b"])) == 2
    assert words.of(["zebra"]) == frozenset()


def test_first_tokens_of_gpt2() -> None:
    """Guards a space before a number, which makes it another token."""
    from unspoken.tasks.rows import data_root

    if not (data_root() / "tokenizer/gpt2/vocab.json").is_file():
        pytest.skip("GPT-2's vocabulary is not among the shared data here")
    tokenizer = tokenizer_named("gpt2")
    found = FirstTokens(tokenizer).of(["18"])
    assert {tokenizer.decode([id_]) for id_ in found} == {"18", " 18"}
