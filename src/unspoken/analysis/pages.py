"""Pieces of a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from unspoken.analysis.bootstrap import Interval


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """A Markdown table; its first `left` columns are text, the rest numbers. Ends in an empty line."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return ["| " + " | ".join(line) + " |" for line in [head, rule, *rows]] + [""]


def figure(name: str, about: str) -> list[str]:
    """A figure of the page's folder, with its caption."""
    files = f"[SVG](figures/{name}.svg), [data](figures/{name}.csv)"
    return [f"![{about}](figures/{name}.png)", "", f"*{about}* ({files})", ""]


def plain(found: Interval | None, digits: int = 2) -> str:
    """A mean with its interval; a dash where there is none."""
    if found is None:
        return "-"
    mean, low, high = (f"{round(each, digits) + 0.0:.{digits}f}" for each in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def percent(found: Interval | None) -> str:
    """A share in per cent, with its interval; a dash where there is none."""
    if found is None:
        return "-"
    return plain(Interval(mean=100 * found.mean, low=100 * found.low, high=100 * found.high), 1)


def code(text: str) -> str:
    """Text as it stands, inside a table's cell."""
    shown = text.replace("\n", "\\n").replace("|", "\\|").replace("`", "'")
    return f"`{shown}`"


def count(num: int, what: str) -> str:
    """ "1 thought", "2 thoughts"."""
    return f"{num:,} {what}" + ("" if num == 1 else "s")
