import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from classify.fitting.augment import LUMA, TRANSFORMS, draw_changes, transform, vary


def naive(image: np.ndarray, name: str) -> np.ndarray:
    """Move every pixel by itself; row 0 is the top."""
    size = len(image)
    out = np.empty_like(image)
    for r in range(size):
        for c in range(size):
            to = {
                "identity": (r, c),
                "flip horizontally": (r, size - 1 - c),
                "flip vertically": (size - 1 - r, c),
                "turn 90": (size - 1 - c, r),  # counter-clockwise: the right edge becomes the top
                "turn 180": (size - 1 - r, size - 1 - c),
                "turn 270": (c, size - 1 - r),
            }[name]
            out[to] = image[r, c]
    return out


def test_each_transform_moves_the_pixels_of_its_name() -> None:
    rng = np.random.default_rng(0)
    which = np.array([5, 0, 3, 1, 4, 2, 3, 0])
    images = rng.integers(0, 256, (len(which), 5, 5, 3), dtype=np.uint8)
    found = transform(torch.from_numpy(images), torch.from_numpy(which)).numpy()
    names = list(TRANSFORMS)
    for image, number, moved in zip(images, which, found, strict=True):
        np.testing.assert_array_equal(moved, naive(image, names[number]))


def test_the_six_transforms_of_an_image_differ() -> None:
    image = torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3)
    six = transform(image.expand(6, -1, -1, -1), torch.arange(6))
    assert len({each.numpy().tobytes() for each in six}) == len(TRANSFORMS) == 6


NAMES = ("turn", "zoom", "x_shift", "y_shift", "brightness", "contrast", "saturation")
CHANGE = {name: np.eye(len(NAMES), dtype=np.float32)[number] for number, name in enumerate(NAMES)}


def noise(count: int = 4, size: int = 12) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def varied(images: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Change every image alike, or each by its own row."""
    rows = np.broadcast_to(np.asarray(changes, np.float32), (len(images), len(NAMES)))
    return vary(torch.from_numpy(images), torch.from_numpy(rows.copy())).numpy()


def assert_rounds(found: np.ndarray, exact: np.ndarray) -> None:
    """Assert that `found` is `exact` within 0..255, rounded; where that is half-way, either side will do."""
    assert np.abs(found - exact.clip(0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_no_change_changes_nothing(size: int) -> None:
    np.testing.assert_array_equal(varied(noise(size=size), np.zeros(7)), noise(size=size))


@pytest.mark.parametrize("amount", [-0.2, -0.07, 0.11, 0.2])
def test_brightness_multiplies(amount: float) -> None:
    images = noise()
    assert_rounds(varied(images, amount * CHANGE["brightness"]), images * (1 + amount))


@pytest.mark.parametrize("amount", [-0.17, 0.2])
def test_contrast_stretches_away_from_the_mean_luma(amount: float) -> None:
    images = noise()
    found = varied(images, amount * CHANGE["contrast"])
    for before, after in zip(images.astype(np.float64), found, strict=True):
        mean = np.mean([sum(w * v for w, v in zip(LUMA, pixel, strict=True)) for pixel in before.reshape(-1, 3)])
        assert_rounds(after, mean + (1 + amount) * (before - mean))


@pytest.mark.parametrize("amount", [-0.2, 0.13])
def test_saturation_stretches_away_from_grey(amount: float) -> None:
    images = noise()
    grey = (images @ np.array(LUMA))[..., None]
    assert_rounds(varied(images, amount * CHANGE["saturation"]), grey + (1 + amount) * (images - grey))
    plain = np.repeat(noise()[..., :1], 3, axis=3)  # what is grey stays as it is
    np.testing.assert_array_equal(varied(plain, amount * CHANGE["saturation"]), plain)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 9])
def test_a_turn_by_right_angles_is_that_of_numpy(quarters: int, size: int) -> None:
    images = noise(size=size)
    found = varied(images, quarters * np.pi / 2 * CHANGE["turn"])
    inner = slice(1, -1)
    expected = np.rot90(images, quarters, (1, 2))
    np.testing.assert_array_equal(found[:, inner, inner], expected[:, inner, inner])


@pytest.mark.parametrize(("name", "axis"), [("x_shift", 2), ("y_shift", 1)])
@pytest.mark.parametrize("steps", [-2, 1, 3])
def test_a_shift_moves_the_image_by_its_share_of_the_side(name: str, axis: int, steps: int) -> None:
    size = 16
    images = noise(size=size)
    found = varied(images, 2 * steps / size * CHANGE[name])  # the grid is 2 wide
    inner = [slice(None)] * 4
    inner[axis] = slice(3, -3)  # where nothing is reflected
    np.testing.assert_array_equal(found[tuple(inner)], np.roll(images, -steps, axis)[tuple(inner)])


def test_zooming_out_by_two_shows_the_whole_twice_as_small() -> None:
    """Of an image of two by two blocks, each block becomes the pixel in its middle."""
    blocks = noise(size=6)
    images = blocks.repeat(2, axis=1).repeat(2, axis=2)  # 12 px
    found = varied(images, np.log(2) * CHANGE["zoom"])
    np.testing.assert_array_equal(found[:, 3:9, 3:9], blocks)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_each_image_is_changed_by_its_own_row_alone(keys: list[int]) -> None:
    images = noise(len(keys), size=10)
    changes = draw_changes([(3, key) for key in keys])
    together = varied(images, changes)
    for row in range(len(keys)):
        np.testing.assert_array_equal(varied(images[row : row + 1], changes[row]), together[row : row + 1])


def test_draws_follow_from_their_keys_alone_and_stay_in_their_ranges() -> None:
    keys = [(7, number, number % 6, 1 + number % 4) for number in range(2000)]
    changes = draw_changes(keys)
    assert (changes.shape, changes.dtype) == ((2000, 7), np.float32)
    np.testing.assert_array_equal(draw_changes(keys[5:9]), changes[5:9])
    np.testing.assert_array_equal(draw_changes(keys[::-1]), changes[::-1])
    most = np.array([np.pi / 9, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2])  # 20 degrees; a tenth of a side of 2; a fifth
    assert (np.abs(changes) <= most * (1 + 1e-6)).all()
    assert (np.abs(changes).max(0) > 0.99 * most).all()
    # Evenly likely: mean 0 and variance a third of the square of the range, within five standard errors.
    shares = changes / most
    assert (np.abs(shares.mean(0)) < 5 * np.sqrt(1 / 3 / 2000)).all()
    assert (np.abs((shares**2).mean(0) - 1 / 3) < 5 * np.sqrt(4 / 45 / 2000)).all()
    assert len(np.unique(changes[:, 0])) == 2000
