"""GPT-2's and Llama's blocks in fewer and larger operators, on the library's own modules and weights.

The same function as the stock model, which tests hold in float64, with six differences:

1. the last block works out only the trailing columns that somebody reads: a label, a thought, the next token;
2. text is written with packed weights on a CPU (`packed.py`);
3. GPT-2's GELU is one operator; stock GPT-2 writes it as eight, the larger part of a small model's step on a CPU;
4. attention is that of `attention.py`;
5. on a CPU padding is left out wherever columns do not look at each other;
6. what is large and cheap, attention's weights and the activation inside the feed-forward, is worked out again in the
   backward pass instead of being kept: about half of a step's memory for a few percent of its time.

What a family does differently is in its subclass; `blocks_of` knows which models these are.

Letters: B rows, S columns run now, T columns so far, H heads, G key-value heads, C width of a head, D hidden size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from unspoken.attention import Growing, Memory, attend, worked_out_again
from unspoken.packed import Packed

Look = Callable[..., Tensor]
"""`Memory.attend` of one block."""
Places = tuple[Tensor, ...]
"""What a family makes of positions, once a batch; dimension 1 counts columns."""


class Rows(ABC):
    """How columns are laid out where they do not look at each other."""

    @abstractmethod
    def take(self, x: Float[Tensor, "B S D"]) -> Tensor:
        """All columns of a batch, as they are run."""

    @abstractmethod
    def spread(self, x: Tensor) -> Float[Tensor, "B S D"]:
        """The other way round."""


@final
class _Whole(Rows):
    """As they are."""

    def take(self, x: Float[Tensor, "B S D"]) -> Tensor:
        return x

    def spread(self, x: Tensor) -> Float[Tensor, "B S D"]:
        return x


WHOLE: Rows = _Whole()


@final
class WithoutPadding(Rows):
    """One long row of what is no padding."""

    def __init__(self, real: Bool[Tensor, "B S"]) -> None:
        self._shape = tuple(real.shape)
        self._places = real.flatten().nonzero()[:, 0]

    def take(self, x: Float[Tensor, "B S D"]) -> Tensor:
        return x.flatten(0, 1).index_select(0, self._places)[None]

    def spread(self, x: Tensor) -> Float[Tensor, "B S D"]:
        # Zeros, because a column of padding looks at itself, and NaN would stay NaN.
        whole = x.new_zeros(self._shape[0] * self._shape[1], x.shape[-1])
        return whole.index_copy(0, self._places, x[0]).view(*self._shape, -1)


def draws(layer: nn.Module) -> bool:
    """Whether a linear layer draws random numbers, as one whose adapter has dropout does in training."""
    return layer.training and any(isinstance(part, nn.Dropout) and part.p > 0 for part in layer.modules())


def _listens(hook: Callable[..., Any]) -> bool:
    """Whether a hook is somebody's. The library leaves its own on every block once a caller has asked its `forward` for
    hidden states or attentions; they are idle outside that forward, and must not cost everybody the fast blocks."""
    return hook.__module__ != "transformers.utils.output_capturing"


def through_hooks(layer: nn.Module, block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`block(x)`, which runs a layer's submodules, with the hooks of the layer itself before and after it."""
    if not layer._forward_hooks:
        return block(x)
    layer.forward = block
    try:
        return layer(x)
    finally:
        del layer.forward


class Blocks(ABC):
    """A family's blocks; a subclass reads its modules and calls them as submodules, so that adapters in them count."""

    def __init__(self, lm: PreTrainedModel) -> None:
        self.packed = Packed()
        self.base: Any = lm.base_model
        self.config: Any = lm.config
        self.layers: list[Any] = list(self._layers())

    @abstractmethod
    def _layers(self) -> nn.ModuleList:
        """The blocks, in order."""

    @property
    def hooked(self) -> bool:
        """Whether somebody listens to whole blocks, and so wants the library's own; a sharded one has two hooks."""
        hooks = [
            sum(map(_listens, (*layer._forward_hooks.values(), *layer._forward_pre_hooks.values())))
            for layer in self.layers
        ]
        return any(num > 2 * isinstance(layer, FSDPModule) for num, layer in zip(hooks, self.layers, strict=True))

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Key-value heads and the width of a head."""

    @abstractmethod
    def places(self, position_ids: Int[Tensor, "B T"]) -> Places:
        """What positions add, for all columns of a batch at once."""

    @abstractmethod
    def enter(self, embeds: Float[Tensor, "B S D"], places: Places) -> Float[Tensor, "B S D"]:
        """What the first block reads."""

    @abstractmethod
    def project(self, layer: Any, x: Tensor, places: Places, keep: int, rows: Rows) -> tuple[Tensor, ...]:
        """Queries of the last `keep` columns (B, H, keep, C), keys and values of all (B, G, S, C); `x` as `rows` has
        it."""

    @abstractmethod
    def finish(self, layer: Any, x: Float[Tensor, "B S D"], attended: Float[Tensor, "B S E"]) -> Float[Tensor, "B S D"]:
        """The rest of a block: residual, feed-forward, residual."""

    @abstractmethod
    def leave(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        """The final norm."""

    @abstractmethod
    def attention(self, layer: Any) -> tuple[float, float]:
        """Scale and dropout of a block's attention."""

    def run(
        self,
        embeds: Float[Tensor, "B S D"],
        *,
        places: Places,
        mask: Tensor,
        memory: Memory,
        keep: int,
        rows: Rows = WHOLE,
        sparing: bool = False,
    ) -> Float[Tensor, "B K D"]:
        """Runs S further columns; last hidden states, after the final norm, of the last `keep` of them.

        `rows` says which columns are padding; those have any value afterwards. `sparing` keeps, for a backward pass,
        what enters a block and its keys and values, and nothing else.
        """
        x = rows.take(self.enter(embeds, places))

        def block(index: int, x: Tensor) -> Tensor:
            kept = keep if index == len(self.layers) - 1 else embeds.shape[1]
            this = partial(self._block, self.layers[index], places=places, mask=mask, keep=kept, rows=rows)
            if not sparing or not torch.is_grad_enabled():
                return this(x, look=partial(memory.attend, index))
            assert isinstance(memory, Growing)
            x, k, v = _again(this, x, memory.pieces[index], training=self.layers[index].training)
            memory.keep(index, k, v)
            return x

        for index, layer in enumerate(self.layers):
            x = through_hooks(layer, partial(block, index), x)
        return self.leave(x if keep < embeds.shape[1] else rows.spread(x))

    def _block(
        self, layer: Any, x: Tensor, *, places: Places, mask: Tensor, keep: int, rows: Rows, look: Look
    ) -> Tensor:
        """One block: all columns as `rows` has them, or the last `keep` of them where those are fewer."""
        q, k, v = self.project(layer, x, places, keep, rows)
        num_rows, num_columns = mask.shape[0], mask.shape[-2]
        scale, dropout = self.attention(layer)
        attended = look(q, k, v, mask=mask[:, :, -keep:], scale=scale, dropout=dropout if layer.training else 0.0)
        joined = attended.transpose(1, 2).reshape(num_rows, keep, -1)
        if keep < num_columns:
            return self.finish(layer, rows.spread(x)[:, -keep:], joined)
        return self.finish(layer, x, rows.take(joined))


def _again(
    block: Callable[..., Tensor], x: Tensor, before: list[tuple[Tensor, Tensor]], *, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A block that is run again in the backward pass: its output, and the keys and values of its columns."""
    count = len(before)

    def once(x: Tensor, *kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        new: list[tuple[Tensor, Tensor]] = []

        def look(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor, scale: float, dropout: float) -> Tensor:
            new.append((k, v))
            pieces = [*zip(kept[:count], kept[count:], strict=True), (k, v)]
            return attend(q, pieces, mask=mask, scale=scale, dropout=dropout)

        x = block(x, look=look)
        return x, *new[0]

    kept = (*(k for k, _ in before), *(v for _, v in before))
    again = checkpoint(once, x, *kept, use_reentrant=False, preserve_rng_state=training)
    assert isinstance(again, tuple)
    return again


@final
class GPT2Blocks(Blocks):
    """GPT-2: learned positions, one projection for queries, keys and values, GELU."""

    def _layers(self) -> nn.ModuleList:
        return self.base.h

    @property
    def shape(self) -> tuple[int, int]:
        return self.config.n_head, self.config.n_embd // self.config.n_head

    def places(self, position_ids: Int[Tensor, "B T"]) -> Places:
        return (self.base.wpe(position_ids),)

    def enter(self, embeds: Float[Tensor, "B S D"], places: Places) -> Float[Tensor, "B S D"]:
        return self.base.drop(embeds + places[0])

    def project(self, layer: Any, x: Tensor, places: Places, keep: int, rows: Rows) -> tuple[Tensor, ...]:
        heads, width = self.shape
        joined = rows.spread(self.packed.linear(layer.attn.c_attn, layer.ln_1(x)))
        joined = joined.view(*joined.shape[:2], 3, heads, width)
        # One copy here; without it every product with these keys, one a thought, would make its own.
        q, k, v = joined.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
        return q[:, :, -keep:], k, v

    def finish(self, layer: Any, x: Float[Tensor, "B S D"], attended: Float[Tensor, "B S E"]) -> Float[Tensor, "B S D"]:
        linear = self.packed.linear
        x = x + layer.attn.resid_dropout(linear(layer.attn.c_proj, attended))

        def leave(inner: Tensor) -> Tensor:
            return linear(layer.mlp.c_proj, F.gelu(inner, approximate="tanh"))

        inner = linear(layer.mlp.c_fc, layer.ln_2(x))
        return x + layer.mlp.dropout(worked_out_again(leave, inner, draws=draws(layer.mlp.c_proj)))

    def leave(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        return self.base.ln_f(x)

    def attention(self, layer: Any) -> tuple[float, float]:
        return layer.attn.scaling, float(layer.attn.attn_dropout.p)


class _Rotary(Blocks, ABC):
    """Llama and its relatives: rotary positions, RMS norms, gated feed-forward."""

    def _layers(self) -> nn.ModuleList:
        return self.base.layers

    @property
    def shape(self) -> tuple[int, int]:
        return self.config.num_key_value_heads, self.layers[0].self_attn.head_dim

    def places(self, position_ids: Int[Tensor, "B T"]) -> Places:
        cos, sin = self.base.rotary_emb(self.base.embed_tokens.weight, position_ids)
        half = sin.shape[-1] // 2
        # rotate_half's minus sign goes into the sine, once a batch.
        return cos[:, :, None], torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)[:, :, None]

    def enter(self, embeds: Float[Tensor, "B S D"], places: Places) -> Float[Tensor, "B S D"]:
        return embeds

    def project(self, layer: Any, x: Tensor, places: Places, keep: int, rows: Rows) -> tuple[Tensor, ...]:
        attn, linear = layer.self_attn, self.packed.linear
        width = attn.head_dim
        x = layer.input_layernorm(x)
        k = rows.spread(linear(attn.k_proj, x)).unflatten(-1, (-1, width))
        v = rows.spread(linear(attn.v_proj, x)).unflatten(-1, (-1, width))
        whole = keep == k.shape[1]
        q = rows.spread(linear(attn.q_proj, x)) if whole else linear(attn.q_proj, rows.spread(x)[:, -keep:])
        q = q.unflatten(-1, (-1, width))
        q, k = self._norms(attn, q, k)
        # Under autocast positions are float32 and would make keys so.
        q = _rotated(q, *(place[:, -keep:] for place in places)).to(v.dtype)
        k = _rotated(k, *places).to(v.dtype)
        # Copied once, as in `GPT2Blocks.project`.
        return q.transpose(1, 2), k.transpose(1, 2).contiguous(), v.transpose(1, 2).contiguous()

    def _norms(self, attn: Any, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return q, k

    def finish(self, layer: Any, x: Float[Tensor, "B S D"], attended: Float[Tensor, "B S E"]) -> Float[Tensor, "B S D"]:
        linear = self.packed.linear
        x = x + linear(layer.self_attn.o_proj, attended)
        mlp, normed = layer.mlp, layer.post_attention_layernorm(x)

        def leave(gate: Tensor, up: Tensor) -> Tensor:
            return linear(mlp.down_proj, mlp.act_fn(gate) * up)

        gate, up = linear(mlp.gate_proj, normed), linear(mlp.up_proj, normed)
        return x + worked_out_again(leave, gate, up, draws=draws(mlp.down_proj))

    def leave(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        return self.base.norm(x)

    def attention(self, layer: Any) -> tuple[float, float]:
        return layer.self_attn.scaling, float(layer.self_attn.attention_dropout)


def _rotated(
    x: Float[Tensor, "B S H C"], cos: Float[Tensor, "B S 1 C"], sin: Float[Tensor, "B S 1 C"]
) -> Float[Tensor, "B S H C"]:
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


@final
class LlamaBlocks(_Rotary):
    """Llama, SmolLM2, Qwen2, Mistral without windows."""


@final
class Qwen3Blocks(_Rotary):
    """Qwen3 normalises every head's queries and keys."""

    def _norms(self, attn: Any, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return attn.q_norm(q), attn.k_norm(k)


def blocks_of(lm: PreTrainedModel) -> Blocks | None:
    """The blocks of a model whose family and settings are known here; None: the stock modules must run it."""
    config: Any = lm.config
    match config.model_type:
        case "gpt2":
            known = (
                config.activation_function in ("gelu_new", "gelu_pytorch_tanh")
                and not config.reorder_and_upcast_attn
                and not config.add_cross_attention
            )
            return GPT2Blocks(lm) if known else None
        case "llama" | "qwen2" | "qwen3" | "mistral":
            windows = config.model_type != "llama" and (config.to_dict().get("sliding_window") is not None)
            # The other kinds of rotary positions change with the length of the batch.
            fixed = config.rope_parameters["rope_type"] in ("default", "linear", "llama3", "yarn")
            if windows or not fixed:
                return None
            return Qwen3Blocks(lm) if config.model_type == "qwen3" else LlamaBlocks(lm)
    return None
