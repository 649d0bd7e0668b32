"""A grid of text as Markdown or LaTeX, both ending in a newline."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unspoken.tables.layouts import Grid

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
}


def markdown(grid: Grid) -> str:
    """Markdown, where a heading above a heading becomes part of it."""
    above = [title for title, width in grid.groups for _ in range(width)] or [""] * len(grid.head)
    head = [f"{title}: {_lower(name)}" if title else name for title, name in zip(above, grid.head, strict=True)]
    rule = ["---" if text else "---:" for text in grid.text]
    lines = [_barred(head), "| " + " | ".join(rule) + " |", *(_barred(line) for line in grid.body)]
    return "\n".join([*lines, ""])


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _barred(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def latex(grid: Grid) -> str:
    """A `tabular` that needs no package."""
    lines = [rf"\begin{{tabular}}{{{''.join('l' if text else 'r' for text in grid.text)}}}", r"\hline"]
    if grid.groups:
        spans = [rf"\multicolumn{{{width}}}{{c}}{{{_escaped(title)}}}" for title, width in grid.groups]
        lines += [" & ".join(spans) + r" \\", *_rules_below(grid)]
    lines += [_ampersands(grid.head), r"\hline", *(_ampersands(line) for line in grid.body)]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _rules_below(grid: Grid) -> list[str]:
    """A rule below each heading that stands over several columns."""
    rules: list[str] = []
    first = 1
    for title, width in grid.groups:
        if title:
            rules.append(rf"\cline{{{first}-{first + width - 1}}}")
        first += width
    return rules


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # A hyphen before a figure is a minus. A bracket or star after the last line's \\ would be read as its argument.
    escaped = re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)
    return "{}" + escaped if escaped.startswith(("[", "*")) else escaped
