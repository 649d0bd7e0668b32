"""How much of a score on a set of problems could be had without solving them: every shortcut of ours, with intervals.

Many shortcuts are tried on one set, so the best of them is above chance in a fair set too. Whether a shortcut is called
one is therefore decided at 5 % for all of them together (Bonferroni): in 95 of 100 fair sets, none is.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from unspoken.paper import METHOD_NAMES, method_name, table1
from unspoken.records import wilson
from unspoken.shortcuts.findings import Finding, Group, Probe
from unspoken.shortcuts.probes import probes_for
from unspoken.tasks.base import Example
from unspoken.tasks.texts import collapsed

ALPHA = 0.05
"""How often a fair set may be called biased."""

_NOT_FOLLOWED = ", so no accuracy below that shows that facts are followed"


@final
@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One shortcut on one set of problems."""

    name: str
    about: str
    group: Group
    num: int
    accuracy: float
    """0 to 1; undecided problems count their share."""
    low: float
    high: float
    """95 % Wilson interval of this row by itself; a little wide where a part of the problems is undecided."""
    chance: float | None
    """What it gets where it has nothing to go by; None where any right answer is more than chance."""
    p_value: float | None
    """How probable so much, or so little where there are two answers, is by luck alone (exact binomial test on the
    problems it decides); for learned ones an approximation, since their folds share data. None without a chance."""
    note: str

    def beyond_luck(self, tests: int) -> bool:
        """Whether luck does not explain it, all tests of the audit considered."""
        return self.p_value is not None and self.p_value * tests <= ALPHA


@final
@dataclass(frozen=True, kw_only=True)
class Audit:
    """Every shortcut on one set of problems."""

    title: str
    num: int
    rows: tuple[AuditRow, ...]
    """By group, best first."""
    repeated: int = 0
    """How many problems were left out because their question had been there before."""
    references: tuple[tuple[str, float], ...]
    """The paper's methods and their accuracies in %, on the paper's own test set."""

    @property
    def tests(self) -> int:
        """How many rows are held against chance."""
        return sum(row.p_value is not None for row in self.rows)

    @property
    def biased(self) -> tuple[AuditRow, ...]:
        """Rows that luck does not explain."""
        return tuple(row for row in self.rows if row.beyond_luck(self.tests))

    @property
    def chance(self) -> float | None:
        """The chance that most rows share; None where no row has one."""
        chances = Counter(row.chance for row in self.rows if row.chance is not None)
        return chances.most_common(1)[0][0] if chances else None

    def luck(self, chance: float) -> float:
        """The accuracy that the best of all rows stays below or at in 95 of 100 fair sets, if each decides every
        problem."""
        from scipy.stats import binom

        sides = 2 if chance == 0.5 else 1
        return float(binom.isf(ALPHA / max(self.tests, 1) / sides, self.num, chance)) / self.num


def audit(
    problems: Sequence[Example], *, title: str, task: str = "", further: Sequence[Probe] = (), most: int | None = None
) -> Audit:
    """Runs every shortcut that the form of the problems allows.

    Args:
        problems: what to audit.
        title: what to call them, a file's name say.
        task: class name of the task, for the paper's figures beside it; none where the paper has none.
        further: ways of answering that a task has of its own.
        most: of more problems than this, only the first ones are looked at; None: all.

    Raises:
        ValueError: there are no problems, or they are malformed.
    """
    given = problems[:most]
    # A repeated problem in two folds would be known by heart, and pass for a shortcut.
    problems = list({collapsed(example.question): example for example in reversed(given)}.values())[::-1]
    found = [finding for probe in (*probes_for(problems), *further) for finding in probe(problems)]
    order = list(Group)
    rows = sorted(map(_row, found), key=lambda row: (order.index(row.group), -row.accuracy))
    cells = [(method_name(method), table1(method, task)) for method in METHOD_NAMES]
    references = tuple((name, cell.accuracy) for name, cell in cells if cell is not None)
    return Audit(
        title=title,
        num=len(problems),
        rows=tuple(rows),
        repeated=len(given) - len(problems),
        references=references,
    )


def render_audit(audit: Audit, style: Literal["md", "csv"] = "md") -> str:
    """The audit as a Markdown table with its verdict and notes, or as CSV with plain numbers; ends in a newline."""
    if style == "csv":
        return _csv(audit)
    lines = [f"{audit.title}: {audit.num:,} problems", ""]
    lines += ["| Shortcut | Chooses by | Right, % | 95 % interval | Chance | Beyond luck |"]
    lines += ["|---|---|---:|---:|---:|---|"]
    for group in Group:
        rows = [row for row in audit.rows if row.group is group]
        lines += [f"| **{group.value}** | | | | | |"] if rows else []
        for row in rows:
            chance = "-" if row.chance is None else f"{100 * row.chance:.1f}"
            beyond = "-" if row.chance is None else "yes" if row.beyond_luck(audit.tests) else "no"
            interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
            lines.append(f"| {row.name} | {row.about} | {100 * row.accuracy:.1f} | {interval} | {chance} | {beyond} |")
    if any(row.p_value is not None for row in audit.rows):
        lines += ["", "Beyond luck is tested on the problems a shortcut decides, the interval is over all of them."]
    if audit.repeated:
        lines += ["", f"{audit.repeated:,} further problems repeat a question and were left out."]
    lines += ["", *verdict(audit)]
    lines += [f"{row.name}: {row.note}." for row in audit.rows if row.note]
    return "\n".join(lines) + "\n"


def verdict(audit: Audit) -> list[str]:
    """What the figures say and no more, in sentences."""
    if not audit.tests:
        best = max(audit.rows, key=lambda row: row.accuracy)
        return [
            f"The best guess, {_quoted(best)}, is right without solving anything: that much of a score shows nothing."
        ]
    blind = [row for row in audit.rows if row.chance is not None and row.group not in (Group.ASKED, Group.SEARCH)]
    biased = [row for row in blind if row in audit.biased]
    above = [row for row in biased if row.accuracy > (row.chance or 0)]
    below = [row for row in biased if row not in above]
    said = []
    if above:
        best = max(above, key=lambda row: row.accuracy)
        below_that = "no accuracy on these problems shows" if best.high == 1 else "an accuracy below that does not show"
        said.append(f"The best shortcut, {_quoted(best)}, solves nothing: {below_that} reasoning.")
        named = ", ".join(f"{row.name} {100 * row.accuracy:.1f}" for row in above)
        said.append(f"Above chance, beyond luck ({len(above)}): {named}.")
    if below:
        said.append(
            "Below chance, beyond luck, so that the opposite choice is a shortcut: "
            + ", ".join(f"{row.name} {100 * row.accuracy:.1f}" for row in below)
            + "."
        )
    if blind and not biased:
        best = max(blind, key=lambda row: row.accuracy)
        said.append(
            f"No shortcut that does not see what is asked is further from chance than luck explains; the highest is "
            f"{_quoted(best)}. That is no proof that there is none: others were not tried, and small ones do not show."
        )
    if audit.chance is not None:
        said.append(
            f"Luck: where chance is {100 * audit.chance:.1f} %, the best of {audit.tests} stays at or below "
            f"{100 * audit.luck(audit.chance):.1f} % in 95 of 100 fair sets of {audit.num:,} problems."
        )
    for group, before, after in (
        (Group.ASKED, "Knowing who is asked about, but following no facts from there, the best is", _NOT_FOLLOWED),
        (Group.SEARCH, "Of searches that do only a part of what the task asks for, the best is", ""),
    ):
        rows = [row for row in audit.biased if row.group is group and row.accuracy > (row.chance or 0)]
        if rows:
            said.append(f"{before} {_quoted(max(rows, key=lambda row: row.accuracy))}{after}.")
    if audit.references and above:
        said.append(_beside_the_paper(audit.references, max(above, key=lambda row: row.accuracy)))
    return said


def _quoted(row: AuditRow) -> str:
    return f"{row.name} ({100 * row.accuracy:.1f} %, interval {100 * row.low:.1f} to {100 * row.high:.1f})"


def _beside_the_paper(references: Sequence[tuple[str, float]], best: AuditRow) -> str:
    sides = [
        (
            word,
            ", ".join(f"{name} {accuracy}" for name, accuracy in references if (accuracy > 100 * best.accuracy) is up),
        )
        for word, up in (("not above it", False), ("above it", True))
    ]
    return (
        "The paper's figures, on its own test set: " + "; ".join(f"{word}: {who}" for word, who in sides if who) + "."
    )


def _row(finding: Finding) -> AuditRow:
    num = len(finding.points)
    total = math.fsum(finding.points)
    return AuditRow(
        name=finding.name,
        about=finding.about,
        group=finding.group,
        num=num,
        accuracy=total / num,
        # Whole numbers of problems on either side: undecided ones vary less than right or wrong ones.
        low=wilson(math.floor(total), num)[0],
        high=wilson(math.ceil(total), num)[1],
        chance=finding.chance,
        p_value=None if finding.chance is None else min(1.0, finding.tried * _p_value(finding.points, finding.chance)),
        note=finding.note,
    )


def _p_value(points: Sequence[float], chance: float) -> float:
    from scipy.stats import binomtest

    # A problem where every answer is level says nothing; shares of other ties are rounded down.
    decided = [point for point in points if not math.isclose(point, chance)]
    if not decided:
        return 1.0
    right = math.floor(math.fsum(decided) + 1e-9)
    # With two answers the opposite of a bad choice is a good one; with more it is hardly worth anything.
    sides = "two-sided" if chance == 0.5 else "greater"
    return float(binomtest(right, len(decided), chance, alternative=sides).pvalue)


def _csv(audit: Audit) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["title", "name", "group", "about", "num", "accuracy", "low", "high", "chance", "p_value", "beyond_luck"]
    )
    for row in audit.rows:
        numbers = ["" if x is None else f"{x:.6g}" for x in (row.accuracy, row.low, row.high, row.chance, row.p_value)]
        beyond = "" if row.chance is None else str(row.beyond_luck(audit.tests)).lower()
        writer.writerow([audit.title, row.name, row.group.value, row.about, row.num, *numbers, beyond])
    for name, accuracy in audit.references:
        writer.writerow(
            [audit.title, name, "the paper, on its own test set", "", "", f"{accuracy / 100:.6g}"] + [""] * 5
        )
    return out.getvalue()
