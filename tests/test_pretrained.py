"""From a plain Hugging Face folder to a model that thinks, and back to one that stock transformers loads."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tiny import build, forward, tokenizer_of
from unspoken.generate import Written
from unspoken.layout import MARKERS, Layout, Marks
from unspoken.markers import copy_markers, find_markers
from unspoken.model import LatentLM
from unspoken.notes import Notes

WORDS = ["is", "sam", "a", "cat", "dog", "?", "yes", "no", "every", "<<", ">>", "2", "3"]
QUESTIONS = ["is sam a cat ?", "every dog is a cat", "sam"]


def save(
    folder: Path, family: str = "llama", *, words: Sequence[str] = WORDS, extra: Sequence[str] = (), **changes: Any
) -> PreTrainedModel:
    """A plain model folder, its vocabulary as large as its tokenizer's unless told otherwise."""
    tokenizer = tokenizer_of(words, extra=extra)
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, **changes}
    lm = build(family, dtype=torch.float32, **settings)
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return lm


def embeddings(lm: PreTrainedModel) -> torch.nn.Parameter:
    return lm.get_input_embeddings().get_parameter("weight")


def matrices(lm: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Input and output embeddings."""
    return embeddings(lm).detach(), lm.get_parameter("lm_head.weight").detach()


def words_of(model: LatentLM) -> Any:
    """The tokenizer; transformers types its results as unions of everything."""
    assert model.tokenizer is not None
    return model.tokenizer


def ids_of(marks: Marks) -> list[int]:
    return [marks.bot, marks.eot, marks.thought, marks.pause]


# Markers


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare", [0, 9])
@pytest.mark.parametrize("source", ["<<", None])
def test_new_rows_are_explicit(tmp_path: Path, family: str, tied: bool, spare: int, source: str | None) -> None:
    """Guards the paper's initialisation: neither random rows, nor the library's mean, nor what a spare row held.

    Spare rows are what a model has beyond its tokenizer; they are filled without a resize, and no part of the mean.
    """
    words = [word for word in WORDS if source or word != "<<"]
    known = len(words) + 1
    old = save(tmp_path, family, words=words, vocab_size=known + spare, tie_word_embeddings=tied)
    model = LatentLM.from_pretrained(tmp_path)
    vocabulary = words_of(model).get_vocab()
    new = ids_of(model.marks)
    assert new == list(range(known, known + 4))
    for before, after in zip(matrices(old), matrices(model.lm), strict=True):
        assert torch.equal(after[:known], before[:known]), "old rows stay"
        want = before[:known].mean(0) if source is None else before[vocabulary[source]]
        for i in new:
            torch.testing.assert_close(after[i], want, rtol=0, atol=1e-7)
        assert len(after) == max(known + spare, known + 4)
    assert (embeddings(model.lm) is model.lm.get_parameter("lm_head.weight")) == tied
    assert model.lm.config.vocab_size == max(known + spare, known + 4)


def test_only_missing_markers_are_added(tmp_path: Path) -> None:
    """Guards a model that has some markers already: their ids and trained rows, and the other special tokens, stay."""
    there = ["<|other|>", MARKERS["thought"], MARKERS["bot"]]
    old = save(tmp_path, extra=there)
    model = LatentLM.from_pretrained(tmp_path)
    marks = model.marks
    assert (marks.thought, marks.bot) == (2, 3)
    assert sorted([marks.eot, marks.pause]) == [len(WORDS) + 4, len(WORDS) + 5]
    for before, after in zip(matrices(old), matrices(model.lm), strict=True):
        assert torch.equal(after[: len(before)], before)
        assert len(after) == len(before) + 2
    special = set(words_of(model).all_special_tokens)
    assert {"<|endoftext|>", "<|other|>", *MARKERS.values()} <= special


def test_markers_are_one_token_each_and_never_written_out(tmp_path: Path) -> None:
    """Guards markers added as ordinary words: they would be split, or stay in what `reason` gives."""
    save(tmp_path)
    model = LatentLM.from_pretrained(tmp_path)
    tokenizer = words_of(model)
    for name, i in zip(MARKERS.values(), ids_of(model.marks), strict=True):
        assert tokenizer(f"sam {name} cat", add_special_tokens=False)["input_ids"].count(i) == 1
        assert tokenizer.decode([i], skip_special_tokens=True) == ""


def test_markers_can_start_alike(tmp_path: Path) -> None:
    """Guards `copy_markers`: <eot> and the pause start as <bot> does, tied or not, and no other row moves."""
    for tied in (True, False):
        save(tmp_path / str(tied), tie_word_embeddings=tied)
        model = LatentLM.from_pretrained(tmp_path / str(tied))
        marks = model.marks
        with torch.no_grad():
            for matrix in matrices(model.lm):
                matrix[ids_of(marks)] = torch.randn_like(matrix[ids_of(marks)])
        before = [matrix.clone() for matrix in matrices(model.lm)]
        copy_markers(model.lm, marks)
        for old, new in zip(before, matrices(model.lm), strict=True):
            expected = old.clone()
            expected[[marks.eot, marks.pause]] = old[marks.bot]
            assert torch.equal(new, expected)


def test_loading_twice_adds_nothing_the_second_time(tmp_path: Path) -> None:
    """Guards resuming: a saved model's trained marker rows must not start afresh."""
    save(tmp_path / "plain")
    model = LatentLM.from_pretrained(tmp_path / "plain")
    with torch.no_grad():
        embeddings(model.lm)[model.marks.bot] = 7.0
    model.save_pretrained(tmp_path / "ours")
    again = LatentLM.from_pretrained(tmp_path / "ours")
    assert again.marks == model.marks
    assert (embeddings(again.lm)[again.marks.bot] == 7.0).all()


def test_a_tokenizer_without_markers_is_named() -> None:
    """Guards `LatentLM(lm, tokenizer)` without markers: the message lists them and tells the way."""
    with pytest.raises(ValueError, match=r"<\|start-latent\|>, .*<\|pause\|>; load the model with LatentLM.from_pretr"):
        find_markers(tokenizer_of(WORDS))
    partly = tokenizer_of(WORDS, extra=[MARKERS["bot"], MARKERS["eot"], MARKERS["thought"]])
    with pytest.raises(ValueError, match=r"the tokenizer has no <\|pause\|>; load"):
        find_markers(partly)


# Folders


def test_single_precision_unless_told_otherwise(tmp_path: Path) -> None:
    """Guards training: transformers takes the checkpoint's dtype, and bfloat16 weights do not learn."""
    lm = save(tmp_path)
    lm.bfloat16().save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert LatentLM.from_pretrained(tmp_path).lm.dtype == torch.float32
    assert LatentLM.from_pretrained(tmp_path, dtype=torch.bfloat16).lm.dtype == torch.bfloat16


def trained(folder: Path, family: str = "llama", *, thoughts: int | None = 3, **changes: Any) -> LatentLM:
    """As after training: markers and notes."""
    save(folder / "plain", family, **changes)
    plain = LatentLM.from_pretrained(folder / "plain")
    after = () if thoughts is None else (MARKERS["bot"], *[MARKERS["thought"]] * thoughts, MARKERS["eot"])
    notes = Notes(
        after_question=after, question_format="{question} >>", recipe="toy/coconut", method="Coconut", task="Toy"
    )
    return LatentLM(plain.lm, plain.tokenizer, notes).eval()


@pytest.mark.parametrize(("family", "tied"), [("gpt2", True), ("llama", True), ("llama", False)])
def test_stock_transformers_loads_what_we_save(tmp_path: Path, family: str, tied: bool) -> None:
    """Guards the saved folder: plain weights, plain names, a plain tokenizer, and nothing of ours in the way."""
    model = trained(tmp_path, family, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "ours")
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert type(lm) is type(model.lm)
    ids = tokenizer(QUESTIONS[0], return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert ids.tolist() == words_of(model)([QUESTIONS[0]], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        want = model(input_ids=ids, return_logits=True).logits
        assert torch.equal(lm(ids).logits, model.lm(ids).logits)
        torch.testing.assert_close(lm(ids).logits, want, rtol=1e-5, atol=1e-5)


def test_round_trip(tmp_path: Path) -> None:
    """Guards saving: weights, tokenizer and notes come back, and with them every answer."""
    model = trained(tmp_path)
    model.save_pretrained(tmp_path / "ours")
    again = LatentLM.from_pretrained(tmp_path / "ours")
    assert again.notes == model.notes
    assert again.marks == model.marks
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert words_of(again).get_vocab() == words_of(model).get_vocab()
    assert again.reason(QUESTIONS, max_new_tokens=5) == model.reason(QUESTIONS, max_new_tokens=5)


def test_a_plain_model_has_the_default_notes(tmp_path: Path) -> None:
    """Guards models that are not ours: no thoughts unless asked for."""
    save(tmp_path)
    assert LatentLM.from_pretrained(tmp_path).notes == Notes()
    assert Notes().after_question == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "truncated"),
        ('{"after_question": "six"}', r"\$.after_question"),
        ('{"after_qeustion": []}', "after_qeustion"),
        ("[]", "Expected `object`"),
        ('{"format": 2}', "format 2 is newer than this version reads"),
    ],
)
def test_malformed_notes_name_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    """Guards against a hand-edited or newer file being half read."""
    save(tmp_path)
    (tmp_path / "unspoken.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        LatentLM.from_pretrained(tmp_path)
    assert str(tmp_path / "unspoken.json") in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    """Guards `from_pretrained("runs/x")`: the library would ask the hub for a repository of that name."""
    (tmp_path / "config.txt").write_text("")
    with pytest.raises(
        ValueError, match=r"no config.json, so not a saved model; a run folder keeps its model in final"
    ):
        LatentLM.from_pretrained(tmp_path)


def test_notes_are_readable(tmp_path: Path) -> None:
    """Guards the one file of ours: plain JSON with every field, for people and other programs."""
    notes = Notes(after_question=("<|pause|>",), recipe="prosqa/coconut")
    notes.write(tmp_path)
    data = json.loads((tmp_path / "unspoken.json").read_text())
    assert data["after_question"] == ["<|pause|>"]
    assert data["format"] == 1
    assert Notes.read(tmp_path) == notes


# Text in, text out


class Asked:
    """What `reason` gives to `write`, as pictures."""

    def __init__(self, model: LatentLM, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prompts: list[str] = []
        write, marks, tokenizer = model.write, model.marks, words_of(model)
        short = {marks.bot: "<", marks.eot: ">", marks.thought: "T"}

        def spy(prompts: Sequence[Layout], **kwargs: Any) -> list[Written]:
            for prompt in prompts:
                assert prompt.is_thought == [i == marks.thought for i in prompt.input_ids]
                self.prompts.append(" ".join(short.get(i, tokenizer.decode([i])) for i in prompt.input_ids))
            return write(prompts, **kwargs)

        monkeypatch.setattr(model, "write", spy)


def test_reason_thinks_as_often_as_the_model_was_trained_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the default: format, markers and thought count of training, for every question."""
    model = trained(tmp_path)
    asked = Asked(model, monkeypatch)
    model.reason(QUESTIONS[:2], max_new_tokens=2)
    assert asked.prompts == ["is sam a cat ? >> < T T T >", "every dog is a cat >> < T T T >"]


@pytest.mark.parametrize(("thoughts", "want"), [(0, "sam >> < >"), (1, "sam >> < T >"), (3, "sam >> < T T T >")])
def test_reason_with_another_number_of_thoughts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thoughts: int, want: str
) -> None:
    """Guards zero, which is no "not given"; up to the trained number there is nothing to warn of."""
    model = trained(tmp_path)
    asked = Asked(model, monkeypatch)
    model.reason(["sam"], thoughts=thoughts, max_new_tokens=2)
    assert asked.prompts == [want]


def test_a_model_trained_without_thoughts_is_asked_without_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards CoT models: markers they never saw would cost them accuracy."""
    model = trained(tmp_path, thoughts=None)
    asked = Asked(model, monkeypatch)
    model.reason(["sam"], max_new_tokens=2)
    assert asked.prompts == ["sam >>"]


@pytest.mark.parametrize(("trained_with", "thoughts"), [(3, 4), (None, 1)])
def test_reason_warns_beyond_the_trained_number(tmp_path: Path, trained_with: int | None, thoughts: int) -> None:
    """Guards extrapolation: more thoughts are allowed, but never in silence."""
    model = trained(tmp_path, thoughts=trained_with)
    with pytest.warns(
        UserWarning, match=rf"thoughts={thoughts} is more than this model was trained with \({trained_with or 0}\)"
    ):
        model.reason(["sam"], thoughts=thoughts, max_new_tokens=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.reason(["sam"], max_new_tokens=2)


def test_reason_gives_the_text_that_generate_writes(tmp_path: Path) -> None:
    """Guards batching and decoding: each question's own answer, stripped, without markers or padding."""
    model = trained(tmp_path)
    tokenizer, marks = words_of(model), model.marks
    answers = model.reason(QUESTIONS, max_new_tokens=6)
    assert len(set(answers)) > 1
    for question, answer in zip(QUESTIONS, answers, strict=True):
        ids = tokenizer(f"{question} >>", add_special_tokens=False)["input_ids"]
        prompt = torch.tensor([[*ids, marks.bot, *[marks.thought] * 3, marks.eot]])
        new = model.generate(input_ids=prompt, is_thought=prompt == marks.thought, max_new_tokens=6)
        assert answer == tokenizer.decode(new[0], skip_special_tokens=True).strip()
        assert model.reason([question], max_new_tokens=6) == [answer]


def test_reason_does_not_answer_in_training_mode_and_leaves_it(tmp_path: Path) -> None:
    """Guards a look at answers during training: no dropout in them, and training goes on with it."""
    model = trained(tmp_path, "gpt2", resid_pdrop=0.5)
    want = model.reason(QUESTIONS, max_new_tokens=6)
    model.train()
    assert model.reason(QUESTIONS, max_new_tokens=6) == want
    assert model.training
    assert model.lm.training
    model.eval()
    model.reason(QUESTIONS, max_new_tokens=1)
    assert not model.lm.training


def test_reason_does_not_switch_dropout_on(tmp_path: Path) -> None:
    """Guards a freshly loaded model: its base model is in evaluation mode, and stays there after an answer."""
    trained(tmp_path, "gpt2", resid_pdrop=0.5).save_pretrained(tmp_path / "ours")
    model = LatentLM.from_pretrained(tmp_path / "ours")
    assert not model.lm.training
    model.reason(["sam"], max_new_tokens=1)
    assert not model.lm.training


def test_a_freshly_loaded_model_forwards_without_dropout(tmp_path: Path) -> None:
    """Guards analysis right after loading: transformers loads in evaluation mode, and wrapping must not undo that."""
    trained(tmp_path, "gpt2", resid_pdrop=0.5, attn_pdrop=0.5).save_pretrained(tmp_path / "ours")
    model = LatentLM.from_pretrained(tmp_path / "ours")
    some = [Layout(input_ids=[1, 2, 3, 4], labels=[-100] * 4, is_thought=[False, False, True, False])]
    with torch.no_grad():
        assert torch.equal(forward(model, some).hidden, forward(model, some).hidden)


@pytest.mark.parametrize(
    ("questions", "thoughts", "message"),
    [
        ("is sam a cat ?", None, r"list of questions, got one string; write reason\(\[question\]\)"),
        ([], None, "at least one question, got none"),
        (["sam"], -1, "number of thoughts must be at least 0, got -1"),
    ],
)
def test_reason_refuses(tmp_path: Path, questions: Any, thoughts: int | None, message: str) -> None:
    """Guards a string, which is a list of its letters; an empty batch; and a negative count, which passes as zero."""
    model = trained(tmp_path)
    with pytest.raises(ValueError, match=message):
        model.reason(questions, thoughts=thoughts)


def test_reason_needs_a_tokenizer_with_markers() -> None:
    """Guards models wrapped by hand: the message tells what is missing and which door adds it."""
    lm = build("llama", vocab_size=len(WORDS) + 1)
    with pytest.raises(ValueError, match=r"no tokenizer, so no markers; load it with LatentLM\.from_pretrained"):
        LatentLM(lm).reason(["sam"])
    with pytest.raises(ValueError, match=r"the tokenizer has no <\|start-latent\|>"):
        LatentLM(lm, tokenizer_of(WORDS)).reason(["sam"])


def test_question_text_cannot_format_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards questions with braces: only the format is formatted, never the question."""
    model = trained(tmp_path, words=[*WORDS, "{question}", "{0}"])
    asked = Asked(model, monkeypatch)
    model.reason(["{question} {0}"], max_new_tokens=1)
    assert asked.prompts == ["{question} {0} >> < T T T >"]


def test_state_dict_names_every_weight_once(tmp_path: Path) -> None:
    """Guards `save_file`, which refuses a tensor with two names: weights are registered in the base model alone."""
    model = trained(tmp_path, "gpt2", tie_word_embeddings=False)
    pointers = [tensor.data_ptr() for tensor in model.state_dict().values()]
    assert len(pointers) == len(set(pointers))
    assert all(name.startswith("lm.") for name in model.state_dict())
