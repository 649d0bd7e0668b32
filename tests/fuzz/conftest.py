"""A finished run to break, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.outcomes import outcome
from tiny_runs import MODEL, tiny
from unspoken.tasks.hops import Hops
from unspoken.train import fit


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, finished and evaluated."""
    folder = tmp_path_factory.mktemp("fuzz")
    config = tiny(max_steps=3, checkpoint_every=1, task=Hops(nodes=5, hops=2, num_train=16, num_valid=4, num_test=4))
    fit(replace(config, model=replace(MODEL, width=8)), folder / "run")
    assert outcome(["eval", "run", "--single", "2"], folder).code == 0
    return folder
