"""What may be wrong with a text that a model is to read or write, whatever it says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from unspoken.layout import MARKERS

END_NAMES: tuple[str, ...] = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "</s>",
    "<s>",
    "<eos>",
    "<bos>",
    "<pad>",
)
"""Tokens with which families of models begin or end texts."""

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_JOINERS = "\u200c\u200d"
"""Invisible, but spelling in Persian, Hindi and emoji."""


def special_names(names: Sequence[str]) -> re.Pattern[str]:
    """Finds the given tokens, the markers and the usual ends of text where a text spells them."""
    known = sorted(
        {*MARKERS.values(), *END_NAMES, *(name for name in names if name)}, key=lambda name: (-len(name), name)
    )
    return re.compile("|".join(map(re.escape, known)))


def check_text(text: str, special: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """What is odd about a text, as (kind, problem)."""
    if text != text.strip():
        yield "blanks", f"blanks at {_ends(text)}"
    if match := special.search(text):
        yield "special token", f"spells the token {match[0]}; it is read as text, never as the token"
    if text.isascii() and text.isprintable():
        return
    if not unicodedata.is_normalized("NFC", text):
        yield "unicode", "not in Unicode's composed form (NFC), so equal-looking texts differ"
    if (at := text.find("\ufffd")) >= 0:
        yield "encoding", f"holds U+FFFD at character {at}: it was decoded with the wrong encoding once"
    for match in _NOT_ASCII.finditer(text):
        if (meant := _meant(match[0])) is not None:
            yield "encoding", f"{match[0]!r} at character {match.start()} looks like {meant!r} in the wrong encoding"
            break
    for i, character in enumerate(text):
        category = unicodedata.category(character)
        if (category == "Cc" and character not in "\r\n") or (category == "Cf" and character not in _JOINERS):
            yield "invisible character", f"holds {_name(character)} at character {i}"
            break


def _ends(text: str) -> str:
    places = [place for place, end in (("the start", text[:1]), ("the end", text[-1:])) if end.isspace()]
    return " and ".join(places)


def _meant(run: str) -> str | None:
    """UTF-8 that was read as Windows-1252 ("Ã©" for "é"), read back; None where the run is no such thing."""
    try:
        meant = run.encode("cp1252").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    return meant if meant.isprintable() else None


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{code} ({unicodedata.name(character, 'a control character').lower()})"
