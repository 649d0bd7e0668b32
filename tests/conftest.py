"""Shapes in annotations are checked at run time here, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Two threads on two cores fight over tiny matrices; one is faster, and its sums are reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

from jaxtyping import install_import_hook

from shaped import SHAPED

_hook = install_import_hook([f"unspoken.{name}" for name in SHAPED], "beartype.beartype")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from unspoken.model import LatentLM

# A busy machine is no bug.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    import torch

    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LatentLM]:
    """One whole tiny run, not to be changed."""
    from tiny_runs import tiny
    from unspoken.train import fit

    run = tmp_path_factory.mktemp("finished") / "run"
    return run, fit(tiny(), run)
