"""What of a run is small enough to be kept beside a page: records, reports, metrics, and no weights."""

from __future__ import annotations

import gzip
import re
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
            _copy(run / name, target / name, run.parent)
    for source in sorted((run / "eval").glob("*/summary.json")):
        kept = target / "eval" / source.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, kept / source.name)
        records, packed = source.with_name("records.jsonl"), kept / "records.jsonl.gz"
        if cell.records and records.is_file() and not packed.is_file():
            # Without a time stamp, so that the same records are the same file.
            packed.write_bytes(gzip.compress(records.read_bytes(), mtime=0))
    for name in ("probe", "audit"):
        for report in sorted((run / name).glob(f"*/{name}.json")):
            kept = target / name / report.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            _copy(report, kept / report.name, run.parent)
            if cell.figures:
                _keep_page(report.parent, kept, run.parent)
    return target


def _copy(source: Path, copied: Path, runs: Path) -> None:
    copied.write_text(_anywhere(source.read_text(), runs))


def _anywhere(text: str, runs: Path) -> str:
    """Commands that name run folders as seen from `runs`: where that lies on one machine means nothing elsewhere."""
    return text.replace(f"{runs.absolute()}/", "")


def _keep_page(report: Path, kept: Path, runs: Path) -> None:
    """A page with its figures, in one format and in as many colours as they have."""
    from PIL import Image  # here, because it is wanted for few cells

    page = _anywhere((report / "page.md").read_text(), runs)
    (kept / "page.md").write_text(re.sub(r"\[SVG\]\([^)]*\)(, )?", "", page))
    for source in sorted((report / "figures").iterdir()):
        copied = kept / "figures" / source.name
        copied.parent.mkdir(exist_ok=True)
        if source.suffix == ".csv":
            shutil.copyfile(source, copied)
        elif source.suffix == ".png":
            Image.open(source).convert("RGB").quantize(128).save(copied, optimize=True)
