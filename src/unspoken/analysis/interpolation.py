"""Between thinking and writing: accuracy when language mode is forced after k thoughts (paper, section 5).

One set of weights; the model writes the rest of the chain from step k + 1. Where the task has classes for written
chains (ProsQA: the paper's six), how often each is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, final

import msgspec

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit
from unspoken.analysis.bootstrap import Interval, share_interval
from unspoken.analysis.forced import write_at_stops
from unspoken.tasks.chains import PathClass
from unspoken.tasks.equations import ChainClass


@final
class ForcedThoughts(msgspec.Struct, frozen=True, kw_only=True):
    """What is written after k thoughts."""

    thoughts: int
    num: int
    num_correct: int
    accuracy: Interval
    """Wilson."""
    path_classes: dict[str, Interval]
    """Shares with Wilson intervals; empty where the task has no such classes."""


@final
class InterpolationFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    mix: float
    """How often a training example took a random stage."""
    forced: tuple[ForcedThoughts, ...]


@final
class Interpolation(Analysis[InterpolationFound]):
    """Accuracy by the number of thoughts."""

    name: ClassVar[str] = "interpolation"
    title: ClassVar[str] = "Forced into words after k thoughts"

    def measure(self, subject: Subject) -> InterpolationFound | DoesNotApply:
        if subject.method.trained_thoughts is None:
            return DoesNotApply(why=f"{type(subject.method).__name__} has no thoughts whose number could be forced.")
        forced = []
        written = write_at_stops(
            subject.model,
            subject.task,
            subject.method,
            subject.cache.examples,
            rows=subject.rows,
            most=subject.stops[-1],
        )
        for k in subject.stops:
            records = [each[k] for each in written]
            right = sum(record.correct for record in records)
            classes = Counter(record.path_class for record in records if record.path_class is not None)
            forced.append(
                ForcedThoughts(
                    thoughts=k,
                    num=len(records),
                    num_correct=right,
                    accuracy=share_interval(right, len(records)),
                    path_classes={name: share_interval(classes[name], len(records)) for name in _ordered(classes)},
                )
            )
        return InterpolationFound(unit=subject.unit, mix=subject.mix, forced=tuple(forced))

    def draw(self, found: InterpolationFound, folder: Path) -> None:
        ks = [each.thoughts for each in found.forced]
        classes = _names(found)
        with drawing.style():
            # Long names stand below each other.
            columns = 2 if max(map(len, classes), default=0) < 24 else 1
            figure, (axis,) = drawing.panels(1, height=2.6 + 0.15 * (len(classes) + 1) / columns)
            bottom = [0.0] * len(ks)
            for name, color in zip(classes, _colors(classes), strict=False):
                height = [
                    100 * each.path_classes[name].mean if name in each.path_classes else 0.0 for each in found.forced
                ]
                axis.bar(ks, height, bottom=bottom, color=color, width=0.75, label=name, alpha=0.85)
                bottom = [low + high for low, high in zip(bottom, height, strict=True)]
            drawing.with_interval(
                axis, ks, [each.accuracy for each in found.forced], color="black", marker="o", label="right answer",
                scale=100,
            )  # fmt: skip
            axis.set(xlabel=f"{found.unit}s before language mode", ylabel="% of problems", ylim=(0, 104), xticks=ks)
            figure.legend(loc="outside upper center", ncols=columns, frameon=False)
            rows: list[list[drawing.Cell]] = [
                [each.thoughts, name, share.mean, share.low, share.high]
                for each in found.forced
                for name, share in [("right answer", each.accuracy), *each.path_classes.items()]
            ]
            drawing.save(figure, folder / "interpolation", ["thoughts", "what", "share", "low", "high"], rows)

    def page(self, found: InterpolationFound) -> list[str]:
        last = found.forced[-1].thoughts
        if found.mix:
            about = (
                f"Stages were mixed in training (every example took a random stage with probability {found.mix:g}), so "
                "every k was practised to the end."
            )
        else:
            about = (
                f"Stages were *not* mixed in this run's training: fewer than {last} {found.unit}s were not practised "
                "in its last stage, and accuracy there may fall for that reason alone. The paper mixes stages with "
                "probability 0.3 for this analysis."
            )
        classes = _names(found)
        head = [f"{found.unit}s", "problems", "right answer, %", *(f"{name}, %" for name in classes)]
        return [
            f"The same weights write the rest of the chain after k {found.unit}s. {about} Intervals are Wilson's.",
            "",
            *pages.figure("interpolation", f"What is written after k {found.unit}s"),
            *pages.table(
                head,
                [
                    [str(each.thoughts), f"{each.num:,}", pages.percent(each.accuracy)]
                    + [pages.percent(each.path_classes.get(name)) for name in classes]
                    for each in found.forced
                ],
            ),
        ]


_KINDS: tuple[tuple[type[StrEnum], tuple[str, ...]], ...] = (
    (PathClass, ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")),
    (ChainClass, ("#0072B2", "#56B4E9", "#009E73", "#999999", "#D55E00", "#E69F00", "#CC79A7", "#555555")),
)
"""Classes in their own order, with colours: cold ones are right, warm ones wrong."""


def _ordered(classes: Counter[str]) -> list[str]:
    """All classes of the kind these are of; of a kind unknown here, those that occur."""
    for kind, _ in _KINDS:
        if classes and set(classes) <= {each.value for each in kind}:
            return [each.value for each in kind]
    return sorted(classes)


def _names(found: InterpolationFound) -> list[str]:
    return list(dict.fromkeys(name for each in found.forced for name in each.path_classes))


def _colors(classes: Sequence[str]) -> Sequence[str]:
    for kind, colors in _KINDS:
        if list(classes) == [each.value for each in kind]:
            return colors
    return drawing.PALETTE
