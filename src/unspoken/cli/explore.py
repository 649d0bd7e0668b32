"""`unspoken explore`."""

from __future__ import annotations

from collections.abc import Sequence


def explore(args: Sequence[str]) -> None:
    """Make one HTML page on which to step through the thoughts of RUN."""
    raise ValueError("to come")
