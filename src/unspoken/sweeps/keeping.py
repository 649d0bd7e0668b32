"""What of a run is small enough to be kept beside a page: everything but weights, checkpoints and most figures."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from unspoken.sweeps.base import Cell

_FILES = ("config.json", "env.json", "metrics.jsonl")


def keep(run: Path, cell: Cell, folder: Path) -> Path:
    """Copies what is small into `folder`; the copy. What is there already and unchanged stays as it is."""
    target = folder / cell.name
    target.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        if (run / name).is_file():
            shutil.copyfile(run / name, target / name)
    for source in sorted((run / "eval").glob("*/summary.json")):
        kept = target / "eval" / source.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, kept / source.name)
        records, packed = source.with_name("records.jsonl"), kept / "records.jsonl.gz"
        if records.is_file() and not packed.is_file():
            # Without a time stamp, so that the same records are the same file.
            packed.write_bytes(gzip.compress(records.read_bytes(), mtime=0))
    ignored = shutil.ignore_patterns("records", "*.svg", *([] if cell.figures else ["figures"]))
    for name in ("probe", "audit"):
        for report in sorted((run / name).glob("*/page.md")):
            shutil.copytree(report.parent, target / name / report.parent.name, ignore=ignored, dirs_exist_ok=True)
    return target
