"""`unspoken probe`."""

from __future__ import annotations

from collections.abc import Sequence


def probe(args: Sequence[str]) -> None:
    """Look into the thoughts of RUN: tokens, values, search, geometry; pages and figures under RUN/probe."""
    raise ValueError("to come")
