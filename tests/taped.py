"""Stand-ins for a GPU, for machines that have none.

`Taped` stands for a CUDA graph: recording takes every operator down, replaying runs them again on the same tensors, on
a CPU. What Python decided while recording stays decided, what is not copied into the recorded tensors stays as it was,
as in a real graph; unlike there, operators run while they are recorded, so what they wrote is put back afterwards.

`on_the_device` stands for what a recorded step must not do: touch memory of the host, or ask the device for a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, final

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def tensors_in(*values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


@final
class Taped:
    """A recording; `torch.cuda.CUDAGraph`'s part in our code."""

    def __init__(self) -> None:
        self.operators: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], list[Tensor]]] = []

    def replay(self) -> None:
        with torch.no_grad():
            for operator, args, kwargs, made in self.operators:
                again = tensors_in(operator(*args, **kwargs))
                for kept, new in zip(made, again, strict=True):
                    # A view shows what is written into what it is a view of.
                    if kept.data_ptr() != new.data_ptr() and kept.numel():
                        kept.copy_(new)


@final
class _Recording(TorchDispatchMode):
    def __init__(self, graph: Taped) -> None:
        super().__init__()
        self.graph = graph
        self.mine: set[int] = set()
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._remember(value)
        out = func(*args, **kwargs)
        made = tensors_in(out)
        theirs = {each.untyped_storage().data_ptr() for each in tensors_in(args, kwargs)}
        self.mine |= {each.untyped_storage().data_ptr() for each in made} - theirs
        self.graph.operators.append((func, args, kwargs, made))
        return out

    def _remember(self, written: Tensor) -> None:
        storage = written.untyped_storage().data_ptr()
        if storage not in self.mine and storage not in self.before:
            whole = torch.as_strided(written, (written.untyped_storage().nbytes() // written.itemsize,), (1,), 0)
            self.before[storage] = whole, whole.clone()

    def put_back(self) -> None:
        with torch.no_grad():
            for whole, kept in self.before.values():
                whole.copy_(kept)


@contextmanager
def _recorded(graph: Taped, **settings: Any) -> Iterator[None]:
    recording = _Recording(graph)
    with recording:
        yield
    recording.put_back()


@final
class _Stream:
    """A stream, on a machine that has one anyway."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, other: _Stream) -> None:
        return


def replace_cuda(monkeypatch: pytest.MonkeyPatch) -> list[Taped]:
    """Has graphs recorded on tape; the list fills with them."""
    made: list[Taped] = []

    def make() -> Taped:
        made.append(Taped())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", make)
    monkeypatch.setattr(torch.cuda, "graph", _recorded)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    return made


@final
class _Watched(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # Operators whose result depends on values have none on the device "meta", and raise.
        out = func(*args, **kwargs)
        # Checkpointing makes an empty tensor on the host, which holds nothing.
        if host := [each for each in tensors_in(args, kwargs, out) if each.device.type == "cpu" and each.numel()]:
            raise AssertionError(f"{func} touches a tensor of the host, of shape {tuple(host[0].shape)}")
        return out


def on_the_device() -> TorchDispatchMode:
    """Inside, everything must happen on the device "meta", which has shapes and no values."""
    return _Watched()
