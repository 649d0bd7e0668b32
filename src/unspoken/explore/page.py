"""The page as one file: template, style and scripts of this folder, and the data as JSON between two tags."""

from __future__ import annotations

import html
import re
from importlib.resources import files
from pathlib import Path

import msgspec

from unspoken.explore.payload import Payload

SCRIPTS = ("dom.js", "graph.js", "charts.js", "views.js", "overall.js", "app.js")
"""In the order they are run."""

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render_page(payload: Payload) -> str:
    """The page as HTML that needs nothing else."""
    parts = {
        "title": html.escape(f"{payload.run}: {payload.method} on {payload.task}"),
        "style": _read("style.css"),
        "scripts": "\n".join(map(_read, SCRIPTS)),
        "data": embedded(payload),
    }
    # In one pass, so that what looks like a place inside the data stays what it is.
    return _PLACE.sub(lambda place: parts[place[1]], _read("template.html"))


def embedded(payload: Payload) -> str:
    r"""The payload as JSON that no HTML parser takes for markup: `<` is written as `\u003c`, in strings only.

    So neither `</script>` nor `<!--` can end the data, whatever stands in a problem.
    """
    text = msgspec.json.encode(payload).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_page(path: Path, payload: Payload) -> int:
    """Writes the page, whole or not at all, and returns its size in bytes; the folder is made if it is missing."""
    data = render_page(payload).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(data)


def _read(name: str) -> str:
    return (files("unspoken.explore") / name).read_text(encoding="utf-8")
