"""The only place that knows model families: embed, start, unembed, feed back.

Every Hugging Face causal LM whose forward is "embed, base model, unembed" needs nothing here. A family that scales its
embeddings inside the base model or transforms its logits has a small subclass; `FAMILIES` maps its `model_type`.

A `Session` is one batch on its way through the base model. `Stock` calls the library's modules over the library's
cache; `Fast` runs the same weights through `blocks.py`, where the family is known there and nobody asked for "plain".
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from unspoken.attention import Growing, as_mask
from unspoken.blocks import WHOLE, Blocks, Rows, WithoutPadding, blocks_of
from unspoken.specs import Engine

_FULL = 0.95
"""Share of a span's columns that are no padding from which on padding is run, too."""

Mask = Tensor | dict[str, Tensor]
"""What the base model takes for a mask: one for all layers, or one for each type of layer."""


class Session(ABC):
    """One batch on its way through the base model: what has been run so far, and how to run on."""

    @abstractmethod
    def run(self, embeds: Float[Tensor, "B S D"], span: slice, *, keep: int) -> Float[Tensor, "B K D"]:
        """Runs the columns `span`, the next ones; last hidden states, after the final norm, of the last `keep`."""

    @abstractmethod
    def extend(self, embeds: Float[Tensor, "B 1 D"], positions: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Runs one further token in every row, at the given positions, in a new column."""

    @abstractmethod
    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keeps these rows only."""


class Backbone(ABC):
    """Embed, run, unembed and feed back; what a family does differently is in its subclass.

    Not an `nn.Module`: the model's weights are registered once, in `LatentLM`, so that `save_file` sees no aliases.
    """

    def __init__(self, lm: PreTrainedModel, engine: Engine) -> None:
        self.lm = lm
        embeddings, head = lm.get_input_embeddings(), lm.get_output_embeddings()
        if not isinstance(embeddings, nn.Module) or not isinstance(head, nn.Module):
            raise ValueError(
                f"{type(lm).__name__} has no input or output embeddings; expected a causal language model "
                "(AutoModelForCausalLM)"
            )
        text = lm.config.get_text_config(decoder=True)
        config = text.to_dict()
        layer_types = set(config.get("layer_types") or [])
        slides = not layer_types or "sliding_attention" in layer_types
        # How many positions a sliding layer looks back, where this model has such layers.
        self._window: int | None = (config.get("sliding_window") or None) if slides else None
        self._mixed = len(layer_types) > 1
        # Flash attention and layers of other kinds build their own masks, from the 2-D one.
        self._ours = lm.config._attn_implementation in ("sdpa", "eager") and layer_types <= {
            "full_attention",
            "sliding_attention",
        }
        self.engine: Engine = engine
        self._blocks = blocks_of(lm) if engine != "plain" and self._ours else None
        if engine == "sparing" and self._blocks is None:
            raise ValueError(
                f'engine "sparing" runs blocks again in the backward pass, and {type(lm).__name__} runs on the '
                'library\'s modules, which cannot; take engine "fast" and fewer rows at a time (--batch.micro)'
            )
        # Not from `config`: there GPT-2 calls it n_positions.
        self.max_positions: int | None = getattr(text, "max_position_embeddings", None)

    @property
    def blocks(self) -> Blocks | None:
        """The fast blocks; None where this model, or whoever hooks into its blocks, needs the library's modules."""
        return None if self._blocks is None or self._blocks.hooked else self._blocks

    def embed(self, input_ids: Int[Tensor, "*N"]) -> Float[Tensor, "*N D"]:
        """Token embeddings as the base model takes them."""
        return self.lm.get_input_embeddings()(input_ids)

    def feed_back(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """A last hidden state (after the final norm) as the base model takes an embedding."""
        return hidden

    def unembed(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Next-token logits of last hidden states."""
        head = self.lm.get_output_embeddings()
        assert head is not None
        return head(hidden) if self._blocks is None else self._blocks.packed.linear(head, hidden)

    def forget_packed(self) -> None:
        """Lets go of weights packed for decoding (`packed.py`)."""
        if self._blocks is not None:
            self._blocks.packed.forget()

    @property
    def compute_dtype(self) -> torch.dtype:
        """What matrix products give: autocast's dtype inside autocast, else the model's."""
        device = self.lm.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.lm.dtype

    def start(
        self,
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B 1 T T"] | None = None,
    ) -> Session:
        """A session over a padded batch, nothing run yet.

        `allowed` says who may look at whom, where it is not everybody at everything before (`tree.py`).

        Raises:
            ValueError: `allowed` is given to a model that builds its own masks.
        """
        if allowed is not None and not self._ours:
            raise ValueError(
                f"{type(self.lm).__name__} with {self.lm.config._attn_implementation} attention builds its own masks, "
                'so several continuations cannot share a pass; load it with attn_implementation="sdpa"'
            )
        blocks = self.blocks
        if blocks is not None:
            return Fast(self, blocks, attention_mask, position_ids, allowed)
        return Stock(self, attention_mask, position_ids, allowed)

    def causal(self, attention_mask: Int[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"]:
        """Who may look at whom."""
        num_tokens = attention_mask.shape[1]
        causal = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=attention_mask.device).tril()
        # A padded position attends to itself, so that no softmax is over nothing; nobody attends to it.
        itself = torch.eye(num_tokens, dtype=torch.bool, device=attention_mask.device)
        return (causal & attention_mask.bool()[:, None, None, :]) | itself

    def prepare_mask(
        self,
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B 1 T T"] | None = None,
    ) -> Mask:
        """The mask of a whole walk, built once: the library would build it again, and synchronise, in every pass.

        (B, 1, T, T), bool for SDPA and additive for eager attention; the 2-D mask itself where the library must build
        its own.
        """
        if not self._ours:
            return attention_mask
        allowed = self.causal(attention_mask) if allowed is None else allowed
        return self._masks(allowed, position_ids, position_ids)

    def extend_mask(self, attention_mask: Int[Tensor, "B T"], position_ids: Int[Tensor, "B T"]) -> Mask:
        """The mask of one further token, the last column, which attends to all columns kept."""
        if not self._ours:
            return attention_mask
        return self._masks(attention_mask.bool()[:, None, None, :], position_ids[:, -1:], position_ids)

    def _masks(self, allowed: Tensor, queries: Tensor, keys: Tensor) -> Mask:
        """Windows count positions, not columns: padding between a prompt and what follows it takes no room."""
        full = self._as_mask(allowed)
        if self._window is None:
            return full
        near = queries[:, None, :, None] - keys[:, None, None, :] < self._window
        sliding = self._as_mask(allowed & near)
        return {"full_attention": full, "sliding_attention": sliding} if self._mixed else sliding

    def new_cache(self) -> DynamicCache:
        # Without a config every layer keeps all keys; our masks cut the windows.
        return DynamicCache() if self._ours else DynamicCache(config=self.lm.config)

    def _as_mask(self, allowed: Bool[Tensor, "B 1 S T"]) -> Tensor:
        if self.lm.config._attn_implementation == "sdpa":
            return allowed
        dtype = self.lm.dtype
        return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
            ~allowed, torch.finfo(dtype).min
        )


@final
class Stock(Session):
    """The library's own modules over the library's own cache."""

    def __init__(
        self,
        backbone: Backbone,
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B 1 T T"] | None,
    ) -> None:
        self._backbone = backbone
        self._attention_mask, self._position_ids = attention_mask, position_ids
        self._mask = backbone.prepare_mask(attention_mask, position_ids, allowed)
        self._cache = backbone.new_cache()
        self._cache_name = cache_name(backbone.lm.base_model)

    def run(self, embeds: Float[Tensor, "B S D"], span: slice, *, keep: int) -> Float[Tensor, "B K D"]:
        return self._run(embeds, _sliced(self._mask, span), self._position_ids[:, span])[:, -keep:]

    def extend(self, embeds: Float[Tensor, "B 1 D"], positions: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        ones = self._attention_mask.new_ones(len(embeds), 1)
        self._attention_mask = torch.cat([self._attention_mask, ones], dim=1)
        self._position_ids = torch.cat([self._position_ids, positions[:, None]], dim=1)
        mask = self._backbone.extend_mask(self._attention_mask, self._position_ids)
        return self._run(embeds, mask, positions[:, None])[:, 0]

    def _run(self, embeds: Tensor, mask: Mask, position_ids: Tensor) -> Tensor:
        return self._backbone.lm.base_model(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=position_ids,
            use_cache=True,
            **{self._cache_name: self._cache},
        ).last_hidden_state

    def select(self, rows: Int[Tensor, " R"]) -> None:
        self._attention_mask, self._position_ids = self._attention_mask[rows], self._position_ids[rows]
        self._cache.batch_select_indices(rows)


@final
class Fast(Session):
    """The same weights through `blocks.py`."""

    def __init__(
        self,
        backbone: Backbone,
        blocks: Blocks,
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        allowed: Bool[Tensor, "B 1 T T"] | None,
    ) -> None:
        self._blocks, self._dtype = blocks, backbone.compute_dtype
        self._sparing, self._recorded = backbone.engine == "sparing", backbone.engine == "graphs"
        self._attention_mask = attention_mask
        self._places = blocks.places(position_ids)
        allowed = backbone.causal(attention_mask) if allowed is None else allowed
        self._mask = as_mask(allowed, dtype=self._dtype)
        self.memory = Growing(len(blocks.layers))

    def run(self, embeds: Float[Tensor, "B S D"], span: slice, *, keep: int) -> Float[Tensor, "B K D"]:
        return self._blocks.run(
            embeds,
            rows=self._rows(span),
            places=tuple(place[:, span] for place in self._places),
            mask=self._mask[:, :, span, : span.stop],
            memory=self.memory,
            keep=keep,
            sparing=self._sparing,
        )

    def _rows(self, span: slice) -> Rows:
        """Without padding where there is enough of it to be worth two copies. A GPU would have to be waited for, and a
        step that is recorded has the same shapes every time."""
        real = self._attention_mask[:, span]
        if self._recorded or real.device.type != "cpu" or real.shape[1] == 1:
            return WHOLE
        return WithoutPadding(real.bool()) if int(real.sum()) < _FULL * real.numel() else WHOLE

    def extend(self, embeds: Float[Tensor, "B 1 D"], positions: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        ones = self._attention_mask.new_ones(len(embeds), 1)
        self._attention_mask = torch.cat([self._attention_mask, ones], dim=1)
        return self._blocks.run(
            embeds,
            places=self._blocks.places(positions[:, None]),
            mask=as_mask(self._attention_mask.bool()[:, None, None, :], dtype=self._dtype),
            memory=self.memory,
            keep=1,
        )[:, 0]

    def select(self, rows: Int[Tensor, " R"]) -> None:
        self._attention_mask = self._attention_mask[rows]
        self.memory.select(rows)


def _sliced(mask: Mask, span: slice) -> Mask:
    """The part of `Backbone.prepare_mask`'s result for the queries in `span`."""
    if isinstance(mask, dict):
        return {name: _slice(each, span) for name, each in mask.items()}
    return _slice(mask, span)


def _slice(mask: Tensor, span: slice) -> Tensor:
    return mask[:, : span.stop] if mask.dim() == 2 else mask[:, :, span, : span.stop]


@final
class Usual(Backbone):
    """GPT-2, Llama, Qwen, Mistral, OLMo, GPT-NeoX, ...: embed, base model, unembed, and nothing else."""


@final
class Gemma2(Backbone):
    """Gemma 2 caps its logits softly."""

    def unembed(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        logits = super().unembed(hidden)
        cap = self.lm.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap


@final
class Granite(Backbone):
    """Granite multiplies embeddings inside its base model and divides its logits.

    A thought is divided by that multiplier first, so that what enters the first block is the hidden state itself, as
    in every other family.
    """

    def feed_back(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return hidden / self.lm.config.embedding_multiplier

    def unembed(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        return super().unembed(hidden) / self.lm.config.logits_scaling


def cache_name(model: nn.Module) -> str:
    """What a model's forward calls its cache: transformers 5.24 has renamed it, and models from elsewhere have not."""
    return "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"


FAMILIES: dict[str, type[Backbone]] = {"gemma2": Gemma2, "gemma3_text": Gemma2, "granite": Granite}


def backbone_of(lm: PreTrainedModel, engine: Engine) -> Backbone:
    """The backbone of a model's family."""
    return FAMILIES.get(lm.config.model_type, Usual)(lm, engine)
