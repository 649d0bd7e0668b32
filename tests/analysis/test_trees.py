"""Search trees: who stands where."""

from __future__ import annotations

from pathlib import Path

from analysis.subjects import subject
from unspoken.analysis.trees import Trees, TreesFound, places


def test_layers_and_places() -> None:
    """Guards the drawing: the asked node on top, a hop a layer, no two nodes in one place, both options there."""
    found = Trees().measure(subject("bfs"))
    assert isinstance(found, TreesFound)
    assert [tree.index for tree in found.trees] == [0, 1, 2]
    for tree in found.trees:
        at = places(tree)
        assert {tree.root, tree.target, tree.neg_target} <= set(at)
        assert len(set(at.values())) == len(at)
        for node, (_, y) in at.items():
            depth = tree.nodes[node].depth
            assert y == (0 if depth is None else 3 - depth)
        assert tree.nodes[tree.root].height == 3
        assert tree.hops == (1, 2, 3, 4)
        # What is drawn dark is the frontier.
        for k in range(3):
            named = {node for node, each in enumerate(tree.nodes) if each.values[k] > 0.4}
            assert named == {node for node, each in enumerate(tree.nodes) if each.depth == k + 1}


def test_files(tmp_path: Path) -> None:
    """Guards the figure and its data."""
    found = Trees().measure(subject("bfs"))
    assert isinstance(found, TreesFound)
    Trees().draw(TreesFound(unit=found.unit, trees=found.trees[:1]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trees-1.csv", "trees-1.png", "trees-1.svg"]
    lines = (tmp_path / "trees-1.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 14
