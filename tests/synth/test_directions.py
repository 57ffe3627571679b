"""Every metric moves the way it should when real features of pictures are spoiled."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from shared.nn.backbone import OfflineBackbone
from shared.phantom import render_phantom
from synth.scores.quality import Images, to_features

M = 48  # reference pictures of each class


@pytest.fixture(scope="module")
def directions(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("directions")


def _phantom(directions: ModuleType) -> tuple[Images, Images, dict[str, np.ndarray]]:
    """Return 2 M reference pictures, as many others in a random order, and which of these are positive."""
    drawn = render_phantom(positives=2 * M, negatives=2 * M, size=32, seed=0)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(drawn.label == label)) for label in (0, 1)]
    reference = np.concatenate([each[:M] for each in rows])
    others = rng.permutation(np.concatenate([each[M:] for each in rows]))
    return drawn.images[reference], drawn.images[others], {"rare class": drawn.label[others] == 1}


def test_each_metric_moves_the_right_way(directions: ModuleType) -> None:
    """Pictures through a network: from as they are to the worst of each way."""
    reference, others, modes = _phantom(directions)
    extractor = OfflineBackbone(0)
    judge = directions.Judge(reference, lambda images: to_features(images, extractor), M, None)
    for way, degrees in directions.spoiled(others, modes):
        good, bad = (judge(degrees[index][1]) for index in (0, -1))
        assert bad.distance.mean > good.distance.mean + 2 * good.distance.sd, way
        assert bad.kid.low > good.kid.mean, way
        if way in ("blur", "noise"):
            assert bad.precision.mean < 0.3 * good.precision.mean, way
        else:  # all that is left are photographs
            assert bad.precision.mean > good.precision.mean - 2 * good.precision.sd, way
        assert bad.recall.mean < good.recall.mean - 3 * good.recall.sd, way


def test_a_set_is_spoiled_as_it_says(directions: ModuleType) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    dark = directions.dark(images)
    assert images[dark].mean(axis=(1, 2, 3)).max() <= images[~dark].mean(axis=(1, 2, 3)).min()
    ways = dict(directions.spoiled(images, {"dark": dark}))
    for degrees in ways.values():
        assert all(each.shape == (20, 8, 8, 3) and each.dtype == np.uint8 for _, each in degrees)
        np.testing.assert_array_equal(degrees[0][1], images[:20])
    lost = [sum(any((one == each).all() for each in images[dark]) for one in set_) for _, set_ in ways["dark lost"][1:]]
    assert lost == [round(share * 20) for share in directions.SHARES]
    differ = [len(np.unique(set_, axis=0)) for _, set_ in ways["duplicates"][1:]]
    assert differ == [max(1, round(share * 20)) for share in directions.DISTINCT]
    flat = np.full((2, 64, 64, 3), 128, np.uint8)
    np.testing.assert_array_equal(directions.blurred(flat, 2.0), flat)
    assert directions.noisy(flat, 16).std() == pytest.approx(16, rel=0.05)
