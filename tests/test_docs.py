"""README and examples: what they tell a reader to run, runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
