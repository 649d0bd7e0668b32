"""The walk over a batch: pass after pass, the last hidden state put where the mask says so.

1. embed all tokens at once;
2. run the spans of the plan one after another in one session, which keeps keys and values. In a thought column the
   input is `where(is_thought, last hidden state, embedding)`: n thought columns cost n + 1 passes, as in the paper;
3. unembed the hidden states that have a label, and no others.

Letters: B rows, T tokens, C columns whose output is kept, D hidden size, K thoughts, R targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unspoken.backbones import Backbone, Session
from unspoken.batch import Batch, Plan, Span, make_plan

FeedBack = Callable[[Tensor, Tensor], Tensor]
"""(last hidden states (B, D), which rows think (B,)) -> what stands at the thoughts (B, D)."""


def itself(hidden: Tensor, is_thought: Tensor) -> Tensor:
    """The paper's thought: the last hidden state, unchanged."""
    return hidden


@final
@dataclass(frozen=True, kw_only=True)
class Columns:
    """What is walked over; rows may be padded on either side and have any number of thoughts."""

    input_ids: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    position_ids: Int[Tensor, "B T"]
    is_thought: Bool[Tensor, "B T"]
    allowed: Bool[Tensor, "B 1 T T"] | None = None
    """Who may look at whom; None: everybody at everything before."""

    @classmethod
    def of(cls, batch: Batch) -> Columns:
        """A batch's."""
        return cls(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            is_thought=batch.is_thought,
        )

    def whole_plan(self, labels: Int[Tensor, "B T"] | None) -> Plan:
        """A plan that keeps every output, for tensors that came without one; waits for a GPU.

        Raises:
            ValueError: a thought comes first in its row.
        """
        plan = make_plan(self.is_thought, labels, whole=True)
        if plan.spans[0].thinking or bool((self.is_thought & (self.position_ids == 0)).any()):
            raise ValueError("a continuous thought needs at least one token before it in its row")
        return plan.to(self.input_ids.device)


def complete(
    input_ids: Int[Tensor, "B T"],
    attention_mask: Int[Tensor, "B T"] | None,
    position_ids: Int[Tensor, "B T"] | None,
    is_thought: Bool[Tensor, "B T"] | None,
    *,
    max_positions: int | None,
) -> Columns:
    """Fills in what a caller left out: no padding, positions that count real tokens, no thoughts.

    Raises:
        ValueError: there are no rows or tokens, shapes differ, or a row is longer than the model's positions.
    """
    if input_ids.numel() == 0:
        raise ValueError(f"an empty batch: input_ids has shape {tuple(input_ids.shape)}, expected rows and tokens")
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    if position_ids is None:
        position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
    if is_thought is None:
        is_thought = torch.zeros_like(input_ids, dtype=torch.bool)
    others = {"attention_mask": attention_mask, "position_ids": position_ids, "is_thought": is_thought}
    for name, tensor in others.items():
        if tensor.shape != input_ids.shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(input_ids.shape)} as input_ids")
    # The width bounds every position, so the check needs no value from the device in the usual case. A step that is
    # recorded as a graph may ask for none; it has been launched before, and checked then.
    if (
        max_positions is not None
        and input_ids.shape[1] > max_positions
        and not (input_ids.is_cuda and torch.cuda.is_current_stream_capturing())
        and (longest := int(position_ids.max()) + 1) > max_positions
    ):
        raise ValueError(
            f"a row has {longest} positions, but this model has {max_positions}; shorten the prompt or take a model "
            "with more positions"
        )
    return Columns(input_ids=input_ids, **others)


@final
@dataclass(frozen=True, kw_only=True)
class Walked:
    """What a walk leaves behind."""

    hidden: Float[Tensor, "B C D"]
    """Last hidden states of the columns the plan keeps, after the final norm."""
    thoughts: Float[Tensor, "B K D"]
    """What was fed at each row's thoughts in order; zero beyond a row's own count."""
    session: Session
    """What has been run, ready to go on."""


def walk(
    backbone: Backbone,
    columns: Columns,
    plan: Plan,
    feed_back: FeedBack,
    *,
    on_pass: Callable[[Span], None] = lambda span: None,
) -> Walked:
    """Runs all passes of a plan."""
    embeds = backbone.embed(columns.input_ids)
    session = backbone.start(columns.attention_mask, columns.position_ids, columns.allowed)
    outputs: list[Tensor] = []
    fed: list[Tensor] = []
    for span in plan.spans:
        x = embeds[:, span.columns]
        if span.thinking:
            think = columns.is_thought[:, span.start]
            thought = feed_back(outputs[-1][:, -1], think).to(x.dtype)
            back = backbone.feed_back(thought)[:, None]
            x = back if span.thinking == len(x) else torch.where(think[:, None, None], back, x)
            fed.append(thought)
        outputs.append(session.run(x, span.columns, keep=span.keep))
        on_pass(span)
    hidden = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
    return Walked(hidden=hidden, thoughts=_own_thoughts(fed, plan, like=hidden), session=session)


def _own_thoughts(
    fed: Sequence[Float[Tensor, "B D"]], plan: Plan, *, like: Float[Tensor, "B C D"]
) -> Float[Tensor, "B K D"]:
    """Each row's own thoughts in order, out of the columns in which some row thinks; zero-padded."""
    if not fed:
        return like.new_zeros(len(like), 0, like.shape[-1])
    columns = torch.stack(list(fed), dim=1)
    if plan.thoughts is None:
        return columns
    order, there = plan.thoughts
    return columns.gather(1, order[..., None].expand(-1, -1, columns.shape[-1])) * there[..., None]


def summed_loss(backbone: Backbone, hidden: Float[Tensor, "B C D"], plan: Plan) -> Float[Tensor, ""]:
    """Minus the log-probability of every target of a plan, summed.

    Raises:
        ValueError: a target is outside the vocabulary.
    """
    # Rows with a label only: the unembedding is the larger part of a small model's arithmetic.
    logits = backbone.unembed(hidden.flatten(0, 1)[plan.label_index])
    if plan.label_range is not None:
        smallest, largest = plan.label_range
        if not 0 <= smallest <= largest < logits.shape[-1]:
            raise ValueError(
                f"labels go from {smallest} to {largest}, but the vocabulary has {logits.shape[-1]} tokens; were the "
                "labels made with another tokenizer?"
            )
    if logits.dtype != torch.float64:
        logits = logits.float()
    return F.cross_entropy(logits, plan.label_ids, reduction="sum")
