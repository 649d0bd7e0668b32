"""Every refusal of the command line is one line and exit code 2, and touches nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Capture, call, refused
from unspoken.cli import COMMANDS, main

PROSQA_FLAGS = ["--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--max-steps", "1"]

BAD: dict[str, tuple[str, ...]] = {
    # command and recipe
    "frobnicate": ("'frobnicate'", "--help"),
    "tran demo/cot": ("'tran'", "did you mean 'train'?"),
    "train": ("needs a recipe", "unspoken list"),
    "train --seed 1": ("needs a recipe",),
    "train demo/coconu": ("'demo/coconu'", "did you mean 'demo/coconut'?"),
    "train runs/x": ("'runs/x'", "unspoken list"),
    "show nothing/like/it": ("'nothing/like/it'",),
    "sweep smal": ("(did you mean 'small'?); there are small",),
    "sweep small --jobs 0 --dry": ("--jobs", "at least 1", "0"),
    "sweep small --minutes -1 --dry": ("--minutes", "above 0 minutes, got -1"),
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
    **{
        f"{command} coconut/final{rest}": ("coconut/final: this is a model folder; name its run, coconut",)
        for command, rest in (
            ("eval", ""),
            ("probe", ""),
            ("audit", ""),
            ("explore", " --out new.html"),
            ("show", ""),
            ("train --resume", ""),
        )
    },
    "eval coconut": ("coconut/eval/test exists", "--name", "--force"),
    "eval coconut --num 0": ("--num must be at least 1, got 0",),
    "eval coconut --rows 0 --force": ("--rows must be at least 1, got 0",),
    "train --resume coconut --max-steps 3": ("--max-steps", "config.json", "--batch.micro, --batch.evaluation"),
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


@pytest.mark.parametrize("command", ["git", "serve", "eval coconut --on nope --name new", "sweep large"])
def test_what_is_like_no_name_is_taken_for_none(command: str, here: Path, capsys: Capture) -> None:
    """Guards advice against a guess: `git` is no misspelt `list`."""
    assert "did you mean" not in refused(command, capsys)


@pytest.mark.parametrize(
    ("typed", "meant"), [("lsit", "list"), ("evn", "env"), ("tarin", "train"), ("tabel", "table"), ("audti", "audit")]
)
def test_misspelt_commands_are_recognised(typed: str, meant: str, here: Path, capsys: Capture) -> None:
    """Guards the other side of that: letters that are swapped."""
    assert f"(did you mean '{meant}'?)" in refused(typed, capsys)


def test_a_config_of_something_else_is_not_printed(here: Path, capsys: Capture) -> None:
    """Guards a terminal full of somebody else's configuration."""
    (here / "coconut" / "config.json").write_text(json.dumps({"words": ["word"] * 1000}))
    assert len(refused("show coconut", capsys)) < 250
    (here / "model").mkdir()
    (here / "model" / "config.json").write_text((here / "cot" / "final" / "config.json").read_text())
    assert "model: this is a model folder; name a run folder" in refused("show model", capsys)


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


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train tiny/coconut --out new", "nothing was saved, new is not there yet"),
        ("train --resume unfinished", "what was saved last is in unfinished, continue with: unspoken train --resume"),
    ],
)
def test_interruption_before_the_first_step_says_what_is_saved(
    command: str, said: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards Ctrl-C while a model is loaded: whether there is a run to resume must not be guessed."""

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unspoken.train.fit", interrupted)
    with pytest.raises(SystemExit) as stop:
        call(command)
    assert stop.value.code == 130
    assert f"unspoken: interrupted; {said}" in capsys.readouterr().err
