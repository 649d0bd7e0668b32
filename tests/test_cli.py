"""The command line: what it answers, and that every refusal is one line, exit code 2, and nothing touched."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny, tree
from unspoken.cli import COMMANDS, main
from unspoken.config import RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT
from unspoken.recipes import RECIPES
from unspoken.records import read_records, read_summary
from unspoken.tasks.rows import data_root
from unspoken.train import fit

PROSQA_FLAGS = ["--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--max-steps", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, `coconut` evaluated and `cot` not, and one that has not ended."""
    folder = tmp_path_factory.mktemp("trained")
    fit(tiny(max_steps=3), folder / "coconut")
    fit(tiny(recipe="demo/cot", method=CoT(), curriculum=Curriculum(stage_epochs=(1,)), max_steps=3), folder / "cot")
    (folder / "unfinished").mkdir()
    tiny().save(folder / "unfinished" / "config.json")
    main(["eval", str(folder / "coconut"), "--single", "2"])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own with copies of those runs."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setitem(RECIPES, "tiny/coconut", tiny)
    return tmp_path / "here"


# --------------------------------------------------------------------------------------------------------- refusals

BAD: dict[str, tuple[str, ...]] = {
    # command and recipe
    "frobnicate": ("'frobnicate'", "--help"),
    "tran demo/cot": ("'tran'", "did you mean 'train'?"),
    "train": ("needs a recipe", "unspoken list"),
    "train --seed 1": ("needs a recipe",),
    "train demo/coconu": ("'demo/coconu'", "did you mean 'demo/coconut'?"),
    "train runs/x": ("'runs/x'", "unspoken list"),
    "show nothing/like/it": ("'nothing/like/it'",),
    "show demo/cot --diff demo/coco": ("'demo/coco'",),
    # flags
    "train demo/coconut --sed 1": ("--sed", "did you mean --seed?"),
    "train demo/coconut --method.thought-per-step 1": ("--method.thoughts-per-step",),
    "train demo/cot --method.max-stage 1": ("--method.max-stage",),
    "train demo/coconut extra": ("extra",),
    "list --long": ("--long",),
    "env --x": ("--x",),
    "show demo/cot --dif demo/coconut": ("--dif",),
    "eval coconut --thought 2": ("--thoughts",),
    "table coconut --forma csv": ("--format",),
    # values
    "train demo/coconut --seed one": ("--seed", "one"),
    "train demo/coconut --optimizer.lr fast": ("--optimizer.lr", "fast"),
    "train demo/coconut --precision fp8": ("--precision", "fp8"),
    "train demo/coconut --batch.rows 0": ("batch.rows", "0"),
    "train demo/coconut --task.nodes 99": ("nodes", "99"),
    "train demo/coconut --max-steps 0": ("max_steps", "0"),
    "train demo/coconut --curriculum.stage-epochs 1 2": ("stage_epochs", "(1, 2)"),
    "train demo/coconut --curriculum.mix 2": ("mix", "2"),
    "eval coconut --split train": ("--split", "train"),
    "eval coconut --weights worst": ("--weights", "worst"),
    "eval coconut --thoughts many": ("--thoughts", "many"),
    "eval coconut --num 0 --name new": ("at least 1", "0"),
    "eval coconut --num -3 --name new": ("at least 1", "-3"),
    "eval coconut --rows 0 --name new": ("at least 1", "0"),
    "eval coconut --thoughts -1": ("at least 0", "-1"),
    "table coconut --format xml": ("--format", "xml"),
    # files and folders
    "train demo/coconut --out coconut": ("coconut exists", "--resume coconut"),
    "train --resume": ("--resume",),
    "train --resume nowhere": ("nowhere/config.json", "run folder"),
    "train --resume unfinished": ("unfinished", "no checkpoint"),
    "eval": ("Run folder",),
    "eval nowhere": ("nowhere/config.json", "run folder"),
    "eval coconut": ("coconut/eval/test exists", "--name"),
    "eval unfinished": ("unfinished", "no trained model", "--resume unfinished"),
    "table": ("at least one run folder",),
    "table nowhere": ("nowhere/config.json",),
    "table cot": ("cot/eval/test/summary.json", "evaluate the run first"),
    "table coconut --eval hard": ("coconut/eval/hard/summary.json",),
    "table coconut --also hard": ("'hard'", "there are: none"),
    "table coconut --layout tall": ("--layout", "tall"),
    "show unfinished --diff nowhere": ("'nowhere'",),
    # methods
    "eval cot --thoughts 2": ("CoT has no continuous thoughts", "thoughts=2"),
    "demo --num 0": ("at least 1",),
    "demo --nun 5": ("--num",),
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_refused_in_one_line(command: str, here: Path, capsys: Capture) -> None:
    """Guards every way to get a command wrong: a traceback, a box of twenty lines, or a file left behind."""
    line = refused(command, capsys)
    for words in BAD[command]:
        assert words in line


BROKEN: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "--out under a file": (
        "train tiny/coconut --out coconut/config.json/run --max-steps 1",
        lambda _: None,
        "config.json",
        "only ValueError is caught, and mkdir raises NotADirectoryError",
    ),
    "heads that do not divide the width": (
        "train tiny/coconut --out new --model.heads 3 --max-steps 1",
        lambda _: None,
        "heads",
        "transformers raises an error of its own that is no ValueError",
    ),
    "a negative seed": (
        "train tiny/coconut --out new --seed -1 --max-steps 1",
        lambda _: None,
        "seed",
        "numpy refuses it in the first epoch, when the run folder is made",
    ),
    "a negative number of problems to time": (
        "eval coconut --name new --single -5",
        lambda _: None,
        "single",
        "a negative number slices from the end: nearly the whole split is decoded one by one",
    ),
    "damaged weights": (
        "eval coconut --name new",
        lambda run: (run / "final" / "model.safetensors").write_bytes(b"\x00" * 30),
        "final",
        "safetensors raises an error of its own that is no ValueError",
    ),
    "no weights beside config.json": (
        "eval coconut --name new",
        lambda run: (run / "final" / "model.safetensors").unlink(),
        "final",
        "transformers raises OSError",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_inside_a_library_is_refused_as_well(what: str, here: Path, capsys: Capture) -> None:
    """Guards against tracebacks where a library, not our own check, notices the mistake."""
    command, prepare, words, _ = BROKEN[what]
    prepare(here / "coconut")
    assert words in refused(command, capsys)


@pytest.mark.parametrize(
    "command", ["eval coconut --name new", "table coconut", "show coconut", "train --resume coconut"]
)
def test_a_malformed_config_is_named(command: str, here: Path, capsys: Capture) -> None:
    """Guards every command that reads a run folder: the message names the file and the field."""
    path = here / "coconut" / "config.json"
    whole = path.read_text()
    path.write_text(whole[:200])
    assert "coconut/config.json: not JSON" in refused(command, capsys)
    path.write_text(whole.replace('"hops": 2', '"hops": "two"'))
    line = refused(command, capsys)
    assert "coconut/config.json: $.task.hops" in line
    path.write_text(whole.replace('"type": "Coconut"', '"type": "Coconaut"'))
    assert "did you mean 'Coconut'?" in refused(command, capsys)


@pytest.mark.parametrize("recipe", ["prosqa/two-layer/cot", "prosqa/gpt2/cot"])
def test_missing_data_files_are_named_with_the_way_out(
    recipe: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a first try without the shared data: the file, and the variable that says where files are."""
    (here / "empty").mkdir()
    monkeypatch.setenv("UNSPOKEN_DATA", str(here / "empty"))
    line = refused(["train", recipe, *PROSQA_FLAGS, "--out", "new"], capsys)
    assert "empty/" in line
    assert "no such data file; set UNSPOKEN_DATA" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"question": "Is Tom a', ("whole file", "not JSON")),
        ('{"question": "x"}', ("expected a JSON list", "dict")),
        ("[1]", ("row 0",)),
        ('[{"question": "x", "answer": 3}]', ("row 0", "$.answer")),
        ("ROW0+missing", ("row 1", "`idx_to_symbol`")),
        ("ROW0+wrong", ("row 1", "`root`")),
    ],
)
def test_a_malformed_data_file_is_refused_with_file_row_and_field(
    content: str, words: tuple[str, ...], here: Path, capsys: Capture
) -> None:
    """Guards people's own data: without the row number a mistake in one of 18,000 rows cannot be found."""
    call("data make prosqa --num 2 --out good.json")
    rows = json.loads((here / "good.json").read_text())
    if content == "ROW0+missing":
        del rows[1]["idx_to_symbol"]
        content = json.dumps(rows)
    elif content == "ROW0+wrong":
        rows[1]["root"] = 99
        content = json.dumps(rows)
    (here / "bad.json").write_text(content)
    flags = ["--task.problems.valid-file", "bad.json", "--out", "new"]
    line = refused(["train", "prosqa/two-layer/cot", *PROSQA_FLAGS, *flags], capsys)
    assert "bad.json: " in line
    for word in words:
        assert word in line


def test_interruption_exits_with_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards Ctrl-C outside training: one line, the conventional code, no traceback."""

    def interrupted(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "list", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["list"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "unspoken: interrupted\n"


# ------------------------------------------------------------------------------------------------------- happy paths


def test_train_and_eval_from_end_to_end(here: Path, capsys: Capture) -> None:
    """Guards the two commands everything else builds on, flags included."""
    call("train tiny/coconut --method.max-stage 1 --curriculum.stage-epochs 1 1 1 --seed 7 --out mine")
    out, _ = capsys.readouterr()
    assert "unspoken eval mine" in out
    config = RunConfig.load(here / "mine" / "config.json")
    assert config == tiny(method=Coconut(max_stage=1), curriculum=Curriculum(stage_epochs=(1, 1, 1)), seed=7)
    call("eval mine --split valid --num 5 --rows 2 --single 0")
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("valid, best weights: ")
    assert "of 5," in out
    assert "mine/eval/valid/records.jsonl" in out
    records = read_records(here / "mine" / "eval" / "valid")
    assert [record.index for record in records] == list(range(5))
    summary = read_summary(here / "mine" / "eval" / "valid")
    assert (summary.num, summary.rows, summary.split, summary.seconds_single) == (5, 2, "valid", None)


def test_a_run_goes_to_a_folder_named_after_its_recipe(here: Path, capsys: Capture) -> None:
    """Guards the default of --out, and that a second run there is refused."""
    call("train tiny/coconut --max-steps 1")
    assert (here / "runs" / "tiny-coconut" / "final").is_dir()
    assert "runs/tiny-coconut exists" in refused("train tiny/coconut", capsys)


@pytest.mark.parametrize("thoughts", [0, 1, 5])
def test_any_number_of_thoughts_can_be_forced(thoughts: int, here: Path, capsys: Capture) -> None:
    """Guards the test-time knob: zero thoughts are allowed, more than were trained too, with a word of warning."""
    main(["eval", "coconut", "--thoughts", str(thoughts), "--num", "3", "--single", "0"])
    out, err = capsys.readouterr()
    if thoughts > 2:
        assert err == "unspoken: warning: 5 thoughts are more than the 2 this run was trained with\n"
    else:
        assert err == ""
    folder = here / "coconut" / "eval" / f"test-{thoughts}-thoughts"
    assert {record.num_thoughts for record in read_records(folder)} == {thoughts}
    assert read_summary(folder).forced_thoughts == thoughts
    assert f"+ {thoughts:.1f} thoughts" in out


def test_more_thoughts_than_fit_are_refused(here: Path, capsys: Capture) -> None:
    """Guards the upper end of that knob: after the warning one line, and no half-written evaluation."""
    before = tree(here)
    with pytest.raises(SystemExit) as stop:
        main(["eval", "coconut", "--thoughts", "400"])
    out, err = capsys.readouterr()
    warning, error = err.splitlines()
    assert (stop.value.code, out) == (2, "")
    assert warning.startswith("unspoken: warning: ")
    assert error.startswith("unspoken: error: ")
    assert "positions" in error
    assert tree(here) == before


def test_list_names_every_recipe_in_one_line_each(capsys: Capture) -> None:
    """Guards recipes without a description, and descriptions of something else (functools.partial's own)."""
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    for line in lines:
        what = line.split(maxsplit=1)[1]
        assert len(what) > 10
        assert "partial(" not in what
        assert "keywords" not in what


def test_show_resolves_every_field(here: Path, capsys: Capture) -> None:
    """Guards against defaults that stay hidden: what is shown must be enough to know a run."""
    main(["show", "prosqa/gpt2/coconut"])
    recipe = capsys.readouterr().out.splitlines()
    for line in ("method = Coconut", "optimizer.lr = 0.0001", "model.tokenizer = GPT2Tokenizer", "seed = 0"):
        assert line in recipe
    main(["show", "coconut"])
    run = capsys.readouterr().out.splitlines()
    assert "model.width = 16" in run
    assert "max_steps = 3" in run


def test_show_diff_tells_what_differs_and_nothing_else(here: Path, capsys: Capture) -> None:
    """Guards the comparison of two runs: a field of only one of them must show as well."""
    call("show prosqa/gpt2/cot --diff prosqa/gpt2/no-cot")
    wanted = ["recipe: prosqa/gpt2/cot -> prosqa/gpt2/no-cot", "method: CoT -> NoCoT"]
    assert capsys.readouterr().out.splitlines() == wanted
    main(["show", "coconut", "--diff", "coconut"])
    assert capsys.readouterr().out == ""
    main(["show", "cot", "--diff", "coconut"])
    lines = capsys.readouterr().out.splitlines()
    assert "method.max_stage: (absent) -> 2" in lines
    main(["show", "coconut", "--diff", "cot"])
    assert "method.max_stage: 2 -> (absent)" in capsys.readouterr().out.splitlines()


def test_table_in_three_formats(here: Path, capsys: Capture) -> None:
    """Guards the paths from run folder to table; its content is tested in test_tables."""
    main(["table", "coconut"])
    md = capsys.readouterr().out.splitlines()
    assert len(md) == 3
    assert md[0].startswith("| Task | Method | Accuracy % |")
    assert md[2].startswith("| Hops | Coconut | ")
    main(["table", "coconut", "--format", "csv"])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["method"], row["num"], row["thoughts"]) == ("Coconut", "8", "2.000")
    main(["table", "coconut", "--format", "latex"])
    latex = capsys.readouterr().out
    assert latex.startswith(r"\begin{tabular}")
    assert latex.endswith("\\end{tabular}\n")
    assert latex.count(r"\\") == 2


def test_env_tells_versions_and_data(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards bug reports: the versions, and whether the data folder is there at all."""
    main(["env"])
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == str(data_root()) + ("" if data_root().is_dir() else " (missing)")
    assert found["packages"]["torch"]
    monkeypatch.setenv("UNSPOKEN_DATA", str(here / "nowhere"))
    main(["env"])
    assert json.loads(capsys.readouterr().out)["data"].endswith("nowhere (missing)")


def test_version_and_overview(capsys: Capture) -> None:
    """Guards the two things one types first."""
    main(["--version"])
    assert capsys.readouterr().out.startswith("unspoken 0.")
    for command in ("", "--help", "-h", "help"):
        call(command)
        out = capsys.readouterr().out
        assert all(f"\n  {name} " in out for name in COMMANDS)


# ------------------------------------------------------------------------------------------- in a process of its own

SPY = """
import sys
from unspoken.cli import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"torch", "transformers", "accelerate", "tokenizers", "scipy", "matplotlib"} & set(sys.modules)
    print("heavy:", sorted(heavy), file=sys.stderr)
"""


def in_a_process(arguments: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    """What a command printed, and the processor seconds it took: on a busy machine wall time tells nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", SPY, *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ.copy(),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "train --help",
        "train demo/coconut --help",
        "eval --help",
        "list",
        "show demo/coconut",
        "show coconut --diff demo/coconut",
        "data make prosqa --num 2 --out p.json",
        "data make --help",
    ],
)
def test_what_only_describes_is_fast_and_imports_no_torch(command: str, here: Path) -> None:
    """Guards against help that takes five seconds: one import at the top of one file is enough for that."""
    done, seconds = in_a_process(command, here)
    assert (done.returncode, done.stderr) == (0, "heavy: []\n")
    assert done.stdout
    assert seconds < 1.0
    if "--help" in command:
        assert "usage: unspoken" in done.stdout


def test_train_help_shows_every_field_with_its_docstring(here: Path, capsys: Capture) -> None:
    """Guards fields whose docstring, which is their help, is missing or not found."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "demo/coconut", "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--method.thoughts-per-step INT The paper's c: slots that stand in for one removed step." in out
    assert "--batch.rows INT Global batch: rows a step" in out


@pytest.mark.parametrize("command", ["table coconut", "eval coconut --split test"])
def test_a_run_is_read_in_a_process_that_has_imported_nothing_yet(command: str, here: Path) -> None:
    """Guards what tests in one process cannot see: classes in a config must be imported by whoever loads it."""
    done, _ = in_a_process(command, here)
    assert "Expected `Task`" not in done.stderr
    if command.startswith("table"):
        assert done.returncode == 0
        assert done.stdout.startswith("| Task |")
    else:
        assert "coconut/eval/test exists" in done.stderr


def test_a_refusal_from_the_installed_command(here: Path) -> None:
    """Guards the entry point itself: exit code and single line survive outside pytest."""
    program = Path(sys.executable).parent / "unspoken"
    assert program.is_file()
    done = subprocess.run([program, "train", "demo/coconu"], cwd=here, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "did you mean 'demo/coconut'?" in done.stderr


def test_a_closed_pipe_is_no_error(here: Path) -> None:
    """Guards `unspoken show ... | head -1`, which closes the pipe while there is more to write."""
    command = f"{sys.executable} -u -m unspoken show prosqa/gpt2/coconut | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=here, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("recipe = ")
