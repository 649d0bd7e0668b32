"""Wrong data out of right data: values, fields, bytes."""

from __future__ import annotations

import copy
import math
from typing import Any

from hypothesis import strategies as st

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2, 2**63, 2**70, -(2**70), 0.5, 1e308, -1e-320, math.nan, math.inf, -math.inf,
    "", " ", "x", "0", "-1", "nan", "é\u202e\u0000", "\ud800", "../../..", "/", "a" * 3000, "\n\n", "{question}", "{",
    [], [[]], [None], [1, 2, 3], ["x"], {}, {"type": None}, {"type": "Coconut"}, {"type": "RunConfig"},
    {"type": "Nope"}, {"type": "Hops", "nodes": -1}, {"": {}}, [[[[[[]]]]]],
]  # fmt: skip
"""What stands where something else should."""


def paths(value: Any, *, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is something in a JSON value, itself included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(found for key, item in items for found in paths(item, at=(*at, key)))]


@st.composite
def mutated(draw: st.DrawFn, original: Any, *, most: int = 2) -> Any:
    """A JSON value of which one or a few places have been replaced, removed, doubled, renamed or added."""
    value: Any = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(paths(value)))
        new = draw(st.sampled_from(NASTY) | st.text(max_size=8) | st.integers() | st.floats())
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return new
            continue
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        change, key = draw(st.sampled_from(["replace", "replace", "remove", "add", "rename"])), path[-1]
        if change == "replace":
            parent[key] = new
        elif change == "remove":
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, new if change == "add" else parent[key])
        elif change == "add":
            parent[draw(st.text(max_size=6))] = new
        else:
            parent[draw(st.sampled_from(["", "type", f"{key}s", key.upper()]))] = parent.pop(key)
    return value


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """Bytes of which some are missing, others or too many."""
    where = draw(st.integers(0, max(len(original) - 1, 0)))
    rest = original[where + 1 :]
    return draw(
        st.sampled_from(
            [
                original[:where],
                original[:where] + bytes([original[where] ^ (1 << where % 8)]) + rest if original else b"\x00",
                original[:where] + b"\xff\xfe" + rest,
                original[:where] + b"\x00" * 7 + rest,
                b"",
                b"\xef\xbb\xbf" + original,
                b"\xff\xfe" + original,
                b"[" * 20_000,
                b"\x80\x04\x95" + original[:40],
                b"null",
                b"[]",
                b"{}",
                original + original,
                original[where:] + original[:where],
            ]
        )
    )


def small(value: Any) -> bool:
    """Whether a config asks for no more than a moment's work: huge numbers are fine, and take for ever."""
    if isinstance(value, dict):
        return all(map(small, value.values()))
    if isinstance(value, list):
        return all(map(small, value))
    return not isinstance(value, int | float) or not value > 10_000
