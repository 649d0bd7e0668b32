"""What `validate` finds: nothing in valid files, every corruption of one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspoken.tasks.base import Example, FileTask, Split
from unspoken.tasks.open_qa import OpenQA
from unspoken.tasks.own import Columns, OwnFile
from unspoken.validation.lengths import Spread
from unspoken.validation.validate import Finding, Report, validate

ROWS = [{"question": f"{i} + {i}?", "steps": [f"<<{i}+{i}={2 * i}>>", "so"], "answer": str(2 * i)} for i in range(5)]

NO_STEPS: list[str] = []


def _key(text: Any) -> str:
    return " ".join(text.split()).casefold()


GOOD = st.text("abcXYZ 0123456789é漢.,?!'<>=", min_size=1).filter(lambda text: text == text.strip())
GOOD_ROW = st.fixed_dictionaries({"question": GOOD, "steps": st.lists(GOOD, max_size=4), "answer": GOOD})
GOOD_ROWS = st.lists(GOOD_ROW, min_size=1, max_size=12, unique_by=lambda row: _key(row["question"]))


def _write(path: Path, rows: Sequence[Any]) -> Path:
    text = "\n".join(map(json.dumps, rows)) if ".jsonl" in path.name else json.dumps(rows)
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    return path


def _words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def _told(report: Report) -> list[tuple[str, str, str, str]]:
    return [(f.where, f.field, f.kind, f.severity) for f in report.findings]


@given(rows=GOOD_ROWS, name=st.sampled_from(("a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz")))
def test_nothing_is_found_in_valid_files(
    rows: list[dict[str, Any]], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards false alarms: a user whose file is right must be told so, however it is packed."""
    report = validate(_write(tmp_path_factory.mktemp("valid") / name, rows), count_tokens=_words)
    # Commas are taken out of answers, as in the published evaluation, on both sides.
    assert report.findings == ()
    assert (report.rows, report.problems) == (len(rows), len(rows))
    assert report.lengths is not None and report.lengths.steps.most == max(len(row["steps"]) for row in rows)


def _put(field: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {**row, field: value}


def _drop(field: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {name: value for name, value in row.items() if name != field}


def _step(text: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {**row, "steps": ["one", text, "three"]}


REFUSED = "refused by the task"
CORRUPTIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str, str]] = {
    "no question": (_drop("question"), "question", REFUSED, "error"),
    "no answer": (_drop("answer"), "answer", REFUSED, "error"),
    "question is a number": (_put("question", 3), "question", REFUSED, "error"),
    "answer is null": (_put("answer", None), "answer", REFUSED, "error"),
    "answer is a list": (_put("answer", ["a"]), "answer", REFUSED, "error"),
    "steps are an object": (_put("steps", {}), "steps", REFUSED, "error"),
    "a step is null": (_step(None), "steps[1]", REFUSED, "error"),
    "row is a text": (lambda row: row["question"], "", REFUSED, "error"),
    "row is null": (lambda row: None, "", REFUSED, "error"),
    "empty question": (_put("question", ""), "question", "empty question", "error"),
    "blank question": (_put("question", " \t"), "question", "empty question", "error"),
    "empty answer": (_put("answer", ""), "answer", "empty answer", "error"),
    "empty step": (_step(""), "steps[1]", "empty step", "warning"),
    "line end in step": (_step("a\nb"), "steps[1]", "line end inside", "warning"),
    "line end in answer": (_put("answer", "a\nb"), "answer", "line end inside", "warning"),
    "mark in answer": (_put("answer", "a ### b"), "answer", "answer never right", "error"),
    "mark in question": (_put("question", "what is ### here?"), "question", "answer mark inside", "warning"),
    "mark in step": (_step("#### 5"), "steps[1]", "answer mark inside", "warning"),
    "thought in question": (_put("question", "what is <|latent|>?"), "question", "special token", "warning"),
    "end of text in answer": (_put("answer", "5<|endoftext|>"), "answer", "special token", "warning"),
    "tokenizer's own token": (_step("a [SEP] b"), "steps[1]", "special token", "warning"),
    "blank before question": (_put("question", " what?"), "question", "blanks", "warning"),
    "blank after step": (_step("so "), "steps[1]", "blanks", "warning"),
    "blank after answer": (_put("answer", "5 "), "answer", "blanks", "warning"),
    "decomposed accent": (_put("question", "cafe\u0301 what?"), "question", "unicode", "warning"),
    "replacement character": (_step("5\ufffd"), "steps[1]", "encoding", "warning"),
    "wrong code page": (_put("answer", "cafÃ©"), "answer", "encoding", "warning"),
    "wrong code page, quotes": (_put("question", "whatâ€™s that?"), "question", "encoding", "warning"),
    "null character": (_put("question", "a\x00b"), "question", "invisible character", "warning"),
    "tab": (_step("a\tb"), "steps[1]", "invisible character", "warning"),
    "zero-width space": (_put("answer", "a\u200bb"), "answer", "invisible character", "warning"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=30)
@given(rows=GOOD_ROWS, data=st.data(), lines=st.booleans())
def test_every_corruption_is_found_and_nothing_else(
    name: str,
    rows: list[dict[str, Any]],
    data: st.DataObject,
    lines: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Guards each check, anywhere in any valid file: the row and field are named, and no other row is blamed."""
    corrupt, field, kind, severity = CORRUPTIONS[name]
    i = data.draw(st.integers(0, len(rows) - 1))
    changed = [*rows[:i], corrupt(rows[i]), *rows[i + 1 :]]
    path = _write(tmp_path_factory.mktemp("corrupt") / ("a.jsonl" if lines else "a.json"), changed)
    report = validate(path, special_tokens=["[SEP]"])
    where = f"line {i + 1}" if lines else f"row {i}"
    assert _told(report) == [(where, field, kind, severity)]
    assert report.findings[0].line(path).startswith(f"{path}: {where}: " + (f"{field}: " if field else ""))


@given(rows=GOOD_ROWS, data=st.data())
def test_broken_lines_do_not_hide_each_other(
    rows: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards reading on after an error: every broken line is named, every whole one is still checked."""
    broken = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    lines = [json.dumps(row) for row in rows]
    for i in broken:
        lines[i] = lines[i][: data.draw(st.integers(1, len(lines[i]) - 1))]
    path = tmp_path_factory.mktemp("broken") / "a.jsonl"
    path.write_text("\n\n".join(lines))
    report = validate(path)
    assert [f.where for f in report.findings] == [f"line {2 * i + 1}" for i in sorted(broken)]
    assert all("not JSON" in f.problem and f.severity == "error" for f in report.findings)
    assert (report.rows, report.problems) == (len(rows), len(rows) - len(broken))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"", "holds no rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.jsonl", b" \n\n", "holds no rows"),
        (
            "a.json",
            b'{"data": [], "version": 1}',
            "got an object with 'data', 'version'; write the list of rows itself",
        ),
        ("a.json", b"3", "expected a JSON list of rows, got int"),
        ("a.json", b'[{"question": "q",\n "answer" 3}]', "not JSON: Expecting ':' delimiter at line 2, column 11"),
        ("a.json", b'["\xff', "not UTF-8: invalid start byte at byte 2, line 1"),
        ("a.json", b'[{"question": NaN}]', "not JSON as the standard has it"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', "is JSON lines, not one JSON list; name it .jsonl"),
        ("a.jsonl", b'[{"a": 1},\n{"a": 2}]', "is one JSON list, not a JSON object a line; name it .json"),
        ("a.ndjson", b'{"a": 1}\n', "holds JSON under another name; name it .jsonl"),
        ("a.txt", b'[{"a": 1}]\n', "holds JSON under another name; name it .json"),
    ],
)
def test_files_that_are_wrong_as_a_whole(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    """Guards thousands of findings where one explains all: the container is wrong, not the rows."""
    (tmp_path / name).write_bytes(data)
    (finding,) = validate(tmp_path / name).findings
    assert (finding.where, finding.severity) == ("whole file", "error")
    assert message in finding.problem


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("bad", [b'{"question": "\xff"}', b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_bytes_and_depths_that_break_decoders(name: str, bad: bytes, tmp_path: Path) -> None:
    """Guards a traceback in place of a finding: bytes that are no UTF-8, and nesting that exhausts the stack."""
    rows = [*(json.dumps(row).encode() for row in ROWS[:2]), bad]
    lines = name.endswith("l")
    (tmp_path / name).write_bytes(b"\n".join(rows) if lines else b"[" + b",".join(rows) + b"]")
    report = validate(tmp_path / name)
    (finding,) = report.findings
    assert finding.severity == "error"
    if lines or b"\xff" in bad:
        assert finding.where == ("line 3" if lines else "row 2")
        assert report.problems == 2


def test_a_byte_order_mark_hides_nothing(tmp_path: Path) -> None:
    """Guards files saved by Windows' editors: the mark is no part of the text, and rows are checked as without it."""
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([*ROWS, {"question": "q"}]).encode())
    report = validate(tmp_path / "a.json")
    assert [f.where for f in report.findings] == ["row 5"]
    assert report.problems == 5


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    """Guards a clean report about a file that was never read."""
    with pytest.raises(ValueError, match=r"none\.json: cannot be read: No such file"):
        validate(tmp_path / "none.json")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[]" * 50)[:-9])
    with pytest.raises(ValueError, match="not a complete gzip file"):
        validate(tmp_path / "a.json.gz")


def test_repeated_questions(tmp_path: Path) -> None:
    """Guards duplicates: harmless ones are warned of, two answers to one question are an error, type plays no part."""
    rows = [
        {"question": "Who?", "answer": "a"},
        {"question": "who? ", "answer": "a"},
        {"question": "What?", "answer": "b"},
        {"question": "WHO?", "answer": "c"},
    ]
    report = validate(_write(tmp_path / "a.json", rows))
    assert _told(report) == [
        ("row 1", "question", "blanks", "warning"),
        ("row 1", "question", "repeated question", "warning"),
        ("row 3", "question", "contradicted answer", "error"),
    ]
    assert report.findings[2].problem == "the same as in row 0, but answered 'c' instead of 'a'"


def test_questions_of_another_file(tmp_path: Path) -> None:
    """Guards test problems in training data: each is an error that says where else it is; wrong rows there do not
    matter, but a file without a single right one does."""
    test = _write(tmp_path / "test.jsonl", [{"answer": "x"}, {**ROWS[3], "answer": "other"}, {"question": "new?"}])
    report = validate(_write(tmp_path / "train.json", ROWS), against=test)
    assert _told(report) == [("row 3", "question", "question also elsewhere", "error")]
    assert report.findings[0].problem == f"also in {test}, line 2"
    wrong = _write(tmp_path / "wrong.json", [{"answer": "x"}])
    with pytest.raises(
        ValueError, match=r"wrong\.json: no problem in it that OwnFile can read: not there, the row has"
    ):
        validate(tmp_path / "train.json", against=wrong)


def test_fields_have_the_users_names(tmp_path: Path) -> None:
    """Guards findings about a field the file does not have."""
    path = _write(tmp_path / "a.json", [{"q": " a", "cot": "b\n\ufffd", "a": "###"}])
    report = validate(path, OwnFile(columns=Columns(question="q", steps="cot", answer="a")))
    assert [f.field for f in report.findings] == ["q", "cot[1]", "a"]


def test_tasks_judge_their_own_answers(tmp_path: Path) -> None:
    """Guards answers that a task could never count as right, by its own reading of what was written."""
    path = _write(tmp_path / "a.json", [{"question": "q", "answer": "five"}, {"question": "r", "answer": "1 or 2"}])
    report = validate(path, OwnFile(compare="numeric"))
    assert [(f.where, f.kind) for f in report.findings] == [(f"row {i}", "answer never right") for i in (0, 1)]
    assert "written out and read back it is 'five', which OwnFile counts as wrong" in report.findings[0].problem
    path = _write(tmp_path / "b.json", [{"question": "q", "answer": ["#9 Dream"]}])
    assert _told(validate(path, OpenQA())) == []


def test_lengths_and_what_does_not_fit(tmp_path: Path) -> None:
    """Guards every length: parts counted one by one, the end of text with the answer, limits met and exceeded."""
    rows = [
        {"question": "a b", "steps": ["c d", "e"], "answer": "f"},
        {"question": "a b c d e f g h", "steps": NO_STEPS, "answer": "f"},
        {"question": "a", "steps": ["b c d e f g h i j k l"], "answer": "f"},
    ]
    path = _write(tmp_path / "a.json", rows)
    report = validate(path, OwnFile(longest_output=10), count_tokens=_words, positions=18, inserted=3)
    lengths = report.lengths
    assert lengths is not None
    assert lengths.question == Spread(least=1, median=2, p95=8, most=8)
    assert lengths.chain == Spread(least=0, median=3, p95=11, most=11)
    assert lengths.answer == Spread(least=3, median=3, p95=3, most=3)
    assert lengths.whole == Spread(least=8, median=11, p95=15, most=15)
    assert lengths.steps == Spread(least=0, median=1, p95=2, most=2)
    assert (lengths.without_steps, lengths.too_long, lengths.no_room, lengths.cut_short) == (1, 0, 1, 1)
    assert _told(report) == [("row 1", "", "no room to answer", "error"), ("row 2", "", "cut short", "warning")]
    tight = validate(path, OwnFile(longest_output=10), count_tokens=_words, positions=17, inserted=3)
    assert [(f.where, f.kind) for f in tight.findings] == [
        ("row 1", "no room to answer"),
        ("row 2", "too long"),
        ("row 2", "cut short"),
    ]
    assert tight.findings[1].problem == "takes 18 positions, more than the model's 17; training refuses it"
    small = validate(path, OwnFile(longest_output=18), count_tokens=_words, positions=20, inserted=3)
    assert _told(small) == [("whole file", "", "no room to answer", "error")], "said once, not for every row"
    assert validate(path).lengths is None, "nobody counted"
    free = validate(path, count_tokens=_words).lengths
    assert free is not None and (free.too_long, free.no_room, free.cut_short) == (0, 0, 0)


@given(values=st.lists(st.integers(0, 50), min_size=1))
def test_spreads(values: list[int]) -> None:
    """Guards percentiles: the smallest value that the share of problems does not exceed."""
    spread = Spread.of(values)
    assert (spread.least, spread.most) == (min(values), max(values))
    for percent, value in ((50, spread.median), (95, spread.p95)):
        assert 100 * sum(v <= value for v in values) >= percent * len(values)
        assert 100 * sum(v < value for v in values) < percent * len(values)


def test_the_report_in_words(tmp_path: Path) -> None:
    """Guards what the command prints: the first findings one by one, errors first, the rest counted by kind."""
    rows = [*ROWS, {"question": "a ", "answer": "x"}, {"question": "b ", "answer": "x"}, {"question": "c"}]
    path = _write(tmp_path / "a.json", rows)
    report = validate(path, count_tokens=_words, positions=300)
    assert report.errors == 1
    assert report.render(first=2)[:6] == [
        f"{path}: 8 rows, 7 problems as OwnFile reads it; 1 error, 2 warnings",
        f"  {path}: row 7: answer: not there, the row has question; name the right one in columns",
        f"  {path}: row 5: question: blanks at the end (warning)",
        "  and 1 more; in all:",
        "    1 error: refused by the task",
        "    2 warnings: blanks",
    ]
    text = "\n".join(report.render(first=20))
    assert "more; in all" not in text
    assert "without steps: 2 of 7" in text
    assert "over 300 positions: 0 of 7 in training" in text
    assert "no room for 256 new tokens: 0 of 7 in decoding" in text
    assert validate(_write(path, ROWS)).render(first=20) == [
        f"{path}: 5 rows, 5 problems as OwnFile reads it; 0 errors, 0 warnings"
    ]


def test_closed_vocabularies(tmp_path: Path) -> None:
    """Guards word-level tokenizers, which refuse a word they do not know."""

    @final
    @dataclass(frozen=True, kw_only=True)
    class Closed(FileTask):
        version: ClassVar[str] = "1"
        published: ClassVar[Mapping[Split, str]] = {}

        @property
        def max_new_tokens(self) -> int:
            return 8

        def read(self, path: Path) -> Sequence[Example]:
            return OwnFile().read(path)

        def words(self) -> Sequence[str]:
            return ("###", "a", "b")

    rows = [{"question": "a b", "steps": ["b"], "answer": "a"}, {"question": "a", "steps": ["c"], "answer": "a"}]
    report = validate(_write(tmp_path / "a.json", rows), Closed())
    assert _told(report) == [("row 1", "steps[0]", "unknown word", "error")]


def test_findings_are_plain_data() -> None:
    """Guards `--json`: a finding is its five fields, and reads as file, row, field, problem."""
    finding = Finding(where="row 3", field="steps[2]", kind="blanks", problem="blanks at the end", severity="warning")
    assert finding.line(Path("a.json")) == "a.json: row 3: steps[2]: blanks at the end (warning)"
    whole = Finding(where="whole file", field="", kind="file", problem="holds no rows", severity="error")
    assert whole.line(Path("a.json")) == "a.json: whole file: holds no rows"
