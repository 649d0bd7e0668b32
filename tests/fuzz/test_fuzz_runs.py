"""Run folders that are broken: every command that reads one uses what is whole, or says what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import damaged, mutated, small
from fuzz.outcomes import cases, check, dumped, kept
from tiny_runs import tree

READING = (
    ["eval", "run", "--num", "2", "--single", "0", "--name", "again"],
    ["eval", "run", "--num", "2", "--single", "0", "--name", "again", "--weights", "final"],
    ["train", "--resume", "run"],
    ["table", "run"],
    ["table", "run", "--format", "latex"],
    ["show", "run"],
)
LOOKING = (
    ["probe", "run", "--num", "2"],
    ["audit", "run", "--num", "2", "--beyond"],
    ["explore", "run", "--num", "2", "--out", "page.html"],
)


def _break(data: st.DataObject, folder: Path, names: list[str]) -> str:
    """Damages one file, removes it, or puts a folder in its place; which."""
    name = data.draw(st.sampled_from(names))
    path = folder / name
    how = data.draw(st.sampled_from(["damage", "damage", "mutate", "mutate", "remove", "folder"]))
    if how == "mutate" and path.suffix == ".json":
        path.write_bytes(dumped(data.draw(mutated(json.loads(path.read_bytes())).filter(small))))
    elif how in ("damage", "mutate"):
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
    return name


@cases(70)
@given(data=st.data())
def test_a_broken_run_folder_is_read_or_refused(room: Path, data: st.DataObject) -> None:
    """Guards whatever reads weights, tokenizers, notes, summaries and records; a finished run is not touched."""
    with kept(room):
        _break(data, room, sorted(tree(room)))
        check(data.draw(st.sampled_from(READING)), room, reads_only=False)


@cases(40)
@given(data=st.data())
def test_a_broken_unfinished_run_goes_on_or_is_refused(room: Path, data: st.DataObject) -> None:
    """Guards resuming from whatever is left: damaged checkpoints, metrics, notes of an environment."""
    with kept(room):
        shutil.rmtree(room / "run" / "final")
        names = [name for name in tree(room) if "eval/" not in name and "best/" not in name]
        for _ in range(data.draw(st.integers(1, 3))):
            names.remove(_break(data, room, sorted(names)))
        check(["train", "--resume", "run"], room, reads_only=False)


@cases(12)
@given(data=st.data())
def test_a_broken_run_is_looked_into_or_refused(room: Path, data: st.DataObject) -> None:
    """Guards probe, audit and explore: they load a model and write a folder, which must not be left half made."""
    with kept(room):
        names = [name for name in tree(room) if "/best/" in name or name.endswith("run/config.json")]
        path = room / data.draw(st.sampled_from(sorted(names)))
        # Cut in the middle: hardly a file is still what it was.
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        check(data.draw(st.sampled_from(LOOKING)), room, reads_only=False)
