"""Commands about recipes and runs: list, show, train, eval, table, env, demo."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

import tyro

from unspoken.cli.arguments import PROGRAM, Nothing, Runs, leading, notes, parse
from unspoken.cli.chosen import evaluated
from unspoken.config import After, RunConfig
from unspoken.specs import Engine, Lora
from unspoken.tracking import Together, Tool, trackers

if TYPE_CHECKING:
    from unspoken.records import Summary


def list_(args: Sequence[str]) -> None:
    """List all recipes."""
    from unspoken.recipes import RECIPES

    parse(Nothing, args, name="list", about=list_.__doc__)
    width = max(len(name) for name in RECIPES)
    for name, make in RECIPES.items():
        config = make()
        # A recipe that is one row of a table says no more than its method does.
        about = config.method if isinstance(make, partial) else make
        what = (about.__doc__ or "").splitlines()[0]
        print(f"{name:<{width}}  {what}")


@final
@dataclass(frozen=True)
class _Show:
    """Show a recipe or run, every field resolved."""

    what: Annotated[str, tyro.conf.Positional]
    """Recipe name or run folder."""
    diff: str | None = None
    """Another recipe or run: show only what differs."""


def show(args: Sequence[str]) -> None:
    """Show a recipe or run, every field resolved; --diff OTHER."""
    from unspoken.config import flatten

    options = parse(_Show, args, name="show")
    fields = flatten(_config_of(options.what))
    if options.diff is None:
        for name, value in fields.items():
            print(f"{name} = {value}")
        return
    other = flatten(_config_of(options.diff))
    for name in [*fields, *(n for n in other if n not in fields)]:
        ours, theirs = fields.get(name, "(absent)"), other.get(name, "(absent)")
        if ours != theirs:
            print(f"{name}: {ours} -> {theirs}")


def _config_of(what: str) -> RunConfig:
    from unspoken.recipes import find_recipe

    return RunConfig.load(Path(what) / "config.json") if Path(what).is_dir() else find_recipe(what)


@final
@dataclass(frozen=True)
class _Train:
    """Train a recipe, or continue a run."""

    # Whether a run has an adapter is no subcommand of its own: its flags are there where the run has one.
    config: Annotated[RunConfig, tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands]
    """The run."""
    out: Path | None = None
    """Run folder, which must not exist; None: runs/ and the recipe's name."""
    first: Path | None = None
    """A finished run of model.first to start from; None: that is trained too, in the run folder's first/."""
    report_to: Tool | None = None
    """A tracker to send metrics to as well; metrics.jsonl is always written."""


@final
@dataclass(frozen=True)
class _Resume:
    """Continue a run from its newest checkpoint."""

    resume: Path
    """Run folder."""
    report_to: Tool | None = None
    """A tracker to send metrics to as well; a run that has one keeps it without being told."""
    micro: Annotated[int | None, tyro.conf.arg(name="batch.micro")] = None
    """Most rows in one forward pass from here on; None: as the run has it. For a run that ran out of memory."""
    evaluation: Annotated[int | None, tyro.conf.arg(name="batch.evaluation")] = None
    """Rows decoded together in evaluation from here on; None: as the run has it."""


_RESUMED = ("--report-to", "--batch.micro", "--batch.evaluation")
"""The flags of `_Resume` beside --resume itself."""


def train(args: Sequence[str]) -> None:
    """Train RECIPE [flags], or a saved config.json; or --resume RUN."""
    recipe, rest = leading(args)
    if recipe is None and any(a.startswith("--resume") for a in rest):
        _refuse_settings(rest)
        resumed = parse(_Resume, rest, name="train")
        run = resumed.resume
        config = RunConfig.load(run / "config.json")
        given = {"micro": resumed.micro, "evaluation": resumed.evaluation}
        batch = replace(config.batch, **{name: rows for name, rows in given.items() if rows is not None})
        config = replace(config, batch=batch)
        _fit(config, run, resume=True, report_to=resumed.report_to)
        return
    if recipe is None:
        if "-h" in rest or "--help" in rest:
            print(
                f"usage: {PROGRAM} train RECIPE [--out DIR] [--seed N] [--max-steps N] [--report-to TRACKER] [...]\n"
                f"       {PROGRAM} train CONFIG.json [the same]\n"
                f"       {PROGRAM} train --resume RUN [--batch.micro N] [--batch.evaluation N]\n\n"
                f"{PROGRAM} list shows the recipes; {PROGRAM} train RECIPE --help shows every flag of one."
            )
            return
        raise ValueError(f"train needs a recipe first, as in {PROGRAM} train demo/coconut; {PROGRAM} list shows them")
    from unspoken.recipes import find_recipe

    base = RunConfig.load(Path(recipe)) if recipe.endswith(".json") else find_recipe(recipe)
    if base.adapter is None and any(arg.startswith("--adapter.") for arg in rest):
        base = replace(base, adapter=Lora())
    options = parse(_Train, rest, name=f"train {recipe}", default=_Train(config=base))
    config = options.config
    # --seed is the whole run's; --model.first.seed can still say otherwise.
    if config.seed != base.seed and isinstance(config.model, After) and config.model.first.seed == base.seed:
        config = config.with_seed(config.seed)
    if options.first is not None and not isinstance(config.model, After):
        raise ValueError(f"--first {options.first}: {config.recipe} starts from no other run; leave it out")
    out = options.out or Path("runs") / config.recipe.replace("/", "-")
    _fit(config, out, resume=False, report_to=options.report_to, first=options.first)


def _refuse_settings(args: Sequence[str]) -> None:
    """Raises ValueError for a flag that a run beginning takes, and one going on does not."""
    for flag in (arg.partition("=")[0] for arg in args if arg.startswith("--")):
        if flag.replace("_", "-") not in ("--resume", "--help", *_RESUMED):
            raise ValueError(
                f"{flag}: a resumed run keeps the settings of its config.json; beside --resume RUN there are only "
                f"{', '.join(_RESUMED)}"
            )


@contextmanager
def _saying_what_is_saved(out: Path) -> Iterator[None]:
    """A Ctrl-C that no step can answer, before the first one say, tells what there is to go on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        there = (out / "config.json").is_file()
        raise KeyboardInterrupt(
            f"what was saved last is in {out}, continue with: {PROGRAM} train --resume {out}"
            if there
            else f"nothing was saved, {out} is not there yet"
        ) from stop


def _fit(config: RunConfig, out: Path, *, resume: bool, report_to: Tool | None, first: Path | None = None) -> None:
    with _saying_what_is_saved(out):
        _fit_to_the_end(config, out, resume=resume, report_to=report_to, first=first)


def _fit_to_the_end(config: RunConfig, out: Path, *, resume: bool, report_to: Tool | None, first: Path | None) -> None:
    from rich.console import Console

    from unspoken.progress import LiveTraining
    from unspoken.quiet import quiet
    from unspoken.train import Interrupted, fit

    quiet()
    # Of several processes, as a launcher numbers them, one is enough to hear.
    console = Console(quiet=os.environ.get("RANK", "0") != "0")
    if not console.quiet:
        _warn_of_unseen_prompts(config)
    try:
        with LiveTraining(console, config.recipe) as live, notes(), ExitStack() as opened:
            observers = [opened.enter_context(tracker) for tracker in trackers(report_to, out, config)]
            fit(config, out, resume=resume, first=first, observer=Together([live, *observers]))
    except Interrupted as stopped:
        print(f"{PROGRAM}: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    console.print(f"trained: {out / 'final'}; now: {PROGRAM} eval {out}", soft_wrap=True)


@final
@dataclass(frozen=True)
class _Eval:
    """Evaluate a run on a split of its task, and write records."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    split: Literal["valid", "test"] = "test"
    """Which split."""
    on: str | None = None
    """Other problems: a task's name (`unspoken data list` lists them) or a file in the run's own format."""
    weights: Literal["best", "final"] = "best"
    """best: best validation accuracy in the final stage; final: the end of training."""
    thoughts: int | None = None
    """Force language mode after this many continuous thoughts; None: as many as the last stage has."""
    num: int | None = None
    """How many of the split's examples; None: all."""
    rows: int | None = None
    """Rows decoded together; None: the run's own setting."""
    single: int = 10
    """How many problems to time at batch 1."""
    engine: Engine | None = None
    """How the model is run; None: as the run was trained. `plain` switches every fast path off."""
    name: str | None = None
    """Folder under RUN/eval; None: made of --on, the split, and the number of thoughts where forced."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an evaluation of that name, once the new one is complete."""


def eval_(args: Sequence[str]) -> None:
    """Evaluate RUN: accuracy with interval, tokens, seconds; records under RUN/eval."""
    options = parse(_Eval, args, name="eval")
    least = {"num": 1, "rows": 1, "single": 0, "thoughts": 0}
    for flag, value in zip(least, (options.num, options.rows, options.single, options.thoughts), strict=True):
        if value is not None and value < least[flag]:
            raise ValueError(f"--{flag} must be at least {least[flag]}, got {value}")
    config = RunConfig.load(options.run / "config.json")
    task = config.task
    parts: list[str] = [options.split] if options.thoughts is None else [options.split, f"{options.thoughts}-thoughts"]
    if options.on is not None:
        from unspoken.tasks.known import find_task

        file = Path(options.on)
        task = task.on_file(file) if file.is_file() else task.asking(find_task(options.on))
        parts.insert(0, file.name.partition(".")[0])
    name = options.name or "-".join(parts)
    folder = options.run / "eval" / name
    if folder.exists() and not options.force:
        raise ValueError(f"{folder} exists; choose another --name, or replace it with --force")
    trained = config.method.trained_thoughts
    if options.thoughts is not None and trained is not None and options.thoughts > trained:
        print(
            f"{PROGRAM}: warning: {options.thoughts} thoughts are more than the {trained} this run was trained with",
            file=sys.stderr,
        )
    if options.thoughts is None:
        _warn_of_unseen_prompts(config)
    from unspoken.quiet import quiet
    from unspoken.runs import evaluate_run

    quiet()
    with notes():
        summary = evaluate_run(
            options.run,
            config,
            folder,
            task=task,
            split=options.split,
            weights=options.weights,
            thoughts=options.thoughts,
            num=options.num,
            rows=options.rows,
            single=options.single,
            engine=options.engine,
        )
    print(_describe(summary))
    if summary.path_classes:
        print("; ".join(f"{name} {count}" for name, count in summary.path_classes.items()))
    print(f"records: {folder / 'records.jsonl'}")


def _warn_of_unseen_prompts(config: RunConfig) -> None:
    """Says on stderr where a curriculum never comes to what evaluation asks."""
    method, seen = config.method, sorted(config.curriculum.seen)
    if not any(method.asks_as_evaluation(stage) for stage in seen):
        print(
            f"{PROGRAM}: warning: evaluation asks as in the last stage, {method.stages - 1}, but the curriculum trains "
            f"only the stages {', '.join(map(str, seen))}: the model meets prompts it was never trained on",
            file=sys.stderr,
        )


def _describe(summary: Summary) -> str:
    low, high = summary.interval
    single = "" if summary.seconds_single is None else f"{1000 * summary.seconds_single:.1f} ms a problem at batch 1, "
    parts = {
        "question": summary.prefill_seconds,
        "thoughts": summary.thought_seconds,
        "text": summary.text_seconds,
    }
    split = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in parts.items() if seconds is not None)
    return (
        f"{summary.split}, {summary.weights} weights: "
        f"{100 * summary.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {summary.num}, "
        f"{summary.tokens:.1f} tokens + {summary.thoughts:.1f} thoughts, "
        f"{single}{1000 * summary.seconds_batched:.1f} ms in batches of {summary.rows}"
        f"{f' ({split})' if split else ''}"
    )


@final
@dataclass(frozen=True)
class _Table:
    """Put evaluated runs into a table in the shape of the paper's Table 1."""

    runs: Runs
    """Run folders."""
    format: Literal["md", "csv", "latex"] = "md"
    """Markdown, CSV (one line a run, plain numbers) or LaTeX."""
    layout: Literal["long", "wide"] = "long"
    """A line for each method and task; or one for each method and a group of columns for each task. CSV is long."""
    eval: str = "test"
    """Which evaluation of each run; the audit of that name gives the verdict."""
    also: tuple[str, ...] | None = None
    """Further evaluations to show; None: all that the runs have; no names: none."""
    figure: Path | None = None
    """Also draw accuracy against tokens and seconds: PNG, SVG and CSV under this name."""


def table(args: Sequence[str]) -> None:
    """Put evaluated runs into a table: table RUN...; --figure draws it."""
    from unspoken.tables import collect, render

    options = parse(_Table, args, name="table")
    if not options.runs:
        raise ValueError(f"table needs at least one run folder, as in {PROGRAM} table runs/*")
    rows = collect(evaluated(options.runs, options.eval), evaluation=options.eval, also=options.also)
    rendered = render(rows, options.format, options.layout)
    if options.figure is not None:
        from unspoken.figures import efficiency

        for path in efficiency(rows, options.figure):
            print(f"{PROGRAM}: note: wrote {path}", file=sys.stderr)
    print(rendered, end="")


def env(args: Sequence[str]) -> None:
    """Show versions, commit, processor and data folder."""
    import json

    from unspoken.environment import describe_environment
    from unspoken.tasks.rows import data_root

    parse(Nothing, args, name="env", about=env.__doc__)
    found = {**describe_environment(), "data": str(data_root()) + ("" if data_root().is_dir() else " (missing)")}
    print(json.dumps(found, indent=2))


@final
@dataclass(frozen=True)
class _Demo:
    """Train and compare small models in two acts, and show what thoughts buy."""

    out: Path = field(default_factory=lambda: Path("runs"))
    """Where the run folders demo-* and the results demo/ go; existing ones are refused."""
    seed: int = 0
    """Seed of the trainings."""
    num: int = 1000
    """Test problems a model is measured on."""


def demo(args: Sequence[str]) -> None:
    """Train and compare small models in two acts, and show what thoughts buy."""
    options = parse(_Demo, args, name="demo")
    from unspoken.demo import run_demo
    from unspoken.quiet import quiet

    quiet()
    run_demo(options.out, seed=options.seed, num=options.num)
