"""Thresholds of the warnings, and other random numbers after a rollback."""

import numpy as np
import pytest
from runs import Pixels

from synth.scores.quality import QualityMeter
from synth.training.health import SaturationWatch, has_collapsed, seed_after_rollback


def test_saturation_is_told_once_and_after_patience() -> None:
    watch = SaturationWatch(max_p=0.8, patience_kimg=10)
    told = [kimg for kimg in range(60) if watch.observe(0.8 if kimg != 9 else 0.7, kimg)]
    assert told == [20]  # at the bound anew since 10


@pytest.mark.parametrize(("max_p", "p"), [(0.0, 0.0), (1.0, 0.99)])
def test_below_the_bound_nothing_is_told(max_p: float, p: float) -> None:
    watch = SaturationWatch(max_p=max_p, patience_kimg=1)
    assert not any(watch.observe(p, kimg) for kimg in range(100))


def test_spread_is_the_ratio_of_the_traces() -> None:
    rng = np.random.default_rng(0)
    reals, fakes = (rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    fakes = (fakes // 4).astype(np.uint8)
    meter = QualityMeter(reals, reals[:0], Pixels(), fakes=40)
    spread = meter.score(lambda _, count: fakes[:count])["spread"]
    traces = [np.trace(np.cov(Pixels()(images).numpy().astype(np.float64), rowvar=False)) for images in (fakes, reals)]
    assert spread == pytest.approx(traces[0] / traces[1])
    assert spread == pytest.approx(1 / 16, rel=0.2)


def test_one_picture_is_a_collapse_and_reals_are_none() -> None:
    reals = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    meter = QualityMeter(reals, reals[:0], Pixels(), fakes=40)
    assert has_collapsed(meter.score(lambda _, count: reals[:1].repeat(count, axis=0)))
    assert not has_collapsed(meter.score(lambda _, count: reals[:count]))
    same = QualityMeter(reals[:1].repeat(40, axis=0), reals[:0], Pixels(), fakes=40)
    assert same.score(lambda _, count: reals[:count])["spread"] is None  # reals that do not differ say nothing


def test_seeds_after_rollbacks_differ() -> None:
    seeds = {seed_after_rollback(seed, rollbacks) for seed in range(20) for rollbacks in range(1, 4)}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**63 for seed in seeds)
