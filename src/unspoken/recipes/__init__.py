"""Complete runs, named as in the paper's tables. A recipe is a function that returns a `RunConfig`.

Your own recipe is a function like these; `unspoken.train.fit` takes its config directly, and an entry in one of the
`RECIPES` below gives it a name on the command line.
"""

from __future__ import annotations

from unspoken.config import RunConfig
from unspoken.recipes import (
    demo,
    gsm8k,
    llama,
    multiplication,
    own,
    planning,
    prontoqa,
    prosqa,
    small,
    smollm2,
    speedrun,
)
from unspoken.recipes.rows import Recipe
from unspoken.suggest import nearest

RECIPES: dict[str, Recipe] = {
    **demo.RECIPES,
    **planning.RECIPES,
    **small.RECIPES,
    **prosqa.RECIPES,
    **prontoqa.RECIPES,
    **gsm8k.RECIPES,
    **smollm2.RECIPES,
    **llama.RECIPES,
    **multiplication.RECIPES,
    **own.RECIPES,
    **speedrun.RECIPES,
}
"""All recipes by name."""


def find_recipe(name: str) -> RunConfig:
    """The config of a named recipe.

    Raises:
        ValueError: there is none; the message suggests the nearest.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe named {name!r}{nearest(name, RECIPES)}; unspoken list shows all of them")
    return RECIPES[name]()
