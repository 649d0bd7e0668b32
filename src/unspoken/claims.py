"""What the paper says of its methods, and whether runs say the same.

A claim compares two rows of Table 1. On each task the paper's own figures say whether the first is better, worse, or
that nothing tells them apart; so do the runs; a difference counts from two standard errors on, where those of the runs
are as in tables (over seeds, but never below what that many problems allow), and the paper's deviations are taken for
standard errors as published. Whether the two agree is then a matter of reading, not of taste. A spread over few seeds
is itself uncertain: with three in each row, where seeds differ by more than the draw of problems explains, up to about
one in nine rows that are alike are two standard errors apart (Student's t, 4 degrees of freedom); with one in each,
where the luck of a seed is not seen at all, there is no such bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from unspoken.paper import counterpart, method_name, table1
from unspoken.tables import Row, by_task
from unspoken.tables.columns import signed, standard_error

CLEAR = 2.0
"""Standard errors from which on a difference counts."""


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something the paper (or later work) says, as two rows to compare."""

    says: str
    one: str
    other: str
    """Names of methods' classes."""


CLAIMS = (
    Claim(says="thoughts beat answering at once", one="Coconut", other="NoCoT"),
    Claim(
        says="thoughts beat a written chain on planning, and fall short of it in arithmetic", one="Coconut", other="CoT"
    ),
    Claim(says="without the curriculum thoughts are not learned", one="Coconut", other="CoconutWithoutCurriculum"),
    Claim(says="it is not the curriculum alone", one="Coconut", other="WithoutThought"),
    Claim(says="it is not further places to compute in", one="Coconut", other="PauseAsThought"),
    Claim(says="thoughts do as well as chains made implicit, or better", one="Coconut", other="ICoT"),
    Claim(says="pause tokens by themselves do nothing", one="Pause", other="NoCoT"),
    Claim(says="control: it matters whose thoughts they are", one="Coconut", other="ShuffledThoughts"),
    Claim(says="control: thoughts have to be trained through", one="Coconut", other="DetachedThoughts"),
)


@final
class Relation(StrEnum):
    """Of one row to another."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "not told apart"


@final
class Agreement(StrEnum):
    """Of the runs with the paper."""

    HOLDS = "holds"
    REVERSED = "reversed"
    NOT_SEEN = "not seen here"
    ONLY_HERE = "a difference only here"
    UNSAID = "the paper has no figure"


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """Between two rows' accuracies."""

    points: float
    """Percentage points, the first less the second."""
    error: float
    """Its standard error; 0 where none is given."""

    @property
    def relation(self) -> Relation:
        """What it amounts to."""
        if abs(self.points) <= CLEAR * self.error:
            return Relation.ALIKE
        return Relation.BETTER if self.points > 0 else Relation.WORSE

    def __str__(self) -> str:
        return f"{signed(self.points)} ± {self.error:.1f}"


@final
@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim on one task."""

    claim: Claim
    task: str
    paper: Difference | None
    """None where the paper's table lacks one of the rows."""
    here: Difference
    seeds: int
    """The fewer of both rows."""

    @property
    def agreement(self) -> Agreement:
        """Whether the runs say what the paper's table says."""
        if self.paper is None:
            return Agreement.UNSAID
        theirs, ours = self.paper.relation, self.here.relation
        if theirs == ours:
            return Agreement.HOLDS
        if ours == Relation.ALIKE:
            return Agreement.NOT_SEEN
        return Agreement.ONLY_HERE if theirs == Relation.ALIKE else Agreement.REVERSED


def judge(rows: Sequence[Row], claims: Sequence[Claim] = CLAIMS) -> list[Judged]:
    """Every claim on every task that has both of its rows; rows of ablations, which share a method, come second."""
    judged = []
    for claim in claims:
        for group in by_task(rows):
            found: dict[str, Row] = {}
            for row in group.rows:
                found.setdefault(row.method, row)
            if claim.one in found and claim.other in found:
                one, other = found[claim.one], found[claim.other]
                error = math.hypot(standard_error(one.summaries), standard_error(other.summaries))
                here = Difference(points=100 * (one.accuracy - other.accuracy), error=100 * error)
                paper = _published(claim, counterpart(one.task) or one.task)
                seeds = min(len(one.runs), len(other.runs))
                judged.append(Judged(claim=claim, task=group.title, paper=paper, here=here, seeds=seeds))
    return judged


def _published(claim: Claim, task: str) -> Difference | None:
    one, other = table1(claim.one, task), table1(claim.other, task)
    if one is None or other is None:
        return None
    error = math.hypot(one.deviation or 0.0, other.deviation or 0.0)
    return Difference(points=one.accuracy - other.accuracy, error=error)


def render_claims(judged: Sequence[Judged]) -> str:
    """A Markdown table, claim by claim."""
    lines = [
        "| claim | rows | task | paper, points | here, points | the paper's | here | verdict | seeds |",
        "|---|---|---|---:|---:|---|---|---|---:|",
    ]
    for each in judged:
        rows = f"{method_name(each.claim.one)} - {method_name(each.claim.other)}"
        theirs = ("-", "-") if each.paper is None else (str(each.paper), each.paper.relation.value)
        lines.append(
            f"| {each.claim.says} | {rows} | {each.task} | {theirs[0]} | {each.here} | {theirs[1]} | "
            f"{each.here.relation.value} | **{each.agreement.value}** | {each.seeds} |"
        )
    return "\n".join(lines) + "\n"
