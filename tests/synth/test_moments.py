"""Streamed moments, the distance's standard error, and its value for infinitely many fakes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.scores.moments import RESAMPLES, Moments, RunningMoments, extrapolated, frechet_distance, standard_error


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_streamed_moments_are_those_of_all_at_once(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2 + sum(sizes), 5)) * rng.uniform(0.1, 10, 5) + 100
    first, second = RunningMoments(5), RunningMoments(5)
    start = 0
    for index, size in enumerate([2, *sizes]):
        (first if index % 2 == 0 else second).add(features[start : start + size])
        start += size
    first.merge(second)
    streamed, whole = first.moments(), Moments.of(features)
    assert first.count == len(features)
    np.testing.assert_allclose(streamed.mean, whole.mean)
    np.testing.assert_allclose(streamed.root.T @ streamed.root, whole.root.T @ whole.root, atol=1e-9)


def test_memory_of_a_stream_does_not_grow() -> None:
    running = RunningMoments(4)
    for _ in range(3):
        running.add(np.ones((1000, 4)))
    held = sum(value.nbytes for value in vars(running).values() if isinstance(value, np.ndarray))
    assert held == (4 + 16) * 8


def test_standard_error_is_that_of_halves_written_out() -> None:
    rng = np.random.default_rng(0)
    reals, fakes = rng.normal(size=(12, 20)), rng.normal(size=(17, 20)) + 0.3
    draws = np.random.default_rng(5)
    distances = []
    for _ in range(RESAMPLES):
        halves = (each[draws.permutation(len(each))[: len(each) // 2]] for each in (reals, fakes))
        distances.append(frechet_distance(*map(Moments.of, halves)))
    assert standard_error(reals, fakes, seed=5) == pytest.approx(np.std(distances, ddof=1), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "width"), [(60, 80, 3), (40, 150, 100)])
def test_standard_error_is_what_new_samples_scatter_by(n: int, m: int, width: int) -> None:
    """With more images than features and with fewer."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, width + 1) ** -0.7

    def sample() -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=(n, width)) * scale, 1.5 * rng.normal(size=(m, width)) * scale + 0.3 * scale

    scatter = np.std([frechet_distance(*map(Moments.of, sample())) for _ in range(300)], ddof=1)
    found = np.mean([standard_error(*sample(), seed=0) for _ in range(8)])
    assert found == pytest.approx(scatter, rel=0.35)


def test_infinitely_many_fakes_of_the_same_kind() -> None:
    """The truth is known: a Gaussian against a Gaussian, whose own moments are given exactly."""
    width = 30
    reals = Moments(np.zeros(width), np.eye(width))
    samples = [np.random.default_rng(seed).normal(size=(400, width)) * 1.2 + 0.1 for seed in range(20)]
    truth = width * (0.1**2 + 0.2**2)
    usual = np.mean([frechet_distance(reals, Moments.of(fakes)) for fakes in samples])
    assert usual > 1.4 * truth
    assert np.mean([extrapolated(reals, fakes, seed=0) for fakes in samples]) == pytest.approx(truth, rel=0.12)


def test_too_few_fakes_are_not_extrapolated() -> None:
    reals, fakes = Moments(np.zeros(30), np.eye(30)), np.random.default_rng(0).normal(size=(59, 30))
    assert extrapolated(reals, fakes, seed=0) is None
    assert extrapolated(reals, np.vstack([fakes, fakes[:1]]), seed=0) is not None
