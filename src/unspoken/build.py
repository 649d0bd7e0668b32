"""From a description to a model and its tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers import GPT2Tokenizer as HFGPT2Tokenizer

from unspoken.markers import MARKERS, add_markers
from unspoken.model import LatentLM
from unspoken.specs import GPT2, GPT2Tokenizer, Llama, ModelSpec, Pretrained, TokenizerSpec, Words
from unspoken.tasks.base import Task
from unspoken.tasks.rows import data_file

END_OF_TEXT = "<|endoftext|>"


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """An ordinary Hugging Face tokenizer over a closed vocabulary, split at whitespace; unknown words are errors."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([END_OF_TEXT, *MARKERS.values(), *words]))}
    # WordLevel has no unknown token here, so that a word outside the vocabulary cannot pass as another one.
    inner = Tokenizer(WordLevel(vocabulary))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        extra_special_tokens=list(MARKERS.values()),
        clean_up_tokenization_spaces=False,
    )


def build_tokenizer(spec: TokenizerSpec, task: Task) -> PreTrainedTokenizerBase:
    """The tokenizer of a model from scratch, markers included.

    Raises:
        ValueError: the task's vocabulary is open but the tokenizer needs a closed one, or its files are missing.
    """
    match spec:
        case Words():
            words = task.words()
            if words is None:
                raise ValueError(
                    f"{type(task).__name__} has no closed vocabulary for a word-level tokenizer; use GPT2Tokenizer"
                )
            return word_tokenizer(list(words))
        case GPT2Tokenizer(folder=folder):
            vocab = data_file("tokenizer/gpt2/vocab.json") if folder is None else folder / "vocab.json"
            return _gpt2_tokenizer(vocab)
        case _:
            raise ValueError(f"no tokenizer is known for {type(spec).__name__}; add a case to build.build_tokenizer")


def _gpt2_tokenizer(vocab: Path) -> PreTrainedTokenizerBase:
    if not vocab.is_file():
        raise ValueError(f"{vocab}: no such file; expected GPT-2's vocab.json and merges.txt in that folder")
    tokenizer = HFGPT2Tokenizer(vocab=str(vocab), merges=str(vocab.parent / "merges.txt"))
    tokenizer.add_special_tokens({"pad_token": END_OF_TEXT})
    return tokenizer


def tokenizer_named(name: str) -> PreTrainedTokenizerBase:
    """`gpt2` among the shared data, a folder with vocab.json and merges.txt, or the tokenizer of a saved model.

    Raises:
        ValueError: there is none.
    """
    folder = Path(name)
    if name == "gpt2" and not folder.is_dir():
        return _gpt2_tokenizer(data_file("tokenizer/gpt2/vocab.json"))
    if (folder / "merges.txt").is_file() and not (folder / "tokenizer.json").is_file():
        return _gpt2_tokenizer(folder / "vocab.json")
    try:
        # Local or in the hub's cache: looking for a mistyped name on the network takes minutes where there is none.
        found = AutoTokenizer.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{name}: no tokenizer there; expected gpt2, a folder that holds a tokenizer, or a hub name that has been "
            "loaded before"
        ) from error
    assert found is not None
    return found


def build_model(spec: ModelSpec, task: Task, *, seed: int) -> LatentLM:
    """A model from scratch under a seed, or a pretrained one; markers included.

    Raises:
        ValueError: as `build_tokenizer` and `LatentLM.from_pretrained`.
    """
    if isinstance(spec, Pretrained):
        return LatentLM.from_pretrained(spec.path)
    assert isinstance(spec, Llama | GPT2), f"no architecture for {type(spec).__name__}"
    tokenizer = build_tokenizer(spec.tokenizer, task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = AutoModelForCausalLM.from_config(
            _hf_config(spec, tokenizer), attn_implementation=spec.attention, dtype=torch.float32
        )
        if isinstance(spec, Llama):
            _scale(lm, spec)
        add_markers(lm, tokenizer)
    return LatentLM(lm, tokenizer)


def _scale(lm: PreTrainedModel, spec: Llama) -> None:
    """Gives embeddings and thoughts the sizes the spec asks for."""
    with torch.no_grad():
        if spec.embedding_std is not None:
            lm.get_input_embeddings().get_parameter("weight").normal_(0, spec.embedding_std)
        lm.base_model.get_parameter("norm.weight").fill_(spec.final_gain)


def _hf_config(spec: Llama | GPT2, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    common = {
        "vocab_size": len(tokenizer),
        "initializer_range": spec.init_std,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    match spec:
        case Llama():
            return LlamaConfig(
                num_hidden_layers=spec.layers,
                hidden_size=spec.width,
                num_attention_heads=spec.heads,
                num_key_value_heads=spec.heads,
                intermediate_size=spec.mlp_width,
                max_position_embeddings=spec.positions,
                tie_word_embeddings=spec.tied,
                **common,
            )
        case GPT2():
            return GPT2Config(
                n_layer=spec.layers,
                n_embd=spec.width,
                n_head=spec.heads,
                n_positions=spec.positions,
                embd_pdrop=spec.dropout,
                attn_pdrop=spec.dropout,
                resid_pdrop=spec.dropout,
                **common,
            )
