"""How numbers and rows are written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classify.measuring.statistics import Spread
from classify.table2.gather import RowKey
from classify.table2.outcome import Measured
from classify.table2.wording import (
    listed,
    number_interval,
    p_value,
    p_words,
    percent,
    percent_interval,
    percent_over_folds,
    percent_words,
    points,
    row_name,
    row_words,
    signed,
)


@given(st.floats(-1, 1))
def test_a_difference_has_a_sign_unless_it_rounds_to_nothing(share: float) -> None:
    shown = signed(share)
    assert re.fullmatch(r"0\.0|[+-]\d+\.\d", shown)
    assert shown not in ("+0.0", "-0.0")
    assert float(shown) == pytest.approx(100 * share, abs=0.0501)


def test_numbers_stand_with_their_intervals_and_dashes_where_there_are_none() -> None:
    sure, alone, nothing = Measured(0.974, (0.94, 0.989)), Measured(0.5, None), Measured(None, None)
    assert [percent_interval(each) for each in (sure, alone, nothing)] == ["97.4 (94.0 to 98.9)", "50.0", "–"]
    assert [percent_words(each) for each in (sure, alone)] == ["97.4 % (94.0 to 98.9)", "50.0 %"]
    assert [number_interval(each) for each in (sure, alone, nothing)] == ["0.974 (0.940 to 0.989)", "0.500", "–"]
    assert [percent(each) for each in (1.0, None)] == ["100.0", "–"]
    folds = [Spread(0.9, 0.0123), Spread(0.9, None), None]
    assert [percent_over_folds(each) for each in folds] == ["90.0±1.2", "90.0", "–"]
    assert points(0.008, (-0.011, 0.0001)) == "+0.8 points (-1.1 to 0.0)"
    assert points(-0.008, None) == "-0.8 points"


def test_p_values_have_two_digits_and_an_end() -> None:
    assert [p_value(each) for each in (1.0, 0.123, 0.0449, 0.001, 0.0009, None)] == [
        "1", "0.12", "0.045", "0.001", "< 0.001", "–",
    ]  # fmt: skip
    assert [p_words(each) for each in (0.123, 0.0009)] == ["p = 0.12", "p < 0.001"]


def test_parts_are_listed_as_a_sentence_has_them() -> None:
    assert [listed(list(each)) for each in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        (("none", "none", "positive", "strict"), "Custom CNN, none", "without synthetic images"),
        (("1:2", "none", "positive", "paper"), "Custom CNN, 1:2, protocol paper", "at 1:2"),
        (("1:2", "none", "both", "strict"), "Custom CNN, 1:2, both classes", "at 1:2 in both classes"),
        (("1:5", "epochs", "positive", "strict"), "Custom CNN, 1:5, epochs", "with more epochs at 1:5"),
        (
            ("1:5", "augmentation", "positive", "strict"),
            "Custom CNN, 1:5, augmentation",
            "with stronger augmentation at 1:5",
        ),
        (("1:5", "oversampling", "positive", "strict"), "Custom CNN, 1:5, oversampling", "with oversampling at 1:5"),
    ],
)
def test_rows_have_names_and_a_place_in_sentences(key: tuple[str, ...], name: str, words: str) -> None:
    row = RowKey("custom_cnn", *key)
    assert (row_name(row), row_words(row)) == (name, words)
    assert row_name(row, "\n") == name.replace(", ", "\n", 1)
