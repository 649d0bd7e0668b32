"""ProsQA's graphs without shortcuts: two fair coins decide the answer, each hides it from a whole kind of heuristic.

A problem is drawn in three steps.

1. *Parts.* The released process (see `released.py`) grows four families instead of two: two upper ones, below entities
   A and B, and two lower ones, below concepts m and n. Option a is a leaf of m's family only, option b of n's. Where
   no other entity stands above them, one more is put there, equally near to both. Four families deep enough for more
   than 6 hops hardly ever come up, so there a chain of the length that is needed is planted in each of them first.
2. *Crossing.* Four linking nodes stand between them, one for either upper and either lower part. One between A's part
   and m reads, sentence by sentence, either "s is a x. x is a m." and leads on, or "s is a x. m is a x." and is a dead
   end, with the same nodes and the same pairs of nodes side by side. A fair coin says which links lead on: those of A
   to m and of B to n, so that a is below A and b below B, or those of A to n and of B to m, and it is the other way
   round.
3. *Question.* Another fair coin says who is asked about, A or B. Both have exactly one right option, which is h hops
   away; the other option is h hops below the other entity.

A drawing of the parts is taken or left before either coin is tossed. Hence, whatever a heuristic is, learned or not:

- **If it ignores who is asked about, it is right in half of the problems**: with everything else fixed, the second coin
  turns the answer round. That covers depth, ancestors, in-degree, position, attachment, and what is learned of them.
- **If it ignores the direction of facts, it is right in half of the problems**, even where it looks at who is asked
  about: with everything else fixed, the first coin turns the answer round and leaves all undirected edges, and which
  nodes are entities, as they are. That covers the undirected distance from the entity to the options (right in 87.1 %
  of the released rows), neighbours in common, random walks (95.1 %), clusters, and words side by side.
- **If it takes directions only from facts about what lies within one hop of the entity**, the same holds: the links'
  far ends are 3 hops away or more. The sets of exact lengths put the links farther down, and farther above the options
  too (`beside_links`). With chains of 4 hops or more, "a parent of the option within 2 hops of the entity" (70.4 % of
  the released rows) is never so for either option; with chains of 7, none lies within 5 hops.

What is left is to use who is asked about *and* directions down to the links: that is to reason, if only for some hops
(a search that stops early is right as often as it gets there). Options are also matched one by one, so that no part of
the data is easier for a shortcut than another: hops from their own entity, nearest and farthest parentless node above,
nearest one that is not asked about, ancestors, parents, parents that are entities, shortest and other paths. The order
of mention is random, as everywhere. Not matched, and at one half by the coins alone: degrees of the options' ancestors.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import ClassVar, final

from unspoken.tasks.graphs import (
    MAX_CONCEPTS,
    MAX_ENTITIES,
    Graph,
    GraphSource,
    choose,
    distances,
    random_shortest_path,
    shuffled,
)
from unspoken.tasks.graphs.released import MAX_ATTEMPTS, OWN_FAMILY, PARENT_WEIGHTS, Growth, grow, none_found
from unspoken.tasks.graphs.varied import check_mean_parents, poisson, stepping_over

_UPPER, _LOWER = (0, 1), (2, 3)
"""The seeds of the four families: entities A and B, concepts m and n."""
_QUARTERS = tuple(OWN_FAMILY[-1] * (k + 1) / 4 for k in range(4))
_LENGTHS = {4: 0.44, 5: 0.13, 6: 0.02, 7: 0.02, 8: 0.02, 9: 0.02, 10: 0.02}
"""How often each length is drawn; up to 6 as released, and from there on as 6, since the release has none."""
_LINKS = len(_UPPER) * len(_LOWER)
_TRIES = 16
"""Draws of what the links hang on before the parts are left."""
_FREE = 4
"""Least number of nodes beside planted chains and links: another entity, and some that are not planted."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A problem before the two coins: everything that a heuristic may know without knowing the answer."""

    parents: tuple[tuple[int, ...], ...]
    """Parents of every node of the four parts, by node, without the links."""
    hangs_on: tuple[tuple[int, ...], tuple[int, ...]]
    """What the links of A's part, and of B's, have for parents; two links each."""
    options: tuple[int, int]
    """A leaf of m's family, and one of n's."""

    def crossed(self, *, crossing: bool) -> list[list[int]]:
        """Parents of every node, links last, where A's part leads on to n (`crossing`) or to m."""
        parents = [list(above) for above in self.parents]
        for upper in _UPPER:
            for lower in _LOWER:
                link = len(parents)
                parents.append(list(self.hangs_on[upper]))
                if (lower - _LOWER[0] == upper) != crossing:
                    parents[lower].append(link)
                else:
                    parents[link].append(lower)
        return parents

    def graph(self, rng: random.Random, *, crossing: bool, asked: int) -> Graph:
        """The problem: whether A (`asked` 0) or B (1) is asked about."""
        parents = self.crossed(crossing=crossing)
        right = asked ^ crossing
        path = random_shortest_path(parents, root=asked, target=self.options[right], rng=rng)
        order = _topological(parents, rng)
        number = {node: i for i, node in enumerate(order)}
        return Graph(
            num_nodes=len(order),
            edges=tuple((number[parent], number[node]) for node in order for parent in parents[node]),
            root=number[asked],
            target=number[self.options[right]],
            neg_target=number[self.options[1 - right]],
            path=tuple(number[node] for node in path),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Debiased(GraphSource):
    """ProsQA where ignoring who is asked, or directions, is a coin (module docstring); lengths as released, from 4."""

    name: ClassVar[str] = "prosqa-debiased"

    num_nodes: int = 26
    """Nodes before those without an edge are dropped, links included; 26 leaves 23 on average, as the release has."""
    mean_parents: float = 2.0
    """Mean number of parents a node draws. More than the release's 1.5, since there are fewer to choose from in four
    families, and simple options match more often."""
    min_hops: int = 4
    """Least distance from root to target. At 3 a search of two hops would tell the answer."""
    beside_links: int = 1
    """Least hops from an entity to what a link hangs on, and from the concept it leads to, to the option. Directions of
    facts about what lies within so many hops of the entity asked about tell nothing, nor do those about what lies
    within one hop less of an option."""
    planted_from: int = 7
    """Chains of so many hops or more are planted, shorter ones left to chance (25 problems/s at 6 hops)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = max(_LENGTHS)
        if not 4 <= self.min_hops <= self.max_hops <= longest:
            raise ValueError(
                f"expected 4 <= min_hops <= max_hops <= {longest}, got min_hops {self.min_hops} and max_hops "
                f"{self.max_hops}; a debiased chain of 3 hops is found in two, and longer ones leave too few names"
            )
        if not 1 <= self.beside_links <= (self.min_hops - 2) // 2:
            raise ValueError(
                f"beside_links: expected 1 to {(self.min_hops - 2) // 2}, got {self.beside_links}; a chain has them "
                f"twice and two hops between, and min_hops is {self.min_hops}"
            )
        if not 4 <= self.planted_from <= 7:
            raise ValueError(
                f"planted_from: expected 4 to 7, got {self.planted_from}; left to chance, longer chains take seconds "
                "each"
            )
        least = max(20, _num_planted(self.max_hops) + _LINKS + _FREE)
        if self.num_nodes < least:
            raise ValueError(
                f"num_nodes: expected at least {least} to hold four parts and links with chains of up to "
                f"{self.max_hops} hops, got {self.num_nodes}"
            )
        check_mean_parents(self.mean_parents)

    def draw_graph(self, rng: random.Random) -> Graph:
        parts = self.draw_parts(rng)
        return parts.graph(rng, crossing=rng.random() < 0.5, asked=int(rng.random() < 0.5))

    def draw_parts(self, rng: random.Random) -> Parts:
        """A problem before its two coins.

        Raises:
            ValueError: none comes up in 100,000 attempts.
        """
        hops = self._draw_hops(rng)
        # From entity to what a link hangs on, and from the concept it leads to to the option; a link adds two.
        above = self.beside_links + int(rng.random() * (hops - 1 - 2 * self.beside_links))
        below = hops - 2 - above
        num_parents = poisson(self.mean_parents)
        num_nodes = self.num_nodes - _LINKS - 1
        for _ in range(MAX_ATTEMPTS):
            if hops >= self.planted_from:
                growth = _grow_around(rng, num_nodes, num_parents, chains=(above, above, below, below))
            else:
                growth = grow(
                    rng,
                    num_nodes,
                    num_parents=num_parents,
                    own_family=_QUARTERS,
                    parent_weights=PARENT_WEIGHTS,
                    draw_parents=stepping_over,
                )
            parts = _parts(rng, growth, num_parents, above=above, below=below)
            if parts is not None:
                return parts
        raise none_found(self)

    def _draw_hops(self, rng: random.Random) -> int:
        """A chain length, as often as the release has it."""
        lengths = range(self.min_hops, self.max_hops + 1)
        point = rng.random() * sum(_LENGTHS[length] for length in lengths)
        for length in lengths[:-1]:
            if point < _LENGTHS[length]:
                return length
            point -= _LENGTHS[length]
        return lengths[-1]


def _num_planted(hops: int) -> int:
    """Seeds and planted chains."""
    return len(_QUARTERS) + 2 * (hops - 2)


def _grow_around(rng: random.Random, num_nodes: int, num_parents: Sequence[float], *, chains: Sequence[int]) -> Growth:
    """The released process around a chain of given length in each family.

    Planted nodes and others come in random order. A planted one has the one before it for a parent, draws as many as
    any other node, and chooses the others so that none brings it nearer to its seed or into another family. Nothing
    hangs on the ends of the lower chains, which are options.
    """
    draw = rng.random
    seeds = range(len(chains))
    parents: list[list[int]] = [[] for _ in seeds]
    family = [1 << k for k in seeds]
    depth = [0 for _ in seeds]
    ends = list(seeds)
    weights = [1.0 for _ in seeds]
    planted = [k for k in seeds for _ in range(chains[k])]
    for k in shuffled(planted + [-1] * (num_nodes - len(chains) - len(planted)), rng):
        number = bisect_right(num_parents, draw())
        pool = bisect_left(_QUARTERS, draw())
        node = len(parents)
        if k >= 0:
            near = depth[ends[k]]
            labels = (1 << k,) if pool < len(chains) else (1 << k, 0)
            hooks = [x for x in range(node) if family[x] in labels and (not family[x] or depth[x] >= near)]
            chosen = list(_hang(rng, hooks, ends[k : k + 1], max(1, number)))
            ends[k] = node
        else:
            own = [x for x in range(node) if weights[x] and (pool == len(chains) or family[x] == 1 << pool)]
            chosen = stepping_over(own, list(accumulate(weights[x] for x in own)), min(number, len(own)), draw)
        label = 0
        for parent in chosen:
            label |= family[parent]
        hops = min((depth[x] + 1 for x in chosen if family[x]), default=0)
        parents.append(chosen)
        family.append(label)
        depth.append(hops)
        option = k in _LOWER and hops == chains[k]
        weights.append(0.0 if option else PARENT_WEIGHTS[hops])
    return Growth(parents=parents, family=family, depth=depth)


def _parts(rng: random.Random, growth: Growth, num_parents: Sequence[float], *, above: int, below: int) -> Parts | None:
    """A choice of matching options and of matching nodes for the links to hang on; None where there is none."""
    family, depth = growth.family, growth.depth
    is_parent = growth.is_parent()
    leaves = growth.exclusive_leaves(is_parent, len(_QUARTERS))
    options = [[leaf for leaf in leaves[lower] if depth[leaf] == below] for lower in _LOWER]
    if not options[0] or not options[1]:
        return None
    hooks = [[node for node, label in enumerate(family) if label == 1 << k and depth[node] >= above] for k in _UPPER]
    nearest = [[node for node in nodes if depth[node] == above] for nodes in hooks]
    if not nearest[0] or not nearest[1] or not _nameable(growth, is_parent):
        return None
    profiles = _Profiles(growth)
    described = [[(leaf, profiles.of(growth.parents[leaf])) for leaf in side] for side in options]
    pairs = [(a, b, of_a) for a, of_a in described[0] for b, of_b in described[1] if of_a == of_b]
    if not pairs:
        return None
    a, b, profile = choose(pairs, rng)
    for _ in range(_TRIES):
        number = max(1, bisect_right(num_parents, rng.random()))
        first, second = (_hang(rng, hooks[k], nearest[k], number) for k in _UPPER)
        if profiles.of(first) == profiles.of(second):
            break
    else:
        return None
    parents = list(map(tuple, growth.parents))
    if not profile.entities or profile.entities[0] > above + 2 + below:  # the other of A and B would be nearer
        for node in _equally_near(rng, growth, a, b):
            parents[node] += (len(parents),)
        parents.append(())
    return Parts(parents=tuple(parents), hangs_on=(first, second), options=(a, b))


def _nameable(growth: Growth, is_parent: bytearray) -> bool:
    """Whether there are names enough, for the links and another entity too; m and n are concepts in the end."""
    entities = 1 - len(_LOWER) + sum(1 for node, above in enumerate(growth.parents) if not above and is_parent[node])
    concepts = _LINKS + len(_LOWER) + sum(1 for above in growth.parents if above)
    return entities <= MAX_ENTITIES and concepts <= MAX_CONCEPTS


def _equally_near(rng: random.Random, growth: Growth, a: int, b: int) -> tuple[int, int]:
    """Nodes of m's and of n's family from which it is equally far to the option below: children of another entity."""
    above = [distances(growth.parents, option) for option in (a, b)]
    hops = int(rng.random() * (growth.depth[a] + 1))
    first, second = (choose([x for x, far in up.items() if far == hops and growth.family[x]], rng) for up in above)
    return first, second


def _hang(rng: random.Random, hooks: Sequence[int], nearest: Sequence[int], number: int) -> tuple[int, ...]:
    """Parents for a link: one of the nearest, and others no nearer, up to `number` in all."""
    first = choose(nearest, rng)
    others = shuffled((node for node in hooks if node != first), rng)
    return (first, *others[: number - 1])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Profile:
    """What options, and what the links above them, must have in common."""

    depth: int
    """Hops from the seed of the one family it belongs to."""
    ancestors: int
    """All nodes above it."""
    entities: tuple[int, ...]
    """Hops to the nearest and to the farthest entity above it beside the seed; empty: there is none."""
    parents: int
    """How many parents."""
    entity_parents: int
    """How many of them are such entities."""
    shortest: int
    """Shortest paths from the seed."""
    paths: int
    """All paths from the seed."""


@final
class _Profiles:
    """The profiles of nodes in one grown graph that belong to one family."""

    def __init__(self, growth: Growth) -> None:
        self._parents = growth.parents
        self._family = growth.family
        self._depth = growth.depth
        num_families = len(_QUARTERS)
        self._paths = [1] * num_families
        self._shortest = [1] * num_families
        for node in range(num_families, len(growth.parents)):
            above = growth.parents[node]
            self._paths.append(sum(self._paths[p] for p in above if growth.family[p]))
            self._shortest.append(self._num_shortest(above, growth.depth[node]))

    def of(self, above: Sequence[int]) -> _Profile:
        """The profile of a node with these parents."""
        hops = dict.fromkeys(above, 1)
        queue = list(above)
        for node in queue:
            for parent in self._parents[node]:
                if parent not in hops:
                    hops[parent] = hops[node] + 1
                    queue.append(parent)
        entities = [far for node, far in hops.items() if not self._family[node] and not self._parents[node]]
        depth = 1 + min(self._depth[node] for node in above if self._family[node])
        return _Profile(
            depth=depth,
            ancestors=len(hops),
            entities=(min(entities), max(entities)) if entities else (),
            parents=len(above),
            entity_parents=entities.count(1),
            shortest=self._num_shortest(above, depth),
            paths=sum(self._paths[node] for node in above if self._family[node]),
        )

    def _num_shortest(self, above: Sequence[int], depth: int) -> int:
        return sum(self._shortest[p] for p in above if self._family[p] and self._depth[p] + 1 == depth)


def _topological(parents: Sequence[Sequence[int]], rng: random.Random) -> list[int]:
    """The nodes that have an edge, parents first, A and B before all others, else in random order."""
    children: list[list[int]] = [[] for _ in parents]
    missing = [len(above) for above in parents]
    for node, above in enumerate(parents):
        for parent in above:
            children[parent].append(node)
    rank = [rng.random() for _ in parents]
    for upper in _UPPER:
        rank[upper] = upper - len(_UPPER)
    ready = [(rank[node], node) for node, below in enumerate(children) if below and not parents[node]]
    heapify(ready)
    order: list[int] = []
    while ready:
        _, node = heappop(ready)
        order.append(node)
        for child in children[node]:
            missing[child] -= 1
            if not missing[child]:
                heappush(ready, (rank[child], child))
    return order


FAIR_FOUR_HOPS = Debiased(max_hops=4, num_nodes=20)
"""The shortest chains that can be without shortcuts, in graphs as small as they can be."""
FAIR_SIX_HOPS = Debiased(min_hops=6, max_hops=6, beside_links=2, planted_from=6)
"""The longest released chains, made as the longer ones below, to compare those with."""
FAIR_SEVEN_HOPS = Debiased(min_hops=7, max_hops=7, num_nodes=28, beside_links=2)
"""`varied.SEVEN_HOPS` without shortcuts."""
FAIR_EIGHT_HOPS = Debiased(min_hops=8, max_hops=8, num_nodes=30, beside_links=2)
"""`varied.EIGHT_HOPS` without shortcuts."""
FAIR_TEN_HOPS = Debiased(min_hops=10, max_hops=10, num_nodes=34, beside_links=3)
"""`varied.TEN_HOPS` without shortcuts."""
