"""What ends a training from within: a loss that is no number or far beyond guessing, and memory that is not enough.

Nothing here waits for the device on its own: the figures of each step stay there until somebody looks, which the loop
does before whatever it saves. So nothing is ever saved after a step that went wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from unspoken.batch import Batch
from unspoken.config import RunConfig

_NAMED = 8
"""Examples a message names; a file has all of them."""
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "bad_alloc", "alloc_failed")
"""What libraries say, in lower case: CUDA, torch's CPU allocator on Linux and on Windows, C++, cuBLAS."""


@final
class WentWrong(Exception):
    """A step after which training makes no sense."""

    def __init__(self, step: int, what: str, **figures: float) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
        """Its number, from 1."""
        self.figures = figures
        """What was measured in it."""


def judge(step: int, loss: float, grad_norm: float, limit: float) -> None:
    """Raises WentWrong where the figures of a step are not those of a training that makes sense."""
    if not math.isfinite(loss):
        what = f"the loss is {loss}"
    elif not math.isfinite(grad_norm):
        what = f"the gradient's norm is {grad_norm}"
    elif loss > limit:
        what = f"the loss has diverged to {loss:.4g} (max_loss is {limit:.4g})"
    else:
        return
    raise WentWrong(step, what, loss=loss, grad_norm=grad_norm)


@final
class Watch:
    """The loss and gradient norm of every step since somebody last looked."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        """Loss a label above which a training has diverged."""
        self._steps: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, loss: Tensor, grad_norm: Tensor) -> None:
        """Notes a step: its loss a label, this process's share of it where there are several, and its gradient norm."""
        self._steps.append((step, loss, grad_norm))

    def look(self, add_up: Callable[[Tensor], Tensor]) -> None:
        """Waits for the device. `add_up` sums a tensor over processes, all of which must look after the same steps.

        Raises:
            WentWrong: the first step that went wrong.
        """
        if not self._steps:
            return
        steps, losses, norms = zip(*self._steps, strict=True)
        self._steps.clear()
        found = torch.stack([add_up(torch.stack(losses)), torch.stack(norms)]).tolist()
        for step, loss, norm in zip(steps, *found, strict=True):
            judge(step, loss, norm, self.limit)


def largest_loss(max_loss: float | None, vocabulary: int) -> float:
    """`RunConfig.max_loss` as a number."""
    return max_loss if max_loss is not None else 10 * math.log(max(vocabulary, 2))


def refuse_weights(model: nn.Module, step: int) -> None:
    """Raises WentWrong for weights that no loss has judged yet and that are no numbers, or too large to have a norm."""
    if not math.isfinite(float(torch.nn.utils.get_total_norm([p.detach() for p in model.parameters()]))):
        raise WentWrong(step, "the weights are no longer numbers")


def some_of(examples: Sequence[int], file: str) -> str:
    """The numbers of a batch's examples, the first few of many."""
    named = ", ".join(map(str, examples[:_NAMED]))
    more = len(examples) - _NAMED
    return named if more <= 0 else f"{named} and {more} more, all in {file}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that there was not enough memory, of a GPU or of the machine."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )


def out_of_memory(batch: Batch | None, config: RunConfig, *, step: int, again: str) -> str:
    """What to say when memory is not enough: what was too large, and how to go on with less of it.

    `batch` is what was running in the step after `step`; None: a validation. `again` is the command that resumes.
    """
    if batch is None:
        rows, fewest, flag = config.batch.evaluation, config.method.min_rows(), "--batch.evaluation"
        where = f"after step {step}, in a validation of {rows} rows together"
    else:
        rows, tokens = batch.input_ids.shape
        fewest, flag = config.method.min_rows(), "--batch.micro"
        where = f"at step {step + 1}, with a forward pass of {rows} rows x {tokens} tokens"
    if rows // 2 < max(fewest, 1):
        return f"out of memory {where}; use a smaller model, shorter examples or --precision bf16"
    return f"out of memory {where}; go on with fewer rows together, same result: {again} {flag} {rows // 2}"
