"""Configs that are wrong: every one is refused in one line, or means something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import damaged, mutated, small
from fuzz.outcomes import LONGER, cases, check, dumped, kept
from unspoken.config import RunConfig
from unspoken.recipes import RECIPES

MANY = ("gsm8k/gpt2/coconut", "prosqa/gpt2/coconut", "demo/planning/coconut", "gsm8k/llama-3-8b/coconut-lora")


def _recipes() -> list[str]:
    """Some of very different shape: other tasks, models, optimizers, runs after runs."""
    wanted = [name for name in MANY if name in RECIPES]
    return sorted({*wanted, *list(RECIPES)[:: max(1, len(RECIPES) // 6)]})


def _saved(name: str, folder: Path) -> Any:
    RECIPES[name]().save(folder / "config.json")
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("recipe", _recipes())
def test_a_mutated_config_is_shown_or_refused(recipe: str, tmp_path: Path) -> None:
    """Guards `RunConfig.load`: wrong types, missing and unknown fields, NaN, huge numbers, objects of other unions."""
    (tmp_path / "run").mkdir()
    original = _saved(recipe, tmp_path / "run")
    codes: list[int] = []

    @cases(24)
    @given(mutated(original))
    def holds(config: Any) -> None:
        (tmp_path / "run" / "config.json").write_bytes(dumped(config))
        codes.append(check(["show", "run"], tmp_path).code)

    holds()
    assert len(codes) >= 20 * LONGER
    assert 2 in codes, "nothing was ever refused"


def test_a_damaged_config_is_refused(tmp_path: Path) -> None:
    """Guards files that a full disk, an editor or a transfer left: cut, flipped, in UTF-16, nested without end."""
    (tmp_path / "run").mkdir()
    _saved("prosqa/gpt2/coconut" if "prosqa/gpt2/coconut" in RECIPES else next(iter(RECIPES)), tmp_path / "run")
    original = (tmp_path / "run" / "config.json").read_bytes()

    @cases(40)
    @given(damaged(original))
    def holds(data: bytes) -> None:
        (tmp_path / "run" / "config.json").write_bytes(data)
        check(["show", "run"], tmp_path)

    holds()


COMMANDS = (
    ["eval", "run", "--num", "2", "--single", "0", "--name", "again"],
    ["table", "run"],
    ["train", "--resume", "run"],
    ["show", "run", "--diff", "demo/coconut"],
)


@cases(40)
@given(data=st.data())
def test_a_run_with_a_mutated_config_is_used_or_refused(room: Path, data: st.DataObject) -> None:
    """Guards what reads a run's config after it was loaded: values that fit their types and make no sense together."""
    original = json.loads((room / "run" / "config.json").read_text())
    config = data.draw(mutated(original).filter(small))
    with kept(room):
        (room / "run" / "config.json").write_bytes(dumped(config))
        check(data.draw(st.sampled_from(COMMANDS)), room, reads_only=False)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    """Guards the suite itself: unmutated configs are accepted."""
    (tmp_path / "run").mkdir()
    for name in _recipes():
        _saved(name, tmp_path / "run")
        assert check(["show", "run"], tmp_path).code == 0
        assert RunConfig.load(tmp_path / "run" / "config.json") == RECIPES[name]()
