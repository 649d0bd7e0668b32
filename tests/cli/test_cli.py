"""The command line: what it answers."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Capture, call, refused
from tiny_runs import tiny, tree
from unspoken.cli import COMMANDS, main
from unspoken.config import RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut
from unspoken.recipes import RECIPES
from unspoken.records import read_records, read_summary
from unspoken.tasks.rows import data_root

PROSQA_FLAGS = ["--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--max-steps", "1"]


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


def test_an_evaluation_is_replaced_when_the_new_one_is_complete(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards --force: an evaluation of hours must not go for one that fails, and nothing of the old one may stay."""
    folder = here / "coconut" / "eval" / "test"
    before = tree(here)

    def full(partial: Path, final: Path) -> None:
        raise OSError(28, "No space left", "disk")

    with monkeypatch.context() as patched:
        patched.setattr("unspoken.runs.publish", full)
        assert "No space left" in refused("eval coconut --num 3 --single 0 --force", capsys)
    assert tree(here) == before
    (folder / "notes.txt").write_text("of the old one")
    call("eval coconut --num 3 --single 0 --force")
    assert read_summary(folder).num == len(read_records(folder)) == 3
    assert sorted(path.name for path in folder.parent.iterdir()) == ["test"]
    assert not (folder / "notes.txt").exists()


@pytest.mark.parametrize("command", ["list", "env", "data list"])
def test_commands_without_options_say_what_they_do(command: str, capsys: Capture) -> None:
    """Guards help that says "No options." and nothing else."""
    with pytest.raises(SystemExit):
        call(f"{command} --help")
    out = capsys.readouterr().out
    assert "No options" not in out
    assert re.search(r"^(List|Show) \w+", out, re.MULTILINE)


@pytest.mark.parametrize("command", ["table", "claims", "curves"])
def test_commands_on_several_runs_ask_for_runs(command: str, capsys: Capture) -> None:
    """Guards usage lines of brackets in brackets around PATH."""
    with pytest.raises(SystemExit):
        call(f"{command} --help")
    usage = capsys.readouterr().out
    assert "RUN [RUN ...]" in usage.splitlines()[0] and "PATH [PATH" not in usage


@pytest.mark.parametrize("command", ["eval", "probe", "audit", "explore"])
def test_help_names_the_command_that_lists_tasks(command: str, capsys: Capture) -> None:
    """Guards a way to task names that leads nowhere."""
    with pytest.raises(SystemExit):
        call(f"{command} --help")
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "`unspoken data list` lists them" in out


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
