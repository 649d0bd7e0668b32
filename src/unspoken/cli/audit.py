"""`unspoken audit`."""

from __future__ import annotations

from collections.abc import Sequence


def audit(args: Sequence[str]) -> None:
    """Test whether RUN uses its thoughts: interventions, other problems, a verdict; under RUN/audit."""
    raise ValueError("to come")
