"""Equations in chains: what is read, what is true, and what a chain amounts to."""

from __future__ import annotations

import gzip
import json
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.equations import (
    MOST_NESTING,
    Arithmetic,
    ChainClass,
    check,
    count_equations,
    equations_in,
    evaluate,
    judge_chain,
    result,
)
from unspoken.tasks.rows import data_root

GSM8K = {
    "gsm_train_noaug.json.gz": {"right": 22_143},
    "gsm_valid.json": {"right": 1_573},
    "gsm_test.json": {"right": 4_282},
    "gsm8k_aug_sample.json": {"right": 1_668, "rounded": 35, "wrong": 5, "no equation": 2},
}

Sum = tuple[str, Fraction]

NUMBERS = st.one_of(
    st.integers(0, 10_000).map(lambda n: (str(n), Fraction(n))),
    st.integers(1_000, 10_000_000).map(lambda n: (f"{n:,}", Fraction(n))),
    st.integers(1, 99).map(lambda n: (f".{n:02}", Fraction(n, 100))),
    st.integers(1, 99).map(lambda n: (f"{n}%", Fraction(n, 100))),
)


def combine(parts: tuple[Sum, str, Sum]) -> Sum:
    (a, x), sign, (b, y) = parts
    if sign in "/÷" and y == 0:
        sign = "*"
    value = {"+": x + y, "-": x - y, "*": x * y, "×": x * y, "x": x * y}.get(sign)
    return f"({a} {sign} {b})", x / y if value is None else value


SUMS = st.recursive(
    NUMBERS, lambda inner: st.tuples(inner, st.sampled_from("+-*×x/÷"), inner).map(combine), max_leaves=8
)


@given(made=SUMS)
def test_values_are_exact(made: Sum) -> None:
    """Guards the parser against floats and wrong signs: built with its value, text has that value."""
    text, value = made
    assert evaluate(text) == value
    assert evaluate(text.replace(" ", "")) == value


@given(terms=st.lists(st.tuples(st.sampled_from("+-*/"), st.integers(1, 99)), min_size=1, max_size=8))
def test_precedence_is_pythons(terms: list[tuple[str, int]]) -> None:
    """Guards precedence and left association, against Python's own for the same characters."""
    text = "7" + "".join(f"{sign}{number}" for sign, number in terms)
    exact = "F(7)" + "".join(f"{sign}F({number})" for sign, number in terms)
    assert evaluate(text) == eval(exact, {"F": Fraction})


@given(text=st.text(max_size=60) | st.text(alphabet="0123456789.,+-*/()=%^<>x ", max_size=60))
def test_any_text_can_be_checked(text: str) -> None:
    """Guards evaluation against a crash in whatever a model writes."""
    assert check(text) in Arithmetic
    assert (check(text) == Arithmetic.NO_EQUATION) == (result(text) is None)
    assert judge_chain(text, None, right=False) in ChainClass


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16-3-4", 9),
        ("2*(3+.5)", 7),
        ("2(3)", 6),
        ("(2)(3)", 6),
        ("-3--4", 1),
        ("100 - 20%*50", 90),
        ("2^3", 8),
        ("2**3**2", 512),
        ("-2^2", -4),
        ("2^-1", Fraction(1, 2)),
        ("$5 x 3", 15),
        ("1,000÷4", 250),
        ("5.", 5),
        ("560//10", 56),
        ("7//2", 3),
        ("", None),
        ("()", None),
        ("1/0", None),
        ("5//0", None),
        ("0^-1", None),
        ("2^.5", None),
        ("9^9^9", None),
        ("1 2", None),
        ("(1", None),
        ("1)", None),
        ("1+", None),
        ("x", None),
        ("sqrt(64)", None),
        ("5%2", None),
        ("__import__('os')", None),
        ("(" * MOST_NESTING + "1" + ")" * MOST_NESTING, 1),
        ("(" * (MOST_NESTING + 1) + "1" + ")" * (MOST_NESTING + 1), None),
        ("(" * 50_000, None),
        ("2^" * 5_000 + "1", None),
        ("-" * 50_000 + "1", 1),
        ("9" * 5_000, None),
    ],
)
def test_expressions(text: str, value: Fraction | int | None) -> None:
    """Guards what counts as arithmetic; endless nesting, powers and digits must neither hang nor overflow a stack."""
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("equation", "verdict"),
    [
        ("<<16-3-4=9>>", "right"),
        ("16-3-4=9", "right"),
        ("<<1035=1035>>", "right"),
        ("<<2*3=6=6>>", "right"),
        ("<<2*3=6=3+3>>", "right"),
        ("<<600*.4=240>>", "right"),
        ("<<4.50+8.00+.50=13.00>>", "right"),
        ("<<80,000*1.5=120,000>>", "right"),
        ("<<10/3=3.33>>", "rounded"),
        ("<<10/3=3.34>>", "rounded"),
        ("<<10/3=3.35>>", "wrong"),
        ("<<2/3=.66>>", "rounded"),
        ("<<2/3=66.7%>>", "rounded"),
        ("<<2/3=66.5%>>", "wrong"),
        ("<<10/3=3>>", "rounded"),
        ("<<10/3=4>>", "wrong"),
        ("<<7/2=4>>", "rounded"),
        ("<<7/2=3>>", "rounded"),
        ("<<30/100*53=15.9=16>>", "rounded"),
        ("<<151/3=50.333333333333336>>", "rounded"),
        ("<<10/3=3.33*1>>", "wrong"),
        ("<<2*3=6=7>>", "wrong"),
        ("<<2*3=7=7>>", "wrong"),
        ("<<16-3-4=10>>", "wrong"),
        ("<<9>>", "no equation"),
        ("<<9=>>", "no equation"),
        ("<<=9>>", "no equation"),
        ("<<>>", "no equation"),
        ("", "no equation"),
        ("<<q+r+s+t=53.5>>", "no equation"),
        ("<<5/0=0>>", "no equation"),
        ("<<2/3*100=66.6\ufffd67>>", "no equation"),
    ],
)
def test_verdicts(equation: str, verdict: str) -> None:
    """Guards the rounding tolerance, both ways, and equations with several equals signs."""
    assert check(equation) == verdict


@given(a=st.integers(1, 10**6), b=st.integers(1, 10**4), places=st.integers(0, 8))
def test_a_rounded_quotient_is_never_wrong(a: int, b: int, places: int) -> None:
    """Guards the tolerance: rounding at any decimal passes, cutting off passes at decimals, one unit off fails."""
    exact = Decimal(a) / Decimal(b)
    unit = Decimal(1).scaleb(-places)
    verdict = check(f"{a}/{b}={exact.quantize(unit, ROUND_HALF_UP):f}")
    assert verdict == ("right" if Fraction(exact.quantize(unit, ROUND_HALF_UP)) == Fraction(a, b) else "rounded")
    if places:
        assert check(f"{a}/{b}={exact.quantize(unit, ROUND_DOWN):f}") in ("right", "rounded")
    assert check(f"{a}/{b}={exact.quantize(unit, ROUND_HALF_UP) + 2 * unit:f}") == "wrong"


@given(made=SUMS, wrong=st.integers(1, 9))
def test_every_equation_is_true_or_not(made: Sum, wrong: int) -> None:
    """Guards checking itself: an expression equals itself, and not itself and something."""
    text, value = made
    assert check(f"{text}={text}") == Arithmetic.RIGHT
    assert check(f"{text}={text}+{wrong}") == Arithmetic.WRONG
    assert result(f"0=0={text}") == value


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(
    ("chain", "answer", "kind"),
    [
        ("<<16-3-4=9>>\n<<9*2=18>>\n", "18", "chain leads to it"),
        ("<<9*2=18>>\n", "18.0", "chain leads to it"),
        ("<<10/3=3.33>>", "3.33", "chain leads to it"),
        ("<<16-3-4=9>>\n", "18", "chain ends elsewhere"),
        ("<<16-3-4=9>>\n", None, "chain ends elsewhere"),
        ("<<16-3-4=10>>\n<<9*2=18>>\n", "18", "false step"),
        ("<<x=9>>\n<<9*2=18>>\n", "18", "false step"),
        ("", "18", "no chain"),
        ("so 9*2=18", "18", "no chain"),
        ("<<9*2=18", None, "no chain"),
    ],
)
def test_chain_classes(chain: str, answer: str | None, kind: str, right: bool) -> None:
    """Guards the eight classes; a slip in the arithmetic counts before anything else."""
    found = judge_chain(chain, None if answer is None else Fraction(answer), right=right)
    assert found == f"{'right' if right else 'wrong'} answer, {kind}"


def test_equations_are_found_in_prose() -> None:
    """Guards the original GSM8K answers: equations stand inside sentences."""
    assert equations_in("He pays 100*3=$<<100*3=300>>300, or <<300=300>>300.") == ["100*3=300", "300=300"]


@pytest.mark.parametrize("name", GSM8K)
def test_gold_chains(name: str) -> None:
    """Guards the whole checker on real chains: GSM8K's authors used a calculator, so nothing of theirs is wrong."""
    path = data_root() / "gsm8k" / name
    if not path.is_file():
        pytest.skip(f"needs {path}; set UNSPOKEN_DATA")
    data = path.read_bytes()
    rows = json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
    assert count_equations(row["steps"] for row in rows) == GSM8K[name]
