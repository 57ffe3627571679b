"""Who is kept: skin tone by estimate, attributes by the nearest photograph, and what a filter leaves out."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from shared.phantom import render_phantom
from synth.selecting.mix import MOST_VALUES, mix, readable
from synth.selecting.skin_tone import CLASSES, to_lab, tone_class, typology_angle


def test_lab_of_known_colours() -> None:
    """Reference values of CIELAB under D65 (sRGB's primaries, grey and white), to the precision they are printed in."""
    colours = np.array([[255, 255, 255], [0, 0, 0], [119, 119, 119], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    expected = [
        [100, 0, 0],
        [0, 0, 0],
        [50.03, 0, 0],
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
    ]
    np.testing.assert_allclose(to_lab(colours), expected, atol=0.03)  # the matrix has four digits


def test_the_angle_is_its_definition() -> None:
    image = np.full((1, 4, 4, 3), (225, 180, 150), np.uint8)
    lightness, _, b = to_lab(image[0, 0, 0])
    assert typology_angle(image)[0] == pytest.approx(np.degrees(np.arctan((lightness - 50) / b)), rel=1e-5)


def test_rims_and_reflections_do_not_count() -> None:
    image = np.full((1, 10, 10, 3), (180, 130, 100), np.uint8)
    plain = typology_angle(image)[0]
    image[:, :3] = 0
    image[:, 8:] = 255
    assert typology_angle(image)[0] == plain
    assert np.isfinite(typology_angle(np.zeros((1, 4, 4, 3), np.uint8))).all()


def test_classes_are_cut_at_their_limits() -> None:
    assert tone_class(np.array([60, 55.1, 50, 30, 20, 0, -29, -31, -90])).tolist() == [
        "very light",
        "very light",
        "light",
        "intermediate",
        "tan",
        "brown",
        "brown",
        "dark",
        "dark",
    ]
    assert len(CLASSES) == 6


def test_the_estimate_follows_the_phantoms_tone() -> None:
    drawn = render_phantom(positives=120, negatives=0, externals=0, size=32, seed=0)
    tone = np.asarray(drawn.attributes["skin_tone"], int)
    means = [typology_angle(drawn.images[tone == value]).mean() for value in sorted(set(tone))]
    assert np.corrcoef(means, range(len(means)))[0, 1] ** 2 > 0.9


def test_columns_become_classes() -> None:
    assert readable(np.array(["a", "", "b "])).tolist() == ["a", "unknown", "b"]
    assert readable(np.array([1, 2, 1])).tolist() == ["1", "2", "1"]
    ages = np.array([*range(10, 90, 5), np.nan])  # 16 values
    expected = np.repeat(["10 to 28.75", "28.75 to 47.5", "47.5 to 66.25", "66.25 to 85"], 4).tolist()
    assert readable(ages).tolist() == [*expected, "unknown"]
    phototypes = np.array([1.0, 2, 3, 5, 6, np.nan, 6])  # a blank cell makes a column of whole numbers one of floats
    assert readable(phototypes).tolist() == ["1", "2", "3", "5", "6", "unknown", "6"]
    assert readable(np.array([0.0, 1.0, np.nan])).tolist() == ["0", "1", "unknown"]
    assert readable(np.array([0.25, 0.5])).tolist() == ["0.25", "0.5"]
    large = readable(10**15 + np.arange(40))
    assert len(set(large)) == 4
    assert large[0] == "1000000000000000 to 1000000000000009.8"
    assert readable(np.array([str(number) for number in range(MOST_VALUES + 1)])) is None
    assert readable(np.array([np.nan, np.nan])) is None
    assert readable(np.array([5.0, 5.0])).tolist() == ["5", "5"]


def test_a_class_that_is_kept_much_more_rarely_is_left_out() -> None:
    candidates = np.repeat(["dark", "light"], [40, 160])
    kept = np.concatenate([np.arange(40) < 10, np.arange(160) < 120])  # 25 % and 75 %
    lines = mix({"tone": np.array(["dark"] * 10 + ["light"] * 40)}, {"tone": candidates}, kept, {})
    by_value = {line.value: line for line in lines}
    expected = fisher_exact([[10, 30], [120, 40]]).pvalue
    assert by_value["dark"].p == pytest.approx(2 * expected)  # two classes, Holm
    assert (by_value["dark"].reals, by_value["dark"].candidates, by_value["dark"].kept) == (10, 40, 10)
    assert by_value["dark"].left_out
    assert not by_value["light"].left_out


def test_chance_leaves_nobody_out() -> None:
    """Every fourth is kept, of both classes: and a class of three says nothing."""
    candidates = np.array(["a", "b"] * 100 + ["c"] * 3)
    kept = np.arange(203) % 4 < 2
    kept[-3:] = False
    assert not any(line.left_out for line in mix({"x": candidates[:9]}, {"x": candidates}, kept, {}))


def test_nothing_to_test_is_no_error() -> None:
    candidates = np.array(["a", "a"])
    for kept in ([True, True], [False, False], [True, False]):
        (line,) = mix({"x": np.array(["a"])}, {"x": candidates}, np.array(kept), {})
        assert line.p is None
    assert mix({}, {}, np.zeros(0, bool), {}) == []


def test_the_order_of_classes_is_kept() -> None:
    values = np.array(["small", "large", "middle"])
    lines = mix(
        {"x": values}, {"x": values}, np.array([True, False, True]), {"x": ["small", "middle", "large", "none"]}
    )
    assert [line.value for line in lines] == ["small", "middle", "large"]
