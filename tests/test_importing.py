"""Raw state dicts of the published implementation -> folders of ours: the same numbers, and nothing run on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GPT2LMHeadModel, PreTrainedModel

from command_line import Capture, call, refused
from test_safety import plant
from tiny import build, tokenizer_of
from tiny_runs import tiny
from unspoken.build import build_model
from unspoken.importing import ADDED, import_weights
from unspoken.layout import MARKERS
from unspoken.model import LatentLM
from unspoken.notes import Notes
from unspoken.recipes import RECIPES
from unspoken.specs import Pretrained
from unspoken.tasks.hops import Hops
from unspoken.tasks.rows import data_root

WORDS = [*(f"w{i}" for i in range(50)), "<<"]
KNOWN = len(WORDS) + 1
PARITY = data_root().parent / "parity"
CASES = ["gpt2_even", "gpt2_ragged", "llama_ragged"]
with_parity = pytest.mark.skipif(not PARITY.is_dir(), reason=f"{PARITY} is not here; set UNSPOKEN_DATA")


class Published(nn.Module):
    """What the published code saves the state dict of: the base model, and its input embeddings under a second name."""

    def __init__(self, lm: PreTrainedModel) -> None:
        super().__init__()
        self.base_causallm = lm
        gpt2 = isinstance(lm, GPT2LMHeadModel)
        self.embedding = lm.transformer.get_input_embeddings() if gpt2 else lm.get_input_embeddings()


def model_of(family: str, *, rows: int = KNOWN + 3, **changes: Any) -> PreTrainedModel:
    """A base model whose embeddings have room for the three tokens that the published code adds."""
    return build(family, dtype=torch.float32, vocab_size=rows, **changes)


def write_base(folder: Path, family: str, *, rows: int = KNOWN, **changes: Any) -> Path:
    """A base's folder as it is downloaded: config and tokenizer of before the tokens were added; no weights."""
    model_of(family, rows=rows, **changes).config.save_pretrained(folder)
    tokenizer_of(WORDS).save_pretrained(folder)
    return folder


def published(family: str, **changes: Any) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """A model, and its state dict as the published code saves it."""
    lm = model_of(family, **changes)
    return lm, Published(lm).state_dict()


def tied(family: str) -> dict[str, Any]:
    return {"tie_word_embeddings": True} if family == "gpt2" else {}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a GPT-2 base, and a checkpoint of a Coconut model trained from it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_base(Path("base"), "gpt2", tie_word_embeddings=True)
    torch.save(published("gpt2", tie_word_embeddings=True)[1], "checkpoint_33")
    return tmp_path / "here"


# ------------------------------------------------------------------------------------------------- the same model


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_published_state_dict_becomes_the_same_model(family: str, wrapper: str, tmp_path: Path) -> None:
    """Guards names, aliases and ids: the markers are the rows after the tokenizer's own, in the published order."""
    lm, state = published(family, **tied(family))
    assert {"embedding.weight", "base_causallm.lm_head.weight"} <= set(state)
    torch.save({wrapper + name: value for name, value in state.items()}, tmp_path / "checkpoint_33")
    base = write_base(tmp_path / "base", family, **tied(family))
    import_weights([tmp_path / "checkpoint_33"], base=base, out=tmp_path / "out", thoughts=2)
    model = LatentLM.from_pretrained(tmp_path / "out")
    found, wanted = model.lm.state_dict(), lm.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
    marks = model.marks
    assert [marks.bot, marks.eot, marks.thought] == [KNOWN, KNOWN + 1, KNOWN + 2]
    assert model.notes.after_question == (ADDED[0], MARKERS["thought"], MARKERS["thought"], ADDED[1])
    assert model.notes.question_format == "{question}\n"


def test_the_order_of_the_added_tokens_is_the_published_one() -> None:
    """Guards GPT-2's ids 50257, 50258 and 50259: in another order a model would open its thoughts with their end."""
    assert ADDED == ("<|start-latent|>", "<|end-latent|>", "<|latent|>")


@with_parity
@pytest.mark.parametrize("name", CASES)
def test_imported_weights_give_the_published_numbers(name: str, tmp_path: Path) -> None:
    """Guards the whole way from a published checkpoint to its own losses, thoughts and answers, through the folder.

    A row for our pause alone would change every loss in the third digit.
    """
    case = json.loads((PARITY / name / "case.json").read_text())
    ids = case["ids"]
    lm = AutoModelForCausalLM.from_pretrained(PARITY / name / "model", dtype=torch.float32)
    torch.save(Published(lm).state_dict(), tmp_path / "checkpoint_1")
    settings = AutoConfig.from_pretrained(PARITY / name / "model")
    settings.save_pretrained(tmp_path / "base")
    names = dict(zip((ids["bot"], ids["eot"], ids["latent"]), ADDED, strict=True))
    words = [names.get(i, f"w{i}") for i in range(1, settings.vocab_size)]
    tokenizer_of(words, extra=[]).save_pretrained(tmp_path / "base")
    import_weights([tmp_path / "checkpoint_1"], base=tmp_path / "base", out=tmp_path / "out", thoughts=1)
    model = LatentLM.from_pretrained(tmp_path / "out")
    assert (model.marks.bot, model.marks.eot, model.marks.thought) == (ids["bot"], ids["eot"], ids["latent"])
    batch = {key: torch.tensor(value) for key, value in case["batch"].items()}
    is_thought = batch["input_ids"] == model.marks.thought
    with torch.no_grad():
        out = model(**batch, is_thought=is_thought)
    assert out.loss is not None
    assert out.loss.item() == pytest.approx(case["expected"]["mean_loss"], rel=1e-4)
    for row, thoughts in enumerate(case["expected"]["thoughts"]):
        want = torch.tensor(thoughts)
        torch.testing.assert_close(out.thoughts[row, : len(want)], want, rtol=1e-4, atol=1e-4)
    for row, want in zip(case["rows"], case["expected"]["greedy_tokens"], strict=True):
        prompt = torch.tensor([[*row["question"], ids["bot"], *[ids["latent"]] * row["thoughts"], ids["eot"]]])
        new = model.generate(
            input_ids=prompt,
            is_thought=prompt == ids["latent"],
            max_new_tokens=len(want),
            eos_token_id=ids["eos"],
        )
        assert new[0].tolist() == want


def test_an_imported_model_stays_what_it_is_until_it_is_trained(here: Path) -> None:
    """Guards the row of our pause: saving and loading again must not add it, and training must."""
    call("import checkpoint_33 --base base --out new --thoughts 2")
    first = LatentLM.from_pretrained("new")
    first.save_pretrained("again")
    again = LatentLM.from_pretrained("again")
    assert [len(m.lm.get_input_embeddings().get_parameter("weight")) for m in (first, again)] == [KNOWN + 3] * 2
    trained = build_model(Pretrained(path="new"), Hops(), seed=0)
    assert trained.marks.pause == KNOWN + 3
    assert len(trained.lm.get_input_embeddings().get_parameter("weight")) == KNOWN + 4


def test_a_plain_state_dict_is_imported_as_a_plain_model(here: Path, capsys: Capture) -> None:
    """Guards the published CoT models, which have neither prefix nor markers, and `pytorch_model.bin` of others."""
    lm = model_of("gpt2", rows=KNOWN, tie_word_embeddings=True)
    torch.save(lm.state_dict(), "pytorch_model.bin")
    call("import pytorch_model.bin --base base --out new")
    assert "parameters: new; " in capsys.readouterr().out
    model = LatentLM.from_pretrained("new")
    assert torch.equal(
        model.lm.get_input_embeddings().get_parameter("weight")[:KNOWN], lm.get_parameter("transformer.wte.weight")
    )
    assert model.marks.bot == KNOWN
    assert Notes.read(here / "new") == Notes(base_model="base", imported_from="pytorch_model.bin")


def test_a_recipe_says_how_the_model_was_trained(here: Path) -> None:
    """Guards `reason` on an imported model: as many thoughts as the recipe's last stage has."""
    call("import checkpoint_33 --base base --out new --recipe gsm8k/gpt2/coconut")
    notes = Notes.read(here / "new")
    assert notes.after_question == (ADDED[0], *[MARKERS["thought"]] * 6, ADDED[1])
    assert (notes.recipe, notes.method, notes.seed) == ("gsm8k/gpt2/coconut", "Coconut", None)
    card = (here / "new" / "README.md").read_text()
    assert "other software; imported from `checkpoint_33` as recipe `gsm8k/gpt2/coconut` by unspoken" in card
    assert "| base model | `base` |" in card


def test_an_imported_run_is_evaluated_like_any_other(here: Path, capsys: Capture, monkeypatch: Any) -> None:
    """Guards what a published checkpoint is wanted for: `eval`, `probe` and `audit` take run folders."""
    config = tiny()
    words = ["a", "b", "<<", *(config.task.words() or ())]
    tokenizer = tokenizer_of(list(dict.fromkeys(words)))
    lm = model_of("gpt2", rows=len(tokenizer) + 3, tie_word_embeddings=True)
    torch.save(Published(lm).state_dict(), "checkpoint_33")
    lm.config.save_pretrained("small")
    tokenizer.save_pretrained("small")
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    call("import checkpoint_33 --base small --run run --recipe tiny/coconut")
    assert "run/final; now: unspoken eval run" in capsys.readouterr().out
    call("eval run --num 4 --single 0")
    assert "final weights" in capsys.readouterr().out
    assert json.loads((here / "run" / "env.json").read_text())["imported"] == ["checkpoint_33"]
    assert sorted(path.name for path in here.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_several_files_in_any_precision(dtype: torch.dtype, here: Path) -> None:
    """Guards bf16 checkpoints, which must not double in size, and state dicts saved in parts."""
    state = {name: value.to(dtype) for name, value in published("gpt2", tie_word_embeddings=True)[1].items()}
    names = sorted(state)
    torch.save({name: state[name] for name in names[:5]}, "a.bin")
    torch.save({name: state[name] for name in names[5:]}, "b.bin")
    call("import a.bin b.bin --base base --out new --thoughts 1")
    assert {value.dtype for value in load_file(here / "new" / "model.safetensors").values()} == {dtype}


def test_masks_of_old_versions_are_left_out(here: Path) -> None:
    """Guards checkpoints from transformers before 4.4x, whose GPT-2 saved its causal mask as `attn.bias`."""
    state = published("gpt2", tie_word_embeddings=True)[1]
    state["base_causallm.transformer.h.0.attn.bias"] = torch.ones(1, 1, 48, 48)
    state["base_causallm.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, "old")
    call("import old --base base --out new --thoughts 1")
    assert (here / "new" / "model.safetensors").is_file()


# -------------------------------------------------------------------------------------------------------- refusals

State = dict[str, Tensor]


def _with(**more: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, **{name.replace("__", "."): value for name, value in more.items()}}


FOREIGN: dict[str, tuple[Callable[[State], State], str]] = {
    "a tensor is missing": (
        lambda s: {n: v for n, v in s.items() if "h.1.mlp.c_fc.weight" not in n},
        r"holds no 'transformer\.h\.1\.mlp\.c_fc\.weight', which a GPT2LMHeadModel has; 1 tensors",
    ),
    "a tensor too many": (_with(base_causallm__critic=torch.zeros(1)), "holds 'critic', which a GPT2LMHeadModel has"),
    "a name without prefix": (_with(critic=torch.zeros(1)), "to begin with 'base_causallm.'.* got 'critic'"),
    "another width": (
        _with(base_causallm__transformer__ln_f__bias=torch.zeros(7)),
        r"transformer\.ln_f\.bias has shape \(7,\), expected \(32,\)",
    ),
    "other embeddings": (_with(embedding__weight=torch.zeros(KNOWN + 3, 32)), "should be the input embeddings"),
    "tied matrices that differ": (
        _with(base_causallm__lm_head__weight=torch.zeros(KNOWN + 3, 32)),
        "differ, but are one matrix",
    ),
    "another vocabulary": (
        lambda s: {n: torch.zeros(90, 32) if v.shape == (KNOWN + 3, 32) else v for n, v in s.items()},
        rf"embeddings of 90 tokens, but the base's tokenizer has {KNOWN}; expected {KNOWN} or {KNOWN + 3}",
    ),
    "another architecture": (
        lambda s: {n.replace("transformer", "model"): v for n, v in s.items()},
        "holds no 'transformer.wte.weight', the input embeddings of a GPT2LMHeadModel",
    ),
    "one name twice": (
        lambda s: {**s, **{"module." + n: v for n, v in s.items()}},
        "holds 'base_causallm.* twice, once as 'module.base_causallm.",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_weights_of_another_model_are_refused(what: str, here: Path, capsys: Capture) -> None:
    """Guards `strict=False`, with which the published code loads anything and prints what it did not."""
    change, words = FOREIGN[what]
    torch.save(change(published("gpt2", tie_word_embeddings=True)[1]), "checkpoint_33")
    line = refused("import checkpoint_33 --base base --out new --thoughts 1", capsys)
    assert "checkpoint_33: " in line
    with pytest.raises(ValueError, match=words):
        raise ValueError(line)


CONTENTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.write_bytes(b""), "not a readable state dict"),
    "text": (lambda path: path.write_text("hello"), "not a readable state dict"),
    "half a file": (lambda path: path.write_bytes(path.read_bytes()[:3000]), "not a readable state dict"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "expected a dictionary of tensors, got an object of"),
    "an empty dictionary": (lambda path: torch.save({}, path), "got an empty dict"),
    "a training's state": (lambda path: torch.save({"model": {}, "epoch": 3}, path), "under 'model'; save the state"),
    "a module": (lambda path: torch.save(nn.Linear(2, 2), path), "torch.nn.modules.linear.Linear"),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_no_state_dict_is_refused(what: str, here: Path, capsys: Capture) -> None:
    """Guards every other file people have: the line says what is in it, not what torch's unpickler felt."""
    write, words = CONTENTS[what]
    write(here / "checkpoint_33")
    assert words in refused("import checkpoint_33 --base base --out new --thoughts 1", capsys)


def test_a_malicious_file_is_refused_and_runs_nothing(here: Path, tmp_path: Path, capsys: Capture) -> None:
    """Guards the one place where a pickle is opened: only tensors come out, whatever it asks for."""
    plant(here / "checkpoint_33", tmp_path / "ran")
    line = refused("import checkpoint_33 --base base --out new --thoughts 1", capsys)
    assert "checkpoint_33: refused, nothing was run: besides tensors it holds " in line
    assert "exec" in line
    assert not (tmp_path / "ran").exists()


BAD = {
    "import": "--base PATH",
    "import --base base --out new": "needs a file of weights",
    "import checkpoint_33 --base base": "expected --out FOLDER or --run FOLDER",
    "import checkpoint_33 --base base --out new --run run --recipe gsm8k/gpt2/coconut": "one of the two",
    "import checkpoint_33 --base base --run run": "expected --recipe NAME as well",
    "import checkpoint_33 --base base --run base --recipe gsm8k/gpt2/coconut": "base exists; choose another --run",
    "import checkpoint_33 --base nowhere --run run --recipe gsm8k/gpt2/coconut": "nowhere: no config.json",
    "import checkpoint_33 --out new": "--base",
    "import nowhere --base base --out new": "nowhere: no such file",
    "import checkpoint_33 --base nowhere --out new": "nowhere: no config.json",
    "import checkpoint_33 --base base --out base": "base exists; choose another --out",
    "import checkpoint_33 --base base --out new": "expected --recipe NAME (as gsm8k/gpt2/coconut) or --thoughts N",
    "import checkpoint_33 --base base --out new --thoughts -1": "at least 0, got -1",
    "import checkpoint_33 --base base --out new --thoughts 1 --recipe gsm8k/gpt2/coconut": "got both",
    "import checkpoint_33 --base base --out new --recipe gsm8k/gpt2/coconat": "did you mean 'gsm8k/gpt2/coconut'?",
    "import checkpoint_33 checkpoint_33 --base base --out new --thoughts 1": "is in another of the 2 files too",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get the command wrong, and against folders left half-written."""
    assert BAD[command] in refused(command, capsys)


def test_a_base_without_a_tokenizer_is_named(here: Path, capsys: Capture) -> None:
    """Guards a base of which only config.json was copied."""
    for path in (here / "base").glob("tokenizer*"):
        path.unlink()
    assert "base: no tokenizer there" in refused("import checkpoint_33 --base base --out new --thoughts 1", capsys)
