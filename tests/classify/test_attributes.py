"""Accuracy by attribute: each image once, nothing of few images, numbers in thirds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import record, scores_of

from classify.measuring.operating import Operating
from classify.table2.attributes import NOT_GIVEN, value_names
from classify.table2.outcome import SetResult, set_result


def result_of(records: list[dict[str, Any]], *, least: int = 10) -> SetResult:
    return set_result(records, Operating(), least)[0]


def test_values_of_attributes_with_few_images_are_hidden_and_counted() -> None:
    score, label = scores_of((20, 14), (25, 15))
    tone = ["1"] * 20 + ["2"] * 11 + ["3"] * 9
    site = ["arm"] * 39 + [None]
    made = record(score=score, label=label, attributes={"tone": tone, "site": site})
    found = result_of([made])
    shown = {(part.attribute, part.value): (part.n, part.accuracy.value) for part in found.parts}
    right = (score > 0) == (label == 1)
    assert shown == {
        ("tone", "1"): (20, pytest.approx(right[:20].mean())),
        ("tone", "2"): (11, pytest.approx(right[20:31].mean())),
        ("site", "arm"): (39, pytest.approx(right[:39].mean())),
    }
    assert found.hidden_parts == 2  # the third tone, and what was not given
    everything = result_of([made], least=1)
    assert everything.hidden_parts == 0
    assert ("site", "not given") in {(part.attribute, part.value) for part in everything.parts}


def test_an_image_counts_once_for_its_attributes_too() -> None:
    """Nine images that three seeds judge are nine, and too few."""
    made = [record((5, 4), (5, 4), seed=seed, attributes={"tone": ["1"] * 9}) for seed in range(3)]
    assert (result_of(made).parts, result_of(made).hidden_parts) == ((), 1)
    assert [part.n for part in result_of(made, least=9).parts] == [9]


def test_attributes_that_only_some_records_have_are_left_out() -> None:
    made = [record((5, 4), (5, 4), fold=0, attributes={"tone": ["1"] * 9}), record((5, 4), (5, 4), fold=1)]
    assert result_of(made, least=1).parts == ()


def test_ages_stand_in_thirds_of_the_images_by_size() -> None:
    score, label = scores_of((16, 12), (18, 12))
    ages = [None, *range(20, 49)]  # 29 of them: ten, ten and nine
    found = result_of([record(score=score, label=label, attributes={"age": ages})], least=1).parts
    assert [(part.value, part.n) for part in found] == [
        ("20 to 29", 10), ("30 to 39", 10), ("40 to 48", 9), (NOT_GIVEN, 1),
    ]  # fmt: skip


def test_tones_and_ages_stand_in_their_order() -> None:
    """Monk's ten tones are names: neither thirds of a number, nor sorted as text, where 10 stands before 2."""
    score, label = scores_of((20, 16), (22, 22))
    values = {
        "monk": [str(10 - n % 11) if n % 11 < 10 else "" for n in range(44)],
        "age": [f"AGE_{20 + n % 4 * 10}_TO_{29 + n % 4 * 10}" if n % 5 else "" for n in range(44)],
    }
    found = result_of([record(score=score, label=label, attributes=values)], least=1).parts
    assert [part.value for part in found if part.attribute == "monk"] == [*map(str, range(1, 11)), NOT_GIVEN]
    assert [part.value for part in found if part.attribute == "age"] == [
        "AGE_20_TO_29", "AGE_30_TO_39", "AGE_40_TO_49", "AGE_50_TO_59", NOT_GIVEN,
    ]  # fmt: skip


@given(st.lists(st.one_of(st.none(), st.integers(-50, 150), st.floats(-9, 9)), min_size=1))
def test_a_number_lies_in_the_span_that_names_it(values: list[float | None]) -> None:
    names = value_names(values)
    several = len({value for value in values if value is not None}) > 8
    assert len(set(names) - {NOT_GIVEN}) <= (3 if several else 8)
    for value, name in zip(values, names, strict=True):
        if value is None:
            assert name == NOT_GIVEN
        elif several:
            low, high = map(float, name.split(" to "))
            assert low <= float(f"{value:g}") <= high
        else:
            assert name == str(value)


def test_words_and_few_numbers_stay_as_they_are() -> None:
    assert value_names(["arm", "leg", "", 3]).tolist() == ["arm", "leg", NOT_GIVEN, "3"]
    assert value_names([True, False, None]).tolist() == ["True", "False", NOT_GIVEN]
    assert np.unique(value_names(list(map(str, range(20))))).size == 20
