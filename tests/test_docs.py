"""README and examples: what they tell a reader to run, runs. What the other pages tell is understood, and is there."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import unspoken.cli
from command_line import Capture
from unspoken.cli import COMMANDS, main
from unspoken.cli.arguments import parse
from unspoken.recipes import find_recipe
from unspoken.sweeps import find_sweep
from unspoken.tasks.known import find_task
from unspoken.tasks.rows import data_root

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_readme_commands_run_in_order(tmp_path: Path) -> None:
    """Guards the page a newcomer copies from; its Python follows on its shell, in the same folder."""
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(commands) > 5
    for command in commands:
        if "--against prosqa" in command and not (data_root() / "prosqa/prosqa_test.json").is_file():
            continue  # it compares with a published file
        run(["bash", "-c", command], tmp_path)
    assert (tmp_path / "runs/try/final/model.safetensors").is_file()
    for code in blocks("python"):
        assert "torch.Size([1, 1, 128])" in run([sys.executable, "-c", code], tmp_path)


def test_readme_tree_names_only_what_is_there() -> None:
    """Guards the annotated tree against files that moved."""
    tree = README.split("## The tree")[1]
    names = re.findall(r"\b([a-z0-9_]+\.py|[a-z_]+/)(?=\W)", tree)
    assert len(names) > 30
    known = {path.name + ("/" if path.is_dir() else "") for path in ROOT.rglob("*") if ".venv" not in path.parts}
    assert not [name for name in names if name not in known]


@pytest.mark.parametrize("name", ["01_train_tiny.py", "02_new_method.py", "03_new_task.py"])
def test_examples_run(name: str, tmp_path: Path) -> None:
    """Guards the examples, which no other test imports."""
    assert run([sys.executable, str(ROOT / "examples" / name)], tmp_path)


# ------------------------------------------------------------------------------------------------------ the other pages

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "results").glob("*.md")]
    + [ROOT / "benchmarks" / "speedrun.md"]
)
STANDS_FOR = {"RECIPE": "demo/coconut", "SWEEP": "small", "M": "5", "N": "2", "S": "0"}
"""What a page leaves open and the command line reads; run folders and files may have any name."""


class Parsed(Exception):
    """A command's arguments have been understood, and it is not run."""


def told(page: str) -> list[str]:
    """What a page has as code: lines of blocks, fenced or indented, comments left out, and words in the text."""
    text = (ROOT / page).read_text()
    fenced = r"^```[a-z]*\n(.*?)^```"
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    rest = re.sub(fenced, "", text, flags=re.DOTALL | re.MULTILINE)
    lines = shell.splitlines() + re.findall(r"^    (\S.*)", rest, re.MULTILINE)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
    # Of what may be chosen, `a | b`, the first; a line may go on with anything, `...`.
    return [re.split(r" \| |\s#\s| \.\.\.", code)[0].strip() for code in lines + inline]


def commands_of(page: str) -> list[list[str]]:
    """The arguments of `unspoken`, whoever launches it; its name with a single word is a command that is spoken of."""
    found = [re.search(r"^(?:.* )?unspoken ([a-z].*)", code) for code in told(page)]
    return [[STANDS_FOR.get(word, word) for word in shlex.split(match[1])] for match in found if match]


def understood(kind: Any, args: list[str], *, name: str, default: Any = None) -> None:
    """Stands for the reading of arguments: what they name is looked for, but nothing is read or run."""
    options = parse(kind, args, name=name, default=default)
    if name.startswith("sweep "):
        find_sweep(name.split()[1])
    for field in ("recipe", "what", "diff"):
        value = getattr(options, field, None)
        if value is not None and not value.isupper() and not (ROOT / value).is_dir():
            find_recipe(value)
    if getattr(options, "on", None) is not None:
        find_task(options.on)
    read = getattr(options, "read", None)
    if read is not None and read.names_a_task:
        find_task(read.what[0])
    raise Parsed


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_pages_are_understood(page: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards pages against flags, recipes, tasks and sweeps that have been renamed: only README's commands are run."""
    for found in pkgutil.iter_modules(unspoken.cli.__path__, "unspoken.cli."):
        module = importlib.import_module(found.name)
        if "parse" in vars(module) and found.name != parse.__module__:
            monkeypatch.setattr(module, "parse", understood)
    for arguments in commands_of(page):
        if len(arguments) == 1:
            assert arguments[0] in COMMANDS, f"{page}: unspoken {arguments[0]}"
            continue
        try:
            main(arguments)
        except Parsed:
            continue
        except SystemExit:
            pytest.fail(f"{page}: unspoken {' '.join(arguments)}: {capsys.readouterr().err}")
        pytest.fail(f"{page}: unspoken {' '.join(arguments)} went on without its arguments having been read")


@pytest.mark.parametrize("page", PAGES)
def test_scripts_of_pages_are_there(page: str) -> None:
    """Guards pages against scripts, modules and targets of make that moved."""
    for code in told(page):
        if script := re.search(r"\bpython (\S+\.py)", code):
            assert (ROOT / script[1]).is_file(), f"{page}: {code}"
        if module := re.search(r"\bpython -m ([a-z_.]+)", code):
            path = ROOT / module[1].replace(".", "/")
            known = module[1] in ("unspoken", "pytest", "pip")
            assert known or path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{page}: {code}"
        if target := re.search(r"^make ([a-z0-9-]+)", code):
            assert re.search(rf"^{target[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: {code}"


def test_pages_are_searched() -> None:
    """Guards the tests above: they find what the pages have."""
    shown = {page: [" ".join(arguments) for arguments in commands_of(page)] for page in PAGES}
    assert "data make prosqa-debiased --num 1000 --seed 0 --out p.json" in shown["docs/data.md"]
    assert (
        "import checkpoint_33 --base gpt2 --run runs/published --recipe gsm8k/gpt2/coconut" in shown["docs/models.md"]
    )
    assert "explore RUN --out thoughts.html --beside COT_RUN" in shown["docs/thoughts.md"]
    assert "train gsm8k/llama-3.2-3b/coconut-lora --model.path FOLDER" in shown["docs/pretrained.md"]
    assert "train --resume RUN --batch.micro 2" in shown["docs/runs.md"]
    assert "train demo/coconut" in shown["docs/scale.md"]
    assert "sweep paper-scale --minutes 5 --keep results/runs" in shown["results/README.md"]
    assert any(code.startswith("python -m benchmarks.speedrun") for code in told("benchmarks/speedrun.md"))
