"""Command lines that are wrong: every one is understood, or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.outcomes import Reached, cases, check, kept, reached
from unspoken.cli import COMMANDS
from unspoken.tasks import make

FLAGS = (
    "--help", "--seed", "--out", "--num", "--rows", "--name", "--split", "--weights", "--on", "--thoughts", "--beside",
    "--format", "--eval", "--engine", "--single", "--resume", "--batch.rows", "--batch.micro", "--max-steps", "--diff",
    "--optimizer.lr", "--optimizer.betas", "--model.layers", "--model.width", "--task.nodes", "--method.max-stage",
    "--curriculum.stage-epochs", "--curriculum.mix", "--precision", "--report-to", "--adapter.rank", "--task", "--row",
    "--recipe", "--columns.question", "--against", "--force", "--no-force", "--beyond", "--workers", "--to", "--file",
    "--schedule.decay", "--validation.stop-at", "--max-loss", "--checkpoint-keep", "--without", "--tokenizer",
    "--minutes", "--jobs", "--only", "--seeds", "--keep", "--runs", "--dry", "--base", "--run", "--also", "--figure",
    "--layout",
)  # fmt: skip
VALUES = (
    "", " ", "-", "--", "---", "-1", "0", "1", "2", "3", "0.5", "nan", "inf", "1e999", "9" * 40, "None", "none",
    "True", "x", "run", "nowhere", "file.json", "file.txt", ".", "..", "/", "~", "best", "final", "test", "valid",
    "md", "csv", "plain", "fast", "demo/coconut", "prosqa", "own", "(1,", "[1]", "{}", "a=b", "=", "\u202e", "é",
    "😀", "\udc80", "a\0b", "*", "%s", "{x}", "'", '"', "\n", "a" * 5000, "wandb", "show", "stats", "validate", "make",
    "list", "convert", "prosqa-dense", "constant", "stage", "small", "paper-scale", "small/prosqa/*", "*/cot", "1e-320",
    "new.png", "run/new.png", "run/config.json/new.png", "run/final", "run/final/model.safetensors", "run/eval",
)  # fmt: skip
ARGUMENT = st.sampled_from(FLAGS) | st.sampled_from(VALUES) | st.text(max_size=6)
PAIR = st.tuples(st.sampled_from(FLAGS), st.sampled_from(VALUES)).map(list)


@pytest.fixture(scope="module")
def without_work(room: Path) -> Iterator[Path]:
    """Training, downloads and uploads are not what is tried here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("train.fit", "demo.run_demo", "fetching.fetch_smollm2", "doctor.examine", "doctor.record"):
            patch.setattr(f"unspoken.{name}", reached)
        patch.setattr("unspoken.model.LatentLM.push_to_hub", reached)
        # A sweep gets as far as its folder, which is made and held by then.
        patch.setattr("unspoken.sweeps.runner.describe", reached)
        patch.setattr("unspoken.analysis.probe.probe_run", reached)
        patch.setattr("unspoken.audit.run.audit_run", reached)
        patch.setattr("unspoken.explore.run.look_at_run", reached)
        made = make.write_problems

        def few(*arguments: Any, num: int, **settings: Any) -> None:
            if num > 100:
                raise Reached
            made(*arguments, num=num, **settings)

        patch.setattr("unspoken.tasks.make.write_problems", few)
        yield room


@cases(130)
@given(arguments=st.lists(ARGUMENT, max_size=6), command=st.sampled_from(sorted(COMMANDS)) | st.text(max_size=9))
def test_random_arguments(without_work: Path, command: str, arguments: list[str]) -> None:
    """Guards the whole front: unknown commands, flags of others, values of other types, empty, huge, no text at all."""
    _try(without_work, [command, *arguments])


LEADING = (
    ["train", "demo/coconut"],
    ["train", "prosqa/gpt2/coconut"],
    ["train"],
    ["eval", "run"],
    ["ask", "run"],
    ["ask", "run", "a b ; ? a"],
    ["table", "run"],
    ["probe", "run"],
    ["audit", "run"],
    ["explore", "run"],
    ["show", "run"],
    ["data", "show", "file.json"],
    ["data", "make", "prosqa-dense", "--num", "2"],
    ["data", "validate", "file.json"],
    ["push", "run"],
    ["sweep"],
    ["sweep", "small"],
    ["sweep", "small", "--dry", "--only", "small/prosqa/cot"],
    ["sweep", "paper-scale", "--seeds", "0"],
    ["claims", "run"],
    ["claims", "run", "run"],
    ["curves", "run"],
    ["import", "file.txt", "--base", "run/final"],
    ["import", "run/final/model.safetensors", "--base", "run/final", "--out", "new"],
)


def test_every_command_is_led_to() -> None:
    """Guards the suite itself: a new command has its flags tried; those that take nothing, or only bring things, have
    their few words tried above."""
    assert {leading[0] for leading in LEADING} >= COMMANDS.keys() - {"demo", "doctor", "env", "list", "pretrained"}


@cases(190)
@given(leading=st.sampled_from(LEADING), flags=st.lists(PAIR, min_size=1, max_size=3))
def test_random_flags(without_work: Path, leading: list[str], flags: list[list[str]]) -> None:
    """Guards values of flags that a command has, which get further than random arguments do."""
    _try(without_work, [*leading, *(part for flag in flags for part in flag)])


def _try(room: Path, arguments: list[str]) -> None:
    with kept(room):
        (room / "file.json").write_text('[{"question": "What?", "steps": ["this"], "answer": "that"}]')
        (room / "file.txt").write_text("What?||<<1+1=2>> #### 2\n")
        check(arguments, room, reads_only=False)
