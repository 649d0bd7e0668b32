"""What of a run is small enough to be kept beside a page: records, reports, metrics, and no weights."""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from pathlib import Path

from unspoken.config import RunConfig
from unspoken.durable import write_whole
from unspoken.sweeps.base import Cell
from unspoken.sweeps.work import units

_FILES = ("config.json", "env.json", "metrics.jsonl")
_MEASURED = ("eval", "probe", "audit")


def keep(run: Path, cell: Cell, folder: Path) -> Path:
    """Copies what is small into `folder`; the copy. What is there already and unchanged stays as it is."""
    target = folder / cell.name
    target.mkdir(parents=True, exist_ok=True)
    config = target / "config.json"
    if config.is_file() and config.read_text() != _anywhere((run / "config.json").read_text(), run.parent):
        # What was measured is of a run of other settings, which had this name before.
        for name in _MEASURED:
            shutil.rmtree(target / name, ignore_errors=True)
    for name in _FILES:
        if (run / name).is_file():
            _copy(run / name, target / name, run.parent)
    for source in sorted((run / "eval").glob("*/summary.json")):
        kept = target / "eval" / source.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        _put(kept / source.name, source.read_bytes())
        records = source.with_name("records.jsonl")
        if cell.records and records.is_file():
            _pack(records.read_bytes(), kept / "records.jsonl.gz")
    for name in _MEASURED[1:]:
        for report in sorted((run / name).glob(f"*/{name}.json")):
            kept = target / name / report.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            _copy(report, kept / report.name, run.parent)
            if cell.figures:
                _keep_page(report.parent, kept, run.parent)
    return target


def is_kept(cell: Cell, runs: Path, folder: Path) -> bool:
    """Whether `folder` holds all that is measured of a cell, of this very config, and no run of it lies in `runs`.

    So a clone, which has the records of others and none of their weights, trains what is missing and no more.
    """
    run, target = runs / cell.name, folder / cell.name
    if run.is_dir() or not (target / "config.json").is_file() or RunConfig.load(target / "config.json") != cell.config:
        return False
    *_, unit = units([cell], runs)
    measured = [command.done.relative_to(run) for command in unit.commands if command.kind != "train"]
    return all((target / done).is_file() for done in measured)


def _copy(source: Path, copied: Path, runs: Path) -> None:
    _put(copied, _anywhere(source.read_text(), runs).encode())


def _put(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        write_whole(path, data)


def _pack(data: bytes, packed: Path) -> None:
    """Writes records packed, unless they are there: not every version of zlib makes the same file of them."""
    try:
        if packed.is_file() and gzip.decompress(packed.read_bytes()) == data:
            return
    except (OSError, EOFError, zlib.error):
        pass  # a killed process left half of it
    # Without a time stamp, so that the same records are the same file.
    write_whole(packed, gzip.compress(data, mtime=0))


def _anywhere(text: str, runs: Path) -> str:
    """Commands that name run folders as seen from `runs`: where that lies on one machine means nothing elsewhere."""
    return text.replace(f"{runs.absolute()}/", "")


def _keep_page(report: Path, kept: Path, runs: Path) -> None:
    """A page with its figures, in one format and in as many colours as they have."""
    from PIL import Image  # here, because it is wanted for few cells

    page = _anywhere((report / "page.md").read_text(), runs)
    _put(kept / "page.md", re.sub(r"\[SVG\]\([^)]*\)(, )?", "", page).encode())
    for source in sorted((report / "figures").iterdir()):
        copied = kept / "figures" / source.name
        copied.parent.mkdir(exist_ok=True)
        if source.suffix == ".csv":
            shutil.copyfile(source, copied)
        elif source.suffix == ".png":
            Image.open(source).convert("RGB").quantize(128).save(copied, optimize=True)
