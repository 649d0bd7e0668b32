"""Data files: what is read, and what an error says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.rows import QuestionRow, data_file, data_root, read_rows

ITEMS = [{"question": f"q{i}?", "steps": ["a", "b"][:i], "answer": str(i)} for i in range(3)]
ROWS = [QuestionRow(question=f"q{i}?", steps=("a", "b")[:i], answer=str(i)) for i in range(3)]
LIST = json.dumps(ITEMS).encode()
LINES = "\n".join(json.dumps(item) for item in ITEMS).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.json", LIST),
        ("rows.json.gz", gzip.compress(LIST, mtime=0)),
        ("rows.jsonl", LINES),
        ("rows.jsonl", LINES + b"\n\n"),
        ("rows.jsonl", LINES.replace(b"\n", b"\r\n")),
        ("rows.jsonl.gz", gzip.compress(LINES + b"\n", mtime=0)),
    ],
)
def test_reads_every_format(name: str, data: bytes, tmp_path: Path) -> None:
    """Guards the four formats users have, and blank or Windows line ends."""
    (tmp_path / name).write_bytes(data)
    assert read_rows(tmp_path / name, QuestionRow) == ROWS


@given(texts=st.lists(st.text()))
def test_any_text_survives(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Guards JSON lines against characters that `str.splitlines` would break at (U+2028 inside a question)."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    items = [{"question": text, "steps": [text], "answer": text} for text in texts]
    path.write_text("\n".join(json.dumps(item, ensure_ascii=False) for item in items), encoding="utf-8", newline="\n")
    assert [row.question for row in read_rows(path, QuestionRow)] == texts


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    """Guards files with more columns than needed, such as ProsQA's graph."""
    (tmp_path / "rows.json").write_text(json.dumps([{**ITEMS[1], "extra": {"a": 1}}]))
    assert read_rows(tmp_path / "rows.json", QuestionRow) == ROWS[1:2]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b'{"question": "q"}', r"a\.json: expected a JSON list of rows, got dict"),
        ("a.json", b"[{", r"a\.json: whole file: not JSON: "),
        ("a.json", b'["\xff"]', r"a\.json: whole file: not JSON: "),
        ("a.json", json.dumps([ITEMS[0], {**ITEMS[1], "answer": 3}]).encode(), r"a\.json: row 1: .*`\$\.answer`"),
        ("a.json", json.dumps([{**ITEMS[1], "steps": ["a", 3]}]).encode(), r"a\.json: row 0: .*`\$\.steps\[1\]`"),
        ("a.json", json.dumps([{"question": "q", "steps": []}]).encode(), r"a\.json: row 0: .*`answer`"),
        ("a.jsonl", LINES + b"\n\n{", r"a\.jsonl: line 5: not JSON: "),
        ("a.jsonl", b"\n" + json.dumps({**ITEMS[0], "question": None}).encode(), r"a\.jsonl: line 2: .*`\$\.question`"),
        ("a.json.gz", b"[]", r"a\.json\.gz: not a complete gzip file: "),
        ("a.json.gz", gzip.compress(LIST, mtime=0)[:-9], r"a\.json\.gz: not a complete gzip file: "),
    ],
)
def test_errors_name_file_row_and_field(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    """Guards errors that leave the user searching: each must name the file, the row and the field."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_rows(tmp_path / name, QuestionRow)


def test_damaged_gzip_is_an_error_of_ours(tmp_path: Path) -> None:
    """Guards a bare `zlib.error` from a download with flipped bits in the middle."""
    data = bytearray(gzip.compress(LIST * 50))
    data[12:40] = bytes(255 - byte for byte in data[12:40])
    (tmp_path / "a.json.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.json\.gz: not a complete gzip file: "):
        read_rows(tmp_path / "a.json.gz", QuestionRow)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Guards a bare FileNotFoundError, and a directory given for a file."""
    with pytest.raises(ValueError, match=r"none\.json: cannot be read: No such file"):
        read_rows(tmp_path / "none.json", QuestionRow)
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_rows(tmp_path, QuestionRow)


def test_data_root_is_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards the order of places: UNSPOKEN_DATA first, and an error that says how to set it."""
    monkeypatch.setenv("UNSPOKEN_DATA", str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(ValueError, match=r"some/file\.json: no such data file; set UNSPOKEN_DATA to the folder"):
        data_file("some/file.json")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "file.json").write_text("[]")
    assert read_rows(data_file("some/file.json"), QuestionRow) == []


def test_data_root_beside_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards runs started in a checkout without the environment variable."""
    monkeypatch.delenv("UNSPOKEN_DATA", raising=False)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    assert data_root().resolve() == (tmp_path / "shared" / "data").resolve()
