"""ProsQA's graphs: two rooted families of concepts in one acyclic graph, one root asked about, two leaves as options.

`draw_graph` reproduces the *released* files, not the construction printed in the paper, which does not (it gives 2.75
parentless nodes beyond the two seeds where the files have .56). The recipe, measured on the 800 released rows:

1. Nodes 0 and 1 seed family 1 and family 2. Each later node draws Poisson(1.5) parents among the nodes before it:
   with probability .35 from family 1 alone, .45 from family 2 alone, .20 from every node so far.
2. Parents are drawn without replacement, with weight 1.5 * (hops from a seed) + 1: chains grow longer than by chance.
3. A node belongs to every family one of its parents belongs to. Without parents it belongs to none.
4. The deepest leaf that belongs to one family only is the target and its seed is asked about, if it lies 3 to 6 hops
   away; the wrong option is any exclusive leaf of the other family. Nodes without an edge are dropped.

Only `Random.random` is called: it alone is documented to give the same numbers in every version of Python.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

Edge = tuple[int, int]
"""(parent, child): "Every parent is a child"."""

Item = TypeVar("Item")

_POISSON = (
    0.22313016014842982,
    0.5578254003710745,
    0.8088468305380581,
    0.9343575456215498,
    0.9814240637778593,
    0.9955440192247521,
    0.9990740080864753,
    0.9998304342711303,
    0.9999722641807531,
    0.9999959024990236,
)
"""P(at most n parents), Poisson(1.5): literals, since the last digit of `math.exp` may differ between platforms.
The rest, one node in 240,000, draws ten."""

_ONE_FAMILY, _EITHER_FAMILY = 0.35, 0.80
_MAX_ATTEMPTS = 100_000
_MAX_SOURCES = 17
"""Parentless nodes carry person names, and the release has 17 of those. Reached about never: the mean is 2.6."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """One problem without words: which of `target` and `neg_target` can be reached from `root`?"""

    num_nodes: int
    edges: tuple[Edge, ...]
    """Grouped by child, in node order; a child's parents in the order they were drawn."""
    root: int
    """The node asked about: 0 or 1 in released problems."""
    target: int
    """The right option, a leaf."""
    neg_target: int
    """The wrong option, a leaf."""
    path: tuple[int, ...]
    """The written chain: a shortest path, `root` first and `target` last."""

    def children(self) -> list[list[int]]:
        """Children of each node, in edge order."""
        children: list[list[int]] = [[] for _ in range(self.num_nodes)]
        for parent, child in self.edges:
            children[parent].append(child)
        return children

    def parents(self) -> list[list[int]]:
        """Parents of each node, in edge order."""
        parents: list[list[int]] = [[] for _ in range(self.num_nodes)]
        for parent, child in self.edges:
            parents[child].append(parent)
        return parents


def distances(neighbours: Sequence[Sequence[int]], start: int) -> dict[int, int]:
    """Fewest hops from `start` to every node that can be reached; `neighbours` is `children()` or `parents()`."""
    hops = {start: 0}
    queue = [start]
    for node in queue:
        for neighbour in neighbours[node]:
            if neighbour not in hops:
                hops[neighbour] = hops[node] + 1
                queue.append(neighbour)
    return hops


def random_shortest_path(
    parents: Sequence[Sequence[int]], *, root: int, target: int, rng: random.Random
) -> tuple[int, ...]:
    """A shortest path, every one equally likely (the released files do not prefer any: 146 of 328 are the least).

    Raises:
        ValueError: `target` cannot be reached from `root`.
    """
    hops = {target: 0}
    ways = {target: 1}
    toward: dict[int, list[int]] = {}
    queue = [target]
    for node in queue:
        for parent in parents[node]:
            if parent not in hops:
                hops[parent] = hops[node] + 1
                ways[parent] = ways[node]
                toward[parent] = [node]
                queue.append(parent)
            elif hops[parent] == hops[node] + 1:
                ways[parent] += ways[node]
                toward[parent].append(node)
    if root not in hops:
        raise ValueError(f"node {target} cannot be reached from node {root}; expected a target below the root")
    path = [root]
    while path[-1] != target:
        nearer = toward[path[-1]]
        chosen = 0
        if len(nearer) > 1:
            left = int(rng.random() * ways[path[-1]])
            while left >= ways[nearer[chosen]]:
                left -= ways[nearer[chosen]]
                chosen += 1
        path.append(nearer[chosen])
    return tuple(path)


def shuffled(items: Iterable[Item], rng: random.Random) -> list[Item]:
    """The items in random order. Not `rng.shuffle`: Python may change what that draws, but not `rng.random`."""
    draw = rng.random
    return sorted(items, key=lambda _: draw())


def draw_graph(rng: random.Random, *, num_nodes: int = 28, min_hops: int = 3, max_hops: int = 6) -> Graph:
    """One problem from the released distribution (see the module docstring).

    Args:
        rng: where every choice comes from.
        num_nodes: nodes before those without an edge are dropped; 28 leaves 22.8 on average, as released.
        min_hops: least distance from root to target; 3 as released.
        max_hops: greatest distance from root to target; 6 as released.

    Raises:
        ValueError: the bounds make no sense, or no such graph comes up in 100,000 attempts.
    """
    if not 1 <= min_hops <= max_hops <= num_nodes - 3:
        raise ValueError(
            f"expected 1 <= min_hops <= max_hops <= num_nodes - 3, got min_hops {min_hops}, max_hops {max_hops} and "
            f"num_nodes {num_nodes}; raise num_nodes or ask for shorter chains"
        )
    for _ in range(_MAX_ATTEMPTS):
        parents, family, depth = _grow(rng, num_nodes)
        graph = _ask(rng, parents, family, depth, min_hops=min_hops, max_hops=max_hops)
        if graph is not None:
            return graph
    raise ValueError(
        f"no graph of {num_nodes} nodes with a chain of {min_hops} to {max_hops} hops in {_MAX_ATTEMPTS} attempts; "
        "raise num_nodes or widen min_hops .. max_hops"
    )


def _grow(rng: random.Random, num_nodes: int) -> tuple[list[list[int]], list[int], list[int]]:
    """Parents, families (bit 1: below node 0, bit 2: below node 1) and hops from the nearest seed, of every node."""
    draw = rng.random
    parents: list[list[int]] = [[], []]
    family = [1, 2]
    depth = [0, 0]
    # A pool is its members and their cumulative weights; 3 * depth + 2 is twice the recipe's weight, in whole numbers.
    first: tuple[list[int], list[int]] = ([0], [2])
    second: tuple[list[int], list[int]] = ([1], [2])
    everyone: tuple[list[int], list[int]] = ([0, 1], [2, 4])
    for node in range(2, num_nodes):
        num_parents = bisect_right(_POISSON, draw())
        u = draw()
        members, weights = first if u <= _ONE_FAMILY else second if u <= _EITHER_FAMILY else everyone
        num_parents = min(num_parents, len(members))
        total = weights[-1]
        chosen: list[int] = []
        # Throwing repeats away draws without replacement, as taking the chosen ones out of the pool would.
        while len(chosen) < num_parents:
            parent = members[bisect_right(weights, draw() * total)]
            if parent not in chosen:
                chosen.append(parent)
        label = 0
        hops = num_nodes
        for parent in chosen:
            if family[parent]:
                label |= family[parent]
                hops = min(hops, depth[parent] + 1)
        if not label:
            hops = 0
        parents.append(chosen)
        family.append(label)
        depth.append(hops)
        weight = 3 * hops + 2
        for pool, belongs in ((first, label == 1), (second, label == 2), (everyone, True)):
            if belongs:
                pool[0].append(node)
                pool[1].append(pool[1][-1] + weight)
    return parents, family, depth


def _ask(
    rng: random.Random,
    parents: list[list[int]],
    family: list[int],
    depth: list[int],
    *,
    min_hops: int,
    max_hops: int,
) -> Graph | None:
    """The question a grown graph allows, in final node numbers; None where it allows none."""
    is_parent = bytearray(len(parents))
    for chosen in parents:
        for parent in chosen:
            is_parent[parent] = 1
    leaves: tuple[list[int], ...] = ([], [], [], [])
    for node, label in enumerate(family):
        if not is_parent[node] and parents[node]:
            leaves[label].append(node)
    if not leaves[1] or not leaves[2]:
        return None
    # All ancestors of an exclusive leaf are of its family or of none, so its depth is its distance from its own seed.
    deepest = max(depth[leaf] for leaf in leaves[1] + leaves[2])
    if not min_hops <= deepest <= max_hops:
        return None
    target = _choose([leaf for leaf in leaves[1] + leaves[2] if depth[leaf] == deepest], rng)
    root = family[target] - 1
    if sum(1 for node, chosen in enumerate(parents) if not chosen and is_parent[node]) > _MAX_SOURCES:
        return None
    neg_target = _choose(leaves[2 - root], rng)
    path = random_shortest_path(parents, root=root, target=target, rng=rng)
    numbers = [-1] * len(parents)
    num_nodes = 0
    for node, chosen in enumerate(parents):
        if chosen or is_parent[node]:
            numbers[node] = num_nodes
            num_nodes += 1
    return Graph(
        num_nodes=num_nodes,
        edges=tuple((numbers[p], numbers[node]) for node, chosen in enumerate(parents) for p in chosen),
        root=numbers[root],
        target=numbers[target],
        neg_target=numbers[neg_target],
        path=tuple(numbers[node] for node in path),
    )


def _choose(items: Sequence[Item], rng: random.Random) -> Item:
    """Any of the items; not `rng.choice`, for the reason `shuffled` gives."""
    return items[int(rng.random() * len(items))]
