from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classify.fitting.mixing import Entries, Mixture, mix, repeat
from classify.fitting.ratio import Ratio
from classify.fitting.supply import Supply
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError
from shared.splits import balanced_test_set, inner_parts, parts


@given(st.integers(1, 12), st.integers(1, 60))
def test_images_repeat_only_when_they_run_out(available: int, wanted: int) -> None:
    drawn = repeat(np.arange(100, 100 + available), wanted, (5, 1))
    times = np.bincount(drawn - 100, minlength=available)
    assert times.sum() == wanted
    assert times.max() - times.min() <= 1
    assert drawn.tolist() == repeat(np.arange(100, 100 + available), wanted + 9, (5, 1))[:wanted].tolist()


@pytest.mark.parametrize("ratio", ["none", "1:5", "1:2"])
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_classes_are_equal_and_the_ratio_stays(
    cohort: Cohort, make_bundle: Callable[..., Bundle], ratio: str, protocol: str
) -> None:
    mixture = mix(cohort, 1, Ratio.parse(ratio), Supply((make_bundle(cohort, fold=1),)), protocol)
    shown = (
        np.concatenate([mixture.train.index, mixture.validation.index]) if protocol == "paper" else mixture.train.index
    )
    label = mixture.label[shown]
    synthetic = Ratio.parse(ratio).count(mixture.counts["real_positives"])
    assert (label == 1).sum() == (label == 0).sum() == 6 * (mixture.counts["real_positives"] + synthetic)
    pixels = {image.tobytes() for image in make_bundle(cohort).images}
    is_synthetic = np.array([image.tobytes() in pixels for image in mixture.images])
    assert is_synthetic[shown].sum() == 6 * synthetic == 6 * mixture.counts["synthetic_positives"]
    assert (mixture.label[is_synthetic] == 1).all()
    np.testing.assert_array_equal(mixture.synthetic, is_synthetic)
    assert len(np.unique(mixture.group[is_synthetic])) == synthetic  # each its own, and none a photograph's
    assert not set(mixture.group[is_synthetic]) & set(cohort.group_id)


def twins(first: Entries, second: Entries) -> set[int]:
    return set(first.index.tolist()) & set(second.index.tolist())


def pairs(mixture: Mixture, entries: Entries) -> list[tuple[bytes, int]]:
    return [(mixture.images[i].tobytes(), int(t)) for i, t in zip(entries.index, entries.transform, strict=True)]


def test_strict_splits_before_it_augments(cohort: Cohort) -> None:
    mixture = mix(cohort, 0, Ratio.parse("none"), Supply(), "strict")
    by_use = parts(cohort, 0)
    assert not twins(mixture.train, mixture.validation)
    assert mixture.validation is mixture.choice
    held_out = {cohort.images[row].tobytes() for row in by_use.validation}
    assert {image for image, _ in pairs(mixture, mixture.validation)} == held_out
    assert set(mixture.validation.transform) == {0}
    counts = np.unique(mixture.train.index, return_counts=True)[1]
    assert set(counts % 6) == {0}  # each image under all six
    assert len(set(pairs(mixture, mixture.train))) == 6 * len(set(mixture.train.index))


def test_paper_augments_before_it_splits_so_twins_leak(cohort: Cohort) -> None:
    mixture = mix(cohort, 0, Ratio.parse("none"), Supply(), "paper")
    by_use = parts(cohort, 0)
    rest = np.concatenate([by_use.train, by_use.validation])
    assert mixture.counts["real_positives"] == (cohort.label[rest] == 1).sum()
    assert twins(mixture.train, mixture.validation)
    total = len(mixture.train) + len(mixture.validation)
    assert len(mixture.validation) == round(total / 10)
    assert not set(pairs(mixture, mixture.train)) & set(pairs(mixture, mixture.validation))
    chosen_on = {cohort.images[row].tobytes() for row in balanced_test_set(cohort, 0)}
    assert {image for image, _ in pairs(mixture, mixture.choice)} == chosen_on


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_no_test_image_is_learnt_from(cohort: Cohort, protocol: str) -> None:
    mixture = mix(cohort, 2, Ratio.parse("none"), Supply(), protocol)
    tested = {cohort.images[row].tobytes() for row in parts(cohort, 2).test}
    for entries in (mixture.train, mixture.validation):
        assert not tested & {image for image, _ in pairs(mixture, entries)}
    assert not set(mixture.fitted_rows) & set(parts(cohort, 2).test)


def test_a_search_learns_and_chooses_within_the_train_part(cohort: Cohort) -> None:
    mixture = mix(cohort, 1, Ratio.parse("none"), Supply(), inner=True)
    inner, outer = inner_parts(cohort, 1), parts(cohort, 1)
    assert {image for image, _ in pairs(mixture, mixture.train)} <= {cohort.images[r].tobytes() for r in inner.train}
    chosen_on = {image for image, _ in pairs(mixture, mixture.choice)}
    assert chosen_on == {cohort.images[row].tobytes() for row in inner.validation}
    assert set(mixture.fitted_rows) == set(outer.train)


def test_the_order_of_the_files_changes_nothing(cohort: Cohort, make_bundle: Callable[..., Bundle]) -> None:
    order = np.random.default_rng(8).permutation(len(cohort))
    names = ("images", "label", "image_id", "group_id", "fold", "role", "source_path")
    shuffled = replace(cohort, **{name: np.asarray(getattr(cohort, name))[order] for name in names})
    mixtures = [
        mix(each, 0, Ratio.parse("1:5"), Supply((make_bundle(cohort),)), "strict") for each in (cohort, shuffled)
    ]
    first, second = (sorted(pairs(mixture, mixture.train)) for mixture in mixtures)
    assert first == second


def test_more_synthetic_than_the_bundle_holds_says_how_many_are_missing(
    cohort: Cohort, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(cohort, count=3)
    real = mix(cohort, 0, Ratio.parse("none"), Supply(), "strict").counts["real_positives"]
    with pytest.raises(UserError, match=f"{real} synthetic images wanted .* holds 3, so {real - 3} are missing"):
        mix(cohort, 0, Ratio.parse("1:1"), Supply((bundle,)), "strict")


def test_a_ratio_that_comes_to_nothing_is_refused(cohort: Cohort, make_bundle: Callable[..., Bundle]) -> None:
    with pytest.raises(UserError, match="less than one synthetic image"):
        mix(cohort, 0, Ratio.parse("1:999"), Supply((make_bundle(cohort),)), "strict")
