"""Where a model can be made to go on in words: after each thought, or after each written step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from unspoken.layout import Layout, Marks, Tokens, lay_out
from unspoken.methods import Method


@final
@dataclass(frozen=True, kw_only=True)
class Stop:
    """One place of a problem."""

    prompt: Layout
    """What the model has been given when it goes on."""
    slots: int
    """How many thoughts (or their stand-ins) came before; of a written chain, how many steps."""
    steps: int
    """How many steps of the chain they stand for, or are."""
    written: int
    """How many of those can be read."""

    state: int
    """Where in the prompt the last slot, or what comes before the first, stands."""


def stops(method: Method, tokens: Tokens, marks: Marks, *, most: int | None = None) -> list[Stop]:
    """All stops of a problem, in order; a method without stand-ins that writes no chain has one, its prompt's end.

    `most` is the largest number of thoughts; None: as many as in training.
    """
    trained = method.trained_thoughts
    if trained is not None:
        found = []
        for slots in range((trained if most is None else most) + 1):
            prompt = method.prompt(tokens, marks, thoughts=slots)
            closed = prompt.input_ids[-1] == marks.eot
            found.append(
                Stop(
                    prompt=prompt,
                    slots=slots,
                    steps=method.hidden_steps(thoughts=slots),
                    written=0,
                    state=len(prompt) - 1 - closed,
                )
            )
        return found
    prompt = method.prompt(tokens, marks)
    whole = method.layout(tokens, method.stages - 1, marks)
    writes_chain = len(whole) - len(prompt) > len(tokens.answer)
    written = list(tokens.steps) if writes_chain else []
    given = list(prompt.input_ids)
    found = [Stop(prompt=prompt, slots=0, steps=method.hidden_steps(), written=0, state=len(prompt) - 1)]
    for steps, step in enumerate(written, start=1):
        given += step
        prompt = lay_out(given, [], thought=marks.thought)
        found.append(Stop(prompt=prompt, slots=steps, steps=steps, written=steps, state=len(prompt) - 1))
    return found
