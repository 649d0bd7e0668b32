"""ProsQA's graphs as released: two rooted families of concepts in one acyclic graph, one root asked about, two leaves.

`Released` reproduces the *released* files, not the construction printed in the paper, which does not (it gives 2.75
parentless nodes beyond the two seeds where the files have .56). The recipe, measured on the 800 released rows:

1. Nodes 0 and 1 seed family 1 and family 2. Each later node draws Poisson(1.5) parents among the nodes before it:
   with probability .35 from family 1 alone, .45 from family 2 alone, .20 from every node so far.
2. Parents are drawn without replacement, with weight 1.5 * (hops from a seed) + 1: chains grow longer than by chance.
3. A node belongs to every family one of its parents belongs to. Without parents it belongs to none.
4. The deepest leaf that belongs to one family only is the target and its seed is asked about, if it lies 3 to 6 hops
   away; the wrong option is any exclusive leaf of the other family. Nodes without an edge are dropped.

`grow` and `question` are these steps with their constants as arguments, for the sources that vary them.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from unspoken.tasks.graphs import MAX_CONCEPTS, MAX_ENTITIES, Graph, GraphSource, choose, random_shortest_path

MAX_ATTEMPTS = 100_000
"""Graphs grown before a source gives up."""

NUM_PARENTS: tuple[float, ...] = (
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

OWN_FAMILY: tuple[float, ...] = (0.35, 0.80)
"""A uniform number up to the k-th of these: parents from family k alone; above all of them: from every node."""

PARENT_WEIGHTS: tuple[float, ...] = tuple(1.5 * hops + 1.0 for hops in range(MAX_ENTITIES + MAX_CONCEPTS))
"""A node's weight as a parent, by hops from a seed."""


DrawParents = Callable[[Sequence[int], Sequence[float], int, Callable[[], float]], list[int]]
"""Chooses parents without replacement: (members, their cumulative weights, how many, source of uniform numbers)."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """A grown graph, before anything is asked. Nodes 0, 1, ... up to the number of families are the seeds."""

    parents: list[list[int]]
    """Parents of every node, all of lower number, in the order drawn."""
    family: list[int]
    """Bit k is set below seed k; 0: below none."""
    depth: list[int]
    """Hops from the nearest seed; 0 where there is none."""

    def is_parent(self) -> bytearray:
        """1 for every node that has a child."""
        flags = bytearray(len(self.parents))
        for chosen in self.parents:
            for parent in chosen:
                flags[parent] = 1
        return flags

    def exclusive_leaves(self, is_parent: bytearray, num_families: int) -> list[list[int]]:
        """The leaves that belong to one family only, by family.

        All ancestors of such a leaf are of its family or of none, so its depth is its distance from its own seed.
        """
        leaves: list[list[int]] = [[] for _ in range(num_families)]
        for node, label in enumerate(self.family):
            if label and not label & (label - 1) and not is_parent[node] and self.parents[node]:
                leaves[label.bit_length() - 1].append(node)
        return leaves

    def graph(self, is_parent: bytearray, path: Sequence[int], neg_target: int) -> Graph:
        """The problem in final node numbers: those without an edge are dropped."""
        numbers = [-1] * len(self.parents)
        num_nodes = 0
        for node, chosen in enumerate(self.parents):
            if chosen or is_parent[node]:
                numbers[node] = num_nodes
                num_nodes += 1
        return Graph(
            num_nodes=num_nodes,
            edges=tuple((numbers[p], numbers[node]) for node, chosen in enumerate(self.parents) for p in chosen),
            root=numbers[path[0]],
            target=numbers[path[-1]],
            neg_target=numbers[neg_target],
            path=tuple(numbers[node] for node in path),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Released(GraphSource):
    """Problems as the released files have them."""

    name: ClassVar[str] = "prosqa"

    def draw_graph(self, rng: random.Random) -> Graph:
        for _ in range(MAX_ATTEMPTS):
            growth = grow(
                rng,
                self.num_nodes,
                num_parents=NUM_PARENTS,
                own_family=OWN_FAMILY,
                parent_weights=PARENT_WEIGHTS,
                draw_parents=throwing_back,
            )
            graph = question(rng, growth, min_hops=self.min_hops, max_hops=self.max_hops)
            if graph is not None:
                return graph
        raise none_found(self)


def throwing_back(
    members: Sequence[int], weights: Sequence[float], number: int, draw: Callable[[], float]
) -> list[int]:
    """Draws without replacement by drawing again where a member comes twice; slow where one outweighs all others."""
    total = weights[-1]
    chosen: list[int] = []
    while len(chosen) < number:
        parent = members[bisect_right(weights, draw() * total)]
        if parent not in chosen:
            chosen.append(parent)
    return chosen


def grow(
    rng: random.Random,
    num_nodes: int,
    *,
    num_parents: Sequence[float],
    own_family: Sequence[float],
    parent_weights: Sequence[float],
    draw_parents: DrawParents,
) -> Growth:
    """Steps 1 to 3 of the recipe, for as many families as `own_family` has entries.

    Args:
        rng: where every choice comes from.
        num_nodes: how many nodes, seeds included.
        num_parents: as `NUM_PARENTS`.
        own_family: as `OWN_FAMILY`.
        parent_weights: as `PARENT_WEIGHTS`.
        draw_parents: `throwing_back`, or something faster that gives other problems for the same seed.
    """
    draw = rng.random
    num_families = len(own_family)
    parents: list[list[int]] = [[] for _ in range(num_families)]
    family = [1 << k for k in range(num_families)]
    depth = [0] * num_families
    # A pool is its members and their cumulative weights; the last one is of all nodes.
    pools: list[tuple[list[int], list[float]]] = [([k], [1.0]) for k in range(num_families)]
    everyone = (list(range(num_families)), [float(k + 1) for k in range(num_families)])
    pools.append(everyone)
    pool_of = {1 << k: pools[k] for k in range(num_families)}
    for _ in range(num_families, num_nodes):
        number = bisect_right(num_parents, draw())
        members, weights = pools[bisect_left(own_family, draw())]
        chosen = draw_parents(members, weights, min(number, len(members)), draw)
        label = 0
        hops = num_nodes
        for parent in chosen:
            if family[parent]:
                label |= family[parent]
                hops = min(hops, depth[parent] + 1)
        if not label:
            hops = 0
        node = len(parents)
        parents.append(chosen)
        family.append(label)
        depth.append(hops)
        weight = parent_weights[hops]
        everyone[0].append(node)
        everyone[1].append(everyone[1][-1] + weight)
        own = pool_of.get(label)
        if own is not None:
            own[0].append(node)
            own[1].append(own[1][-1] + weight)
    return Growth(parents=parents, family=family, depth=depth)


def question(
    rng: random.Random, growth: Growth, *, min_hops: int, max_hops: int, num_families: int = 2
) -> Graph | None:
    """Step 4 of the recipe; None where the graph allows no such question."""
    is_parent = growth.is_parent()
    leaves = growth.exclusive_leaves(is_parent, num_families)
    if not all(leaves):
        return None
    together = [leaf for own in leaves for leaf in own]
    deepest = max(growth.depth[leaf] for leaf in together)
    if not min_hops <= deepest <= max_hops:
        return None
    target = choose([leaf for leaf in together if growth.depth[leaf] == deepest], rng)
    root = growth.family[target].bit_length() - 1
    if not nameable(growth, is_parent):
        return None
    neg_target = choose([leaf for leaf in together if growth.family[leaf] != growth.family[target]], rng)
    path = random_shortest_path(growth.parents, root=root, target=target, rng=rng)
    return growth.graph(is_parent, path, neg_target)


def nameable(growth: Growth, is_parent: bytearray) -> bool:
    """Whether there are names enough. Nearly always: 28 nodes have 2.6 parentless ones on average."""
    entities = sum(1 for node, chosen in enumerate(growth.parents) if not chosen and is_parent[node])
    concepts = sum(1 for chosen in growth.parents if chosen)
    return entities <= MAX_ENTITIES and concepts <= MAX_CONCEPTS


def none_found(source: GraphSource) -> ValueError:
    """What to raise after `MAX_ATTEMPTS`."""
    return ValueError(
        f"{source.name}: no graph of {source.num_nodes} nodes with a chain of {source.min_hops} to {source.max_hops} "
        f"hops in {MAX_ATTEMPTS} attempts; widen min_hops .. max_hops or change num_nodes (there are names for "
        f"{MAX_CONCEPTS} nodes with parents)"
    )
