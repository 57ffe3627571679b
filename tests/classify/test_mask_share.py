import numpy as np
import pytest
from scipy.stats import ttest_rel

from classify.explaining.mask_share import mask_share
from classify.measuring.statistics import mean_interval


def test_shares_of_known_maps_and_masks() -> None:
    masks = np.zeros((4, 4, 4), bool)
    masks[:, :2, :2] = True  # a quarter
    heat = np.zeros((4, 4, 4))
    heat[0, 0, 0] = 3  # all inside
    heat[1] = 1  # everywhere
    heat[2, 0, 0], heat[2, 3, 3] = 1, 3  # a quarter inside
    found = mask_share(heat, masks, "known")  # the last has no heat
    inside = np.array([1, 0.25, 0.25])
    assert (found.n, found.left_out) == (3, 1)
    assert (found.inside, found.area) == (pytest.approx(0.5), pytest.approx(0.25))
    assert found.inside_std == pytest.approx(inside.std(ddof=1))
    assert found.area_std == 0
    assert "50 ± 43 % of the heat" in found.sentence
    assert "takes 25 ± 0 % of the picture (n = 3 images called positive; 1 more had" in found.sentence
    assert "not shown to be more" in found.sentence


def test_empty_and_full_masks_say_nothing() -> None:
    masks = np.stack([np.zeros((3, 3), bool), np.ones((3, 3), bool)])
    found = mask_share(np.ones((2, 3, 3)), masks, "known")
    assert (found.n, found.left_out, found.inside, found.area, found.gain_interval) == (0, 2, None, None, None)
    assert "not known" in found.sentence


def test_the_verdict_follows_the_interval_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((9, 8, 8)) < 0.3
    for sign, verdict in ((1, "more than for"), (-1, "less than for")):
        heat = rng.random((9, 8, 8)) * np.where(masks == (sign > 0), 4, 1)
        found = mask_share(heat, masks, "known")
        inside = (heat * masks).sum((1, 2)) / heat.sum((1, 2))
        expected = ttest_rel(inside, masks.mean((1, 2))).confidence_interval(0.95)
        assert found.gain_interval == pytest.approx((expected.low, expected.high))
        assert verdict in found.sentence.replace("not shown to be more than", "")


def test_one_value_has_no_interval() -> None:
    assert mean_interval(np.array([0.3])) is None
