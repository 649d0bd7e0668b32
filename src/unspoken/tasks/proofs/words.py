"""The words of ProntoQA's problems: the published ones, more of the same kind, and two real taxonomies of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

_ENTITIES = "Alex Fae Max Polly Rex Sally Sam Stella Wren"
_CONCEPTS = (
    "brimpus dumpus gorpus grimpus impus jompus lempus lorpus numpus rompus shumpus sterpus tumpus vumpus wumpus "
    "yumpus zumpus"
)
_FURTHER_CONCEPTS = (
    "bompus boompus chorpus felpus fompus gerpus gwompus hilpus jelpus kerpus quimpus rempus rorpus scrompus storpus "
    "terpus timpus worpus yerpus yimpus zhorpus"
)

ENTITIES: tuple[str, ...] = tuple(_ENTITIES.split())
"""The nine published names."""

CONCEPTS: tuple[str, ...] = tuple(_CONCEPTS.split())
"""The 17 published names, about equally frequent."""

FURTHER_CONCEPTS: tuple[str, ...] = tuple(_FURTHER_CONCEPTS.split())
"""More of the same kind for problems that need more than 17: ProsQA's other names."""

FAMILIES: tuple[tuple[str, ...], ...] = tuple(
    tuple(family.split())
    for family in (
        "blue red brown orange",
        "small large",
        "metallic wooden luminous liquid",
        "transparent opaque",
        "nervous happy feisty shy",
        "bright dull",
        "sweet sour spicy bitter",
        "floral fruity earthy",
        "hot cold temperate",
        "kind mean angry amenable aggressive",
        "melodic muffled discordant loud",
        "slow moderate fast",
        "windy sunny overcast rainy snowy",
    )
)
"""The 13 families of adjectives; a published problem takes one adjective from each of 11."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One concept of a real taxonomy."""

    concept: str
    has: tuple[str, bool]
    """An adjective that holds of it (False: that does not)."""
    side: str
    """What it is a kind of besides."""
    side_has: tuple[str, bool]
    stray: str
    """Something of which the property is not true (False: is true)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A real taxonomy, true as far as common knowledge goes (there are hairless mammals)."""

    chain: tuple[Link, ...]
    """From the most special concept up."""
    top: str
    """The most general concept."""
    small: tuple[str, str, tuple[str, bool]]
    """Something else the entity can be, what that is a kind of, and a property of it."""

    @property
    def concepts(self) -> tuple[str, ...]:
        """The chain's concepts and the top."""
        return (*(link.concept for link in self.chain), self.top)

    @property
    def nouns(self) -> tuple[str, ...]:
        """All its names."""
        beside = (name for link in self.chain for name in (link.side, link.stray))
        return (*self.concepts, *beside, *self.small[:2])


def _link(concept: str, said: str, side: str, side_said: str, stray: str) -> Link:
    return Link(concept=concept, has=_said(said), side=side, side_has=_said(side_said), stray=stray)


def _said(words: str) -> tuple[str, bool]:
    return (words.removeprefix("not "), not words.startswith("not "))


WORLDS: tuple[World, ...] = (
    World(
        chain=(
            _link("tabby", "striped", "pet", "not wild", "raven"),
            _link("cat", "whiskered", "mouser", "quick", "snake"),
            _link("feline", "agile", "hunter", "alert", "sloth"),
            _link("carnivoran", "not herbivorous", "predator", "sharp-toothed", "rabbit"),
            _link("mammal", "furry", "endotherm", "not cold-blooded", "lizard"),
            _link("vertebrate", "not spineless", "craniate", "not brainless", "worm"),
            _link("chordate", "bilateral", "deuterostome", "not acellular", "sponge"),
            _link("animal", "multicellular", "eukaryote", "nucleated", "amoeba"),
        ),
        top="organism",
        small=("resident", "neighbour", ("local", True)),
    ),
    World(
        chain=(
            _link("monarch", "orange", "migrant", "restless", "crow"),
            _link("butterfly", "colourful", "pollinator", "not harmful", "slug"),
            _link("lepidopteran", "scaly", "flyer", "not flightless", "frog"),
            _link("insect", "six-legged", "hexapod", "not eight-legged", "spider"),
            _link("arthropod", "segmented", "ecdysozoan", "moulting", "octopus"),
            _link("protostome", "not bony", "triploblast", "not radial", "bird"),
            _link("invertebrate", "not backboned", "ectotherm", "not warm-blooded", "horse"),
            _link("animal", "multicellular", "eukaryote", "nucleated", "amoeba"),
        ),
        top="organism",
        small=("visitor", "guest", ("present", True)),
    ),
)
"""The two taxonomies."""
