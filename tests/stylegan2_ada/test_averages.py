"""Power-function averages: their profiles, what is kept while training, and what is put together afterwards."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stylegan2_ada.averages import KEPT_WIDTHS, MAX_WIDTH, PowerAverages, Profile, exponent_of, mixture

widths = st.floats(0.01, MAX_WIDTH)


def _profile(profile: Profile, tau: np.ndarray) -> np.ndarray:
    """Return p(tau), written down as in the paper."""
    gamma = exponent_of(profile.width)
    return np.where(tau <= profile.time, (gamma + 1) * tau**gamma / profile.time ** (gamma + 1), 0)


@given(widths)
def test_the_width_is_the_standard_deviation_of_the_profile(width: float) -> None:
    tau = (np.arange(200_000) + 0.5) / 200_000  # midpoints
    weight = _profile(Profile(width, 1.0), tau) / len(tau)
    mean = (weight * tau).sum()
    assert weight.sum() == pytest.approx(1, rel=1e-3)
    assert np.sqrt((weight * (tau - mean) ** 2).sum()) == pytest.approx(width, rel=2e-3)


def test_the_paper_s_widths_have_the_paper_s_exponents() -> None:
    """Its gamma of 16.97 and 6.94 (section 3.1) for widths of 5 and 10 %."""
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent_of(0.10) == pytest.approx(6.94, abs=0.005)


@pytest.mark.parametrize("width", [0.0, -1.0, 0.3, float("nan")])
def test_impossible_widths_are_refused(width: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        exponent_of(width)


def _trained(steps: int, seed: int = 0) -> np.ndarray:
    """Weights [steps, 3] of a training: they drift, and jitter."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(size=(steps, 3)) * 0.02, axis=0)
    return drift + np.log1p(np.arange(steps))[:, None] * 0.1 + rng.normal(size=(steps, 3)) * 0.1


def _averages(path: np.ndarray) -> list[PowerAverages]:
    """Return the averages after every step."""
    network = nn.Linear(3, 1, bias=False)
    averages, after = PowerAverages(network), []
    for weights in path:
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(weights)[None])
        averages.update(network)
        copied = PowerAverages(network)
        copied.load_state_dict(averages.state_dict())
        after.append(copied)
    return after


def test_averages_against_the_weights_of_their_profile() -> None:
    """Each average is the sum of all weights, step t's with the profile's mass between t - 1 and t."""
    path = _trained(60)
    last = _averages(path)[-1]
    for width, average in zip(KEPT_WIDTHS, last.averages, strict=True):
        exponent = exponent_of(width)
        mass = np.diff((np.arange(61) / 60) ** (exponent + 1))
        assert mass.sum() == pytest.approx(1)
        assert average["weight"][0].numpy() == pytest.approx(mass @ path, rel=1e-5, abs=1e-6)


@given(st.lists(st.tuples(widths, st.integers(1, 1000)), min_size=1, max_size=5, unique=True), st.data())
def test_a_kept_average_is_made_of_itself_alone(rows: list[tuple[float, int]], data: st.DataObject) -> None:
    kept = [Profile(width, float(time)) for width, time in rows]
    wanted = data.draw(st.sampled_from(kept))
    factors = mixture(kept, wanted).factors
    tau = np.linspace(0, 1000, 20_001)
    made = sum(factor * _profile(profile, tau) for factor, profile in zip(factors, kept, strict=True))
    assert np.linalg.norm(made - _profile(wanted, tau)) <= 1e-3 * np.linalg.norm(_profile(wanted, tau))


@pytest.mark.parametrize("count", [1, 2, 4, 20])
@pytest.mark.parametrize("width", [0.03, 0.1, 0.25])
def test_factors_are_one_in_sum_and_the_residual_says_how_near_they_come(count: int, width: float) -> None:
    """Against the profiles on a grid."""
    kept = [Profile(each, 100.0 * (i + 1) / count) for i in range(count) for each in KEPT_WIDTHS]
    wanted = Profile(width, 100.0)
    made = mixture(kept, wanted)
    assert sum(made.factors) == pytest.approx(1, abs=1e-6)
    tau = (np.arange(100_000) + 0.5) / 1000
    target = _profile(wanted, tau)
    profile = sum(factor * _profile(each, tau) for factor, each in zip(made.factors, kept, strict=True))
    residual = np.linalg.norm(profile - target) / np.linalg.norm(target)
    assert made.residual == pytest.approx(residual, rel=0.02, abs=2e-3)
    if width == 0.1:
        assert made.residual < 1e-3
    if width == 0.25:
        fewer = mixture(kept[2:], wanted) if count > 1 else None
        assert fewer is None or made.residual <= fewer.residual
        assert made.residual > 0.3 or count > 1
        assert made.residual < 0.15 or count < 20


def test_the_mixture_is_the_least_squares_fit_of_profiles_on_a_grid() -> None:
    """The nearest of all whose factors are 1 in sum: the last factor is what the others leave."""
    kept = [Profile(width, time) for time in (100.0, 200.0, 300.0) for width in KEPT_WIDTHS]
    wanted = Profile(0.16, 300.0)
    tau = (np.arange(300_000) + 0.5) / 1000
    columns = np.stack([_profile(profile, tau) for profile in kept], axis=1)
    others, last = columns[:, :-1], columns[:, -1]
    free = np.linalg.lstsq(others - last[:, None], _profile(wanted, tau) - last, rcond=None)[0]
    assert mixture(kept, wanted).factors == pytest.approx([*free, 1 - free.sum()], rel=1e-3)


@pytest.mark.parametrize("width", [0.03, 0.07, 0.13, 0.2])
def test_an_average_of_another_width_is_near_the_one_kept_while_training(width: float) -> None:
    path = _trained(400)
    after = _averages(path)
    kept, tensors = [], []
    for step in range(40, 401, 40):
        for known, average in zip(KEPT_WIDTHS, after[step - 1].averages, strict=True):
            kept.append(Profile(known, float(step)))
            tensors.append(average["weight"][0].numpy())
    made = np.array(mixture(kept, Profile(width, 400.0)).factors) @ np.stack(tensors)
    expected = np.diff((np.arange(401) / 400) ** (exponent_of(width) + 1)) @ path
    assert np.abs(made - expected).max() < 0.1 * path.std(axis=0).min()
