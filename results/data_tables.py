"""Tables of docs/data.md, from the figures of `data_page.py`, as lines of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; columns of numbers are aligned to the right."""
    numeric = [all(cell[:1] in "-+0123456789" for cell in column) for column in zip(*rows, strict=True)]
    lines = [header, ["---:" if right else "---" for right in numeric], *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def pair(value: Sequence[float]) -> str:
    """A figure and its standard error."""
    return f"{value[0]:.4g} ± {value[1]:.2g}"


def percent(found: dict[str, Any]) -> str:
    """The best of a group with its interval."""
    star = " (luck)" if found["luck"] else ""
    return f"{100 * found['accuracy']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}] {found['name']}{star}"


def shortcuts(found: dict[str, Any]) -> str:
    """The best of every group, in a cell of a table."""
    return "<br>".join(f"{kind}: {percent(of)}" for kind, of in found.items())


def since(again: dict[str, str]) -> str:
    """Which parts were measured at another commit."""
    found = [
        f"{', '.join(f'`{name}`' for name, at in again.items() if at == commit)} at commit\n{commit}"
        for commit in dict.fromkeys(again.values())
    ]
    return f"\nMeasured by themselves, later: {'; '.join(found)}." if found else ""


def small_table(sets: dict[str, Any]) -> list[str]:
    """Lengths and shortcuts of the small world's sets."""
    return table(
        ["set", "tokens of a question", "steps", "best shortcut of each kind: right in % [95 % interval]"],
        [
            [f"`{name}`", f"{of['tokens']:.1f}", f"{of['steps']:.3g}", shortcuts(of["best"])]
            for name, of in sets.items()
        ],
    )


def guess_table(sets: dict[str, Any]) -> list[str]:
    """What guesses get right on word problems, in %."""
    found = {name: of["guesses"] for name, of in sets.items() if of["guesses"]}
    names = next(iter(found.values()))
    return table(
        ["guess", *(f"`{name.removeprefix('word-problems') or name}`" for name in found)],
        [[guess, *(f"{100 * of[guess]:.1f}" for of in found.values())] for guess in names],
    )


def comparison(found: dict[str, Any]) -> list[str]:
    """The table of two sets, and its largest difference."""
    rows = [[r["name"], pair(r["published"]), pair(r["ours"]), f"{r['apart']:+.1f}"] for r in found["rows"]]
    far = max(found["rows"], key=lambda row: abs(row["apart"]))
    beyond = [row["name"] for row in found["rows"] if abs(row["apart"]) > found["limit"]]
    said = f"Beyond it: {', '.join(beyond)}." if beyond else "None is beyond it."
    return [
        f"{len(found['rows'])} figures; the largest difference is {abs(far['apart']):.1f} standard errors "
        f"({far['name']}), where chance alone stays below {found['limit']:.1f} in 99 of 100 such tables. {said}",
        "",
        "<details><summary>all figures</summary>",
        "",
        *table(
            ["figure", f"published, {found['published']:,}", f"generated, {found['ours']:,}", "apart, standard errors"],
            rows,
        ),
        "</details>",
        "",
    ]
