"""What analyses are tested on: a graph small enough to see, and constructed models with their thoughts."""

from __future__ import annotations

from functools import cache

from scripted import METHOD, TASK, Kind, scripted
from unspoken.analysis.base import Beside, Subject
from unspoken.analysis.bootstrap import Bootstrap
from unspoken.analysis.cache import make_cache
from unspoken.analysis.search import Search, searches_of
from unspoken.tasks.graphs import Graph

NUM = 40

#   0 -> 1 -> 3 -> 6 (right)      5 -> 7 (wrong)
#    \    \-> 4 -> 6
#     \-> 2
SEARCH = Search(
    graph=Graph(
        num_nodes=8,
        edges=((0, 1), (0, 2), (1, 3), (1, 4), (3, 6), (4, 6), (5, 7)),
        root=0,
        target=6,
        neg_target=7,
        path=(0, 1, 3, 6),
    ),
    names=tuple("abcdefgh"),
)


@cache
def subject(kind: Kind) -> Subject:
    """A constructed model of a kind (`tests/scripted.py`) with its thoughts about some problems, beside itself."""
    model, examples = scripted(kind), TASK.examples("test")[:NUM]
    cached = make_cache(model, TASK, METHOD, examples)
    return Subject(
        model=model,
        task=TASK,
        method=METHOD,
        cache=cached,
        searches=searches_of(TASK, examples),
        bootstrap=Bootstrap(len(examples), seed=0, num=200),
        seed=0,
        mix=0.0,
        rows=NUM,
        beside=Beside(name="itself", cache=cached),
    )
