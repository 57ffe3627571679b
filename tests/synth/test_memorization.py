"""The gate against copies of photographs, and whether a generator knows its photographs by heart."""

import dataclasses
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from shared.cohort import Cohort
from shared.duplicates import MIN_CORRELATION, thumbnails_of
from shared.nn.backbone import OfflineBackbone
from shared.phantom import render_phantom
from shared.progress import progress
from shared.splits import parts
from synth.scores.groups import Groups
from synth.scores.quality import Images, to_features
from synth.selecting.memorization import MIN_HELD_OUT, Leaning, Share, gate_of, is_copy, leaning
from synth.selecting.originals import Originals, Parts, parts_of
from synth.selecting.sharing import Evidence, shareable

WIDTH = 4


def _originals(features: np.ndarray, trained: int, groups: np.ndarray | None = None) -> Originals:
    """Photographs with these features [M, F] in all their forms, and thumbnails of noise."""
    m = len(features)
    thumbnails = np.random.default_rng(m).integers(0, 256, (m, 64, 64, 3), dtype=np.uint8)
    rows = Parts(np.arange(trained), np.arange(trained, m))
    of = Groups.none(m) if groups is None else Groups.of(groups)
    return Originals(rows, np.repeat(features[None], 8, axis=0), thumbnails, of)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[np.sqrt(((x - y) ** 2).sum()) for y in b] for x in a])


def test_the_gate_is_a_quantile_of_the_distances_to_other_patients() -> None:
    features = np.random.default_rng(0).normal(size=(30, WIDTH))
    groups = np.arange(30) // 2
    nearest = []
    for i in range(30):
        away = [d for j, d in enumerate(_distances(features[i : i + 1], features)[0]) if groups[i] != groups[j]]
        nearest.append(min(away))
    for quantile in (0.0, 0.01, 0.5, 1.0):
        expected = np.quantile(nearest, quantile)
        assert gate_of(_originals(features, 20, groups), quantile) == pytest.approx(expected)
    assert gate_of(_originals(features, 20, np.zeros(30, np.int64)), 0.01) == 0.0  # all of one patient


def test_the_nearest_form_of_a_photograph_counts() -> None:
    forms = np.random.default_rng(1).normal(size=(8, 5, WIDTH))
    originals = Originals(Parts(np.arange(5), np.arange(0)), forms, np.zeros((5, 64, 64, 3), np.uint8), Groups.none(5))
    images = np.random.default_rng(2).normal(size=(7, WIDTH))
    expected = np.min([_distances(images, form) for form in forms], axis=0)
    np.testing.assert_allclose(originals.distances(images), expected)
    np.testing.assert_allclose(originals.distances(images.astype(np.float32)), expected, rtol=1e-5)
    assert originals.distances(forms[3][:2]).min(axis=1) == pytest.approx([0, 0], abs=1e-6)


def test_nearer_than_the_gate_or_the_same_pixels_is_a_copy() -> None:
    distance, same = np.array([0.9, 1.0, 1.1, 5.0]), np.array([-1, -1, -1, 2])
    assert is_copy(distance, same, 1.0).tolist() == [True, False, False, True]


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    """Features of 200 photographs, of which 40 are held out."""
    return np.random.default_rng(3).normal(size=(200, WIDTH))


def test_a_generator_that_knows_no_photograph_does_not_lean(normal) -> None:
    fakes = np.random.default_rng(4).normal(size=(500, WIDTH))
    originals = _originals(normal, 160)
    found = leaning(originals.distances(fakes), originals, seed=0)
    share = found.nearer_to_training
    assert found.n == 40
    assert share.low < share.value < share.high
    assert share.excess_low < 0 < share.excess_high
    assert abs(share.value - 0.5) < 0.1
    assert found.excess_high > 0
    assert _may_share(found)[0]


def _fakes(kind: str, photographs: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Features of a generator's images: copies, copies with some noise, or halves of two photographs mixed."""
    one, other = (photographs[rng.integers(len(photographs), size=count)] for _ in range(2))
    if kind == "blends":
        return (one + other) / 2
    return one + {"copies": 0.0, "noisy copies": 0.1}[kind] * rng.normal(size=one.shape)


@pytest.mark.parametrize("kind", ["copies", "noisy copies"])
@pytest.mark.parametrize("trained", [160, 180])
def test_a_generator_that_draws_its_photographs_is_found_out(normal, kind, trained) -> None:
    """Of 180 photographs 20 are held out, as the parts of a cohort have it: by copies, or by authenticity."""
    for seed in range(3):
        fakes = _fakes(kind, normal[:trained], 500, np.random.default_rng([5, seed]))
        originals = _originals(normal, trained)
        distances = originals.distances(fakes)
        found = leaning(distances, originals, seed=seed)
        assert found.excess_high < 0
        assert found.authenticity < found.authenticity_of_held_out
        copies = int(is_copy(distances.min(axis=1), np.full(500, -1), gate_of(originals, 0.01)).sum())
        may, reason = _may_share(found, copies=copies, candidates=500)
        assert not may
        assert re.match("the generator (draws copies: |leans on |draws what is nearer)", reason)


def test_with_many_held_out_a_leaning_is_seen(normal) -> None:
    photographs = np.random.default_rng(12).normal(size=(400, WIDTH))
    fakes = _fakes("noisy copies", photographs[:200], 500, np.random.default_rng(13))
    originals = _originals(photographs, 200)
    share = leaning(originals.distances(fakes), originals, seed=0).nearer_to_training
    assert share.value > 0.6
    assert share.excess_low > 0


def test_a_generator_that_draws_one_thing_says_as_much_as_one_image(normal) -> None:
    """It knows no photograph; whichever side its few pictures are nearer to by chance, that is no leaning."""
    originals, rng = _originals(normal, 160), np.random.default_rng(14)
    fakes = rng.normal(size=WIDTH) + 0.05 * rng.normal(size=(300, WIDTH))
    assert leaning(originals.distances(fakes), originals, seed=0).nearer_to_training is None
    wrong = 0
    for seed in range(30):
        rng = np.random.default_rng([14, seed])
        originals = _originals(rng.normal(size=(200, WIDTH)), 180)
        fakes = rng.normal(size=(20, WIDTH)).repeat(15, axis=0) + 0.02 * rng.normal(size=(300, WIDTH))
        wrong += leaning(originals.distances(fakes), originals, seed=seed).nearer_to_training.excess_low > 0
    assert wrong <= 3  # more than that of 30 has a chance of 0.01 at 2.5 %


def test_intervals_cover_what_is_expected() -> None:
    """Of 40 generators that know no photograph few are called leaning: 5 % on either side are expected."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng([6, seed])
        originals = _originals(rng.normal(size=(120, WIDTH)), 100)
        fakes = rng.normal(size=(200, WIDTH))
        share = leaning(originals.distances(fakes), originals, seed=seed).nearer_to_training
        wrong += share.excess_low > 0 or share.excess_high < 0
    assert wrong <= 6  # more than that of 40 has a chance of 0.01 at 5 %


def test_photographs_of_one_patient_stay_together() -> None:
    """Fakes beside one patient of eight photographs would look as if they leaned, if each counted alone."""
    rng = np.random.default_rng(7)
    patients = rng.normal(size=(40, WIDTH)).repeat(4, axis=0) + 0.01 * rng.normal(size=(160, WIDTH))
    originals = _originals(patients, 120, np.arange(160) // 4)
    fakes = rng.normal(size=(300, WIDTH))
    share = leaning(originals.distances(fakes), originals, seed=0).nearer_to_training
    assert share.excess_low < 0 < share.excess_high
    assert share.high - share.low > 0.15  # ten patients are held out, not 40


def test_authenticity_is_the_definition(normal) -> None:
    """arXiv:2102.08921, Eq. 8, by loops."""
    originals = _originals(normal, 160)
    fakes = np.random.default_rng(8).normal(size=(50, WIDTH))
    between, to_fakes = _distances(normal[:160], normal[:160]), _distances(fakes, normal[:160])
    np.fill_diagonal(between, np.inf)
    authentic = []
    for row in to_fakes:
        nearest = int(np.argmin(row))
        authentic.append(row[nearest] > between[nearest].min())
    found = leaning(originals.distances(fakes), originals, seed=0)
    assert found.authenticity == pytest.approx(np.mean(authentic))


@pytest.mark.parametrize("held_out", [0, MIN_HELD_OUT - 1])
def test_too_few_held_out_tell_nothing(normal, held_out) -> None:
    originals = _originals(normal[: 100 + held_out], 100)
    found = leaning(originals.distances(normal[:5]), originals, seed=0)
    assert (found.n, found.nearer_to_training) == (0, None)
    may, reason = _may_share(found, held_out=held_out)
    assert not may
    assert reason.startswith(f"photographs of {held_out} patients were held out from the training, of the 8 that are ")


def _may_share(found: Leaning, **known: int) -> tuple[bool, str]:
    usual = {"candidates": 100, "copies": 0, "kept": 7, "photographs": 90, "unknown": 0, "foreign": 0, "held_out": 20}
    return shareable(Evidence(found, quantile=0.01, **(usual | known)))


def test_what_may_be_shared_and_why_not() -> None:
    share = Share(0.5, 0.4, 0.6, 0.5, -0.1, 0.1)
    found = Leaning(20, 100, share, 0.8, 0.75, -0.1, 0.2)
    assert _may_share(found) == (
        True,
        "none of the 7 images is a copy of one of 90 photographs; 50 % of the candidates are nearer to 20 photographs "
        "trained on than to as many held out, where 50 % are expected (-10 to +10 points); 80 % are authentic, where "
        "75 % of the held-out photographs are (-10 to +20 points)",
    )
    leaning_on = dataclasses.replace(found, nearer_to_training=dataclasses.replace(share, excess_low=0.01))
    unsure = dataclasses.replace(found, nearer_to_training=dataclasses.replace(share, excess_low=float("nan")))
    for evidence, reason in (
        (_may_share(found, unknown=3), r"its generator saw photographs that are not in this cohort \(3\)"),
        (_may_share(found, foreign=51), r"its generator saw photographs of other parts of the cohort \(51\), held out"),
        (_may_share(found, copies=5), "the generator draws copies: 5 of 100 candidates, where 1 % of photographs"),
        (_may_share(leaning_on), "the generator leans on its training photographs: 50 %"),
        (_may_share(unsure), "the generator leans on its training photographs: 50 %"),
        (
            _may_share(dataclasses.replace(found, excess_high=-0.01)),
            "the generator draws what is nearer to its training",
        ),
    ):
        assert not evidence[0]
        assert re.match(reason, evidence[1])
    assert _may_share(found, kept=0) == (False, "there is nothing to pass on")
    alike = dataclasses.replace(found, nearer_to_training=None)
    assert _may_share(alike)[1].startswith("the candidates, or the photographs, are too alike to tell")
    assert _may_share(found, copies=2)[0]  # of 100, where one is expected


def test_the_chance_of_so_many_copies_is_the_binomial() -> None:
    found = Leaning(20, 1000, Share(0.5, 0.4, 0.6, 0.5, -0.1, 0.1), 0.8, 0.75, -0.1, 0.2)

    def chance(copies: int) -> float:
        return 1 - sum(math.comb(1000, k) * 0.01**k * 0.99 ** (1000 - k) for k in range(copies))

    most = max(copies for copies in range(1, 60) if chance(copies) >= 0.01)
    assert _may_share(found, candidates=1000, copies=most)[0]
    assert not _may_share(found, candidates=1000, copies=most + 1)[0]


def test_what_a_start_saw_elsewhere_is_compared_with(cohort: Cohort) -> None:
    split = parts(cohort, 0)
    plain = parts_of(cohort, 1, 0, "strict")
    assert len(plain.others) == 0
    found = parts_of(cohort, 1, 0, "strict", cohort.image_id[np.concatenate([plain.rows, split.test[:2]])])
    assert found.others.tolist() == split.test[:2].tolist()
    assert found.rows.tolist() == [*plain.rows.tolist(), *split.test[:2].tolist()]


def test_no_candidate_is_no_error(normal) -> None:
    originals = _originals(normal, 160)
    found = leaning(originals.distances(np.empty((0, WIDTH))), originals, seed=0)
    assert found.nearer_to_training is None
    assert found.authenticity is None


def test_parts_are_what_the_network_saw(cohort: Cohort) -> None:
    positives = parts_of(cohort, 1, 0, "strict")
    assert set(cohort.label[positives.rows]) == {1}
    assert not set(positives.trained) & set(positives.held_out)
    assert set(cohort.label[parts_of(cohort, None, 0, "strict").rows]) == {0, 1}
    everything = parts_of(cohort, 1, -1, "paper")
    assert len(everything.held_out) == 0
    assert everything.trained.tolist() == np.flatnonzero((cohort.role == 0) & (cohort.label == 1)).tolist()
    assert not set(cohort.fold[positives.rows]) & {0}


# Planted copies, in a real feature space


@pytest.fixture(scope="module")
def phantom() -> tuple[Images, Images]:
    """40 photographs, and 40 others of the same kind."""
    drawn = render_phantom(positives=80, negatives=0, externals=0, size=32, seed=3)
    return drawn.images[:40], drawn.images[40:]


@pytest.fixture(scope="module")
def album(phantom) -> tuple[Originals, OfflineBackbone]:
    photographs, extractor = phantom[0], OfflineBackbone()
    count = len(photographs)
    names = np.array([f"{number:064x}" for number in range(count)])
    cohort = Cohort(
        images=photographs,
        label=np.ones(count, np.int64),
        image_id=names,
        group_id=np.arange(count),
        fold=np.zeros(count, np.int8),
        role=np.zeros(count, np.uint8),
        source_path=names,
        classes=("a", "b"),
        folds=2,
        seed=0,
        source="phantom",
    )
    with progress("looking", 8 * count, unit="images") as bar:
        return Originals.of(cohort, Parts(np.arange(30), np.arange(30, 40)), extractor, bar), extractor


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def _brighter(images: Images, factor: float) -> Images:
    return np.clip(images * factor, 0, 255).round().astype(np.uint8)


PLANTED = {
    "as it is": lambda images: images,
    "mirrored": lambda images: images[:, :, ::-1],
    "turned": lambda images: np.rot90(images, 1, (1, 2)),
    "mirrored and turned": lambda images: np.rot90(images[:, ::-1], 3, (1, 2)),
    "JPEG 90": lambda images: np.stack([_jpeg(image, 90) for image in images]),
    "JPEG 75": lambda images: np.stack([_jpeg(image, 75) for image in images]),
    "5 % brighter": lambda images: _brighter(images, 1.05),
    "5 % darker": lambda images: _brighter(images, 0.95),
    "all together": lambda images: np.stack(
        [_jpeg(image, 75) for image in _brighter(np.rot90(images[:, :, ::-1], 1, (1, 2)), 1.05)]
    ),
}


@pytest.mark.parametrize("how", PLANTED)
def test_a_planted_copy_is_caught(album, phantom, how) -> None:
    originals, extractor = album
    copies = np.ascontiguousarray(PLANTED[how](phantom[0]))
    distances = originals.distances(to_features(copies, extractor))
    same = originals.same(thumbnails_of(copies), originals.least_correlation(0.01))
    assert is_copy(distances.min(axis=1), same, gate_of(originals, 0.01)).all()
    named = np.where(same >= 0, same, distances.argmin(axis=1))
    assert (named == np.arange(len(copies))).mean() > 0.95


def test_other_pictures_of_the_same_kind_are_no_copies(album, phantom) -> None:
    originals, extractor = album
    others = phantom[1]
    distances = originals.distances(to_features(others, extractor))
    same = originals.same(thumbnails_of(others), originals.least_correlation(0.01))
    assert is_copy(distances.min(axis=1), same, gate_of(originals, 0.01)).mean() <= 0.05
    assert (same < 0).all()


def test_photographs_that_are_alike_raise_the_bar_for_pixels() -> None:
    """Two patients with nearly the same picture: what correlates as much with one of them is no copy."""
    rng = np.random.default_rng(9)
    smooth = np.kron(rng.integers(40, 200, (6, 8, 8, 3)), np.ones((1, 8, 8, 1)))
    smooth[1] = smooth[0] + rng.normal(0, 12, smooth[0].shape)
    originals = _originals(rng.normal(size=(6, WIDTH)), 6)
    originals = Originals(originals.parts, originals.forms, smooth.clip(0, 255).astype(np.uint8), originals.groups)
    bar = originals.least_correlation(0.01)
    assert bar > MIN_CORRELATION
    assert originals.least_correlation(1.0) == MIN_CORRELATION
    assert originals.same(originals.thumbnails, bar).tolist() == list(range(6))
