"""Train, run, measure and audit language models that reason in continuous latent space.

Public names are loaded when they are first used, so that importing a description does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unspoken.batch import Batch, collate
    from unspoken.config import AdamW, BatchSize, RunConfig, Schedule, Validation
    from unspoken.curriculum import Curriculum
    from unspoken.evaluate import evaluate
    from unspoken.generate import Sampling
    from unspoken.layout import Layout, Marks, Tokens, lay_out
    from unspoken.methods.base import Method
    from unspoken.model import LatentLM, LatentOutput
    from unspoken.records import Record
    from unspoken.tasks.base import Example, Task, Written
    from unspoken.train import fit

_HOMES = {
    "AdamW": "config",
    "Batch": "batch",
    "BatchSize": "config",
    "Curriculum": "curriculum",
    "Example": "tasks.base",
    "LatentLM": "model",
    "LatentOutput": "model",
    "Layout": "layout",
    "Marks": "layout",
    "Method": "methods.base",
    "Record": "records",
    "RunConfig": "config",
    "Sampling": "generate",
    "Schedule": "config",
    "Task": "tasks.base",
    "Tokens": "layout",
    "Validation": "config",
    "Written": "tasks.base",
    "collate": "batch",
    "evaluate": "evaluate",
    "fit": "train",
    "lay_out": "layout",
}

__all__ = [
    "AdamW",
    "Batch",
    "BatchSize",
    "Curriculum",
    "Example",
    "LatentLM",
    "LatentOutput",
    "Layout",
    "Marks",
    "Method",
    "Record",
    "RunConfig",
    "Sampling",
    "Schedule",
    "Task",
    "Tokens",
    "Validation",
    "Written",
    "collate",
    "evaluate",
    "fit",
    "lay_out",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"unspoken.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'unspoken' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
