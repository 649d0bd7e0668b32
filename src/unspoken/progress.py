"""A training, live on a terminal: stage, loss, accuracy, tokens a second, time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from unspoken.reports import StepReport, ValidationReport


@final
class LiveTraining:
    """An observer of `fit` that draws one line; where there is no terminal it prints a line a validation instead."""

    def __init__(self, console: Console, recipe: str, title: str | None = None) -> None:
        self._console = console
        self._recipe = recipe
        self._title = title or recipe
        self._accuracy = "-"
        self._report: StepReport | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._line = self._progress.add_task(self._title, total=None, status="starting")

    def _named(self, recipe: str) -> str:
        """The title, or the name of the run that this one trains first."""
        return self._title if recipe == self._recipe else recipe

    def __enter__(self) -> LiveTraining:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_step(self, report: StepReport) -> None:
        self._report = report
        self._draw()

    def on_validation(self, report: ValidationReport) -> None:
        self._accuracy = f"{100 * report.accuracy:5.1f} %"
        self._draw()
        if not self._console.is_terminal:
            self._console.print(
                f"{self._named(report.recipe)}: step {report.step}, stage {report.stage}, "
                f"accuracy {self._accuracy} of {report.num}",
                soft_wrap=True,
            )

    def _draw(self) -> None:
        report = self._report
        if report is None:
            return
        status = (
            f"stage {report.stage}/{report.num_stages - 1} loss {report.loss:.3f} accuracy {self._accuracy} "
            f"{report.tokens_per_second / 1000:.1f}k tok/s"
        )
        self._progress.update(
            self._line,
            description=self._named(report.recipe),
            completed=report.step,
            total=report.num_steps,
            status=status,
        )
