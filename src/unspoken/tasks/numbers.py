"""Numbers in text: finding them, and asking whether two answers are the same number.

Everything is a `Fraction`, never a float: 0.1 + 0.2 is 0.3, and an integer of thirty digits is not another one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

EXACT = Fraction(0)
"""The tolerance of exact equality."""

MOST_DIGITS = 1_000
"""Longer numbers are not read: nobody means them, and Python refuses to convert more than 4,300 digits."""

_VULGAR = str.maketrans(
    {"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅛": " 1/8", "\u2044": "/"}
)

_MINUS = "-\u2212\u2013\u2010\u2011"  # hyphen, minus, en dash, hyphen again, hyphen that does not break
_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?:(?<![0-9A-Za-z.)\]])[{_MINUS}])?)(?:[$€£¥₹][ ]?)?
    (?:
        (?<![0-9/.,])(?<!/[ ])(?:(?P<whole>[0-9]+)(?:[ ]+and)?[ ]+)?
            (?P<above>[0-9]+)[ ]?/[ ]?(?P<below>0*[1-9][0-9]*)(?![ ]?/|[0-9]|[.,][0-9])
        | (?P<body>{_DECIMAL})(?:(?:[eE]|[ ]?[×x*][ ]?10\^)(?P<power>[{_MINUS}+]?[0-9]{{1,3}})(?![0-9A-Za-z]|\.[0-9]))?
    )
    """,
    re.VERBOSE | re.ASCII,
)
_SIGN_FIRST = re.compile(rf"([$€£¥₹])([{_MINUS}])(?=[0-9.])")


def find_numbers(text: str) -> list[Fraction]:
    """Every number in a text, in order.

    Read: `1,234.50`, `.5`, `-3`, `−3` (and other dashes), `$-5`, `-$5`, `1/2`, `2 1/2`, `½`, `6.02e23`, `6.02 x 10^23`.
    A full stop at the end of a sentence, a unit or a per cent sign behind a number is no part of it: 50% is 50, as
    GSM8K writes its answers. A dash right behind a digit, letter or bracket is no sign: 16-3 holds 16 and 3.

    Not read: numbers in words, commas for decimals, dates or versions as one number (3.4.5 is 3.4 and .5), numbers of
    more than `MOST_DIGITS` digits.
    """
    text = _SIGN_FIRST.sub(r"\2\1", text.translate(_VULGAR))
    found = (_value(match) for match in _NUMBER.finditer(text))
    return [value for value in found if value is not None]


def read_number(text: str) -> Fraction | None:
    """The number a text holds, whatever stands around it; None if it holds none, or several that differ."""
    values = set(find_numbers(text))
    return values.pop() if len(values) == 1 else None


def same_number(a: str, b: str, *, within: Fraction = EXACT) -> bool:
    """Whether two texts hold the same one number: 18, 18.0, $18.00 and "18 eggs." are the same.

    Args:
        a: a text; if it holds no number or several different ones, the answer is no.
        b: another.
        within: the largest difference that counts as none, in the numbers' own unit. The default is exact equality, so
            that .33 is not 1/3.
    """
    x, y = read_number(a), read_number(b)
    return x is not None and y is not None and abs(x - y) <= within


def plain(value: Decimal) -> str:
    """A number as an answer is written: no exponent, no trailing zeros (51.0 is 51), as many decimals as it takes.

    Raises:
        ValueError: it is infinite or no number at all.
    """
    if not value.is_finite():
        raise ValueError(f"expected a finite number, got {value}")
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match.group()) > MOST_DIGITS:
        return None
    if match["above"] is not None:
        value = int(match["whole"] or 0) + Fraction(int(match["above"]), int(match["below"]))
    else:
        value = Fraction(match["body"].replace(",", ""))
        if match["power"] is not None:
            value *= Fraction(10) ** int(re.sub(f"[{_MINUS}]", "-", match["power"]))
    return -value if match["sign"] else value
