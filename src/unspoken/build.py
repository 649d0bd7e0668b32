"""From a description to a model and its tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from unspoken.config import After, RunConfig
from unspoken.layout import Tokens
from unspoken.markers import add_markers
from unspoken.model import LatentLM
from unspoken.notes import Notes
from unspoken.specs import DEFAULT_ENGINE, GPT2, Engine, Llama, ModelSpec, Pretrained, pretrained_root
from unspoken.tasks.base import Task
from unspoken.tokenization import build_tokenizer


def build_model(spec: ModelSpec, task: Task, *, seed: int, engine: Engine = DEFAULT_ENGINE) -> LatentLM:
    """A model from scratch under a seed, or a pretrained one; markers included.

    Raises:
        ValueError: as `build_tokenizer`, `Pretrained.found` and `LatentLM.from_pretrained`.
    """
    if isinstance(spec, Pretrained):
        found = _pretrained(spec, engine)
        assert found.tokenizer is not None
        # An imported model may have no row for the pause; what is trained has one for every marker.
        add_markers(found.lm, found.tokenizer)
        return LatentLM(found.lm, found.tokenizer, found.notes, engine=engine)
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
    return LatentLM(lm, tokenizer, engine=engine)


def _pretrained(spec: Pretrained, engine: Engine) -> LatentLM:
    path = spec.found()
    try:
        return LatentLM.from_pretrained(path, engine=engine)
    except ValueError as error:
        if Path(path).is_dir():
            raise
        raise ValueError(
            f"{error} Where the hub cannot be reached, name a folder with --model.path, or put one at "
            f"{pretrained_root() / path}"
        ) from error


def notes_of(config: RunConfig, model: LatentLM, *, example: str | None = None) -> Notes:
    """What a model trained by this run says of itself; `example` is one of its questions."""
    tokenizer, marks = model.tokenizer, model.marks
    assert tokenizer is not None
    # A chain as long as any, so that methods with one slot a step show all of them.
    prompt = config.method.prompt(Tokens(question=[marks.bot], steps=[[marks.bot]] * 1000, answer=[marks.bot]), marks)
    return Notes(
        after_question=tuple(tokenizer.convert_ids_to_tokens(prompt.input_ids[1:])),
        question_format=config.task.question_format,
        recipe=config.recipe,
        method=type(config.method).__name__,
        task=type(config.task).__name__,
        base_model=_base_of(config.model),
        num_stages=config.method.stages,
        seed=config.seed,
        example=example,
        max_new_tokens=config.task.max_new_tokens,
    )


def _base_of(spec: ModelSpec) -> str | None:
    """What the first of a chain of runs started from; None: random weights."""
    while isinstance(spec, After):
        spec = spec.first.model
    return spec.path if isinstance(spec, Pretrained) else None


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
