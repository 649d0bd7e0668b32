"""Logit lens: what the thoughts are as words, were they read through the model's own output layer.

State k, the last hidden state after k thoughts, is what is fed as thought k + 1; the words it would become are its
softmax over the vocabulary. Whether they are those of the problem at hand is held against another problem's: the same
top words, with the nodes or results of problems drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, Beaten, DoesNotApply, Subject, Unit
from unspoken.analysis.bootstrap import Interval
from unspoken.analysis.words import TokenSets, targets_of

TOP = 5
"""Words kept of each state."""
_EXAMPLES = 3
_OTHERS = 8
"""With how many other problems each one's words are compared."""
_ROWS = 256
"""States unembedded at a time."""


@final
class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A token and its probability."""

    token: str
    probability: float


@final
class LensExample(msgspec.Struct, frozen=True, kw_only=True):
    """What one problem's states say; the first problems are shown, not chosen ones."""

    question: str
    chain: tuple[str, ...]
    answer: str
    states: tuple[tuple[Word, ...], ...]
    """By stop, the top words."""
    closed: tuple[tuple[Word, ...], ...]
    """By stop, the top words in language mode."""


@final
class LensStop(msgspec.Struct, frozen=True, kw_only=True):
    """The states after so many slots, over problems."""

    stop: int
    num: int
    hops: int | None
    """How far from the node asked about a chain would be now; None without graphs."""
    entropy: Interval
    """Of the words at the state, in nats."""
    closed_entropy: Interval
    """Of the first word in language mode."""
    probability: Interval
    """Of the top word at the state."""
    holds: dict[str, Beaten]
    """By what is looked for: the share of problems in which it is among the top words; chance: another problem's."""
    closed_holds: dict[str, Beaten]
    """The same of the first word in language mode."""


@final
class LensFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    among: int
    """Among how many top words is looked."""
    looked_for: tuple[str, ...]
    stops: tuple[LensStop, ...]
    examples: tuple[LensExample, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Read:
    """States read through the output layer; (..., NaN or -1) where a problem has no such stop."""

    ids: NDArray[np.int64]
    """(N, S, TOP), most probable first."""
    probabilities: NDArray[np.float64]
    """(N, S, TOP)."""
    entropy: NDArray[np.float64]
    """(N, S), nats."""


def read(subject: Subject, states: NDArray[np.float32]) -> Read:
    """The words of (N, S, D) states."""
    backbone, device = subject.model.backbone, subject.model.device
    flat = states.reshape(-1, states.shape[-1])
    there = ~np.isnan(flat[:, 0])
    ids = np.full((len(flat), TOP), -1)
    probabilities, entropy = np.full((len(flat), TOP), np.nan), np.full(len(flat), np.nan)
    with torch.inference_mode():
        for chunk in np.array_split(np.flatnonzero(there), max(1, int(there.sum()) // _ROWS)):
            hidden = torch.from_numpy(flat[chunk]).to(device, subject.model.lm.dtype)
            logs = backbone.unembed(hidden).float().log_softmax(-1)
            top = logs.topk(TOP, dim=-1)
            ids[chunk], probabilities[chunk] = top.indices.cpu().numpy(), top.values.exp().cpu().numpy()
            # A word ruled out has probability 0 and adds nothing.
            entropy[chunk] = -(logs.exp() * logs.clamp(min=-1e30)).sum(-1).cpu().numpy()
    shape = states.shape[:2]
    return Read(
        ids=ids.reshape(*shape, TOP),
        probabilities=probabilities.reshape(*shape, TOP),
        entropy=np.maximum(entropy.reshape(shape), 0.0),
    )


@final
class Lens(Analysis[LensFound]):
    """Thoughts as words."""

    name: ClassVar[str] = "lens"
    title: ClassVar[str] = "Thoughts as words (logit lens)"

    def measure(self, subject: Subject) -> LensFound | DoesNotApply:
        states, closed = read(subject, subject.cache.states), read(subject, subject.cache.closed)
        targets = targets_of(subject)
        others = _other_problems(len(subject), subject.seed)
        boot = subject.bootstrap
        return LensFound(
            unit=subject.unit,
            among=targets.among,
            looked_for=tuple(targets.sets),
            stops=tuple(
                LensStop(
                    stop=k,
                    num=int(subject.there(k).sum()),
                    hops=subject.hops(k) if subject.cache.hops is not None else None,
                    entropy=boot.mean(states.entropy[:, k]),
                    closed_entropy=boot.mean(closed.entropy[:, k]),
                    probability=boot.mean(states.probabilities[:, k, 0]),
                    holds=_holds(subject, states.ids[:, k, : targets.among], targets.sets, others),
                    closed_holds=_holds(subject, closed.ids[:, k, : targets.among], targets.sets, others),
                )
                for k in subject.stops
            ),
            examples=tuple(_example(subject, states, closed, i) for i in range(min(_EXAMPLES, len(subject)))),
        )

    def draw(self, found: LensFound, folder: Path) -> None:
        ks = [stop.stop for stop in found.stops]
        with drawing.style():
            figure, (axis,) = drawing.panels(1)
            for name, values, color, marker in (
                ("at the state itself", [stop.entropy for stop in found.stops], drawing.PALETTE[0], "o"),
                ("in language mode", [stop.closed_entropy for stop in found.stops], drawing.PALETTE[1], "s"),
            ):
                drawing.with_interval(axis, ks, values, color=color, marker=marker, label=name)
            axis.set(xlabel=f"{found.unit}s so far", ylabel="entropy of the next word, nats", xticks=ks)
            axis.set_ylim(0, 1.25 * max(axis.get_ylim()[1], 0.1))
            axis.legend(frameon=False)
            rows = [
                [stop.stop, name, each.mean, each.low, each.high]
                for stop in found.stops
                for name, each in (("state", stop.entropy), ("language mode", stop.closed_entropy))
            ]
            drawing.save(figure, folder / "lens-entropy", ["stop", "where", "mean", "low", "high"], rows)
            if not found.looked_for:
                return
            width = max(drawing.COLUMN, 0.55 * len(found.looked_for) + 0.8)
            figure, axes = drawing.panels(1, 2, width=width, height=0.3 * len(found.stops) + 1.0)
            places = ("at the state itself", "in language mode")
            for axis, place, by_stop in zip(axes, places, _held(found), strict=True):
                held = [[holds.get(name) for name in found.looked_for] for holds in by_stop]
                drawing.heat(
                    axis, [[None if each is None else each.found.mean for each in line] for line in held],
                    rows=[str(k) for k in ks], columns=[name.replace(" ", "\n") for name in found.looked_for],
                    low=0, high=1, scale=100, digits=0,
                )  # fmt: skip
                axis.set(ylabel=f"{found.unit}s so far", title=f"{place}: {_where(found)}, % of problems")
            rows = [
                [stop.stop, place, name, *drawing.numbers(each.found)]
                + [each.chance.mean if each.chance else None, each.num]
                for place, by_stop in zip(places, _held(found), strict=True)
                for stop, holds in zip(found.stops, by_stop, strict=True)
                for name, each in holds.items()
            ]
            head = ["stop", "where", "looked for", "share", "low", "high", "chance (another problem's)", "problems"]
            drawing.save(figure, folder / "lens-holds", head, rows)

    def page(self, found: LensFound) -> list[str]:
        lines = [
            f"State k is the last hidden state after k {found.unit}s, read through the model's output layer. The lens "
            "assumes that a state means what it would mean as a word; a thought need not. Chance is the same top words "
            "held against other problems drawn at random.",
            "",
            *pages.figure("lens-entropy", "Entropy of the words at each state, and of the first word in language mode"),
        ]
        if found.looked_for:
            lines += pages.figure("lens-holds", "What each state reads as, and how often")
        head = [
            f"{found.unit}s",
            "problems",
            "entropy, nats",
            "perplexity",
            "top word's probability",
            "in language mode",
        ]
        lines += pages.table(
            head,
            [
                [str(stop.stop), f"{stop.num:,}", pages.plain(stop.entropy), f"{np.exp(stop.entropy.mean):.1f}"]
                + [pages.plain(stop.probability), pages.plain(stop.closed_entropy)]
                for stop in found.stops
            ],
        )
        for place, by_stop in zip(("at the state itself", "in language mode"), _held(found), strict=True):
            if found.looked_for:
                lines += [
                    f"Share of problems, %, in which this is {_where(found)} {place} (chance in parentheses):",
                    "",
                ]
                lines += pages.table(
                    [f"{found.unit}s", *found.looked_for],
                    [
                        [str(stop.stop), *(_cell(holds.get(name)) for name in found.looked_for)]
                        for stop, holds in zip(found.stops, by_stop, strict=True)
                    ],
                )
        for example in found.examples:
            lines += [f"{pages.code(example.question[-60:])}, chain {pages.code(' '.join(example.chain))}", ""]
            lines += pages.table(
                [f"{found.unit}s", "top words at the state", "in language mode"],
                [
                    [str(k), *(_shown(words) for words in both)]
                    for k, both in enumerate(zip(example.states, example.closed, strict=True))
                ],
                left=3,
            )
        return lines


def _held(found: LensFound) -> tuple[list[dict[str, Beaten]], list[dict[str, Beaten]]]:
    """By stop, at the state itself and in language mode."""
    return [stop.holds for stop in found.stops], [stop.closed_holds for stop in found.stops]


def _shown(words: Sequence[Word]) -> str:
    return ", ".join(f"{pages.code(word.token)} {word.probability:.2f}" for word in words)


def _where(found: LensFound) -> str:
    return "the top word" if found.among == 1 else f"among the top {found.among} words"


def _cell(each: Beaten | None) -> str:
    if each is None:
        return "-"
    return pages.percent(each.found) + ("" if each.chance is None else f" ({100 * each.chance.mean:.1f})")


def _other_problems(num: int, seed: int) -> NDArray[np.int64]:
    """(at most `_OTHERS`, N): for every problem several others."""
    shifts = np.random.default_rng(seed).permutation(np.arange(1, num))[:_OTHERS]
    return (np.arange(num) + shifts[:, None]) % num


def _holds(
    subject: Subject, ids: NDArray[np.int64], sets: Mapping[str, TokenSets], others: NDArray[np.int64]
) -> dict[str, Beaten]:
    """Of (N, top) words: the share of problems that hold each target. A problem without one does not count."""
    found: dict[str, Beaten] = {}
    words = [frozenset(line) - {-1} for line in ids.tolist()]
    for name, wanted in sets.items():
        ours = _hits(words, wanted)
        if np.isnan(ours).all():
            continue
        theirs = np.array([_hits(words, [wanted[i] for i in order]) for order in others]).reshape(-1, len(words))
        counted = ~np.isnan(theirs)
        chance = None
        if counted.any():
            sums, nums = np.where(counted, theirs, 0.0).sum(0), counted.sum(0)
            chance = subject.bootstrap.ratio(sums, nums)
        found[name] = Beaten(found=subject.bootstrap.share(ours), chance=chance, num=int((~np.isnan(ours)).sum()))
    return found


def _hits(words: TokenSets, wanted: TokenSets) -> NDArray[np.float64]:
    """(N,) 1 where a problem's words hold what is wanted, 0 where not, NaN where there is nothing to hold."""
    return np.array([float(bool(w & a)) if w and a else np.nan for w, a in zip(words, wanted, strict=True)])


def _example(subject: Subject, states: Read, closed: Read, index: int) -> LensExample:
    example = subject.cache.examples[index]
    return LensExample(
        question=example.question,
        chain=example.steps,
        answer=example.answer,
        states=_words(subject, states, index),
        closed=_words(subject, closed, index),
    )


def _words(subject: Subject, read: Read, index: int) -> tuple[tuple[Word, ...], ...]:
    tokenizer = subject.model.tokenizer
    assert tokenizer is not None
    return tuple(
        tuple(
            Word(token=str(tokenizer.decode([int(id_)])), probability=round(float(probability), 6))
            for id_, probability in zip(read.ids[index, k], read.probabilities[index, k], strict=True)
        )
        for k in range(subject.cache.num_stops[index])
    )
