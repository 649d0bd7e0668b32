"""What a misspelt name was meant to be, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE = 0.65
"""Share of letters two names have in common, in order. With one letter left out of three it is 0.8, with two swapped
0.67; but 'git' and 'list', which nobody mistakes for each other, have 0.57."""


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known name closest to a misspelt one, or nothing; more may follow it."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=_ALIKE)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
