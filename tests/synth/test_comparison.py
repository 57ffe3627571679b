"""Comparison at equal numbers: what perfect, collapsed and copied fakes get."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from shared.errors import UserError
from synth.scores.halvings import HALVINGS
from synth.scores.kernels import nearer
from synth.selecting.comparison import compare, nearest, turned

WIDTH = 6


def _features(count: int, seed: int, *, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)) + shift


def _forms(real: np.ndarray) -> np.ndarray:
    """Features of eight forms: the image's own first, and seven far away."""
    return np.stack([real, *(real + 100.0 * form for form in range(1, 8))])


REAL = _features(120, 0)


def test_perfect_fakes_are_at_the_floor() -> None:
    found = compare(REAL, _forms(REAL), _features(400, 1), seed=0)
    assert found.n == 60
    for spread in (found.distance, found.precision, found.recall):
        assert spread.mean == pytest.approx(spread.floor, abs=3 * spread.floor_sd)
    assert found.copies == pytest.approx(0.05, abs=0.04)
    assert found.copies_floor == pytest.approx(0.05, abs=0.04)
    assert abs(found.kid) < 3 * found.kid_sd


def test_shifted_fakes_are_far() -> None:
    """Far outside of every neighbourhood; the distance grows by the squared shift, up to the sampling of the rest."""
    found = compare(REAL, _forms(REAL), _features(400, 1, shift=20.0), seed=0)
    assert (found.precision.mean, found.recall.mean, found.copies) == (0, 0, 0)
    assert found.distance.mean == pytest.approx(20.0**2 * WIDTH, rel=0.05)
    assert found.kid > 10 * found.kid_sd


def test_one_picture_over_and_over_has_no_diversity() -> None:
    """At the centre it is typical, and it reaches nobody else."""
    same = np.zeros((200, WIDTH)) + 1e-3 * _features(200, 2)
    found = compare(REAL, _forms(REAL), same, seed=0)
    assert found.precision.mean == 1
    assert found.recall.mean == 0
    assert found.recall.floor > 0.5


def test_copies_are_found_in_any_form() -> None:
    """Half of the fakes are photographs, turned; of the rest 5 % are as near by chance."""
    forms = _forms(REAL)
    copies = forms[3][np.arange(200) % 120] + 1e-6
    found = compare(REAL, forms, np.concatenate([copies, _features(200, 1)]), seed=0)
    assert found.copies == pytest.approx(0.5 + 0.5 * 0.05, abs=0.03)
    assert found.copies_floor == pytest.approx(0.05, abs=0.04)


def test_scores_against_a_loop_over_halves_of_equal_size() -> None:
    """Of fakes as few as a half, all are drawn every time: so the mean is known up to which halves were drawn."""
    fakes = _features(60, 1, shift=0.5)
    found = compare(REAL, _forms(REAL), fakes, seed=0)
    rng = np.random.default_rng(7)  # other halves
    distances, floors, precisions, recalls = [], [], [], []
    for _ in range(200):
        order = rng.permutation(120)
        a, b = REAL[order[:60]], REAL[order[60:]]
        distances.append(_frechet(a, fakes))
        floors.append(_frechet(a, b))
        precisions.append(_covered(fakes, a))
        recalls.append(_covered(a, fakes))
    for spread, expected in ((found.distance, distances), (found.precision, precisions), (found.recall, recalls)):
        error = np.std(expected) / np.sqrt(HALVINGS)
        assert spread.mean == pytest.approx(np.mean(expected), abs=4 * error)
        assert spread.sd == pytest.approx(np.std(expected), rel=0.6)
    assert found.distance.floor == pytest.approx(np.mean(floors), abs=4 * np.std(floors) / np.sqrt(HALVINGS))


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Return the distance by its formula, with scipy's root of a matrix."""
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.real(sqrtm(cov_a @ cov_b))
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root))


def _covered(points: np.ndarray, of: np.ndarray) -> float:
    """Return the share of points within the distance of some image to its third nearest other one."""
    count = 0
    radii = [np.sort(np.linalg.norm(of - image, axis=1))[3] for image in of]  # 0 is itself
    for point in points:
        count += any(np.linalg.norm(point - image) <= radius for image, radius in zip(of, radii, strict=True))
    return count / len(points)


def test_the_same_seed_gives_the_same_numbers() -> None:
    fakes = _features(100, 1)
    assert compare(REAL, _forms(REAL), fakes, seed=3) == compare(REAL, _forms(REAL), fakes, seed=3)
    assert compare(REAL, _forms(REAL), fakes, seed=3) != compare(REAL, _forms(REAL), fakes, seed=4)
    assert HALVINGS >= 10


def test_nearest_against_a_loop() -> None:
    images, forms = _features(5, 1), np.stack([_features(7, seed) for seed in range(8)])
    expected = [[min(np.linalg.norm(x - forms[f, i]) for f in range(8)) for i in range(7)] for x in images]
    assert nearest(images, forms) == pytest.approx(np.array(expected), abs=1e-6)  # one is the same: by products not 0


def test_turned_has_every_form_once() -> None:
    image = np.arange(3 * 3 * 3, dtype=np.uint8).reshape(1, 3, 3, 3)
    forms = turned(image)
    assert len({form.tobytes() for form in forms}) == 8
    assert np.array_equal(forms[0], image)
    for form in forms:  # all turned again are the same eight
        assert {each.tobytes() for each in turned(form)} == {each.tobytes() for each in forms}


@pytest.mark.parametrize(
    ("reals", "fakes", "message"),
    [
        (7, 100, "7 photographs are too few to compare with; at least 8 are needed"),
        (120, 59, "generated images: 59: fewer than half of the 120 photographs; give at least 60"),
        (0, 0, "0 photographs are too few"),
    ],
)
def test_too_few_images_are_one_sentence(reals: int, fakes: int, message: str) -> None:
    real = _features(reals, 0)
    with pytest.raises(UserError, match=message):
        compare(real, _forms(real), _features(fakes, 1), seed=0)


def _mmd(a: np.ndarray, b: np.ndarray) -> float:
    """KID without the terms of photographs among themselves, pair by pair."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((np.dot(x, y) / len(x) + 1) ** 3)

    within = [k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j]
    across = [k(x, y) for x in a for y in b]
    return float(np.mean(within) - 2 * np.mean(across))


def test_how_much_nearer_is_a_difference_of_kids() -> None:
    usual, other, real = _features(17, 1, shift=0.4), _features(17, 1), _features(9, 2)
    gain, _ = nearer([usual], [other], real, seed=0)
    assert gain == pytest.approx(_mmd(usual, real) - _mmd(other, real))
    assert nearer([other], [usual], real, seed=0)[0] == pytest.approx(-gain)
    assert nearer([usual], [usual], real, seed=0) == (0.0, 0.0)


def test_the_error_of_that_is_how_other_fakes_and_photographs_would_scatter_it() -> None:
    """Pairs of fakes share what their seeds decide, so the error is far below that of sets drawn apart."""
    gains, errors = [], []
    for trial in range(60):
        fakes, real = _features(200, 2 * trial, shift=0.3), _features(40, 2 * trial + 1)
        gain, error = nearer([fakes], [0.9 * fakes], real, seed=trial)
        gains.append(gain)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(gains, ddof=1), rel=0.35)
