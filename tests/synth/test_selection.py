import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synth.selecting.selection import (
    RULES,
    ScoreTable,
    Thresholds,
    cosine_similarity,
    kept_by_rule,
    lower_threshold,
    passes,
    thresholds_of,
)

scores = hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-50, 50, width=32))


def table(similarity, discriminator, typicality=None) -> ScoreTable:
    """Scores, with a typicality of 1 unless given."""
    third = np.ones(len(similarity)) if typicality is None else typicality
    return ScoreTable(*(np.asarray(each, np.float32) for each in (similarity, discriminator, third)))


@given(
    hnp.arrays(np.float64, (4, 3), elements=st.floats(-10, 10)), hnp.arrays(np.float64, 3, elements=st.floats(-10, 10))
)
def test_cosine_is_the_naive_loop(features, direction):
    for row, cosine in zip(features, cosine_similarity(features, direction), strict=True):
        lengths = math.sqrt(sum(x * x for x in row)) * math.sqrt(sum(x * x for x in direction))
        expected = sum(x * y for x, y in zip(row, direction, strict=True)) / lengths if lengths else 0.0
        assert cosine == pytest.approx(expected, abs=1e-5)


def test_cosine_ignores_length_and_knows_angles():
    directions = np.array([[1, 0], [5, 0], [1, 1], [0, 2], [-3, 0], [0, 0]], float)
    np.testing.assert_allclose(
        cosine_similarity(directions, np.array([2.0, 0.0])), [1, 1, math.sqrt(0.5), 0, -1, 0], atol=1e-7
    )


@given(scores, st.floats(0, 5))
def test_threshold_is_mean_minus_sigma_deviations(values, sigma):
    mean = sum(map(float, values)) / len(values)
    deviation = math.sqrt(sum((float(value) - mean) ** 2 for value in values) / len(values))
    assert lower_threshold(values, sigma) == pytest.approx(mean - sigma * deviation, abs=1e-6)


def test_a_score_at_the_threshold_passes():
    by = passes(table([0.5, 0.25, 0.0], [1, 2, 0], [3, 4, 4.5]), Thresholds(0.5, 2.0, 3.0, 4.0))
    assert by.similarity.tolist() == [True, False, False]
    assert by.discriminator.tolist() == [False, True, False]
    assert by.typicality.tolist() == [True, True, False]


def test_equal_reals_pass_their_own_threshold():
    reals = table([0.1] * 7, [0.3] * 7)
    assert all(verdicts.all() for verdicts in kept_by_rule(reals, thresholds_of(reals, 2.0)).values())


@given(scores, scores, st.floats(0, 4))
def test_rules_are_sets(similarity, discriminator, sigma):
    count = min(len(similarity), len(discriminator))
    drawn = table(similarity[:count], discriminator[:count])
    kept = kept_by_rule(drawn, thresholds_of(drawn, sigma))
    sets = {rule: set(np.flatnonzero(verdicts)) for rule, verdicts in kept.items()}
    assert sets["union"] == sets["similarity"] | sets["discriminator"]
    assert sets["intersection"] == sets["similarity"] & sets["discriminator"]
    assert len(sets["union"]) + len(sets["intersection"]) == len(sets["similarity"]) + len(sets["discriminator"])
    wider = kept_by_rule(drawn, thresholds_of(drawn, sigma + 1))
    assert all(not (kept[rule] & ~wider[rule]).any() for rule in RULES)


def test_the_papers_counts_are_a_union():
    """192 by similarity and 297 by discriminator make 425 when 64 pass both."""
    number = np.arange(1000)
    drawn = table(number < 192, (number >= 128) & (number < 425))
    kept = kept_by_rule(drawn, Thresholds(0.5, 0.5, 2.0, 3.0))
    assert {rule: int(verdicts.sum()) for rule, verdicts in kept.items()} == {
        "union": 425,
        "intersection": 64,
        "similarity": 192,
        "discriminator": 297,
        "typical-and-diverse": 0,
    }


def test_no_images_no_verdicts():
    assert all(len(verdicts) == 0 for verdicts in kept_by_rule(table([], []), Thresholds(0.0, 0.0, 0.0, 0.0)).values())
