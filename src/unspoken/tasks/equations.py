"""Equations in written chains, `<<16-3-4=9>>`, checked by exact arithmetic; and what a whole chain amounts to.

GSM8K's authors put every calculation of a solution between `<<` and `>>`; the published chains are these equations and
nothing else. A model's chain can thus be checked without knowing the problem: whether each equation is true, and
whether the last one gives the answer. What cannot be checked this way is whether the right quantities were combined.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import final

_EQUATION = re.compile(r"<<([^<>]*)>>")
_TOKEN = re.compile(r"\s*(?:(?P<number>(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+))|(?P<sign>\*\*|//|[-+*/()%]))", re.ASCII)
_LITERAL = re.compile(r"-?(?:[0-9]+(?:\.([0-9]*))?|\.([0-9]+))%?", re.ASCII)
_SAME_SIGNS = str.maketrans({"×": "*", "x": "*", "X": "*", "÷": "/", "\u2212": "-", "\u2013": "-", "^": "**"})
_CURRENCIES = str.maketrans({"$": None, "€": None, "£": None})

_FLOAT_ERROR = Fraction(1, 2**52)

MOST_NESTING = 50
"""Deeper parentheses are not read: no solution has them, but a model that repeats itself may."""

MOST_BITS = 4_096
"""Powers that would be longer are not worked out."""


@final
class Arithmetic(StrEnum):
    """What is known of one equation."""

    RIGHT = "right"
    """Every two sides are exactly equal."""
    ROUNDED = "rounded"
    """They are as near as the decimals written allow, rounded or cut off: 10/3=3.33, 2/3=.66, 15.9=16."""
    WRONG = "wrong"
    """They are not."""
    NO_EQUATION = "no equation"
    """Not numbers joined by + - * / and parentheses on every side of an equals sign."""


def equations_in(text: str) -> list[str]:
    """What stands between each `<<` and `>>`, in order."""
    return _EQUATION.findall(text)


def check(equation: str) -> Arithmetic:
    """Whether an equation is true: `16-3-4=9`, with or without its brackets, with any number of equals signs.

    Each side is compared with the next. Where the right one of two is a plain number, it may differ from the left one
    by less than one unit of its last decimal if that has decimals (3.33 or 3.34 for 10/3), and by at most a half if it
    is an integer (4 for 3.5, not for 3.4 or 4.6): decimals are cut off as often as rounded, whole numbers are rounded.
    What a 64-bit float has for the left side counts as rounded, too (151/3=50.333333333333336).
    """
    values = _sides(equation)
    if values is None:
        return Arithmetic.NO_EQUATION
    verdict = Arithmetic.RIGHT
    for (left, _), (right, unit) in pairwise(values):
        if left == right:
            continue
        off = abs(left - right)
        if unit is None or not ((off <= unit / 2 if unit == 1 else off < unit) or off <= abs(left) * _FLOAT_ERROR):
            return Arithmetic.WRONG
        verdict = Arithmetic.ROUNDED
    return verdict


def result(equation: str) -> Fraction | None:
    """The value of the last side of an equation; None if it is none."""
    values = _sides(equation)
    return None if values is None else values[-1][0]


def evaluate(expression: str) -> Fraction | None:
    """The exact value of `2*(3+.5)`, `1,000/4`, `20%*5`, `2^3`, `$5 x 3`; None where it has none."""
    try:
        return _Parser(expression).value()
    except _NotAnExpression:
        return None


def count_equations(chains: Iterable[Sequence[str]]) -> Counter[Arithmetic]:
    """How many equations of some chains are right, rounded and wrong; empty steps are left out."""
    return Counter(check(step) for chain in chains for step in chain if step.strip())


@final
class ChainClass(StrEnum):
    """What a written chain amounts to: four kinds of chain, each with a right or a wrong answer below it.

    Every output is in exactly one class; the four that start with "right answer" make up the accuracy. A chain whose
    first steps are replaced by thoughts is judged by what is written: an equation is true or false by itself.
    """

    RIGHT_BY_CHAIN = "right answer, chain leads to it"
    """Every equation is true (or rounded), the last one gives the answer."""
    RIGHT_PAST_CHAIN = "right answer, chain ends elsewhere"
    """Every equation is true; the answer is not the last one's result (a step left out, or done in the head)."""
    RIGHT_FALSE_STEP = "right answer, false step"
    """Some equation is false or no equation: the answer does not come from the chain as written."""
    RIGHT_NO_CHAIN = "right answer, no chain"
    """No equation is written."""
    WRONG_BY_CHAIN = "wrong answer, chain leads to it"
    """Every equation is true and the last one gives the answer: the plan is wrong, not the arithmetic."""
    WRONG_PAST_CHAIN = "wrong answer, chain ends elsewhere"
    """Every equation is true; the answer contradicts the last one, or there is none."""
    WRONG_FALSE_STEP = "wrong answer, false step"
    """Some equation is false or no equation."""
    WRONG_NO_CHAIN = "wrong answer, no chain"
    """No equation is written."""


def judge_chain(chain: str, answer: Fraction | None, *, right: bool) -> ChainClass:
    """The class of a written chain.

    Args:
        chain: what is written before the answer.
        answer: the number written as the answer, if there is one.
        right: whether it is the right one.
    """
    equations = equations_in(chain)
    verdicts = {check(equation) for equation in equations}
    if not equations:
        return ChainClass.RIGHT_NO_CHAIN if right else ChainClass.WRONG_NO_CHAIN
    if verdicts & {Arithmetic.WRONG, Arithmetic.NO_EQUATION}:
        return ChainClass.RIGHT_FALSE_STEP if right else ChainClass.WRONG_FALSE_STEP
    if answer is not None and result(equations[-1]) == answer:
        return ChainClass.RIGHT_BY_CHAIN if right else ChainClass.WRONG_BY_CHAIN
    return ChainClass.RIGHT_PAST_CHAIN if right else ChainClass.WRONG_PAST_CHAIN


def _sides(equation: str) -> list[tuple[Fraction, Fraction | None]] | None:
    """The value of each side, and one unit of its last decimal where it is a plain number; None: no equation."""
    sides = equation.strip().removeprefix("<<").removesuffix(">>").split("=")
    found: list[tuple[Fraction, Fraction | None]] = []
    for side in sides:
        value = evaluate(side)
        if value is None:
            return None
        found.append((value, _unit(side)))
    return found if len(found) > 1 else None


def _unit(side: str) -> Fraction | None:
    literal = _LITERAL.fullmatch(side.translate(_SAME_SIGNS).translate(_CURRENCIES).replace(",", "").strip())
    if literal is None:
        return None
    unit = Fraction(1, 10 ** len(literal[1] or literal[2] or ""))
    return unit / 100 if literal.group().endswith("%") else unit


@final
class _NotAnExpression(Exception):
    """Raised while parsing."""


@final
class _Parser:
    """A recursive-descent parser that works values out as it goes. Nothing is ever given to `eval`.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/" | "//")? signed)*      nothing only before "(", where it means times
    signed  = ("+" | "-")* power
    power   = atom ("**" signed)?
    atom    = (number | "(" sum ")") "%"?
    """

    def __init__(self, text: str) -> None:
        text = text.translate(_SAME_SIGNS).translate(_CURRENCIES).strip()
        self._tokens: list[str] = []
        self._nesting = 0
        end = 0
        while end < len(text):
            match = _TOKEN.match(text, end)
            if match is None or len(match.group()) > 1_000:
                raise _NotAnExpression
            self._tokens.append(match["number"] or match["sign"])
            end = match.end()
        self._tokens.reverse()

    def value(self) -> Fraction:
        value = self._sum()
        if self._tokens:
            raise _NotAnExpression
        return value

    @property
    def _next(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _sum(self) -> Fraction:
        value = self._product()
        while self._next in ("+", "-"):
            value += self._product() if self._tokens.pop() == "+" else -self._product()
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while self._next in ("*", "/", "//", "("):
            sign = "*" if self._next == "(" else self._tokens.pop()
            factor = self._signed()
            if sign == "*":
                value *= factor
            elif factor == 0:
                raise _NotAnExpression
            else:
                value = value / factor if sign == "/" else Fraction(value // factor)
        return value

    def _signed(self) -> Fraction:
        minus = False
        while self._next in ("+", "-"):
            minus ^= self._tokens.pop() == "-"
        return -self._power() if minus else self._power()

    def _power(self) -> Fraction:
        base = self._atom()
        if self._next != "**":
            return base
        self._tokens.pop()
        self._nest()
        power = self._signed()
        self._nesting -= 1
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if power.denominator != 1 or abs(power) * bits > MOST_BITS or (base == 0 and power < 0):
            raise _NotAnExpression
        return base ** int(power)

    def _atom(self) -> Fraction:
        token = self._tokens.pop() if self._tokens else ""
        if token == "(":
            self._nest()
            value = self._sum()
            self._nesting -= 1
            if not self._tokens or self._tokens.pop() != ")":
                raise _NotAnExpression
        elif token[:1].isdigit() or token[:1] == ".":
            value = Fraction(token.replace(",", ""))
        else:
            raise _NotAnExpression
        if self._next == "%":
            self._tokens.pop()
            value /= 100
        return value

    def _nest(self) -> None:
        self._nesting += 1
        if self._nesting > MOST_NESTING:
            raise _NotAnExpression
