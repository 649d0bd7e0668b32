"""Where thoughts lie: their norms beside those of token embeddings, whether they collapse, and in how many directions.

Thoughts of one problem that are all alike carry one message whatever their number; thoughts of all problems that are
alike carry none. The pure arithmetic is in `unspoken.geometry`, which also watches trainings.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, final

import msgspec
import numpy as np
import torch
from torch import Tensor

from unspoken.analysis import drawing, pages
from unspoken.analysis.base import Analysis, DoesNotApply, Subject, Unit
from unspoken.analysis.bootstrap import Interval
from unspoken.geometry import between_distances, effective_rank, within_distances

_DIRECTIONS = 256
"""States whose nearest embedding is looked for, at most, and random directions beside them."""


@final
class SpreadStop(msgspec.Struct, frozen=True, kw_only=True):
    """States after so many slots."""

    stop: int
    num: int
    norm: Interval
    between: Interval | None
    """Mean distance to the other problems' states; None for a single problem."""
    step: Interval | None
    """Distance from the same problem's state before; None for the first."""
    nearest: Interval
    """Cosine with the nearest token embedding, over at most 256 problems."""
    effective_rank: float
    """Without an interval: it grows with the number of problems, so resampled ones would give less."""


@final
class SpreadFound(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    unit: Unit
    embedding_norm: float
    """Mean norm of token embeddings as the blocks take them."""
    embedding_rank: float
    """Effective rank of as many random token embeddings as there are problems (all, where there are fewer)."""
    gaussian_rank: float
    """Effective rank of as many independent normal vectors of this size: the most there could be."""
    nearest_by_chance: float
    """Mean cosine of a random direction with its nearest embedding."""
    within: Interval | None
    """Mean distance between two states of one problem, all stops; None where there is one stop."""
    stops: tuple[SpreadStop, ...]


@final
class Spread(Analysis[SpreadFound]):
    """Geometry of the states."""

    name: ClassVar[str] = "spread"
    title: ClassVar[str] = "Geometry: norms, distances, directions"

    def measure(self, subject: Subject) -> SpreadFound | DoesNotApply:
        # Distances are worked out in full precision, however the model was run.
        with torch.autocast("cpu", enabled=False):
            return self._measure(subject)

    def _measure(self, subject: Subject) -> SpreadFound:
        states = torch.from_numpy(subject.cache.states)
        embeddings = _embeddings(subject)
        directions = torch.nn.functional.normalize(embeddings, dim=-1)
        generator = torch.Generator().manual_seed(subject.seed)
        size = states.shape[-1]
        some = torch.randperm(len(embeddings), generator=generator)[: len(subject)]
        boot = subject.bootstrap
        stops = []
        for k in subject.stops:
            there = torch.from_numpy(subject.there(k))
            here = states[there, k]
            nearest = torch.full((len(subject),), torch.nan)
            few = there.nonzero()[:_DIRECTIONS, 0]
            nearest[few] = _nearest(states[few, k], directions)
            between = _over(between_distances(here[:, None])[:, 0], there)
            stops.append(
                SpreadStop(
                    stop=k,
                    num=len(here),
                    norm=boot.mean(_over(here.norm(dim=-1), there)),
                    between=boot.mean(between) if len(here) > 1 else None,
                    step=boot.mean((states[:, k] - states[:, k - 1]).norm(dim=-1).numpy()) if k else None,
                    nearest=boot.mean(nearest.numpy()),
                    effective_rank=effective_rank(here),
                )
            )
        within = np.array([_within(row[:num]) for row, num in zip(states, subject.cache.num_stops, strict=True)])
        return SpreadFound(
            unit=subject.unit,
            embedding_norm=float(embeddings.norm(dim=-1).mean()),
            embedding_rank=effective_rank(embeddings[some]),
            gaussian_rank=effective_rank(torch.randn(len(subject), size, generator=generator)),
            nearest_by_chance=float(_nearest(torch.randn(_DIRECTIONS, size, generator=generator), directions).mean()),
            within=None if np.isnan(within).all() else boot.mean(within),
            stops=tuple(stops),
        )

    def draw(self, found: SpreadFound, folder: Path) -> None:
        ks = [stop.stop for stop in found.stops]
        with drawing.style():
            figure, (left, right) = drawing.panels(2, width=2.7, height=2.5)
            drawing.with_interval(
                left, ks, [stop.norm for stop in found.stops], color=drawing.PALETTE[0], marker="o", label="norm"
            )
            for name, color, marker in (("between", drawing.PALETTE[1], "s"), ("step", drawing.PALETTE[2], "^")):
                points = [(stop.stop, value) for stop in found.stops if (value := _field(stop, name)) is not None]
                label = "to other problems' states" if name == "between" else "to the state before"
                if points:
                    drawing.with_interval(
                        left, [k for k, _ in points], [v for _, v in points], color=color, marker=marker, label=label
                    )
            left.axhline(found.embedding_norm, color=drawing.GREY, linestyle="--", label="norm of embeddings")
            left.set(xlabel=f"{found.unit}s so far", ylabel="norm or distance", ylim=(0, None), xticks=ks)
            right.plot(
                ks, [stop.effective_rank for stop in found.stops], color=drawing.PALETTE[3], marker="D", markersize=4,
                label="effective rank of states",
            )  # fmt: skip
            right.axhline(found.embedding_rank, color=drawing.GREY, linestyle="--", label="of embeddings")
            right.axhline(found.gaussian_rank, color=drawing.GREY, linestyle=":", label="of normal vectors")
            right.set(xlabel=f"{found.unit}s so far", ylabel="directions", ylim=(0, None), xticks=ks)
            figure.legend(loc="outside upper center", ncols=2, frameon=False)
            rows: list[list[drawing.Cell]] = []
            for stop in found.stops:
                for name in ("norm", "between", "step", "nearest"):
                    value = _field(stop, name)
                    if value is not None:
                        rows.append([stop.stop, name, value.mean, value.low, value.high])
                rows.append([stop.stop, "effective rank", stop.effective_rank, None, None])
            rows += [[None, "norm of embeddings", found.embedding_norm, None, None]]
            rows += [[None, "effective rank of embeddings", found.embedding_rank, None, None]]
            drawing.save(figure, folder / "spread", ["stop", "what", "mean", "low", "high"], rows)

    def page(self, found: SpreadFound) -> list[str]:
        within = "" if found.within is None else f" Two states of one problem are {pages.plain(found.within)} apart."
        head = [f"{found.unit}s", "problems", "norm", "to other problems' states", "to the state before"]
        head += ["cosine with the nearest embedding", "effective rank"]
        return [
            f"Token embeddings have norm {found.embedding_norm:.2f}; a random direction has cosine "
            f"{found.nearest_by_chance:.2f} with its nearest one. Effective rank is exp(entropy) of the normalised "
            f"singular values; as many token embeddings have {found.embedding_rank:.1f}, as many independent normal "
            f"vectors {found.gaussian_rank:.1f}. Distances near zero mean collapse.{within}",
            "",
            *pages.figure("spread", "Norms and distances of the states, and the directions they take"),
            *pages.table(
                head,
                [
                    [str(stop.stop), f"{stop.num:,}", pages.plain(stop.norm), pages.plain(stop.between)]
                    + [pages.plain(stop.step), pages.plain(stop.nearest), f"{stop.effective_rank:.1f}"]
                    for stop in found.stops
                ],
            ),
        ]


def _field(stop: SpreadStop, name: str) -> Interval | None:
    return {"norm": stop.norm, "between": stop.between, "step": stop.step, "nearest": stop.nearest}[name]


def _embeddings(subject: Subject) -> Tensor:
    """(V, D) of all tokens, as the base model takes them."""
    backbone = subject.model.backbone
    weight = backbone.lm.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    with torch.inference_mode():
        return backbone.embed(torch.arange(len(weight), device=subject.model.device)).float().cpu()


def _nearest(vectors: Tensor, directions: Tensor) -> Tensor:
    """Largest cosine of each vector with any direction."""
    return (torch.nn.functional.normalize(vectors, dim=-1) @ directions.T).amax(-1)


def _over(values: Tensor, there: Tensor) -> np.ndarray:
    """Values of the problems that are there, among all, NaN elsewhere."""
    out = torch.full((len(there),), torch.nan)
    out[there] = values
    return out.numpy()


def _within(row: Tensor) -> float:
    return float(within_distances(row[None])[0])
