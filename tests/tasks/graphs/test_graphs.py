"""Graphs: shortest paths and random order, which every source draws by."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from unspoken.tasks.graphs import random_shortest_path, shuffled


def test_random_shortest_path_is_uniform() -> None:
    """Guards choosing among next nodes rather than paths, which would favour paths through narrow nodes."""
    # 0 -> 4 either by way of 1 and then 5 or 6, or by way of 2 and then 3; 0 -> 7 -> 8 -> 9 -> 4 is longer.
    edges = [(0, 1), (0, 2), (1, 5), (1, 6), (2, 3), (3, 4), (5, 4), (6, 4), (0, 7), (7, 8), (8, 9), (9, 4)]
    parents = [[a for a, b in edges if b == node] for node in range(10)]
    rng = random.Random(0)
    paths = Counter(random_shortest_path(parents, root=0, target=4, rng=rng) for _ in range(3000))
    assert set(paths) == {(0, 1, 5, 4), (0, 1, 6, 4), (0, 2, 3, 4)}
    assert all(900 < num < 1100 for num in paths.values())
    with pytest.raises(ValueError, match="node 0 cannot be reached from node 4"):
        random_shortest_path(parents, root=4, target=0, rng=rng)


def test_shuffled_gives_every_order_and_draws_once_an_item() -> None:
    """Guards the helper behind every order in a problem: a lost item, a favoured order, another number of draws."""
    rng = random.Random(0)
    orders = Counter(tuple(shuffled("abc", rng)) for _ in range(6000))
    assert len(orders) == 6 and all(880 < num < 1120 for num in orders.values())
    again = random.Random(5)
    shuffled(range(7), again)
    one_by_one = random.Random(5)
    for _ in range(7):
        one_by_one.random()
    assert again.random() == one_by_one.random()
