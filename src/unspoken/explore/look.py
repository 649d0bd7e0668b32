"""One look at a run: everything the page shows of some problems, worked out by the analyses and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import msgspec
import numpy as np

from unspoken.analysis.base import Subject
from unspoken.analysis.bootstrap import Bootstrap, Interval, share_interval
from unspoken.analysis.breadth import MEASURES, NODES, Breadth, BreadthFound, measure_values
from unspoken.analysis.cache import ThoughtCache, make_cache
from unspoken.analysis.search import Search, searches_of
from unspoken.evaluate import evaluate
from unspoken.explore import payload
from unspoken.explore.layered import layered
from unspoken.explore.payload import After, Drawn, Problem, Range, SlotKind, Stop, Token, Wrote, rounded
from unspoken.explore.under import Changed, Tell, change_thoughts, quietly
from unspoken.explore.writing import forced, top_tokens, wrote
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Example, Task
from unspoken.tasks.chains import PathClass
from unspoken.tasks.equations import ChainClass, equations_in


@final
@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look at some problems gives; fields as in `payload.Payload`."""

    slot: SlotKind
    accuracy: Range
    paths: tuple[str, ...]
    after: tuple[After, ...]
    changed: Changed
    problems: tuple[Problem, ...]


def look(
    model: LatentLM,
    task: Task,
    method: Method,
    examples: Sequence[Example],
    *,
    rows: int,
    seed: int,
    mix: float,
    beside: Sequence[Record] | None,
    tell: Tell = quietly,
) -> Seen:
    """Runs a model on problems, from every stop and under every intervention.

    `mix` is how often training took a random stage; `beside` another run's records of the same problems. `tell` is
    told what is being done, each time that changes.

    Raises:
        ValueError: there are no problems, fewer than the method needs together, or a prompt does not fit.
    """
    tell("thoughts, and the values of nodes after each")
    cache = make_cache(model, task, method, examples, rows=rows)
    subject = Subject(
        model=model,
        task=task,
        method=method,
        cache=cache,
        searches=searches_of(task, examples),
        bootstrap=Bootstrap(len(examples), seed=seed),
        seed=seed,
        mix=mix,
        rows=rows,
    )
    slot: SlotKind = "none"
    if cache.slots:
        slot = "step" if subject.unit == "written step" else "thought" if subject.unit == "thought" else "pause"
    tell("answers, and what is written after fewer thoughts")
    finals = evaluate(model, task, method, examples, rows=rows)
    written = forced(model, task, method, examples, rows=rows)
    changed = change_thoughts(model, task, method, cache, finals, rows=rows, seed=seed, tell=tell)
    decoded, said = _decoded(model, cache, slot), _by_stop(cache, top_tokens(model, _flat(cache, cache.closed)))
    problems = tuple(
        Problem(
            number=i,
            question=example.question,
            steps=example.steps,
            answer=example.answer,
            results=tuple(tuple(e.rpartition("=")[2].strip() for e in equations_in(step)) for step in example.steps),
            stops=tuple(
                _stop(cache, i, k, decoded[i][k], said[i][k], written[i][k], subject.searches)
                for k in range(cache.num_stops[i])
            ),
            final=wrote(finals[i]),
            under=tuple(each[i] for each in changed.by_intervention),
            beside=None if beside is None else wrote(beside[i]),
            graph=None if subject.searches is None else _drawn(subject.searches[i]),
        )
        for i, example in enumerate(examples)
    )
    paths = _paths(problems)
    return Seen(
        slot=slot,
        accuracy=share([record.correct for record in finals]),
        paths=paths,
        after=_after(subject, written, paths),
        changed=changed,
        problems=problems,
    )


def share(hits: Sequence[bool]) -> Range:
    """A share of problems with its Wilson interval."""
    return interval_range(share_interval(sum(hits), len(hits)), len(hits))


def interval_range(interval: Interval, num: int) -> Range:
    """An interval as the page is given it."""
    return Range(mean=rounded(interval.mean), low=rounded(interval.low), high=rounded(interval.high), num=num)


def _plain(mean: float, num: int) -> Range:
    """A mean that is no sample of anything, so has no interval."""
    return Range(mean=rounded(mean), low=None, high=None, num=num)


def _flat(cache: ThoughtCache, hidden: np.ndarray) -> np.ndarray:
    """The rows (N, S, D) -> (M, D) of stops that exist, problem by problem."""
    return np.concatenate([hidden[i, :num] for i, num in enumerate(cache.num_stops)])


def _by_stop(cache: ThoughtCache, tokens: Sequence[tuple[Token, ...]]) -> list[list[tuple[Token, ...]]]:
    """The inverse of `_flat`, for lists."""
    ends = np.cumsum(cache.num_stops).tolist()
    return [list(tokens[end - num : end]) for end, num in zip(ends, cache.num_stops.tolist(), strict=True)]


def _decoded(model: LatentLM, cache: ThoughtCache, slot: SlotKind) -> list[list[tuple[Token, ...]]]:
    """Of each problem, of each stop: what the thought just taken in decodes to; nothing where there is none."""
    nothing = [[()] * num for num in cache.num_stops.tolist()]
    if slot not in ("thought", "pause"):
        return nothing
    # Stop k comes after thought k, which is what was fed; a pause itself is always the same, so what came of it.
    hidden = cache.thoughts if slot == "thought" else cache.states[:, 1:]
    tokens = iter(top_tokens(model, np.concatenate([hidden[i, : num - 1] for i, num in enumerate(cache.num_stops)])))
    return [[(), *(next(tokens) for _ in range(num - 1))] for num in cache.num_stops.tolist()]


def _stop(
    cache: ThoughtCache,
    i: int,
    k: int,
    decoded: tuple[Token, ...],
    said: tuple[Token, ...],
    written: Wrote,
    searches: Sequence[Search] | None,
) -> Stop:
    if searches is None or cache.log_values is None or cache.hops is None:
        return Stop(decoded=decoded, said=said, wrote=written)
    hops = cache.hops[i][k]
    breadth = None
    if searches[i].needed >= hops:
        found = dict(zip(MEASURES, measure_values(cache.log_values[i][k], searches[i], hops).tolist(), strict=True))
        names = {"frontier": "frontier", "reachable": "reachable", "elsewhere": "unreachable"}
        breadth = payload.Breadth(
            **{field: round(found[name], payload.DIGITS) for field, name in names.items()},
            candidates=round(found["candidates"], payload.DIGITS),
        )
    return Stop(
        decoded=decoded,
        said=said,
        wrote=written,
        hops=hops,
        values=tuple(round(value, payload.DIGITS) for value in cache.values(i)[k].tolist()),
        breadth=breadth,
    )


def _drawn(search: Search) -> Drawn:
    graph = search.graph
    return Drawn(
        names=search.names,
        places=tuple((column, round(height, 2)) for column, height in layered(graph)),
        hops=tuple(search.depth.tolist()),
        edges=graph.edges,
        root=graph.root,
        right=graph.target,
        wrong=graph.neg_target,
        path=graph.path,
    )


def _paths(problems: Sequence[Problem]) -> tuple[str, ...]:
    """The classes that outputs fall into; where they are ours, all of them, so that pages can be held side by side."""
    found = {w.path for problem in problems for w in (problem.final, *(stop.wrote for stop in problem.stops)) if w}
    names = {name for name in found if name is not None}
    for ours in (PathClass, ChainClass):
        if names and names <= set(ours):
            return tuple(each.value for each in ours)
    return tuple(sorted(names))


def _after(subject: Subject, written: Sequence[Sequence[Wrote]], paths: Sequence[str]) -> tuple[After, ...]:
    found = Breadth().measure(subject)
    spread = {stop.stop: stop for stop in found.stops} if isinstance(found, BreadthFound) else {}
    afters = []
    for k in subject.stops:
        there = [each[k] for each in written if len(each) > k]
        after = After(
            slots=k,
            accuracy=share([w.right for w in there]),
            paths=tuple(sum(w.path == name for w in there) for name in paths),
        )
        if (stop := spread.get(k)) is not None:
            ranges = {
                field: interval_range(stop.measures[name].found, stop.num)
                for field, name in (
                    ("frontier", "frontier"),
                    ("reachable", "reachable"),
                    ("elsewhere", "unreachable"),
                    ("candidates", "candidates"),
                )
            }
            after = msgspec.structs.replace(
                after,
                **ranges,
                frontier_size=_plain(stop.frontier_size, stop.num),
                frontier_by_chance=_plain(stop.measures["frontier"].chances[NODES], stop.num),
            )
        afters.append(after)
    return tuple(afters)
