"""Run folders to a table in the shape of the paper's Table 1, with intervals, both token counts and seconds.

rows.py      run folders to rows, one for each method and task
columns.py   what a row says, cell by cell
layouts.py   rows as a grid: a line for each row, or a line for each method
styles.py    a grid as Markdown or LaTeX
plain.py     CSV, one line a run
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unspoken.tables.columns import accuracy_cell
from unspoken.tables.layouts import TaskGroup, by_task, long, wide
from unspoken.tables.plain import plain
from unspoken.tables.rows import Row, Run, collect
from unspoken.tables.styles import latex, markdown

Format = Literal["md", "csv", "latex"]
Layout = Literal["long", "wide"]

__all__ = ["Format", "Layout", "Row", "Run", "TaskGroup", "accuracy_cell", "by_task", "collect", "render"]


def render(rows: Sequence[Row], style: Format, layout: Layout = "long") -> str:
    """The table as Markdown, CSV or LaTeX, ending in a newline.

    `long` has a line for each method and task; `wide` a line for each method and, as in the paper's Table 1, a group of
    columns for each task. CSV has a line for each run, whatever the layout.

    Raises:
        ValueError: the wide layout has one cell for several rows.
    """
    if style == "csv":
        return plain(rows)
    grid = long(rows) if layout == "long" else wide(rows)
    return markdown(grid) if style == "md" else latex(grid)
