"""Photographs of one patient stay together, and what is said of chance allows for it."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from synth.scores.groups import Groups
from synth.scores.halvings import Halvings
from synth.scores.kernels import kernel_distance, nearer
from synth.scores.moments import Moments, frechet_distance, standard_error
from synth.scores.quality import Fakes, QualityMeter, to_features
from synth.selecting.comparison import compare

seeds = st.integers(0, 2**32 - 1)
group_ids = st.lists(st.integers(-5, 40), min_size=1, max_size=60)
PATIENTS, WIDTH = 40, 4


def _patients(rng: np.random.Generator, each: int = 3) -> npt.NDArray[np.float64]:
    """Features of some photographs of each patient, which differ little."""
    centres = np.repeat(rng.normal(size=(PATIENTS, WIDTH)), each, axis=0)
    return centres + 0.01 * rng.normal(size=centres.shape)


def _of_patients(each: int = 3) -> Groups:
    return Groups.of(np.repeat(np.arange(PATIENTS), each))


@given(group_ids, seeds)
def test_a_cut_goes_through_no_group(ids: list[int], seed: int) -> None:
    groups = Groups.of(np.array(ids))
    one, other = groups.halves(np.random.default_rng(seed))
    assert sorted([*one, *other]) == list(range(len(ids)))
    assert {ids[row] for row in one}.isdisjoint(ids[row] for row in other)
    assert min(len(one), len(other)) >= groups.half
    # no boundary between groups would have been nearer to the middle, by the size of the groups at it
    sizes = {name: ids.count(name) for name in ids}
    assert abs(len(one) - len(other)) <= max(sizes.values())


@given(st.integers(1, 40), seeds)
def test_single_images_are_halved_as_a_permutation(n: int, seed: int) -> None:
    one, other = Groups.none(n).halves(np.random.default_rng(seed))
    order = np.random.default_rng(seed).permutation(n)
    assert [*one, *other] == list(order)
    assert len(one) == n // 2 == Groups.none(n).half


@given(group_ids, seeds)
def test_groups_are_drawn_whole(ids: list[int], seed: int) -> None:
    groups = Groups.of(np.array(ids))
    rng = np.random.default_rng(seed)
    for counts in groups.draws(rng, 5):
        per_group = {name: {counts[row] for row in range(len(ids)) if ids[row] == name} for name in ids}
        assert all(len(values) == 1 for values in per_group.values())
        assert sum(value for (value,) in per_group.values()) == len(per_group)
    rows = groups.half_of_groups(rng)
    inside = {ids[row] for row in rows}
    assert len(inside) == len(set(ids)) // 2
    assert sorted(rows) == [row for row in range(len(ids)) if ids[row] in inside]


def test_images_of_one_group_are_related() -> None:
    assert Groups.of(np.array([7, 3, 7])).related.tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]
    assert Groups.of(np.array([7, 3, 7])).first(2).count == 2


def test_the_floor_is_that_of_other_patients() -> None:
    """Halves that share patients are too near to each other; fresh patients say how far perfect fakes are."""
    rng = np.random.default_rng(0)
    floors, careless, expected = [], [], []
    for seed in range(20):
        real = _patients(rng)
        whole = Halvings(real, 200, seed=seed, groups=_of_patients())
        floors.append(np.mean([cut.floor[0] for cut in whole.cuts]))
        careless.append(np.mean([cut.floor[0] for cut in Halvings(real, 200, seed=seed).cuts]))
        halves = _patients(rng), _patients(rng)
        expected.append(frechet_distance(*(Moments.of(half[: whole.n]) for half in halves)))
    assert np.mean(floors) == pytest.approx(np.mean(expected), rel=0.15)
    assert np.mean(careless) < 0.7 * np.mean(expected)


def test_errors_are_those_of_other_patients() -> None:
    """Three like photographs of a patient say no more than one."""
    rng = np.random.default_rng(1)
    samples = [(_patients(rng), rng.normal(size=(300, WIDTH)) + 0.5) for _ in range(60)]
    distances = [frechet_distance(Moments.of(real), Moments.of(fakes)) for real, fakes in samples]
    scatter = np.std(distances, ddof=1)
    grouped, careless = (
        np.mean([standard_error(*sample, seed=0, groups=groups) for sample in samples[:10]])
        for groups in (_of_patients(), None)
    )
    assert grouped == pytest.approx(scatter, rel=0.3)
    assert careless < 0.75 * scatter


def test_intervals_and_leads_are_those_of_other_patients() -> None:
    rng = np.random.default_rng(2)
    gains, errors, careless, widths = [], [], [], []
    for seed in range(60):
        real, fakes = _patients(rng), rng.normal(size=(200, WIDTH)) + 0.3
        gain, error = nearer([fakes], [0.9 * fakes], real, seed=seed, groups=_of_patients())
        gains.append(gain)
        errors.append(error)
        careless.append(nearer([fakes], [0.9 * fakes], real, seed=seed)[1])
        found = [kernel_distance(fakes, real, seed=seed, groups=groups) for groups in (_of_patients(), None)]
        widths.append([each.high - each.low for each in found if each is not None])
    assert np.mean(errors) == pytest.approx(np.std(gains, ddof=1), rel=0.3)
    assert np.mean(careless) < 0.8 * np.mean(errors)
    wide, narrow = np.mean(widths, axis=0)
    assert narrow < 0.8 * wide


def _related(rng: np.random.Generator, within: float) -> npt.NDArray[np.float64]:
    """Three photographs of each of 13 patients, of variance 1, of which `within` is what a patient's have in common."""
    own = rng.normal(size=(39, WIDTH))
    return np.sqrt(within) * np.repeat(rng.normal(size=(13, WIDTH)), 3, axis=0) + np.sqrt(1 - within) * own


@pytest.mark.parametrize("within", [0.0, 0.5, 0.9])
def test_kid_of_perfect_fakes_is_zero_whoever_is_on_the_photographs(within: float) -> None:
    """The mean over many cohorts, and how often the 95 % interval has zero in it, and the value itself."""
    rng = np.random.default_rng(5)
    groups = Groups.of(np.repeat(np.arange(13), 3))
    found = []
    for seed in range(60):
        each = kernel_distance(rng.normal(size=(200, WIDTH)), _related(rng, within), seed=seed, groups=groups)
        assert each is not None
        found.append(each)
    means = np.array([each.mean for each in found])
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(len(means))
    held = 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(found))  # three standard deviations of a share of so many intervals
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= held
    assert np.mean([each.low <= each.mean <= each.high for each in found]) >= 0.95


def test_one_patient_is_no_distribution() -> None:
    features = np.random.default_rng(6).normal(size=(6, WIDTH))
    assert kernel_distance(features, features, seed=0, groups=Groups.of(np.zeros(6, np.int64))) is None


class _Means:
    """A feature space of the means of the three colours."""

    name, layer, resizer, weights_sha256, width = "means", "mean", "none", "0" * 64, 3

    def __call__(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(images.mean(axis=(1, 2)).astype(np.float32))


def test_held_out_and_trained_on_have_groups_alike() -> None:
    """Nothing is known by heart, so neither is nearer, though few patients were held out."""
    rng = np.random.default_rng(7)

    def photographs(patients: int, each: int) -> npt.NDArray[np.uint8]:
        colours = np.repeat(rng.uniform(60, 190, (patients, 3)), each, axis=0)
        return np.rint(colours + rng.normal(size=colours.shape))[:, None, None].astype(np.uint8)

    differences, careless = [], []
    for seed in range(30):
        sets, fakes = (photographs(80, 4), photographs(8, 4)), photographs(200, 1)
        groups = Groups.of(np.repeat(np.arange(80), 4)), Groups.of(np.repeat(np.arange(8), 4))
        for taken, found in ((groups, differences), (None, careless)):
            meter = QualityMeter(*sets, _Means(), fakes=200, seed=seed, groups=taken)
            score = meter.compare(Fakes.of(to_features(fakes, meter.extractor)))
            assert score.held_out is not None
            assert score.trained_on is not None
            found.append(score.held_out - score.trained_on)
    assert abs(np.mean(differences)) < 3 * np.std(differences) / np.sqrt(30)
    assert np.mean(careless) > 3 * np.std(careless) / np.sqrt(30)


def test_copies_are_told_by_the_distance_between_patients() -> None:
    """A fake nearer than any other patient is a copy, even if a patient's own photographs are nearer to each other."""
    rng = np.random.default_rng(3)
    real, fakes = _patients(rng), rng.normal(size=(400, WIDTH))
    forms = np.repeat(real[None], 8, axis=0)
    copied = real[rng.permutation(len(real))] + 0.05
    assert compare(real, forms, copied, seed=0).copies == 0.0
    assert compare(real, forms, copied, seed=0, groups=_of_patients()).copies == 1.0
    # of people as unlike as these patients the same share is that near as of the patients
    near = np.sort(
        np.linalg.norm(real[:, None] - real[None] + 1e9 * _of_patients().related[..., None], axis=2).min(axis=1)
    )
    limit = near[round(0.05 * len(near))]
    expected = np.mean(np.linalg.norm(fakes[:, None] - real[None], axis=2).min(axis=1) < limit)
    assert compare(real, forms, fakes, seed=0, groups=_of_patients()).copies == pytest.approx(expected, abs=0.02)


def test_one_large_group_leaves_nothing_to_compare() -> None:
    groups = Groups.of(np.array([0] * 18 + [1, 2]))
    features = np.random.default_rng(4).normal(size=(20, 3))
    assert groups.half == 1
    assert Halvings(features, 50, seed=0, groups=groups).cuts == []
    with pytest.raises(UserError, match="20 photographs of 3 groups, which stay together, leave 1 to compare"):
        compare(features, np.repeat(features[None], 8, axis=0), np.ones((50, 3)), seed=0, groups=groups)
