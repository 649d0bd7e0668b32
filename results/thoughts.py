"""What is in the thoughts of the demo's planning models, and whether they use them, side by side.

    python results/train_shipped.py --runs runs/shipped --methods shuffled-thoughts detached-thoughts
    python results/thoughts.py --runs runs/shipped

Evaluates, probes and audits every run by the commands a user would type, keeps what is small under `results/runs`, and
writes `results/thoughts.md`. What is there already is not done again, so the script can be run after an interruption.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from unspoken.cli import main as unspoken
from unspoken.paper import method_name
from unspoken.shipped import FOLDER, copy_shipped

METHODS = ("coconut", "pause-as-thought", "shuffled-thoughts", "detached-thoughts")
BESIDE = "demo-planning-cot"
KEPT = Path(__file__).parent / "runs"
PAGE = Path(__file__).parent / "thoughts.md"
SMALL = (".md", ".json", ".png", ".csv")


def fetch(name: str, runs: Path) -> Path:
    """A run with weights: one that comes with the package, or one trained here."""
    run = runs / name
    if not run.is_dir() and (FOLDER / name).is_dir():
        copy_shipped(name, run)
    if not (run / "final" / "config.json").is_file():
        raise SystemExit(
            f"{run}: no trained model; python results/train_shipped.py trains it (see the top of this file)"
        )
    return run


def look(run: Path, beside: Path, num: int) -> None:
    """Evaluation, probe, audit and explorer of a run, where they are not there yet."""
    if not (run / "eval" / "test").is_dir():
        unspoken(["eval", str(run), "--num", str(num)])
    if not (run / "probe" / "test").is_dir():
        unspoken(["probe", str(run), "--num", str(num), "--beside", str(beside)])
    if not (run / "audit" / "test").is_dir():
        unspoken(["audit", str(run), "--num", str(num)])
    if not (run / "explore.html").is_file():
        unspoken(["explore", str(run), "--out", str(run / "explore.html"), "--num", "60", "--beside", str(beside)])


def keep(run: Path) -> None:
    """Copies what is small: pages, figures for the screen, their data."""
    out = KEPT / run.name
    for file in ("config.json", "env.json", "metrics.jsonl"):
        if not (out / file).is_file():
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy2(run / file, out / file)
    if not (out / "eval" / "test").is_dir():
        shutil.copytree(run / "eval" / "test", out / "eval" / "test")
    for what in ("probe", "audit"):
        target = out / what / "test"
        shutil.rmtree(target, ignore_errors=True)
        for path in sorted((run / what / "test").rglob("*")):
            if path.suffix in SMALL:
                copied = target / path.relative_to(run / what / "test")
                copied.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".png":
                    # A hundred colours are all that a figure has, and a third of the size.
                    Image.open(path).convert("RGB").quantize(128).save(copied, optimize=True)
                else:
                    shutil.copy2(path, copied)
        page = target / "page.md"
        # Vector figures stay where they were made: the repository keeps one picture of each.
        page.write_text(re.sub(r"\[SVG\]\([^)]*\)(, )?", "", page.read_text()))


def percent(interval: dict[str, float] | None) -> str:
    """`97.0 [95.1, 98.2]`, in percent."""
    if interval is None:
        return "-"
    return f"{100 * interval['mean']:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def plain(interval: dict[str, float] | None) -> str:
    """`1.94 [1.93, 1.95]`."""
    return "-" if interval is None else f"{interval['mean']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


def read(name: str, what: str) -> dict[str, Any]:
    """A kept report."""
    return json.loads((KEPT / name / what / "test" / f"{what}.json").read_text())


def write_page(names: list[str]) -> None:
    """All runs side by side, every figure from their kept reports."""
    probes, audits = ({name: read(name, what) for name in names} for what in ("probe", "audit"))
    titles = [method_name(probes[name]["method"]) for name in names]
    rows: list[tuple[str, list[str]]] = []
    found = [audits[name]["findings"] for name in names]
    rows.append(("**Do the thoughts carry the answer?**", [f"**{each['carries']}**" for each in found]))
    rows.append(("accuracy, %", [percent(each["clean"]) for each in found]))
    falls = [each["evidence"] for each in found]
    rows.append(
        ("lost with another problem's thoughts, % of what is above chance", [percent(e["fall"]) for e in falls])
    )
    rows.append(("says the other question's answer with its thoughts, %", [percent(e["follow"]) for e in falls]))
    effects = [{effect["name"]: effect for effect in each["effects"]} for each in found]
    for name, title in (("permuted", "own thoughts in another order"), ("mean", "mean thoughts"), ("zero", "zeros")):
        cells = [percent(e[name]["accuracy"]) if name in e else "-" for e in effects]
        rows.append((f"accuracy with {title}, %", cells))
    for k in range(max(len(probes[name]["analyses"]["breadth"]["stops"]) for name in names)):
        stops = [probes[name]["analyses"]["breadth"]["stops"] for name in names]
        at = [each[k] if k < len(each) else None for each in stops]
        for key, title, show in (
            ("frontier", "% of values on the right hop", percent),
            ("candidates", "nodes of that hop it is undecided between", plain),
        ):
            cells = ["-" if stop is None else show(stop["measures"][key]["found"]) for stop in at]
            rows.append((f"after {k}: {title}", cells))
    lines = [
        "# What is in the thoughts, and are they used?",
        "",
        f"Planning models of the demo (0.3M parameters, one seed each) on {found[0]['num']:,} problems of `Fork`; 95 %",
        "intervals over problems. Made by `python results/thoughts.py` from the reports in `runs/`; each column's own",
        "pages say more, the chance levels among it.",
        "",
        "| |" + "|".join(f" {title} " for title in titles) + "|",
        "|---|" + "---:|" * len(titles),
        *(f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows),
        "| pages |"
        + "|".join(
            f" [audit](runs/{name}/audit/test/page.md), [probe](runs/{name}/probe/test/page.md) " for name in names
        )
        + "|",
        "",
        *(f"- **{title}**: {each['why']}" for title, each in zip(titles, found, strict=True)),
        "",
    ]
    notes = PAGE.with_name("thoughts-notes.md")
    if notes.is_file():
        lines += notes.read_text().splitlines()
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def main() -> None:
    """Looks at every run there is, keeps what is small, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--num", type=int, default=1000, help="problems of the test split")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    options = parser.parse_args()
    beside = fetch(BESIDE, options.runs)
    names = [f"demo-planning-{method}" for method in options.methods]
    found = [fetch(name, options.runs) for name in names]
    for run in found:
        look(run, beside, options.num)
    # Only now: what is kept here lies under version control, and a report says whether anything there had changed.
    for run in found:
        keep(run)
    write_page(names)


if __name__ == "__main__":
    main()
