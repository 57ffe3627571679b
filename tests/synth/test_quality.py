"""Scores against their definitions, against torch-fidelity, and what they are made of."""

import io
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from shared.errors import UserError
from stylegan2_ada import Ranks
from synth.scores import quality
from synth.scores.features import NetworkExtractor
from synth.scores.halvings import HALVINGS, Halvings, precision_recall
from synth.scores.kernels import kernel_distance
from synth.scores.moments import Moments, frechet_distance
from synth.scores.quality import FIRST_SEED, QualityMeter

seeds = st.integers(0, 2**32 - 1)


def gaussian(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return frechet_distance(Moments.of(a), Moments.of(b))


def textbook(a: np.ndarray, b: np.ndarray) -> float:
    """The definition with a matrix square root."""
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    cross = scipy.linalg.sqrtm(s_a @ s_b).real
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(s_a + s_b - 2 * cross))


@given(seeds)
def test_frechet_of_independent_features_is_the_closed_form(seed):
    rng = np.random.default_rng(seed)
    mean_a, mean_b, std_a, std_b = rng.normal(size=(4, 5))
    expected = np.sum((mean_a - mean_b) ** 2) + np.sum((np.abs(std_a) - np.abs(std_b)) ** 2)
    got = frechet_distance(Moments(mean_a, np.diag(std_a)), Moments(mean_b, np.diag(std_b)))
    assert got == pytest.approx(expected, rel=1e-10, abs=1e-12)


@given(seeds)
def test_frechet_in_the_plane_is_the_closed_form(seed):
    rng = np.random.default_rng(seed)
    root_a, root_b = rng.normal(size=(2, 2, 2))
    s_a, s_b = root_a.T @ root_a, root_b.T @ root_b
    product = s_a @ s_b
    cross = math.sqrt(np.trace(product) + 2 * math.sqrt(abs(np.linalg.det(product))))  # tr M^(1/2) of a 2 x 2 matrix
    got = frechet_distance(Moments(np.zeros(2), root_a), Moments(np.zeros(2), root_b))
    assert got == pytest.approx(np.trace(s_a) + np.trace(s_b) - 2 * cross, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(("n_a", "n_b", "width"), [(60, 90, 8), (5, 90, 8), (5, 7, 40)])
def test_frechet_is_torch_fidelitys(n_a, n_b, width):
    rng = np.random.default_rng(0)
    a, b = gaussian(rng, n_a, width), gaussian(rng, n_b, width)
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(torch.tensor(a)), fid_features_to_statistics(torch.tensor(b)), verbose=False
    )
    assert distance(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


@given(seeds, st.integers(2, 12), st.integers(2, 12), st.integers(1, 8))
def test_frechet_is_a_squared_distance(seed, n_a, n_b, width):
    rng = np.random.default_rng(seed)
    a, b = gaussian(rng, n_a, width), gaussian(rng, n_b, width)
    scale = 1 + np.abs(a).max() ** 2 + np.abs(b).max() ** 2
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    assert distance(a, a) == pytest.approx(0, abs=1e-9 * scale)
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-9 * scale)
    assert distance(a @ rotation, b @ rotation) == pytest.approx(distance(a, b), abs=1e-9 * scale)
    assert distance(a, a + 3.0) == pytest.approx(9 * width, abs=1e-9 * scale)


def test_kernel_distance_sees_a_shift_and_not_a_second_sample():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(400, 16)), rng.normal(size=(60, 16))
    same, shifted = kernel_distance(a, b, seed=0), kernel_distance(a + 1, b, seed=0)
    assert abs(same.mean) < 0.05 * shifted.mean
    assert shifted.mean > 5 * shifted.sd
    assert kernel_distance(a, b, seed=0) == same


def test_kernel_distance_of_two_sets_of_two_is_the_definition():
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    cross = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b, seed=0).mean == pytest.approx(kernel(*a) + kernel(*b) - 2 * cross)


@pytest.mark.parametrize("count", [0, 1])
def test_kernel_distance_needs_two(count):
    assert kernel_distance(np.ones((5, 2)), np.ones((count, 2)), seed=0) is None


class Colours:
    """An extractor whose features are the sums of each colour and of its squares; it counts what it is given."""

    def __init__(self, name: str = "colours") -> None:
        self.seen = 0
        self.extractor = NetworkExtractor(name, "sum", "none", 6, "0" * 64, torch.device("cpu"), self.features)

    def features(self, images):
        self.seen += len(images)
        x = images.float() / 255
        return torch.cat([x.mean((1, 2)), x.square().mean((1, 2))], dim=1)

    def __call__(self, images):
        return self.features(torch.tensor(images)).double().numpy()


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def test_score_is_what_its_fields_say():
    train, validation, fakes = pictures(21, 1), pictures(6, 2), pictures(150, 3)
    colours = Colours()
    meter = QualityMeter(train, validation, colours.extractor, fakes=150, seed=4)
    asked = []

    def draw(first, count):
        asked.append((first, count))
        return fakes[first - FIRST_SEED :][:count]

    score = meter.score(draw)
    real, fake = colours(train), colours(fakes)
    assert asked == [(FIRST_SEED, 64), (FIRST_SEED + 64, 64), (FIRST_SEED + 128, 22)]
    assert score["value"] == pytest.approx(textbook(real, fake), rel=1e-4)
    assert (score["n_real"], score["n_fake"], score["n_validation"], score["n_equal"]) == (21, 150, 6, 10)
    rng = np.random.default_rng([4, 21, 150])
    rows = []
    for _ in range(HALVINGS):
        order = rng.permutation(21)
        half, other = real[order[:10]], real[order[10:20]]
        taken = fake[rng.choice(150, 10, replace=False)]
        rows.append((textbook(half, taken), textbook(half, other), *precision_recall(taken, half)))
    means, sds = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    assert (score["equal_n"], score["floor"]) == pytest.approx(means[:2], rel=1e-4)
    assert (score["equal_n_sd"], score["floor_sd"]) == pytest.approx(sds[:2], rel=1e-3)
    assert (score["precision"], score["recall"]) == pytest.approx(means[2:])
    kid = kernel_distance(fake, colours(validation), seed=4)
    assert (score["kid_validation"], score["kid_validation_std"]) == pytest.approx(
        (kid.mean, kid.sd), rel=1e-3, abs=1e-9
    )
    assert (score["kid_low"], score["kid_high"]) == pytest.approx((kid.low, kid.high), rel=1e-3, abs=1e-9)
    assert score["kid_subset_size"] == 6
    assert json.loads(json.dumps(score, allow_nan=False)) == score
    assert (score["extractor"], score["reference"], score["seed"]) == ("colours", "train", 4)


def test_perfect_fakes_reach_zero_and_the_score_repeats():
    train = pictures(30)
    scores = [
        QualityMeter(train, train[:0], Colours().extractor, fakes=30).score(
            lambda first, count: train[first - FIRST_SEED :][:count]
        )
        for _ in range(2)
    ]
    assert scores[0] == scores[1]
    assert scores[0]["value"] == pytest.approx(0, abs=1e-9)
    assert scores[0]["kid_validation"] is None


@pytest.mark.parametrize(
    ("space", "name"), [("InceptionV3", "FID"), ("EfficientNet-Lite0", "Frechet distance (EfficientNet-Lite0)")]
)
def test_only_inceptions_distance_is_called_fid(space, name, monkeypatch):
    monkeypatch.setattr(quality, "require_enough_fakes", lambda *_: None)
    meter = QualityMeter(pictures(4), pictures(2), Colours(space).extractor, fakes=4)
    assert meter.score(lambda first, count: pictures(count, 9))["name"] == name


def test_few_reals_have_no_floor():
    score = QualityMeter(pictures(3), pictures(0), Colours().extractor, fakes=8).score(
        lambda first, count: pictures(count, 1)
    )
    assert (score["equal_n"], score["floor"], score["n_equal"]) == (None, None, 1)
    assert score["value"] > 0


@pytest.mark.parametrize(("reals", "fakes"), [(1, 10), (10, 1)])
def test_one_image_has_no_distribution(reals, fakes):
    with pytest.raises(UserError, match="at least 2"):
        QualityMeter(pictures(reals), pictures(2), Colours().extractor, fakes=fakes)


def test_an_fid_of_fewer_fakes_than_features_is_refused():
    with pytest.raises(
        UserError, match=r"2048 generated images: too few for an FID, .* 2048 features .* at least 2049"
    ):
        QualityMeter(pictures(9), pictures(2), Colours("InceptionV3").extractor, fakes=2048)
    quality.require_enough_fakes(Colours("InceptionV3").extractor, 2049)
    quality.require_enough_fakes(Colours().extractor, 16)


def test_what_was_held_out_is_beside_as_many_that_were_trained_on():
    """A generator that repeats its training images is nearer to them; a fresh one is not."""
    train, validation, fresh = pictures(60, 1), pictures(12, 2), pictures(60, 3)
    meter = QualityMeter(train, validation, Colours().extractor, fakes=60)
    copied, honest = (
        meter.score(lambda first, count, images=images: images[first - FIRST_SEED :][:count])
        for images in (train, fresh)
    )
    assert copied["trained_on"] < copied["held_out"]
    assert honest["trained_on"] == pytest.approx(honest["held_out"], abs=4 * honest["trained_on_sd"])
    assert (
        QualityMeter(train, validation[:1], Colours().extractor, fakes=60)
        .compare(meter.look_at(lambda first, count: fresh[first - FIRST_SEED :][:count]))
        .held_out
        is None
    )


def test_subsets_of_kid_that_are_larger_than_the_set_are_refused():
    with pytest.raises(UserError, match=r"--kid-subset 7: larger than the 6 images of the validation part; .* most 6"):
        QualityMeter(pictures(9), pictures(6), Colours().extractor, fakes=8, kid_subset=7)
    score = QualityMeter(pictures(9), pictures(6), Colours().extractor, fakes=8, kid_subset=3).score(
        lambda first, count: pictures(count, 2)
    )
    assert score["kid_subset_size"] == 3


def test_more_fakes_than_are_kept_stream_through(monkeypatch):
    """The distance is that of all of them at once, and only the first ones are remembered."""
    fakes = pictures(200, 3)
    asked = dict.fromkeys((40, 200))
    for kept in asked:
        monkeypatch.setattr(quality, "KEPT", kept)
        meter = QualityMeter(pictures(21), pictures(6, 1), Colours().extractor, fakes=200)
        found = meter.look_at(lambda first, count: fakes[first - FIRST_SEED :][:count])
        assert (found.count, found.first.shape) == (200, (kept, 6))
        asked[kept] = meter.compare(found).value
    assert asked[40] == pytest.approx(asked[200], rel=1e-6)


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks that are threads of one process."""

    barrier: threading.Barrier | None = None
    boxes: list[Any] = field(default_factory=list)

    def gather(self, part: Any) -> list[Any]:
        self.boxes[self.rank] = part
        self.barrier.wait(timeout=60)
        parts = list(self.boxes)
        self.barrier.wait(timeout=60)
        return parts


@pytest.mark.parametrize("kept", [40, 500])
def test_more_fakes_than_are_kept_stream_through_several_ranks(kept, monkeypatch):
    """Each draws its share, and all know the moments of all and the first features, as one alone does."""
    fakes = pictures(330, 3)
    monkeypatch.setattr(quality, "KEPT", kept)
    boxes, barrier = [None] * 3, threading.Barrier(3)

    def look(ranks):
        meter = QualityMeter(pictures(21), pictures(6, 1), Colours().extractor, fakes=330, ranks=ranks)
        asked = []
        found = meter.look_at(lambda first, count: asked.append(count) or fakes[first - FIRST_SEED :][:count])
        return found, asked

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(look, [Threads(rank, 3, barrier, boxes) for rank in range(3)]))
    alone, asked = look(Ranks())
    assert [count for _, share in shares for count in share] == asked
    for found, share in shares:
        assert 0 < sum(share) < 330
        assert found.count == alone.count == 330
        np.testing.assert_array_equal(found.first, alone.first)
        assert frechet_distance(found.moments, alone.moments) == pytest.approx(0, abs=1e-9)


def test_scores_are_torch_fidelitys_own(tmp_path, monkeypatch):
    """Its whole pipeline over the same PNG files: names, batches, features and all three metrics."""
    real, fake = (np.random.default_rng(seed).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8) for seed in (0, 1))
    for name, images in (("real", real), ("fake", fake)):
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{index:03}.png")

    class Eyes(FeatureExtractorBase):
        """Colours, under torch-fidelity's contract."""

        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list():
            return ("all",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "all"

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            return None

        def forward(self, x):
            return (Colours().features(x.permute(0, 2, 3, 1)),)

    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "eyes", Eyes)
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "fake"),
        input2=str(tmp_path / "real"),
        feature_extractor="eyes",
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=8,
        kid_subsets=100,
        rng_seed=3,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    ours = Colours()(fake), Colours()(real)
    kid = kernel_distance(*ours, seed=3, subset=8)
    assert distance(*ours) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert (kid.mean, kid.sd) == pytest.approx(
        (theirs["kernel_inception_distance_mean"], theirs["kernel_inception_distance_std"]), rel=1e-4, abs=1e-6
    )
    assert precision_recall(*ours) == pytest.approx((theirs["precision"], theirs["recall"]))


def test_each_metric_moves_the_right_way():
    """Noise makes fakes untypical; blur, lost modes and duplicates less diverse; all are farther."""
    real, held_out, fresh = (_modes(seed, (0, 1)) for seed in range(3))
    spoilt = {
        "as they are": fresh,
        "noise": fresh + 2.0 * np.random.default_rng(9).normal(size=fresh.shape),
        "pulled to the middle (blur)": 0.3 * fresh,
        "one mode lost": _modes(2, (0, 0)),
        "three images over and over": fresh[np.arange(len(fresh)) % 3],
    }
    found = {}
    for name, fakes in spoilt.items():
        equal = Halvings(real, len(fakes), seed=0).compare(fakes)
        kid = kernel_distance(fakes, held_out, seed=0)
        found[name] = {
            "distance": equal.distance.mean,
            "precision": equal.precision.mean,
            "recall": equal.recall.mean,
            "kid": kid.mean,
        }
    good = found.pop("as they are")
    for name, scores in found.items():
        assert scores["distance"] > 1.5 * good["distance"], name
        assert scores["kid"] > good["kid"] + 0.05, name
        assert name == "noise" or scores["recall"] < good["recall"] - 0.2, name
    assert found["noise"]["precision"] < good["precision"] - 0.2
    for name in ("one mode lost", "three images over and over"):
        assert found[name]["precision"] > good["precision"] - 0.1, name


def _modes(seed, centres):
    """Features around two places, 60 each."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(60, 5)) + 6 * centre for centre in centres])


def test_real_features_are_computed_once(tmp_path):
    colours = Colours()
    train, validation = pictures(16), pictures(8, 1)

    def score(images):
        meter = QualityMeter(images, validation, colours.extractor, fakes=8, cache=tmp_path)
        before = colours.seen
        result = meter.score(lambda first, count: pictures(count, 2))
        assert colours.seen - before == 8
        return result

    first = score(train)
    assert (score(train), colours.seen) == (first, 16 + 8 + 2 * 8)
    assert score(train[::-1]) != first
    assert len(list(tmp_path.iterdir())) == 3


def test_damaged_cache_is_made_anew(tmp_path):
    colours = Colours()
    meters = []
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 1 << 10)})
    for content in (None, b"", b"\x93NUMPY garbage", np.zeros(3).tobytes(), header.getvalue()):
        for path in tmp_path.iterdir():
            path.write_bytes(content)
        meter = QualityMeter(pictures(8), pictures(8), colours.extractor, fakes=8, cache=tmp_path)
        meters.append(meter.score(lambda first, count: pictures(count, 2)))
    assert all(score == meters[0] for score in meters)


def test_build_opens_the_space_by_name():
    meter = QualityMeter.build(
        pictures(4),
        pictures(2),
        features="offline",
        fakes=4,
        seed=0,
        device=torch.device("cpu"),
        weights=None,
        offline=True,
    )
    assert meter.score(lambda first, count: pictures(count, 1))["name"] == "Frechet distance (EfficientNet-Lite0)"
