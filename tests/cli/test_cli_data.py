"""`unspoken data ...` and `unspoken eval --on`: what they answer, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny
from unspoken.cli.data import ACTIONS, picture
from unspoken.methods import Coconut, CoT, ICoT, NoCoT, PauseAsThought, WithoutThought
from unspoken.records import read_summary
from unspoken.tasks.base import FileTask, Split, Written
from unspoken.tasks.hops import Hops
from unspoken.tasks.known import KINDS, TASKS, find_task, recognise
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root
from unspoken.train import fit

GSM = [{"question": f"What is {i} and 2?", "steps": [f"<<{i}+2={i + 2}>>"], "answer": str(i + 2)} for i in range(30)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a few files."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "gsm.json").write_text(json.dumps(GSM))
    (tmp_path / "here" / "empty.json").write_text("[]")
    (tmp_path / "here" / "odd.json").write_text('[{"prompt": "x"}]')
    (tmp_path / "here" / "wide.json").write_text(json.dumps(GSM), encoding="utf-16")
    (tmp_path / "here" / "blank.json").write_text(" \n")
    (tmp_path / "here" / "deep.json").write_text("[" * 100_000)
    for name in ("words.md", "words.jsonl"):
        (tmp_path / "here" / name).write_text("# Read me\n\nWords, and more words.\n" * 30)
    (tmp_path / "here" / "half.json").write_text('[{"question": "Is Tom a')
    return tmp_path / "here"


def printed(command: str, capsys: Capture) -> str:
    """What a command writes to stdout."""
    capsys.readouterr()
    call(command)
    return capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------- refusals

BAD: dict[str, tuple[str, ...]] = {
    "data mak prosqa": ("'mak'", "did you mean 'make'?"),
    "data make": ("prosqa",),
    "data make gsm": ("'gsm'", "prosqa"),
    "data make prosqa": ("--out",),
    "data make prosqa --num 0 --out new.json": ("--num", "at least 1"),
    "data make prosqa --num x --out new.json": ("--num", "x"),
    "data make prosqa --num 3 --workers 0 --out new.json": ("--workers", "at least 1"),
    "data make prosqa --num 3 --out gsm.json": ("gsm.json exists", "--out"),
    "data make prosqa --num 3 --out missing/new.json": ("missing: no such folder",),
    "data make prosqa --num 3 --out new.txt": ("new.txt", ".jsonl"),
    "data make prontoqa --hops 99 --out new.json": ("hops", "99"),
    "data make prosqa --min-hops 9 --max-hops 3 --out new.json": ("min_hops 9", "max_hops 3"),
    "data show": ("files or the name of a task", "unspoken data list"),
    "data audit": ("files or the name of a task", "unspoken data list"),
    "data show nothing": ("no task named 'nothing', and no such file", "prosqa"),
    "data show prosq": ("did you mean 'prosqa'?",),
    "data show nothing.json": ("nothing.json", "No such file"),
    "data show gsm.json --row 30": ("--row", "0 to 29"),
    "data show gsm.json --row -1": ("--row",),
    "data show gsm.json --recipe gsm8k/gpt2/coconu": ("did you mean 'gsm8k/gpt2/coconut'?",),
    "data show gsm.json --task fork": ("'fork'",),
    "data show empty.json": ("empty.json",),
    "data show half.json": ("half.json", "not JSON"),
    "data show odd.json": ("odd.json", "prompt", "--task"),
    "data show odd.json --task own": ("odd.json: row 0", "question"),
    "data stats gsm.json --against prosqa": ("GSM8K", "ProsQA", "--against a file or a task that is GSM8K"),
    "data stats gsm.json --formt md": ("--format",),
    "data audit empty.json": ("empty.json",),
    "data audit gsm.json --num 0": ("--num",),
    "data audit gsm.json --out gsm.json": ("gsm.json exists",),
    "data convert gsm.json --out new.csv": ("new.csv", ".jsonl"),
    "data convert gsm.json --out gsm.json": ("gsm.json exists",),
    "data make multiplication --left 5000 --out new.json": ("at most 1000 digits",),
    "data make prosqa --out /proc/new.json": ("/proc/new.json: cannot be written",),
    "data show prosqa-8-hops --split": ("--split",),
    "data show own": (
        "OwnFile has no test split among the shared data",
        "name a file in place of own, with --task own",
    ),
    "data show deep.json": ("deep.json", "not JSON"),
    "data show wide.json": ("wide.json: is UTF-16; save it as UTF-8",),
    "data validate words.md --tokenizer None": ("words.md: not JSON", ".jsonl"),
    "data validate words.jsonl": ("words.jsonl: not JSON",),
    "data validate wide.json --tokenizer None": ("wide.json: is UTF-16",),
    "data show blank.json": ("blank.json: holds no rows",),
    "data validate prosqa --tokenizer None": ("prosqa is a task; validate takes a file",),
    "data validate gsm.json --positions 0": ("--positions", "at least 1"),
    "data validate gsm.json --inserted -1": ("--inserted", "at least 0"),
    "data validate nothing.json --tokenizer None": ("nothing.json", "No such file"),
    "data validate gsm.json --tokenizer nowhere": ("nowhere", "no tokenizer there"),
    "data validate gsm.json --against odd.json --tokenizer None": ("odd.json",),
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get a command wrong: a traceback, a box of twenty lines, or a file left behind."""
    if "against prosqa" in command and not (data_root() / "prosqa/prosqa_test.json").is_file():
        pytest.skip(f"no ProsQA files in {data_root()}")
    line = refused(command, capsys)
    for words in BAD[command]:
        assert words in line


# -------------------------------------------------------------------------------------------------------------- make


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_and_read_by_its_task(kind: str, here: Path, capsys: Capture) -> None:
    """Guards the way from a generator to training: the file is recognised, and every row passes the reader's checks."""
    assert printed(f"data make {kind} --num 5 --seed 3 --out p.json", capsys) == "5 problems: p.json\n"
    task = recognise(here / "p.json")
    read = task.read(here / "p.json")
    made = KINDS[kind].generator.problems(num=5, seed=3)
    assert [(e.question, e.steps, e.answer) for e in read] == [(e.question, e.steps, e.answer) for e in made]
    call(f"data make {kind} --num 2 --seed 3 --out q.jsonl --workers 1")
    assert list(task.read(here / "q.jsonl")) == list(read)[:2]


def test_make_lists_what_it_can_make(capsys: Capture) -> None:
    """Guards the help: every kind with a line that says what it is."""
    out = printed("data make --help", capsys)
    assert all(f"\n  {kind} " in out for kind in KINDS)
    overview = printed("data", capsys)
    assert overview == printed("data --help", capsys)
    assert all(f"\n  {action} " in overview for action in ACTIONS)


def test_settings_are_flags(here: Path, capsys: Capture) -> None:
    """Guards the flags: a setting of the generator changes the problems, and its default does not."""
    call("data make prontoqa --num 3 --out a.json --hops 2")
    call("data make prontoqa --num 3 --out b.json --hops 5")
    call("data make prontoqa --num 3 --out c.json")
    assert [len(row["steps"]) for row in json.loads(Path("a.json").read_text())] == [3] * 3
    assert Path("b.json").read_bytes() == Path("c.json").read_bytes()


# ----------------------------------------------------------------------------------------------- show, stats, convert


def test_show_tells_a_row_and_its_layouts(here: Path, capsys: Capture) -> None:
    """Guards what a newcomer looks at first: question, steps, answer, and what becomes of them at each stage."""
    out = printed("data show gsm.json --row 3 --recipe gsm8k/gpt2/coconut", capsys)
    assert "gsm.json, row 3 of 30, task GSM8K" in out
    assert "question  What is 3 and 2?" in out and "<<3+2=5>>" in out and "### 5" in out
    assert "stage 0   ... What is 3 and 2? <bot> <eot> [<<3+2=5>> ### 5 <end>]" in out
    assert "stage 1   ... What is 3 and 2? <bot> T T <eot> [### 5 <end>]" in out


PICTURES = {
    "... Q <bot> T T <eot> [c ### A <end>]": (Coconut(thoughts_per_step=1), 2),
    "... Q <bot> P P <eot> [c ### A <end>]": (PauseAsThought(), 2),
    "... Q [a b c ### A <end>]": (CoT(), 0),
    "... Q [### A <end>]": (NoCoT(), 0),
    "... Q [c ### A <end>] ": (WithoutThought(), 2),
    "... Q [b c ### A <end>]": (ICoT(tokens_per_stage=1, remove_all_beyond=9, smoothing=99.0), 1),
}


@pytest.mark.parametrize("wanted", PICTURES)
def test_pictures(wanted: str) -> None:
    """Guards the picture against the layout: what is removed, what stands in its place, where the loss is."""
    method, stage = PICTURES[wanted]
    assert picture(Written(question="Q", steps=("a", "b", "c"), answer="### A"), method, stage) == wanted.strip()


def test_stats_in_every_format(here: Path, capsys: Capture) -> None:
    """Guards figures that nobody can take over: the same ones as text, as a Markdown table and as CSV."""
    rows = list(csv.reader(io.StringIO(printed("data stats gsm.json --format csv", capsys))))
    assert rows[0][0] == "figure" and {len(row) for row in rows} == {3}
    found = {row[0]: row[1:] for row in rows}
    assert found["steps"] == ["1", "0"]
    markdown = printed("data stats gsm.json --format md", capsys)
    assert markdown.splitlines()[1] == "| --- | ---: | ---: |"
    for form in (markdown, printed("data stats gsm.json", capsys)):
        assert all(row[0] in form and row[1] in form for row in rows)


def test_the_papers_figures_stand_beside_published_problems_only(here: Path, capsys: Capture) -> None:
    """Guards a comparison with accuracies on other problems: ours, harder ones, or a file that only has the name."""
    call("data make prosqa --num 60 --out prosqa_test.json")
    for what in ("prosqa_test.json", "prosqa-8-hops --num 60"):
        assert "The paper's figures" not in printed(f"data audit {what}", capsys)
    if not (data_root() / "prosqa/prosqa_test.json").is_file():
        pytest.skip(f"no ProsQA files in {data_root()}")
    for what in ("prosqa", str(data_root() / "prosqa/prosqa_test.json")):
        assert "The paper's figures" in printed(f"data audit {what} --num 60", capsys)


def test_marks_and_odd_line_ends_hide_no_format(here: Path, capsys: Capture) -> None:
    """Guards files of other editors: a byte order mark, and a character that only looks like a line end."""
    Path("bom.json").write_bytes(b"\xef\xbb\xbf" + Path("gsm.json").read_bytes())
    Path("ends.txt").write_text("What is\u2028 1 and 1?||<<1+1=2>> #### 2\n", encoding="utf-8")
    assert "task GSM8K" in printed("data show bom.json", capsys)
    assert "task GSM8K" in printed("data show ends.txt", capsys)


def test_columns_hold_for_both_sides(here: Path, capsys: Capture) -> None:
    """Guards `--against` with a file of one's own, which has the same columns."""
    Path("mine.json").write_text(json.dumps([{"q": f"{i}?", "a": i} for i in range(9)]))
    columns = "--columns.question q --columns.answer a --columns.steps s"
    assert "no figure differs" in printed(f"data stats mine.json {columns} --against mine.json", capsys)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_file_is_taken_back(number: signal.Signals, here: Path) -> None:
    """Guards Ctrl-C and a scheduler's SIGTERM in the middle of `data make`: 130, one line, and nothing left behind."""
    command = [sys.executable, "-m", "unspoken", "data", "make", "prosqa-debiased", "--num", "50000", "--out", "a.json"]
    # A suite in the background of a shell may have been told to ignore Ctrl-C, and its children inherit that.
    process = subprocess.Popen(
        [*command, "--workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not Path(".a.json.partial").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "unspoken: interrupted\n")
    assert not list(here.glob("*a.json*"))


def test_stats_side_by_side(here: Path, capsys: Capture) -> None:
    """Guards the verdict: a set is not apart from itself, and a set of other lengths is."""
    call("data make prontoqa --num 40 --out a.json")
    call("data make prontoqa --num 40 --seed 1 --out b.json")
    call("data make prontoqa --num 40 --hops 3 --out c.json")
    assert "largest difference" in printed("data stats a.json --against a.json", capsys)
    assert "no figure differs beyond chance" in printed("data stats a.json --against b.json", capsys)
    assert "not the same distribution" in printed("data stats a.json --against c.json", capsys)


def test_convert_there_and_back(here: Path, capsys: Capture) -> None:
    """Guards conversion: the same problems in all three formats, and the published fields of a task kept."""
    call("data convert gsm.json --out gsm.txt")
    call("data convert gsm.txt --out gsm.jsonl")
    call("data convert gsm.jsonl --out again.json")
    assert Path("again.json").read_bytes() == Path("gsm.json").read_bytes()
    call("data make prosqa --num 3 --out p.json")
    call("data convert p.json --out p.jsonl")
    call("data convert p.jsonl --out q.json")
    assert Path("q.json").read_bytes() == Path("p.json").read_bytes()


def test_convert_without_the_rows_of_another_file(here: Path, capsys: Capture) -> None:
    """Guards validation problems in a training file: the original GSM8K's holds the 500 of the published split."""
    Path("valid.json").write_text(json.dumps(GSM[3:8]))
    out = printed("data convert gsm.json --out train.json --without valid.json", capsys)
    assert out == "25 rows of gsm.json, 5 left out: train.json\n"
    assert json.loads(Path("train.json").read_text()) == GSM[:3] + GSM[8:]


# ---------------------------------------------------------------------------------------------------- validate, audit


def test_validate_a_good_file(here: Path, capsys: Capture) -> None:
    """Guards noise: a file without faults has no finding, and exit code 0."""
    out = printed("data validate gsm.json --tokenizer None", capsys)
    assert "30 rows" in out and "0 errors, 0 warnings" in out


def test_validate_names_the_first_twenty(here: Path, capsys: Capture) -> None:
    """Guards a terminal full of findings: file, row and field of the first twenty, a count of all, exit code 2."""
    rows = [{**row, "answer": ""} for row in GSM[:25]] + GSM[25:]
    Path("bad.json").write_text(json.dumps(rows))
    with pytest.raises(SystemExit) as stop:
        call("data validate bad.json --task own --tokenizer None")
    out = capsys.readouterr().out
    assert stop.value.code == 2
    assert "bad.json: row 0: answer" in out and "bad.json: row 19: answer" in out
    assert "row 20: answer" not in out and "5 more" in out


def test_validate_counts_tokens(here: Path, capsys: Capture) -> None:
    """Guards the lengths: with GPT-2's tokenizer, and rows that would not fit are errors."""
    if not (data_root() / "tokenizer/gpt2/vocab.json").is_file():
        pytest.skip(f"no GPT-2 tokenizer in {data_root()}")
    assert "in tokens" in printed("data validate gsm.json", capsys)
    with pytest.raises(SystemExit) as stop:
        call("data validate gsm.json --positions 20")
    assert stop.value.code == 2


def test_validate_without_the_default_tokenizer(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a first try without the shared data: everything but the lengths, and a note that says so."""
    monkeypatch.setenv("UNSPOKEN_DATA", str(here))
    call("data validate gsm.json")
    out, err = capsys.readouterr()
    assert "0 errors, 0 warnings" in out and "in tokens" not in out
    assert err.startswith("unspoken: note: lengths left out") and err.count("\n") == 1


def test_audit_prints_and_writes(here: Path, capsys: Capture) -> None:
    """Guards the audit's three outputs: a table with a verdict, CSV, and a folder with the figure and its data."""
    call("data make prosqa --num 120 --out p.json")
    out = printed("data audit p.json --out found", capsys)
    assert "p.json: 120 problems" in out and "nearest source" in out and "learned" in out
    assert (here / "found" / "audit.md").read_text() == out
    assert {file.suffix for file in (here / "found").iterdir()} == {".md", ".csv", ".png", ".svg"}
    rows = list(csv.DictReader(io.StringIO(printed("data audit p.json --num 50 --format csv", capsys))))
    assert {row["num"] for row in rows if row.get("num")} == {"50"}


# -------------------------------------------------------------------------------------------------------- known tasks


@pytest.mark.parametrize("name", TASKS)
def test_published_files_are_recognised(name: str) -> None:
    """Guards files taken for another task's, which would be judged by the wrong rules."""
    task = find_task(name)
    files = [data_root() / file for file in set(task.published.values())] if isinstance(task, FileTask) else []
    if not files or not all(file.is_file() for file in files):
        pytest.skip(f"{name} has no files in {data_root()}")
    for file in files:
        assert type(recognise(file)) is type(task)


@pytest.mark.parametrize(
    ("content", "suffix", "name"),
    [
        ('[{"question": "Who?", "steps": [], "answer": "Ann"}]', ".json", "own"),
        ('{"question": "who sang it", "answer": ["Ann", "Bob"]}', ".jsonl", "open-qa"),
        ('{"question": "2 and 2?", "answer": "It is <<2+2=4>>4.\\n#### 4"}', ".jsonl", "gsm8k"),
        ("2 and 2?||<<2+2=4>> #### 4", ".txt", "gsm8k"),
        ('[{"sQuestion": "2 and 2?", "lEquations": ["X=(2.0+2.0)"], "lSolutions": [4.0]}]', ".json", "multiarith"),
    ],
)
def test_formats_are_recognised_by_content(content: str, suffix: str, name: str, tmp_path: Path) -> None:
    """Guards formats that have no file among the shared data."""
    path = tmp_path / f"data{suffix}"
    path.write_text(content)
    assert type(recognise(path)) is type(find_task(name))


def test_eval_on_other_problems(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards out-of-domain tests: the other task's problems under the run's method, in a folder of their own."""
    fit(tiny(max_steps=2), here / "run")
    other = Hops(nodes=5, hops=3, num_test=12, data_seed=5)
    monkeypatch.setitem(TASKS, "other", other)
    call("eval run --on other --single 0")
    summary = read_summary(here / "run" / "eval" / "other-test")
    assert summary.num == 12 and summary.task["hops"] == 3
    assert "no task named 'oter', and no such file (did you mean 'other'?)" in refused("eval run --on oter", capsys)
    call("data make prosqa --num 2 --out p.json")
    assert "makes its problems and reads no files" in refused("eval run --on p.json", capsys)
    assert ProsQA().asking(other) is other


@pytest.mark.parametrize("name", [name for name in TASKS if name in KINDS and name not in ("prosqa", "prontoqa")])
def test_generated_tasks_have_three_splits(name: str) -> None:
    """Guards `eval --on` where no file is: every split is there, and no problem of one is in another."""
    splits: list[Split] = ["train", "valid", "test"]
    questions = [{example.question for example in find_task(name).examples(split)[:20]} for split in splits]
    assert [len(found) for found in questions] == [20] * 3
    assert len(set.union(*questions)) == 60


def test_list_says_what_is_here(capsys: Capture) -> None:
    """Guards the names one has to know: every task in a line, with where its problems are."""
    table, _, way_out = printed("data list", capsys).partition("\n\n")
    lines = table.splitlines()
    assert [line.split()[0] for line in lines] == list(TASKS)
    generated = [line for line in lines if line.startswith(("prosqa-", "prontoqa-", "word-problems"))]
    assert len(generated) > 15 and all("[generated]" in line for line in generated)
    assert "[name a file]" in next(line for line in lines if line.startswith("own "))
    assert "eval RUN --on FILE" in way_out and "--task.test-file FILE" in way_out


def test_list_stands_in_columns_and_tells_tasks_apart(capsys: Capture) -> None:
    """Guards names longer than their column, and two tasks under one description."""
    lines = printed("data list", capsys).partition("\n\n")[0].splitlines()
    assert len({line.index("[") for line in lines}) == 1
    assert len({line.partition("]")[2].strip() for line in lines}) == len(lines)
    kinds = [line for line in printed("data make --help", capsys).splitlines() if line.startswith("  ")]
    assert len({line.index(kind.about) for line, kind in zip(kinds, KINDS.values(), strict=True)}) == 1
