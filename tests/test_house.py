"""The rules of the house that are no linter's setting."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from abc import ABC
from pathlib import Path
from typing import Protocol

import pytest

import unspoken
from shaped import SHAPED

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "unspoken"
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400

each_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES])

LIST_PLAN = """
import importlib, json, pkgutil, sys
found = {}
for name in json.loads(sys.argv[1]):
    module = importlib.import_module(name)
    inner = [m.name for m in pkgutil.walk_packages(getattr(module, "__path__", []), name + ".")]
    for each in [name, *inner]:
        importlib.import_module(each)
        heavy = {"torch", "transformers", "tokenizers", "accelerate"} & set(sys.modules)
        if heavy:
            sys.exit(f"{each} imports {sorted(heavy)}")
        found[each] = True
print(json.dumps(list(found)))
"""


def test_plan_modules_import_no_torch() -> None:
    """Guards the fraction of a second in which `--help`, `list`, `show` and `table` answer; import-linter sees direct
    imports only."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    plan = contracts["importlinter:contract:plan"]["source_modules"].split()
    assert "unspoken.cli" in plan
    done = subprocess.run([sys.executable, "-c", LIST_PLAN, json.dumps(plan)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"unspoken.recipes.demo", "unspoken.tasks.hops", "unspoken.methods.staged"} <= set(json.loads(done.stdout))


def test_lower_layers_import_no_higher_ones() -> None:
    """Guards the layers of design.md, through import-linter's contracts."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@each_file
def test_everything_public_says_what_it_is(path: Path) -> None:
    """Guards readers: a public class or function without a docstring has to be guessed."""
    tree = ast.parse(path.read_text())
    missing = []
    if tree.body and not ast.get_docstring(tree):
        missing.append("the module")
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            public = not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                missing.append(node.name)
    assert missing == []


@each_file
def test_nobody_asks_hasattr(path: Path) -> None:
    """Guards types: what a thing can do is said by its class, not found out by asking it."""
    names = [node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)]
    assert "hasattr" not in names


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "results", "examples"])
def test_files_fit_a_reader(folder: str) -> None:
    """Guards against files that nobody reads whole: what has grown beyond 400 lines is two things."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert lengths
    assert {str(path): length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_shapes_are_checked_wherever_they_are_written() -> None:
    """Guards annotations of shapes against being decoration: what uses them is on the list that conftest checks."""
    using = {path.stem for path in SOURCE.glob("*.py") if "from jaxtyping import" in path.read_text()}
    assert using == set(SHAPED)
    assert not [path for path in FILES if path.parent != SOURCE and "from jaxtyping import" in path.read_text()]


def test_classes_are_abstract_or_final() -> None:
    """Guards against inheriting from something that runs: an overridden half of a method is a bug nobody sees."""
    for module in pkgutil.walk_packages(unspoken.__path__, "unspoken."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = [module for name, module in sys.modules.items() if name.startswith("unspoken.")]
    found = {cls for module in ours for cls in vars(module).values() if inspect.isclass(cls)}
    classes = [cls for cls in found if cls.__module__.startswith("unspoken.")]
    assert len(classes) > 300
    for cls in classes:
        abstract = inspect.isabstract(cls) or ABC in cls.__bases__ or Protocol in cls.__bases__
        assert bool(vars(cls).get("__final__", False)) != abstract, f"{cls}: expected @final, or ABC among its bases"
        for parent in cls.__mro__[1:]:
            assert not vars(parent).get("__final__", False), f"{cls} inherits from the final {parent}"
