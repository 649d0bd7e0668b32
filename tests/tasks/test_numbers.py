"""Numbers in text: what is found, and what counts as the same."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.numbers import MOST_DIGITS, find_numbers, plain, read_number, same_number

F = Fraction
INTEGERS = st.integers(-(10**40), 10**40)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
AROUND = st.sampled_from(
    ["{}", "{}.", "${}", "{} eggs", "{}%", "({})", "The answer is {}!", "={}", "£ {} in all.", "{}\n"]
)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("no number, only words: three.", []),
        ("18", [18]),
        ("18.", [18]),
        ("$1,234,567.50!", [F("1234567.5")]),
        ("She has 16-3-4 = 9 eggs", [16, 3, 4, 9]),
        ("9 - 5", [9, 5]),
        ("9 - $5", [9, 5]),
        ("-5, \u22125, -$5, $-5, (-5)", [-5] * 5),
        ("10\u201312 people", [10, 12]),
        (".5 and -.25", [F(1, 2), F(-1, 4)]),
        ("1/2 cup, 2 1/2 cups, 3 and 3/4, ½, 2½", [F(1, 2), F(5, 2), F(15, 4), F(1, 2), F(5, 2)]),
        ("-1/2", [F(-1, 2)]),
        ("5/0", [5, 0]),
        ("on 1/2/2020", [1, 2, 2020]),
        ("7.5/2", [F(15, 2), 2]),
        ("6e3, 1.5E-2, 6.02 x 10^3, 2×10^2.", [6000, F("0.015"), 6020, 200]),
        ("3 eggs, 5em, 2 x 3", [3, 5, 2, 3]),
        ("50% of 20", [50, 20]),
        ("3.4.5", [F("3.4"), F("0.5")]),
        ("1,2,3 and 1,234,56", [1, 2, 3, 1234, 56]),
        ("60/hour; H2O", [60, 2]),
        ("<<1+2=3>>", [1, 2, 3]),
    ],
)
def test_finds_numbers(text: str, numbers: list[Fraction]) -> None:
    """Guards extraction: signs of a sum read as minus signs, full stops as points, lists as thousands."""
    assert find_numbers(text) == numbers


@given(text=st.text())
def test_any_text_can_be_searched(text: str) -> None:
    """Guards evaluation against a crash in whatever a model writes."""
    assert all(isinstance(value, Fraction) for value in find_numbers(text))


@given(text=st.text(alphabet="0123456789.,-/ eE$%½x^", max_size=60))
def test_text_made_of_numbers_can_be_searched(text: str) -> None:
    """Guards against a zero below a fraction line and other near-numbers."""
    assert all(isinstance(value, Fraction) for value in find_numbers(text))


@given(num=INTEGERS, around=AROUND)
def test_an_integer_reads_back_exactly(num: int, around: str) -> None:
    """Guards big integers against floats, with and without thousands separators, whatever stands around."""
    assert read_number(around.format(num)) == num
    assert read_number(around.format(f"{num:,}")) == num


@given(num=DECIMALS, around=AROUND)
def test_a_decimal_reads_back_exactly(num: Decimal, around: str) -> None:
    """Guards decimals against binary fractions."""
    assert read_number(around.format(format(num, "f"))) == Fraction(num)
    assert read_number(plain(num)) == Fraction(num)


@given(a=st.integers(0, 999), b=st.integers(1, 999))
def test_a_fraction_reads_back(a: int, b: int) -> None:
    """Guards fractions, alone and mixed."""
    assert read_number(f"{a}/{b}") == Fraction(a, b)
    assert read_number(f"7 {a}/{b} cups") == 7 + Fraction(a, b)


@given(a=DECIMALS, b=DECIMALS)
def test_sameness_is_equality_of_values(a: Decimal, b: Decimal) -> None:
    """Guards the comparison: symmetric, and true exactly when the values are equal."""
    x, y = format(a, "f"), format(b, "f")
    assert same_number(x, y) == same_number(y, x) == (a == b)
    assert same_number(x, f"{a:,}")
    assert same_number(x, y, within=abs(Fraction(a) - Fraction(b)))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("18", "18.0", True),
        ("18", "$18.00", True),
        ("18", "18 eggs.", True),
        ("1,000", "1000", True),
        ("0.5", "1/2", True),
        ("50", "50%", True),
        ("\u22123", "-3", True),
        ("18", "-18", False),
        ("18", "", False),
        ("18", "18 or 19", False),
        ("18", "18 and 18", True),
        ("1/3", ".33", False),
        ("123456789012345678901", "123456789012345678902", False),
        ("eighteen", "eighteen", False),
    ],
)
def test_same_number(a: str, b: str, same: bool) -> None:
    """Guards what users expect of answers; several different numbers are no answer."""
    assert same_number(a, b) is same


def test_endless_numbers_are_not_read() -> None:
    """Guards evaluation against Python's limit on digits, and against 10 to a billion."""
    assert find_numbers("9" * (MOST_DIGITS + 1)) == []
    assert find_numbers("1e999999999") == [1, 999999999]
    assert find_numbers("5" * 20_000 + " and 7") == [7]


@pytest.mark.parametrize(
    ("value", "text"),
    [("51.0", "51"), ("-0.0", "0"), ("1E+3", "1000"), ("1E-7", "0.0000001"), ("2.50", "2.5"), ("100", "100")],
)
def test_plain_numbers(value: str, text: str) -> None:
    """Guards answers of files that hold floats: 51.0 must not be what a model is asked to write."""
    assert plain(Decimal(value)) == text


def test_infinity_is_no_answer() -> None:
    """Guards files with a NaN for an answer."""
    with pytest.raises(ValueError, match="expected a finite number, got NaN"):
        plain(Decimal("NaN"))
