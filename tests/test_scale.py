"""The rules of docs/scale.md about memory, held to what a small model keeps for its backward pass."""

from __future__ import annotations

import pytest

from results_scripts import script
from unspoken.specs import Engine

RULES, SCALE = script("scale_rules"), script("scale")


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("engine", ["fast", "sparing"])
def test_what_is_kept_for_the_backward_pass_is_what_the_page_says(engine: Engine, bf16: bool) -> None:
    """Guards the GiB by which somebody chooses a machine: a block that keeps one more vector a token is 10 % off."""
    predicted = RULES.activation_bytes(RULES.sizes(RULES.SMALL), engine, bf16=bf16)
    assert SCALE.measured_activations(engine, bf16=bf16) == pytest.approx(predicted, rel=0.05)
