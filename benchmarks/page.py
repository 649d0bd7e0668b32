"""results.json -> a page in Markdown and a table for the terminal.

On a CPU the page gives ratios and shares only: its absolute times are those of one shared machine on one day.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import TITLES, draw_figures, law_in_words
from benchmarks.results import FILE_NAME, Decoding, Results, ShapeFacts, Training, only
from benchmarks.targets import PAIRS, Claim, claims, memory_of, training_of
from benchmarks.ways import BF16, FP32, GRAPHS, OURS, PLAIN, PUBLISHED, PUBLISHED_WHERE, Way

PRECISIONS = (FP32.name, BF16.name)
GAINS: dict[Way, str] = {
    PUBLISHED: "",
    PUBLISHED_WHERE: "one `where` instead of lists",
    PLAIN: "logits at labels only, and one mask",
    OURS: "the fast paths",
    GRAPHS: "graphs",
}
"""Each way's gain over the one before it."""


def render_page(results: Results, folder: Path) -> Path:
    """Draws figures into the run folder and writes the page; its path.

    A run in a folder called `runs` has its page beside that folder, under the run's name; any other, inside its own.
    """
    figures = draw_figures(results, folder / "figures")
    name = folder.resolve().name
    place = folder.resolve().parent.parent if folder.resolve().parent.name == "runs" else folder.resolve()
    page = place / f"{name}.md"
    links = [f"![{figure.stem}]({os.path.relpath(figure.resolve(), place)})" for figure in figures]
    source = os.path.relpath(folder.resolve() / FILE_NAME, place)
    sections = [
        _head(results, source),
        _targets(results),
        *(_shape(results, shape) for shape in results.shapes),
        _growth(results),
        _failures(results),
        _notes(folder),
        "\n\n".join(["## Figures", *links]) if links else "",
        _how(results),
    ]
    page.write_text("\n\n".join(section for section in sections if section) + "\n")
    return page


def on_gpu(results: Results) -> bool:
    """Whether absolute times may be told."""
    return results.setting.device == "cuda"


def _head(results: Results, source: str) -> str:
    environment = results.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items() if version)
    peaks = ""
    if on_gpu(results):
        reached = ", ".join(f"{peak.flops_per_second / 1e12:.0f} TFLOP/s in {peak.precision}" for peak in results.peaks)
        peaks = f"- matrix products reached {reached}\n"
    measured = {shape.name for shape in results.shapes}
    missing = "" if "growth" not in results.setting.parts or results.growth else "- the run is not finished\n"
    if unmeasured := [name for name in results.setting.shapes if name not in measured]:
        missing += f"- asked for and not measured: {', '.join(unmeasured)}\n"
    return (
        f"# Speed, {results.date}: {results.machine}\n\n"
        f"Every figure is from [{source}]({source}), one run, side by side; `python -m benchmarks page` makes this "
        f"page of it.\n\n"
        f"- {results.setting.device}, {results.setting.threads} threads, {results.setting.repeats} rounds\n"
        f"{peaks}{missing}"
        f"- `{environment.get('command')}`\n"
        f"- commit {environment.get('commit')}; Python {environment.get('python')}; {packages}"
    )


def _targets(results: Results) -> str:
    found = claims(results)
    if not found:
        return ""
    rows = []
    for claim in found:
        cells = [_value(claim, pair) for pair in PAIRS]
        allowed = "" if claim.allowed is None else f"{claim.allowed:.1f}"
        sign = "at least" if claim.at_least else "at most"
        verdict = {True: "met in", False: "**not met** in", None: "not measured in"}[claim.met]
        rows.append([claim.what, *cells, allowed, f"{sign} {claim.limit:g}", f"{verdict} {claim.counts[0]}"])
    header = ["target", "fp32", "bf16", "ours bf16, (a) fp32", "arithmetic", "aim", ""]
    return "\n\n".join(
        [
            "## Targets",
            _table(header, rows),
            "*Arithmetic*: how many times more the published way computes than has to be computed, in the same "
            "precision. Beyond it a ratio comes from overhead: operators, copies, passes too small for the machine.",
        ]
    )


def _value(claim: Claim, pair: tuple[str, str]) -> str:
    value = claim.values.get(pair)
    if value is None:
        return ""
    return f"{value:.3f}" if claim.limit < 1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _shape(results: Results, shape: ShapeFacts) -> str:
    parts = [
        f"## {shape.title}",
        f"{shape.parameters / 1e6:.1f}M parameters, {shape.block_parameters / 1e6:.1f}M of them in {shape.layers} "
        f"blocks of width {shape.width}; vocabulary {shape.vocabulary:,}; {shape.thoughts} thoughts; "
        f"{shape.problems} problems.",
        _training(results, shape.name),
        _decoding(results, shape.name),
        _data(results, shape.name),
    ]
    return "\n\n".join(part for part in parts if part)


def _training(results: Results, shape: str) -> str:
    rows: list[list[str]] = []
    first: Training | None = None
    for way, title in TITLES.items():
        steps = {precision: training_of(results, shape, way, precision) for precision in PRECISIONS}
        step = steps[FP32.name]
        if step is None:
            continue
        first = first or step
        launched = only(results.launched, lambda row, way=way: (row.shape, row.way) == (shape, way))
        memory, theirs = memory_of(results, shape, way), memory_of(results, shape, PUBLISHED.name)
        cells = [title]
        for precision in PRECISIONS:
            cells += _step_cells(results, steps[precision], training_of(results, shape, PUBLISHED.name, precision))
        cells.append("" if launched is None else f"{launched.operators:,}")
        if on_gpu(results):
            cells.append("" if launched is None or launched.kernels is None else f"{launched.kernels:,}")
        cells += ["", ""]
        if memory is not None:
            cells[-2] = f"{memory.num_bytes / 2**20:,.0f} MiB"
            cells[-1] = "" if theirs is None else f"{memory.num_bytes / theirs.num_bytes:.2f}"
        cells.append(f"{step.loss:.4f}")
        rows.append(cells)
    if first is None:
        return ""
    header = ["a step"]
    for precision in PRECISIONS:
        header += [f"{precision}: x (a)", "slowest/fastest", "of the floor"]
        header += ["ms", "tokens/s"] if on_gpu(results) else []
    header += ["operators, 2 rows", *(["launches, 2 rows"] if on_gpu(results) else []), "peak memory", "x (a)", "loss"]
    gradient = next((m.gradient_bytes for m in results.memory if m.shape == shape), None)
    held = "" if gradient is None else f" Gradients alone take {gradient / 2**20:,.0f} MiB in any way."
    return "\n\n".join(
        [
            f"### Training, {first.rows} rows, {first.tokens} tokens",
            _table(header, rows),
            f"*x (a)*: times faster than the published way (memory: times as much). *Of the floor*: the time that "
            f"arithmetic alone would take on this machine, as a share of the time it took.{held}",
            _chain(results, shape),
        ]
    )


def _step_cells(results: Results, step: Training | None, theirs: Training | None) -> list[str]:
    if step is None:
        return [""] * (5 if on_gpu(results) else 3)
    cells = [
        "" if theirs is None else f"{theirs.median / step.median:.2f}",
        f"{max(step.seconds) / min(step.seconds):.2f}",
        f"{100 * step.floor_seconds / step.median:.0f} %",
    ]
    if on_gpu(results):
        cells += [f"{1000 * step.median:.2f}", f"{step.tokens / step.median:,.0f}"]
    return cells


def _chain(results: Results, shape: str) -> str:
    """What part of the ratio comes from what."""
    parts = []
    for precision in PRECISIONS:
        found = [training_of(results, shape, way.name, precision) for way in GAINS]
        times = [step.median for step in found if step is not None]
        factors = zip(list(GAINS.values())[1:], (before / after for before, after in pairwise(times)), strict=False)
        if len(times) >= len(GAINS) - 1:
            parts.append(f"{precision}: " + ", x ".join(f"{factor:.2f} from {what}" for what, factor in factors))
    return "Where the ratio comes from: " + "; ".join(parts) + "." if parts else ""


def _decoding(results: Results, shape: str) -> str:
    found = [row for row in results.decoding if row.shape == shape]
    if not found:
        return ""
    rows = []
    for row in found:
        theirs = only(
            results.decoding,
            lambda other, row=row: (
                (other.shape, other.way, other.precision, other.text)
                == (shape, PUBLISHED.name, row.precision, row.text)
            ),
        )
        # The written-out chain is what the stock way does instead: there is nothing of (a)'s to hold it against.
        same_text = theirs is not None and theirs.new_tokens == row.new_tokens
        cells = [
            TITLES[row.way],
            row.precision,
            str(row.new_tokens),
            str(row.together),
            f"{theirs.seconds_a_problem / row.seconds_a_problem:.2f}" if same_text and theirs is not None else "",
            f"{max(row.seconds) / min(row.seconds):.2f}",
            f"{100 * row.floor_seconds / row.median:.0f} %",
            _split(row),
            "" if row.same_as_published is None else f"{100 * row.same_as_published:.0f} %",
        ]
        if on_gpu(results):
            cells += [f"{1000 * row.median:.1f}", f"{1 / row.seconds_a_problem:,.1f}"]
        rows.append(cells)
    header = ["decoding", "precision", "tokens", "at once", "x (a)", "slowest/fastest", "of the floor",
              "prefill / thoughts / text", "as (a)"]  # fmt: skip
    header += ["ms", "problems/s"] if on_gpu(results) else []
    mean = found[0].prompt_tokens
    return "\n\n".join(
        [
            f"### Decoding, prompts of about {mean:.0f} tokens",
            _table(header, rows),
            "*x (a)*: problems a second against the published decoder, in the same precision, on as many tokens. "
            "*As (a)*: problems on which all tokens are the same.",
        ]
    )


def _split(row: Decoding) -> str:
    return "" if row.split is None else " / ".join(f"{100 * share:.0f} %" for share in row.split.values())


def _data(results: Results, shape: str) -> str:
    path = only(results.data, lambda row: row.shape == shape)
    if path is None:
        return ""
    return (
        f"### Data path\n\n"
        f"Passes of {path.padding_rows} rows are {100 * path.padding['random']:.1f} % padding where rows come at "
        f"random, {100 * path.padding['batch']:.1f} % sorted by length within a global batch of {path.global_rows}, "
        f"{100 * path.padding['bucket']:.1f} % within buckets of {path.bucket} global batches. "
        f"Making a batch of {path.rows} takes {100 * path.batch_seconds / path.step_seconds:.1f} % of the time of a "
        f"step on it; made ahead of the step, the loop waits for {100 * path.wait_share:.2f} % of its time."
    )


def _growth(results: Results) -> str:
    if not results.growth:
        return ""
    rows = [
        [
            row.kind,
            row.quantity,
            TITLES[row.way],
            f"{row.values[0]}-{row.values[-1]}",
            f"{row.medians[-1] / row.medians[0]:.2f}",
            f"{row.law.seconds(row.values[-1]) / row.law.seconds(row.values[0]):.2f}",
            law_in_words(row).split("(")[0].strip(),
            f"{row.law.r_squared:.3f}",
        ]
        for row in results.growth
    ]
    header = ["", "quantity", "way", "from-to", "time grows by", "law says", "law", "R²"]
    fixed = {name: value for row in results.growth for name, value in row.fixed.items()}
    held = ", ".join(f"{value} {name}" for name, value in fixed.items())
    return "\n\n".join(
        [
            "## Cost grows as it should",
            f"The tiny shape's model on made-up rows, in fp32; what is not changed stays at {held}. The form of each "
            "law is given, its coefficients are fitted.",
            _table(header, rows),
        ]
    )


def _failures(results: Results) -> str:
    rows = [[failure.shape, TITLES[failure.way], failure.what, f"`{failure.message}`"] for failure in results.failures]
    return "\n\n".join(["## What failed", _table(["shape", "way", "at", "error"], rows)]) if rows else ""


def _notes(folder: Path) -> str:
    """What whoever measured has to say of it."""
    notes = folder / "notes.md"
    return f"## Notes\n\n{notes.read_text().strip()}" if notes.is_file() else ""


def _how(results: Results) -> str:
    return "\n".join(
        [
            "## How it was measured",
            "",
            "- Same random weights, same problems (validation and test files), dropout off. Each way works in a "
            "process of its own, since ours tells its process how to use memory and which library multiplies; they "
            "take turns, never at once. Medians over all calls.",
            "- A step is forward and backward; the optimizer's update, the same for all, is left out. bf16 is autocast "
            "over fp32 weights in training, the model in bf16 in decoding.",
            "- Coconut is laid out in its last stage, (c) writes the chain out: right-padded rows, the model's own "
            "loss, Hugging Face's `generate` with a left-padded batch and a cache.",
            "- Random weights say nothing about when a text ends, so nothing ends it: every way writes the mean number "
            "of tokens of the gold text in its layout, or, where the table says more, of the gold chain and answer.",
            "- (a) decodes one problem at a time, as published; its time a problem is that of the problems of typical "
            "length. Training rows are as few as the splice of (a) allows on this device.",
            "- Peak memory: resident memory above what was held before the step, in a process that has done nothing "
            "else as large (on a GPU: the allocator's). Operators: `aten::` calls of a step of two rows, as the "
            "profiler counts them; the splice of (a) adds some with every token of every further row.",
            "- Floors: forward 2PBT + 4LdB x keys + 2VdR, training three times that, over the fastest matrix product "
            "of this run; decoding passes take the longer of that and reading weights, keys and values once.",
        ]
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(header), " | ".join(["---"] + ["---:"] * (len(header) - 1))]
    lines += [" | ".join(row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def render_table(results: Results) -> str:
    """What a terminal shows: targets, then times, which mean something here and now only."""
    out = io.StringIO()
    console = Console(file=out, width=150)
    targets = Table(title="targets", title_justify="left")
    for name in ("target", "fp32", "bf16", "ours bf16, (a) fp32", "aim", ""):
        targets.add_column(name, justify="left" if name in ("target", "") else "right")
    for claim in claims(results):
        sign = ">=" if claim.at_least else "<="
        verdict = {True: "met", False: "not met", None: ""}[claim.met]
        targets.add_row(claim.what, *(_value(claim, pair) for pair in PAIRS), f"{sign} {claim.limit:g}", verdict)
    console.print(targets)
    times = Table(title="medians of this run", title_justify="left")
    for name in ("shape", "what", "way", "precision", "ms", "tokens/s", "problems/s", "of the floor"):
        times.add_column(name, justify="left" if name in ("shape", "what", "way", "precision") else "right")
    for step in results.training:
        times.add_row(
            step.shape, "step", TITLES[step.way], step.precision, f"{1000 * step.median:,.1f}",
            f"{step.tokens / step.median:,.0f}", "", f"{100 * step.floor_seconds / step.median:.0f} %",
        )  # fmt: skip
    for row in results.decoding:
        times.add_row(
            row.shape, f"write {row.new_tokens}, {row.together} at once", TITLES[row.way], row.precision,
            f"{1000 * row.median:,.1f}", f"{row.new_tokens / row.seconds_a_problem:,.0f}",
            f"{1 / row.seconds_a_problem:,.1f}", f"{100 * row.floor_seconds / row.median:.0f} %",
        )  # fmt: skip
    console.print(times)
    return out.getvalue()
