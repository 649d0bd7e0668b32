"""A tree of continuations computes what each of them computes alone."""

from __future__ import annotations

import pytest
import torch

from tiny import CONFIGS, PAD, build
from unspoken.batch import collate
from unspoken.layout import IGNORE_INDEX, Layout
from unspoken.model import LatentLM
from unspoken.specs import Engine
from unspoken.tree import Tree, run_trees, write_behind
from unspoken.walk import itself

BOT, THOUGHT, EOT = 60, 61, 62


def prompt(question: list[int], thoughts: int, text: tuple[int, ...] = ()) -> Layout:
    ids = [*question, BOT, *[THOUGHT] * thoughts, EOT, *text]
    return Layout(
        input_ids=ids, labels=[IGNORE_INDEX] * len(ids), is_thought=[token == THOUGHT for token in ids]
    )  # fmt: skip


def alone(model: LatentLM, layout: Layout) -> torch.Tensor:
    """Last hidden states of a layout by itself."""
    batch = collate([layout], pad_id=PAD)
    return model(input_ids=batch.input_ids, is_thought=batch.is_thought).hidden[0]


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("family", list(CONFIGS))
def test_every_branch_is_as_if_it_stood_alone(family: str, engine: Engine) -> None:
    """A branch that sees another one, a wrong position or somebody's padding would give other states."""
    # Transformers' eager softmax is float32's.
    attention, within = ("eager", 5e-6) if family == "gemma2" else ("sdpa", 1e-8)
    model = LatentLM(build(family, attention, dtype=torch.float64), engine=engine).eval()
    rows = []
    for question, most in (([5, 6, 7, 8, 9, 10], 3), ([11, 12], 2), ([13, 14, 15], 3)):
        layouts = [prompt(question, most), *(prompt(question, k, (20 + k, 30)) for k in range(most + 1))]
        tree = Tree(layouts[0])
        paths = [tree.add(layout) for layout in layouts]
        ends = [tree.grow(paths[1][-1], [40, 41]), tree.grow(paths[1][-1], [40, 42])]
        layouts += [prompt(question, 0, (20, 30, *text)) for text in ((40, 41), (40, 42))]
        rows.append((tree, layouts, [*paths, *([*paths[1], *end] for end in ends)]))
    with torch.no_grad():
        grown = run_trees(model.backbone, [tree for tree, _, _ in rows], itself, pad_id=PAD)
        for row, (tree, layouts, paths) in enumerate(rows):
            assert len(tree) < sum(map(len, layouts)) / 2, "common beginnings are shared"
            for layout, path in zip(layouts, paths, strict=True):
                torch.testing.assert_close(grown.at(row, path), alone(model, layout), rtol=within, atol=within)


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "mistral"])
def test_what_is_written_behind_columns_is_what_is_written_alone(family: str, engine: Engine) -> None:
    """A text that saw another end's, or took its place, would go on differently; so would one past its stop token."""
    model = LatentLM(build(family, dtype=torch.float64), engine=engine).eval()
    trees: list[Tree] = []
    ends: list[list[int]] = []
    prompts: list[Layout] = []
    for question, most in (([5, 6, 7, 8, 9, 10], 3), ([11, 12], 1), ([13, 14, 15], 3)):
        own = [prompt(question, thoughts) for thoughts in range(most + 1)]
        tree = Tree(own[-1])
        trees.append(tree)
        ends.append([tree.add(layout)[-1] for layout in own])
        prompts += own
    free = model.write(prompts, max_new_tokens=8, eos_token_id=[])
    stop = [free[0].tokens[2], free[-1].tokens[4]]
    with torch.no_grad():
        found = write_behind(
            model.backbone, trees, ends, itself, max_new_tokens=8, stop_ids=stop, pad_id=PAD
        )  # fmt: skip
    alone = model.write(prompts, max_new_tokens=8, eos_token_id=stop)
    assert [text for row in found for text in row] == [written.tokens for written in alone]
    assert len({len(written.tokens) for written in alone}) > 1, "texts end at different times"


def test_thoughts_belong_to_the_trunk() -> None:
    """A thought in a branch would be fed the state of whatever column comes before it in the batch."""
    tree = Tree(prompt([1, 2], 2))
    with pytest.raises(ValueError, match="longest one first"):
        tree.add(prompt([1, 2], 3))


def test_a_tree_too_deep_is_refused() -> None:
    """Positions beyond the model's would be read out of bounds."""
    model = LatentLM(build("gpt2", dtype=torch.float32)).eval()
    tree = Tree(prompt(list(range(40)), 4))
    tree.grow(tree.trunk[-1], [1, 2, 3])
    with pytest.raises(ValueError, match="49 positions, but this model has 48"):
        run_trees(model.backbone, [tree], itself, pad_id=PAD)
