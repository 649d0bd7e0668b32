"""The paper's search trees: each node with its value after every thought, for a few problems."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

import msgspec

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit, why_no_values
from unspoken.analysis.search import NONE, Search

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PROBLEMS = 3
_PANELS_A_ROW = 2


@final
class TreeNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node and its values by stop."""

    name: str
    depth: int | None
    """Hops from the node asked about; None where it cannot be reached."""
    height: int | None
    """Fewest hops to a leaf."""
    leads: bool
    """Whether the right option can be reached from it."""
    values: tuple[float, ...]
    """By stop: the probability that it is named next."""


@final
class SearchTree(msgspec.Struct, frozen=True, kw_only=True):
    """One problem."""

    index: int
    """Position among the problems looked at."""
    question: str
    chain: tuple[str, ...]
    nodes: tuple[TreeNode, ...]
    edges: tuple[tuple[int, int], ...]
    root: int
    target: int
    neg_target: int
    hops: tuple[int, ...]
    """By stop: how far a right chain would be."""

    def marks(self) -> dict[int, str]:
        """Nodes that the question names."""
        return {self.root: "asked", self.target: "right", self.neg_target: "wrong"}


@final
class TreesFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    trees: tuple[SearchTree, ...]


@final
class Trees(Analysis[TreesFound]):
    """Values of nodes on the graph."""

    name: ClassVar[str] = "trees"
    title: ClassVar[str] = "Values of nodes, as a search tree"

    def measure(self, subject: Subject) -> TreesFound | DoesNotApply:
        searches = subject.searches
        if (why := why_no_values(subject)) is not None:
            return why
        assert searches is not None and subject.cache.hops is not None
        # The commonest length, so that panels say the same things; the first ones of it, so that nothing is picked.
        usual = Counter(search.needed for search in searches).most_common(1)[0][0]
        chosen = [i for i, search in enumerate(searches) if search.needed == usual][:_PROBLEMS]
        return TreesFound(unit=subject.unit, trees=tuple(_tree(subject, searches[i], i) for i in chosen))

    def draw(self, found: TreesFound, folder: Path) -> None:
        with drawing.style():
            for number, tree in enumerate(found.trees, start=1):
                _draw(tree, found.unit, folder / f"trees-{number}")

    def page(self, found: TreesFound) -> list[str]:
        lines = [
            "The value of a node is the probability that it is named next, were language mode forced (the product over "
            "the tokens of its name). The first problems of the commonest length are shown, not chosen ones.",
            "",
        ]
        for number, tree in enumerate(found.trees, start=1):
            names = [node.name for node in tree.nodes]
            about = (
                f"Problem {tree.index}: from {names[tree.root]} to {names[tree.target]} (right) or "
                f"{names[tree.neg_target]} (wrong); asked node blue, right option green, wrong one orange; thick "
                "rings: the hop that a right chain would name"
            )
            lines += pages.figure(f"trees-{number}", about)
        return lines


def _tree(subject: Subject, search: Search, index: int) -> SearchTree:
    assert subject.cache.hops is not None
    values = subject.cache.values(index)
    example, graph = subject.cache.examples[index], search.graph
    return SearchTree(
        index=index,
        question=example.question,
        chain=example.steps,
        nodes=tuple(
            TreeNode(
                name=name,
                depth=None if search.depth[node] == NONE else int(search.depth[node]),
                height=None if search.height[node] == NONE else int(search.height[node]),
                leads=bool(search.leads[node]),
                values=tuple(float(f"{value:.6g}") for value in values[:, node]),
            )
            for node, name in enumerate(search.names)
        ),
        edges=graph.edges,
        root=graph.root,
        target=graph.target,
        neg_target=graph.neg_target,
        hops=subject.cache.hops[index],
    )


def places(tree: SearchTree) -> dict[int, tuple[float, float]]:
    """Where nodes that can be reached stand: the root on top, a hop a layer, crossings few; the wrong option apart.

    Layers are networkx's multipartite layout; within one, nodes are ordered by the mean place of their parents, which
    keeps most edges from crossing.
    """
    import networkx  # here, because it takes half a second to import

    graph = networkx.DiGraph()
    reached = [node for node, each in enumerate(tree.nodes) if each.depth is not None]
    order: dict[int, float] = {}
    parents: dict[int, list[int]] = {node: [] for node in reached}
    for parent, child in tree.edges:
        if parent in parents and child in parents:
            parents[child].append(parent)
    for depth in range(max(tree.nodes[node].depth or 0 for node in reached) + 1):
        layer = [node for node in reached if tree.nodes[node].depth == depth]
        known = {node: [order[p] for p in parents[node] if p in order] for node in layer}
        means = {node: sum(above) / len(above) if above else 0.0 for node, above in known.items()}
        for place, node in enumerate(sorted(layer, key=lambda node: (means[node], node))):
            order[node] = (place + 0.5) / len(layer)
    for node in sorted(reached, key=lambda node: order[node]):
        graph.add_node(node, layer=-(tree.nodes[node].depth or 0))
    found = networkx.multipartite_layout(graph, subset_key="layer", align="horizontal")
    layers = sorted({float(y) for _, y in found.values()}, reverse=True)
    widest = max(Counter(tree.nodes[node].depth for node in reached).values())
    at = {}
    for node, (_, y) in found.items():
        width = sum(tree.nodes[other].depth == tree.nodes[node].depth for other in reached) / widest
        # A layer is as wide as it has nodes, so that a single child stands below its parent.
        at[node] = (0.5 + (order[node] - 0.5) * max(width, 0.45), float(len(layers) - 1 - layers.index(float(y))))
    if tree.neg_target not in at:
        at[tree.neg_target] = (1.2, 0.0)
    return at


def _draw(tree: SearchTree, unit: Unit, path: Path) -> None:
    at = places(tree)
    stops = range(len(tree.hops))
    columns = min(_PANELS_A_ROW, len(stops))
    layers = 1 + max(node.depth or 0 for node in tree.nodes)
    widest = max(Counter(node.depth for node in tree.nodes if node.depth is not None).values())
    figure, axes = drawing.panels(
        columns,
        -(-len(stops) // columns),
        width=max(2.6, (0.75 if _long(tree) else 0.62) * (widest + 1)),
        height=0.7 * layers + 0.4,
    )
    for axis in axes:
        axis.axis("off")
    for k, axis in zip(stops, axes, strict=False):
        _panel(axis, tree, at, k, unit)
    rows: list[list[drawing.Cell]] = [
        [k, tree.hops[k], node.name, node.depth, node.height, str(node.leads).lower(), node.values[k]]
        for k in stops
        for node in tree.nodes
    ]
    head = ["stop", "hops", "node", "depth", "height", "leads to the right option", "value"]
    drawing.save(figure, path, head, rows)


def _panel(axis: Axes, tree: SearchTree, at: dict[int, tuple[float, float]], k: int, unit: Unit) -> None:
    for parent, child in tree.edges:
        if parent in at and child in at:
            axis.annotate(
                "", at[child], at[parent],
                arrowprops={
                    "arrowstyle": "-|>", "color": "#bbbbbb", "linewidth": 0.8, "shrinkA": 9, "shrinkB": 11,
                    # Within a layer a straight arrow would pass through the nodes between.
                    "connectionstyle": "arc3,rad=0.35" if at[parent][1] == at[child][1] else "arc3,rad=0",
                },
                zorder=1,
            )  # fmt: skip
    for node, (x, y) in at.items():
        each = tree.nodes[node]
        value = each.values[k]
        ringed = each.depth == tree.hops[k]
        color = _MARKED[tree.marks().get(node, "")]
        axis.scatter(
            [x], [y], s=560 if _long(tree) else 330, edgecolors=color,
            c=[[1 - 0.95 * value, 1 - 0.55 * value, 1 - 0.3 * value]],
            linewidths=2.0 if ringed else 0.8, linestyle="-" if ringed else ":", zorder=2,
        )  # fmt: skip
        ink = "white" if value > 0.6 else "black"
        axis.text(x, y, _short(each.name), ha="center", va="center", fontsize=6, color=ink, zorder=3)
        if value >= 0.005:
            axis.text(
                x, y - (0.36 if _long(tree) else 0.3), f"{value:.2f}", ha="center", va="top", fontsize=6, zorder=3,
                bbox={"color": "white", "pad": 0.5},
            )  # fmt: skip
    others = sum(node.values[k] for i, node in enumerate(tree.nodes) if i not in at)
    elsewhere = f"; not shown: {others:.2f}" if others >= 0.005 else ""
    axis.set_title(f"after {pages.count(k, unit)}{elsewhere}")
    axis.set_xlim(min(x for x, _ in at.values()) - 0.15, max(x for x, _ in at.values()) + 0.15)
    axis.set_ylim(-0.75, max(y for _, y in at.values()) + 0.45)


_MARKED = {"asked": drawing.PALETTE[0], "right": drawing.PALETTE[2], "wrong": drawing.PALETTE[1], "": "#555555"}


def _long(tree: SearchTree) -> bool:
    """Whether names are words rather than letters."""
    return max(len(node.name) for node in tree.nodes) > 3


def _short(name: str) -> str:
    """As much of a name as a circle holds."""
    return name if len(name) <= 7 else name[:6] + "."
