"""The page as a file: whole, by itself, and safe whatever stands in a problem."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

import unspoken.explore
from explore.looked import NASTY, nasty, page_of
from unspoken.explore.page import render_page, write_page


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        self.data += data if self._inside else ""


def parsed(text: str) -> _Tags:
    tags = _Tags()
    tags.feed(text)
    return tags


def test_data_cannot_end_its_element() -> None:
    """`</script>` in a question would end the data and run what follows."""
    plain, tags = parsed(render_page(page_of("bfs"))), parsed(render_page(nasty()))
    assert [tag for tag, _ in tags.found] == [tag for tag, _ in plain.found]
    found = json.loads(tags.data)
    assert found["problems"][0]["question"] == found["run"] == NASTY
    assert found == json.loads(msgspec.json.encode(nasty()))


def test_the_page_needs_nothing_else() -> None:
    """A page that loads something is blank on a train, and tells others who reads it."""
    text = render_page(page_of("bfs"))
    tags = parsed(text)
    for tag, attributes in tags.found:
        assert tag not in ("iframe", "object", "embed", "base")
        source = attributes.get("src") or attributes.get("href") or ""
        assert source == "" or source.startswith(("data:", "#")), (tag, source)
    assert "@import" not in text and not re.search(r"url\(\s*['\"]?https?:", text)
    assert "default-src 'none'" in text
    assert not re.search(r"\{\{\w+\}\}", text)


def test_scripts_never_parse_data_as_markup() -> None:
    """Guards the rule that data is set as text only."""
    folder = Path(unspoken.explore.__file__).parent
    scripts = sorted(folder.glob("*.js"))
    assert len(scripts) >= 6
    for script in scripts:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script.read_text())


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted write must leave the page that was there."""
    out = tmp_path / "new" / "page.html"
    assert write_page(out, page_of("bfs")) == out.stat().st_size
    before = out.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_page(out, nasty())
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
    assert out.read_bytes() == before


def test_numbers_are_short() -> None:
    """Four decimals are more than a reader sees; sixteen make a page four times as large."""
    text = msgspec.json.encode(page_of("bfs")).decode()
    assert not re.search(r"\d\.\d{5,}", text)
    assert "NaN" not in text
