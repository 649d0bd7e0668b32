"""Pages of models whose use of their thoughts is known."""

from __future__ import annotations

from functools import cache

import msgspec

from scripted import METHOD, TASK, Kind, scripted
from unspoken.explore.look import Seen, look
from unspoken.explore.payload import Beside, Payload, Problem
from unspoken.records import Record

NASTY = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> {{style}} \u2028 & \" ' \\"
"""A problem by somebody who means no good."""

EXAMPLES = TASK.examples("test")[:24]


@cache
def seen(kind: Kind) -> Seen:
    """A look at a scripted model, another's records beside it."""
    beside = [
        Record(
            index=i, prompt="", output=f"written {i}", prediction="", target="", correct=bool(i % 2), num_tokens=1,
            num_thoughts=0, seconds=0,
        )
        for i in range(len(EXAMPLES))
    ]  # fmt: skip
    return look(scripted(kind), TASK, METHOD, EXAMPLES, rows=24, seed=0, mix=0.1, beside=beside)


def page_of(kind: Kind, *, copies: int = 1) -> Payload:
    """What the page of a scripted model is given; its problems several times over, numbered on."""
    found = seen(kind)
    problems: tuple[Problem, ...] = tuple(
        msgspec.structs.replace(problem, number=copy * len(found.problems) + problem.number)
        for copy in range(copies)
        for problem in found.problems
    )
    return Payload(
        version="0",
        commit=None,
        run=f"scripted-{kind}",
        recipe="tests",
        method="Coconut",
        task="Fork",
        split="test",
        on=None,
        weights="best",
        seed=0,
        slot=found.slot,
        mixed=True,
        accuracy=found.accuracy,
        paths=found.paths,
        after=found.after,
        interventions=found.changed.interventions,
        left_out=found.changed.left_out,
        why_no_interventions=found.changed.why_none,
        beside=Beside(run="other", method="CoT", accuracy=found.accuracy),
        problems=problems,
    )


def nasty() -> Payload:
    """A page whose run and first problem are called `NASTY`."""
    payload = page_of("bfs")
    first = msgspec.structs.replace(payload.problems[0], question=NASTY, answer=NASTY)
    return msgspec.structs.replace(payload, run=NASTY, problems=(first, *payload.problems[1:]))
