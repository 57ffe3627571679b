"""What is typical, which images differ most, how many different ones there are, and which are twins."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.duplicates import thumbnails_of
from shared.phantom import render_phantom
from synth.selecting.diversity import (
    NEIGHBOURS,
    farthest_first,
    mean_vendi,
    twins,
    typical_range,
    typicality,
    vendi_score,
    within,
)


def test_typicality_is_the_mean_distance_to_the_nearest() -> None:
    distances = np.random.default_rng(0).uniform(1, 9, (20, 30))
    expected = [np.mean(sorted(row)[:NEIGHBOURS]) for row in distances]
    np.testing.assert_allclose(typicality(distances), expected, rtol=1e-6)
    of_two = typicality(distances[:, :2])  # fewer photographs than neighbours
    np.testing.assert_allclose(of_two, distances[:, :2].mean(axis=1), rtol=1e-6)
    assert typicality(np.empty((0, 30))).shape == (0,)


def test_photographs_of_the_same_patient_are_no_neighbours() -> None:
    distances = np.array([[np.inf, 1.0, 3.0, np.inf], [np.inf] * 4])
    assert typicality(distances).tolist() == [2.0, np.inf]
    assert typical_range(typicality(distances), 1.0) == (2.0, 2.0)


def test_the_range_has_two_sides() -> None:
    reals = np.array([4.0, 6.0], np.float32)
    assert typical_range(reals, 2.0) == (3.0, 7.0)
    assert within(np.array([2.9, 3.0, 5.0, 7.0, 7.1], np.float32), (3.0, 7.0)).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_perfect_fakes_are_as_typical_as_photographs() -> None:
    rng = np.random.default_rng(1)
    reals, fakes = rng.normal(size=(300, 6)), rng.normal(size=(400, 6))
    between = np.linalg.norm(reals[:, None] - reals, axis=2)
    np.fill_diagonal(between, np.inf)
    limits = typical_range(typicality(between), 2.0)
    away = np.linalg.norm(fakes[:, None] - reals, axis=2)
    assert within(typicality(away), limits).mean() > 0.9
    copies = np.linalg.norm((reals + 0.01)[:, None] - reals, axis=2)
    nearest_alone = np.partition(copies, 1, axis=1)
    assert within(typicality(nearest_alone[:, :1]), limits).mean() < 0.05  # nearer than photographs are to each other
    assert within(typicality(away * 3), limits).mean() < 0.05


def test_farthest_first_is_the_naive_loop() -> None:
    features = np.random.default_rng(2).normal(size=(40, 5))
    chosen = [7]
    while len(chosen) < 15:
        away = [min(np.linalg.norm(features[row] - features[one]) for one in chosen) for row in range(40)]
        chosen.append(int(np.argmax(away)))
    assert farthest_first(features, 7, 15).tolist() == chosen
    assert sorted(farthest_first(features, 3, 100).tolist()) == list(range(40))


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(0, 30))
def test_fewer_are_a_beginning_of_more(seed: int, n: int, count: int) -> None:
    features = np.random.default_rng(seed).integers(0, 4, (n, 2)).astype(np.float64)  # with many equal ones
    first = seed % n
    whole = farthest_first(features, first, n)
    assert sorted(whole.tolist()) == list(range(n))
    assert farthest_first(features, first, count).tolist() == whole[:count].tolist()


def test_farthest_first_covers_at_most_twice_the_best_radius() -> None:
    """Gonzalez (1985): against the best of all choices of three points."""
    features = np.random.default_rng(3).normal(size=(12, 2))
    between = np.linalg.norm(features[:, None] - features, axis=2)

    def radius(rows: list[int]) -> float:
        return float(between[:, rows].min(axis=1).max())

    best = min(radius(list(rows)) for rows in itertools.combinations(range(12), 3))
    assert radius(farthest_first(features, 0, 3).tolist()) <= 2 * best


def test_the_vendi_score_counts_different_images() -> None:
    eye = np.eye(7)
    assert vendi_score(eye) == pytest.approx(7)  # all unlike each other
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)  # all alike
    assert vendi_score(eye[[0, 0, 0, 1, 1, 1]]) == pytest.approx(2)  # two kinds, evenly
    p = np.array([0.75, 0.25])
    assert vendi_score(eye[[0, 0, 0, 1]]) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert vendi_score(eye[[0, 1, 2]] * [[1], [5], [0.1]]) == pytest.approx(3)  # lengths do not matter
    assert vendi_score(np.zeros((3, 2))) == pytest.approx(1)  # nothing to tell them by


def test_the_mean_vendi_score_is_of_equal_numbers() -> None:
    features = np.random.default_rng(4).normal(size=(60, 100))
    assert mean_vendi(features, 60, seed=0) == vendi_score(features)
    assert mean_vendi(features, 10, seed=0) < 10 < mean_vendi(features, 30, seed=0)
    assert mean_vendi(features, 10, seed=0) == mean_vendi(features, 10, seed=0)


def test_twins_are_dropped_and_what_is_a_twin_has_none() -> None:
    images = render_phantom(positives=6, negatives=0, externals=0, size=32, seed=0).images
    turned = np.rot90(images[1:2, :, ::-1], 1, (1, 2))
    brighter = np.clip(images[3:4].astype(int) + 6, 0, 255).astype(np.uint8)
    shown = np.concatenate([images, turned, brighter, images[1:2]])
    rows = 100 + np.arange(len(shown))
    assert twins([(rows, thumbnails_of(shown))]).tolist() == [106, 107, 108]
    assert (
        twins([(rows[:6], thumbnails_of(shown[:6])), (rows[6:8], thumbnails_of(shown[6:8]))]).tolist() == []
    )  # blocks
    assert twins([]).tolist() == []


def test_one_picture_again_and_again_is_one() -> None:
    """Also when it is flat, which correlates with nothing."""
    image = render_phantom(positives=1, negatives=0, externals=0, size=32, seed=0).images
    noise = np.random.default_rng(0).integers(-2, 3, (300, *image.shape[1:]))
    alike = np.clip(image + noise, 0, 255).astype(np.uint8)
    flat = np.full((200, 32, 32, 3), 120, np.uint8)
    shown = thumbnails_of(np.concatenate([alike, flat]))
    assert np.setdiff1d(np.arange(500), twins([(np.arange(500), shown)])).tolist() == [0, 300]


def test_twins_are_those_of_the_greedy_loop() -> None:
    """Each image is kept unless it shows the same as one that is kept already."""
    images = render_phantom(positives=40, negatives=0, externals=0, size=32, seed=2).images
    rng = np.random.default_rng(3)
    order = rng.integers(0, 40, 150)
    shown = np.stack([np.rot90(images[each], rng.integers(4)) for each in order])
    first = [place for place, each in enumerate(order) if each not in order[:place]]
    thumbnails = thumbnails_of(shown)
    found = twins([(np.arange(150), thumbnails)])
    assert np.setdiff1d(np.arange(150), found).tolist() == first
