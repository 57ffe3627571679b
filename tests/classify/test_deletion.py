"""Deletion curves of models whose curves have a closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from classify.explaining.deletion import RANDOM_ORDERS, SHARES, Deletion, area, deleted, deletion_curves, random_map

SIDE = 20
PART = 0.25  # of the picture that decides
SQUARE = np.zeros((SIDE, SIDE), bool)
SQUARE[:10, 10:] = True


def picture() -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), 40, np.uint8)
    image[SQUARE] = 240
    return image


def left(images: np.ndarray) -> np.ndarray:
    """The probability is the share of the bright square that is still bright."""
    return (images[:, SQUARE] == 240).all(-1).mean(1)


def test_a_right_map_deletes_the_square_first_and_a_wrong_one_last() -> None:
    """p(f) = max(0, 1 - f / a), area a / 2; and p(f) = min(1, (1 - f) / a), area 1 - a / 2."""
    images = np.stack([picture(), picture()])
    found = deletion_curves(left, images, np.stack([SQUARE, ~SQUARE]).astype(float), seed=0)
    right, wrong = found.areas[0]
    assert right == pytest.approx(PART / 2)
    assert wrong == pytest.approx(1 - PART / 2)
    assert found.by_map[0] == pytest.approx(np.maximum(0, 1 - SHARES / PART))


def test_single_pixels_at_random_delete_any_part_evenly() -> None:
    """In an order that knows nothing, p(f) = 1 - f on average: area a half."""
    rng = np.random.default_rng(0)
    maps = rng.random((40, SIDE, SIDE))
    found = deletion_curves(left, np.stack([picture()] * 40), maps, seed=0)
    sd_of_mean = found.areas[0].std(ddof=1) / np.sqrt(40)
    assert abs(found.areas[0].mean() - 0.5) < 4 * sd_of_mean
    assert sd_of_mean < 0.01


def test_random_blobs_prefer_no_place() -> None:
    rng = np.random.default_rng(1)
    ranks = np.mean([np.argsort(np.argsort(random_map(rng, SIDE), axis=None)) for _ in range(600)], axis=0)
    assert np.abs(ranks / SIDE**2 - 0.5).max() < 6 * np.sqrt(1 / 12 / 600)
    smooth, noise = random_map(rng, 64), rng.random((64, 64))
    assert np.abs(np.diff(smooth)).mean() < 0.2 * np.abs(np.diff(noise)).mean()


@given(st.integers(0, 2**32 - 1))
def test_what_is_deleted_grows_and_has_the_mean_colour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, heat = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), rng.random((9, 9))
    variants = deleted(image, heat)
    mean = np.round(image.mean((0, 1)))
    assert np.array_equal(variants[0], image)
    assert (variants[-1] == mean).all()
    for share, variant in zip(SHARES, variants, strict=True):
        hottest = (
            heat >= np.sort(heat, axis=None)[::-1][max(round(share * 81), 1) - 1] if round(share * 81) else heat > 1
        )
        assert np.array_equal(variant, np.where(hottest[..., None], mean, image))


def test_equal_heat_is_deleted_in_one_order_always() -> None:
    image = picture()
    assert np.array_equal(deleted(image, np.zeros((SIDE, SIDE))), deleted(image, np.ones((SIDE, SIDE))))


def test_the_area_is_that_of_a_straight_line() -> None:
    assert area(np.stack([SHARES, 1 - 0.5 * SHARES, np.full(len(SHARES), 0.3)])) == pytest.approx([0.5, 0.75, 0.3])


def test_the_gain_is_students_interval_of_the_differences_in_pairs() -> None:
    rng = np.random.default_rng(2)
    found = Deletion(rng.random((7, len(SHARES))), rng.random((7, len(SHARES))))
    differences = area(found.at_random) - area(found.by_map)
    mean, interval = found.gain
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert mean == pytest.approx(differences.mean())
    assert interval == pytest.approx((expected.low, expected.high))


def test_progress_seed_and_the_random_orders() -> None:
    images, told = np.stack([picture()] * 3), list[float]()
    asked: list[int] = []

    def count(variants: np.ndarray) -> np.ndarray:
        asked.append(len(variants))
        return left(variants)

    first = deletion_curves(count, images, np.zeros((3, SIDE, SIDE)), seed=4, advance=told.append)
    assert told == [1, 1, 1]
    assert asked == [len(SHARES)] * 3 * (1 + RANDOM_ORDERS)
    again, other = (deletion_curves(left, images, np.zeros((3, SIDE, SIDE)), seed=seed) for seed in (4, 5))
    assert np.array_equal(first.at_random, again.at_random)
    assert not np.array_equal(first.at_random, other.at_random)


@pytest.mark.parametrize(
    ("by_map", "at_random", "verdict"),
    [
        ([0.1, 0.2, 0.15], [0.6, 0.7, 0.66], "does rely on what is warm"),
        ([0.6, 0.7, 0.66], [0.1, 0.2, 0.15], "do not trust the maps"),
        ([0.1, 0.9, 0.5], [0.5, 0.4, 0.6], "not shown"),
        ([0.1], [0.5], "one image shows nothing"),
        ([], [], "No image is called positive"),
    ],
)
def test_the_sentence_follows_the_numbers(by_map: list[float], at_random: list[float], verdict: str) -> None:
    flat = [np.repeat(np.array(each)[:, None], len(SHARES), 1) for each in (by_map, at_random)]
    assert verdict in Deletion(*flat).sentence
