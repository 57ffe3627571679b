"""The phantom: its fields in closed form, its pictures' independence, and how hard it is."""

import inspect
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d

from shared.errors import UserError
from shared.phantom import render_other_lesions, render_phantom
from shared.phantom.camera import EXTERNAL_CAMERA, STUDY_CAMERA, Camera, photograph, srgb
from shared.phantom.cohort import Stream, generator
from shared.phantom.fields import box_matrix, fractal_noise, optics_matrix, smooth_noise, smoothstep, spline_matrix
from shared.phantom.herpeticum import crops, vesicle
from shared.phantom.marks import around, far_apart, spot
from shared.phantom.skin import Skin, bare_skin, inflamed_area, reflectance, working_grid


def plain_skin(grid: int, *, melanin: float = 0.3, blood: float = 0.3) -> Skin:
    centres = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    y, x = np.meshgrid(centres, centres, indexing="ij")
    flat = np.zeros((grid, grid), np.float32)
    return Skin(light=(1.0, 0.0), x=x, y=y, melanin=flat + melanin, blood=flat + blood, relief=flat.copy())


def pooled(images: np.ndarray, factor: int) -> np.ndarray:
    n, size = images.shape[:2]
    return images.reshape(n, size // factor, factor, size // factor, factor, 3).mean(axis=(2, 4))


# Fields


@given(grid=st.integers(4, 40), cells=st.integers(1, 30))
def test_spline_weights_are_scipys(grid: int, cells: int) -> None:
    positions = (np.arange(grid) + 0.5) / grid * cells
    knots = np.arange(-3, cells + 4)
    expected = BSpline.design_matrix(positions, knots, 3).toarray()
    np.testing.assert_allclose(spline_matrix(grid, cells), expected, atol=1e-6)


def test_noise_has_mean_zero_and_unit_variance() -> None:
    rng = np.random.default_rng(0)
    for noise in (smooth_noise(rng, 256, 100), fractal_noise(rng, 256, (40, 80), gain=0.7)):
        # About 100 x 100 independent cells: the mean's standard error is 0.01 to 0.02, the variance's 0.02 to 0.03.
        assert abs(noise.mean()) < 0.08
        assert noise.std() == pytest.approx(1, abs=0.08)


def test_smoothstep_rises_falls_and_is_symmetric() -> None:
    t = np.linspace(-1, 2, 31, dtype=np.float32)
    rising = smoothstep(0, 1, t)
    assert rising[0] == 0
    assert rising[-1] == 1
    np.testing.assert_allclose(rising, np.where(t < 0, 0, np.where(t > 1, 1, 3 * t**2 - 2 * t**3)), atol=1e-5)
    np.testing.assert_allclose(smoothstep(1, 0, t), 1 - rising, atol=1e-6)


def test_optics_average_blur_and_keep_constants() -> None:
    optics = optics_matrix(32, 128, 0.02)
    np.testing.assert_allclose(optics.sum(axis=1), 1, atol=1e-5)
    signal = np.random.default_rng(0).normal(size=128)
    blurred = gaussian_filter1d(signal, 0.02 * 128, truncate=6).reshape(32, 4).mean(axis=1)
    np.testing.assert_allclose((optics @ signal)[4:-4], blurred[4:-4], atol=1e-4)  # the ends treat the border otherwise


def test_optics_of_a_size_are_the_means_of_twice_the_size() -> None:
    np.testing.assert_allclose(
        box_matrix(32, 64) @ optics_matrix(64, 128, 0.01), optics_matrix(32, 128, 0.01), atol=1e-7
    )


# Skin, marks and light


def test_reflectance_is_beer_lambert() -> None:
    bare, dark, red = (reflectance(plain_skin(4, melanin=m, blood=b))[:, 0, 0] for m, b in ((0, 0), (1, 0), (0, 1)))
    assert (dark < bare).all()
    assert (red < bare).all()
    both = reflectance(plain_skin(4, melanin=1, blood=1))[:, 0, 0]
    np.testing.assert_allclose(both, dark * red / bare, rtol=1e-5)  # optical densities add up
    assert red[0] / bare[0] > 2 * red[1] / bare[1]  # blood takes green, not red


def test_tones_get_darker_from_one_to_six() -> None:
    luminance = [
        np.mean([reflectance(bare_skin(np.random.default_rng(seed), tone, 32)).mean() for seed in range(12)])
        for tone in range(1, 7)
    ]
    assert (np.diff(luminance) < 0).all()


def test_srgb_is_the_standard_curve_below_its_shoulder() -> None:
    linear = np.array([0, 0.001, 0.0031308, 0.2140411, 0.6038273], np.float32)
    np.testing.assert_allclose(srgb(linear), [0, 0.01292, 0.04045, 0.5, 0.8], atol=1e-4)  # IEC 61966-2-1
    bright = srgb(np.linspace(0.61, 8, 50, dtype=np.float32))
    assert (np.diff(bright) >= 0).all()
    assert bright.max() <= 1


@given(x=st.floats(-0.2, 1.2), y=st.floats(-0.2, 1.2), reach=st.floats(0.01, 0.5))
def test_windows_hold_every_pixel_within_reach(x: float, y: float, reach: float) -> None:
    skin = plain_skin(32)
    window, dx, dy = around(skin, x, y, reach)
    inside = (abs(skin.x - x) < reach - 1e-4) & (abs(skin.y - y) < reach - 1e-4)
    covered = np.zeros_like(inside)
    covered[window] = True
    assert covered[inside].all()
    np.testing.assert_allclose(np.hypot(dx, dy), np.hypot(skin.x - x, skin.y - y)[window], atol=1e-5)


def test_a_spot_has_the_area_of_its_circle() -> None:
    skin = plain_skin(256, blood=0)
    spot(np.random.default_rng(0), skin, 0.5, 0.5, 0.2, blood=1.0, softness=0.05, wobble=0.3)
    assert skin.blood.sum() / 256**2 == pytest.approx(np.pi * 0.2**2, rel=0.02)  # stretching keeps the area


@given(seed=st.integers(0, 10**6), count=st.integers(1, 30), distance=st.floats(0.05, 0.6))
def test_scattered_lesions_keep_their_distance(seed: int, count: int, distance: float) -> None:
    points = np.array(far_apart(np.random.default_rng(seed), count, distance))
    assert 1 <= len(points) <= count
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 9 * np.eye(len(points))
    assert gaps.min() >= distance


@given(seed=st.integers(0, 10**6), count=st.integers(1, 30), groups=st.integers(1, 3))
@settings(max_examples=40)
def test_crops_are_dense_and_do_not_overlap(seed: int, count: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    area = inflamed_area(rng, plain_skin(32))
    points = np.array(crops(rng, area, count, groups, 0.04))
    assert 1 <= len(points) <= count
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 9 * np.eye(len(points))
    assert gaps.min() >= 2.15 * 0.04


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, np.pi / 2])
def test_the_smallest_neighbouring_vesicles_stay_apart_at_32_px(angle: float) -> None:
    skin = plain_skin(working_grid(32))
    before = reflectance(skin)
    step = 1.075 * 0.04 * np.array([np.cos(angle), np.sin(angle)])
    for x, y in (0.5 + step, 0.5 - step):
        vesicle(np.random.default_rng(3), skin, x, y, 0.04, 0.8)
    optics = optics_matrix(32, skin.grid, 0.011)  # the study camera's worst blur
    light = optics @ (reflectance(skin) - before + skin.sparkle).mean(axis=0) @ optics.T
    padded = np.pad(light, 1, constant_values=-np.inf)
    neighbours = [padded[1 + i : 33 + i, 1 + j : 33 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    peaks = (light > 0.3 * light.max()) & (light > np.max(neighbours, axis=0))
    assert peaks.sum() == 2


# Pictures


def test_the_default_counts_are_the_papers() -> None:
    defaults = {name: value.default for name, value in inspect.signature(render_phantom).parameters.items()}
    assert (defaults["positives"], defaults["negatives"], defaults["externals"]) == (474, 474, 188)


def test_labels_roles_and_balanced_tones() -> None:
    counts = [20, 15, 9]
    phantom = render_phantom(positives=20, negatives=15, externals=9, size=8)
    assert phantom.images.shape == (44, 8, 8, 3)
    assert phantom.images.dtype == np.uint8
    assert (phantom.label.dtype, phantom.role.dtype) == (np.int64, np.uint8)
    np.testing.assert_array_equal(phantom.label, np.repeat([1, 0, 0], counts))
    np.testing.assert_array_equal(phantom.role, np.repeat([0, 0, 1], counts))
    tone, severity = phantom.attributes["skin_tone"], phantom.attributes["severity"]
    for rows in np.split(np.arange(44), np.cumsum(counts)[:-1]):
        per_tone = np.bincount(tone[rows], minlength=7)[1:]
        assert per_tone.max() - per_tone.min() <= 1
        assert set(severity[rows]) <= {1, 2, 3}
    assert len(set(severity)) == 3
    assert len(np.unique(phantom.images.reshape(44, -1), axis=0)) == 44


def test_a_picture_depends_on_seed_class_and_number_alone() -> None:
    few = render_phantom(positives=2, negatives=1, externals=3, size=16, seed=5)
    many = render_phantom(positives=4, negatives=3, externals=4, size=16, seed=5)
    np.testing.assert_array_equal(few.images, many.images[[0, 1, 4, 7, 8, 9]])
    np.testing.assert_array_equal(few.attributes["severity"], many.attributes["severity"][[0, 1, 4, 7, 8, 9]])
    np.testing.assert_array_equal(
        render_other_lesions(3, size=16, seed=5), render_other_lesions(6, size=16, seed=5)[:3]
    )
    other = render_phantom(positives=4, negatives=3, externals=4, size=16, seed=6)
    assert (other.images != many.images).any(axis=(1, 2, 3)).all()


def test_the_same_scene_at_every_size() -> None:
    small, middle, large = (
        np.concatenate([render_phantom(positives=6, negatives=6, externals=6, size=size, seed=2).images,
                        render_other_lesions(6, size=size, seed=2)])
        for size in (32, 64, 128)
    )  # fmt: skip
    for shrunk, direct in ((pooled(middle, 2), small), (pooled(large, 2), middle)):
        gap = abs(shrunk - direct)
        # The curve and the clipping bend around the mean, and both sides are rounded: about one level of 255.
        assert gap.mean() < 1.0
        assert np.quantile(gap, 0.99) < 6
    wrong = abs(pooled(middle, 2) - np.roll(small, 1, axis=0)).mean()
    assert wrong > 10  # the bound above tells scenes apart


@given(
    a=st.tuples(st.integers(0, 2**70), st.sampled_from(Stream), st.integers(0, 10**9)),
    b=st.tuples(st.integers(0, 2**70), st.sampled_from(Stream), st.integers(0, 10**9)),
)
def test_streams_never_meet(a: tuple[int, Stream, int], b: tuple[int, Stream, int]) -> None:
    same = generator(*a).bit_generator.state == generator(*b).bit_generator.state
    assert same == (a == b)


def test_the_external_camera_is_colder_flatter_and_noisier() -> None:
    def develop(camera: Camera) -> np.ndarray:
        skins = (plain_skin(working_grid(64), blood=blood) for blood in np.linspace(0.1, 1.2, 12))
        pictures = [photograph(np.random.default_rng(i), skin, camera, 64) for i, skin in enumerate(skins)]
        return np.stack(pictures).astype(float)

    study, external = develop(STUDY_CAMERA), develop(EXTERNAL_CAMERA)
    assert np.mean(external[..., 2] - external[..., 0]) > np.mean(study[..., 2] - study[..., 0]) + 10
    rough = [np.abs(np.diff(images, n=2, axis=1)).mean() for images in (study, external)]
    assert rough[1] > 1.5 * rough[0]


def test_progress_is_told_once_a_picture() -> None:
    told: list[int] = []
    render_phantom(positives=2, negatives=3, externals=1, size=8, advance=told.append)
    assert told == [1] * 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 4}, "8 to 1024"),
        ({"size": 4096}, "8 to 1024"),
        ({"seed": -1}, "seed"),
        ({"externals": -2}, "externals"),
    ],
)
def test_what_cannot_be_rendered_is_said(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        render_phantom(**arguments)  # type: ignore[arg-type]
    if "externals" not in arguments:
        with pytest.raises(UserError, match=words):
            render_other_lesions(1, **{"size": 32, "seed": 0} | arguments)


def test_no_picture_is_no_error() -> None:
    phantom = render_phantom(positives=0, negatives=0, externals=0, size=16)
    assert phantom.images.shape == (0, 16, 16, 3)
    assert render_other_lesions(0, size=16, seed=0).shape == (0, 16, 16, 3)


# Difficulty


@pytest.fixture(scope="module")
def difficulty(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("phantom_difficulty")


def test_colours_alone_tell_less_than_80_percent(difficulty: ModuleType) -> None:
    phantom = render_phantom(externals=0, size=32)
    for describe in (difficulty.joint_histogram, difficulty.channel_histograms):
        accuracy = difficulty.probe(describe(phantom.images), phantom.label, 0, penalties=(1e-3,)).mean()
        assert 0.5 < accuracy < 0.8


@pytest.mark.slow
def test_the_papers_network_tells_more_than_90_percent(difficulty: ModuleType) -> None:
    phantom = render_phantom(size=32)
    study = phantom.role == 0
    chosen = difficulty.train(
        phantom.images[study], phantom.label[study], phantom.images[~study], size=32, epochs=5, seed=0
    )
    assert chosen["test"] > 0.9
