"""What an analysis is: something measured on a `Subject`, drawn, and written about.

A new analysis is one file with one final subclass of `Analysis`, and a line in `probe.ANALYSES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from unspoken.analysis.bootstrap import Bootstrap, Interval
from unspoken.analysis.cache import ThoughtCache
from unspoken.analysis.search import Search
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.tasks.base import Task

Unit = Literal["thought", "pause", "written step", "slot"]
"""What a stop of a model comes after; "slot" where it has none at all."""


@final
@dataclass(frozen=True, kw_only=True)
class Beside:
    """Another model on the same problems, to hold the first one against."""

    name: str
    cache: ThoughtCache

    def stop(self, index: int, hops: int) -> int | None:
        """The first stop at which it names a node `hops` hops away, in problem `index`; None: it never does.

        The first: in ProsQA two stops behind thoughts name the first node.
        """
        assert self.cache.hops is not None
        return next((k for k, each in enumerate(self.cache.hops[index]) if each == hops), None)


@final
@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model with what it thinks about some problems: all that an analysis may look at.

    Letters as in `cache.py`: N problems, S stops, K thoughts, D hidden size.
    """

    model: LatentLM
    task: Task
    method: Method
    cache: ThoughtCache
    searches: tuple[Search, ...] | None
    """The graphs behind the problems; None where the task has none."""
    bootstrap: Bootstrap
    """Over the problems; the same resamples for every measure."""
    seed: int
    mix: float
    """How often a training example took a random stage (`Curriculum.mix`)."""
    rows: int
    """Most rows decoded together."""
    beside: Beside | None = None

    def __len__(self) -> int:
        return len(self.cache)

    @property
    def unit(self) -> Unit:
        """What comes between stops."""
        if self.cache.thoughts.shape[1]:
            return "thought"
        if self.method.trained_thoughts:
            return "pause"
        return "written step" if self.cache.slots else "slot"

    @property
    def stops(self) -> range:
        """All stops, by how many slots come before them."""
        return range(self.cache.slots + 1)

    def there(self, stop: int) -> NDArray[np.bool_]:
        """(N,) which problems have this stop."""
        return self.cache.num_stops > stop

    def hops(self, stop: int) -> int:
        """How far from the node asked about a right chain is at this stop; the same in all problems that have it."""
        assert self.cache.hops is not None
        return next(hops[stop] for hops in self.cache.hops if len(hops) > stop)

    def on_the_way(self, stop: int) -> NDArray[np.bool_]:
        """(N,) problems that have this stop and whose shortest path is long enough to name a node there."""
        assert self.searches is not None
        needed = np.array([search.needed for search in self.searches])
        return self.there(stop) & (needed >= self.hops(stop)) if self.there(stop).any() else self.there(stop)


@final
class DoesNotApply(msgspec.Struct, frozen=True, kw_only=True):
    """Why an analysis has nothing to say about a model on a task."""

    why: str


Found = TypeVar("Found", bound=msgspec.Struct)


class Analysis(ABC, Generic[Found]):
    """One thing to find out. Subclasses are final and have no state."""

    name: ClassVar[str]
    """In `probe.json` and the names of figures."""
    title: ClassVar[str]
    """Heading on the page."""

    @abstractmethod
    def measure(self, subject: Subject) -> Found | DoesNotApply:
        """What there is to find, with intervals and chance levels."""

    @abstractmethod
    def draw(self, found: Found, folder: Path) -> None:
        """Writes its figures (PNG, SVG, CSV) into a folder."""

    @abstractmethod
    def page(self, found: Found) -> list[str]:
        """Lines of Markdown: what was measured, the figures, the numbers with intervals and chance levels."""


@final
class Beaten(msgspec.Struct, frozen=True, kw_only=True):
    """A measure beside what it would be by chance."""

    found: Interval
    chance: Interval | None
    """None where there is no such thing."""
    num: int
    """Problems that count."""


def why_no_values(subject: Subject) -> DoesNotApply | None:
    """Why nodes have no values after each step of this model; None: they have."""
    if subject.searches is None or subject.cache.log_values is None:
        return DoesNotApply(why="The problems have no graphs, so there are no nodes to value.")
    if subject.unit == "slot":
        # It has never gone on from a step, so what it would name at the first one means nothing.
        method = type(subject.method).__name__
        return DoesNotApply(
            why=f"{method} answers at once: there are no thoughts, and no step at which to name a node."
        )
    return None
