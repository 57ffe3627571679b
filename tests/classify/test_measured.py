"""A measure with its interval: which interval it gets, and of how many images."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import verdicts
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from classify.measuring.bootstrap import Resamples, group_bootstrap
from classify.measuring.measured import PROPORTIONS, Measured, bootstrapped, measured_at_verdict
from classify.measuring.measures import at_verdict, auc
from classify.measuring.verdicts import Verdicts

FEW = 50  # resamples, where the bootstrap is not asked for


def measured(name: str, found: Verdicts, resamples: int = FEW) -> Measured:
    return measured_at_verdict(name, Resamples(found, resamples=resamples), found.positive)


def counts_of(name: str, tp: int, fp: int, tn: int, fn: int) -> tuple[int, int]:
    """Return how many images a share counts, and of how many."""
    return {
        "accuracy": (tp + tn, tp + fp + tn + fn),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
    }[name]


def images(tp: int, fp: int, tn: int, fn: int) -> Verdicts:
    """Return verdicts with these counts, each of an image and a group of its own."""
    score, label = np.repeat([1.0, 1.0, -1.0, -1.0], [tp, fp, tn, fn]), np.repeat([1, 0, 0, 1], [tp, fp, tn, fn])
    return verdicts(score, label)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any), st.sampled_from(sorted(PROPORTIONS)))
def test_a_share_of_images_that_are_their_own_groups_has_wilsons_interval(
    counts: tuple[int, int, int, int], name: str
) -> None:
    counted, n = counts_of(name, *counts)
    found = measured(name, images(*counts))
    if not n or (name == "precision" and counts[0] + counts[3] == 0):
        assert found == Measured(None, None)
        return
    assert found.value == pytest.approx(counted / n)
    assert found.interval == pytest.approx(proportion_confint(counted, n, method="wilson"), abs=1e-9)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_what_is_no_share_has_the_bootstraps_interval(name: str) -> None:
    found = images(12, 5, 20, 4)
    resamples = Resamples(found)
    expected = bootstrapped(resamples, at_verdict(name, found.positive, found.label))
    assert expected.value is not None
    assert expected.interval is not None
    assert measured_at_verdict(name, resamples, found.positive) == expected


def test_a_statistic_comes_with_its_own_interval() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    found = verdicts(rng.normal(label, 1.0), label)
    statistic = partial(auc, found.score, found.label, found.model)
    of_it = bootstrapped(Resamples(found), statistic)
    assert of_it.value == pytest.approx(roc_auc_score(label, found.score))
    assert of_it.interval == group_bootstrap(found, statistic)


@pytest.mark.parametrize("name", sorted(PROPORTIONS - {"precision"}))
def test_an_image_that_several_models_judge_is_one_of_n(name: str) -> None:
    """Three folds say the same of each image: the share and its interval are those of one."""
    one = images(12, 5, 20, 4)
    rows = np.arange(len(one))
    three = Verdicts.join(
        [verdicts(one.score, one.label, image=one.image, group=rows, fold=np.full(len(one), fold)) for fold in range(3)]
    )
    found, expected = measured(name, three), measured(name, one)
    assert found.value == pytest.approx(expected.value)
    assert found.interval == pytest.approx(expected.interval)


def test_precision_counts_the_images_that_are_called_by_how_many_call_them() -> None:
    """Of three models, two call image 0 (rare) and one calls image 1 (not): 2 of 3, in one image's worth of calls."""
    score = np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])  # image 0, image 1; three folds
    found = verdicts(score, np.array([1, 0] * 3), image=["a", "b"] * 3, group=[0, 1] * 3, fold=[0, 0, 1, 1, 2, 2])
    assert measured("precision", found).value == pytest.approx(2 / 3)
    interval = measured("precision", found).interval
    assert interval is not None
    p, z2 = 2 / 3, 1.959963984540054**2  # roots of (p - x)^2 = z2 x (1 - x) / n, n = 1
    for bound in interval:
        assert (p - bound) ** 2 == pytest.approx(z2 * bound * (1 - bound))


@pytest.mark.parametrize("together", [True, False])
def test_photographs_of_one_patient_make_the_interval_no_narrower_than_the_bootstrap_says(together: bool) -> None:
    """Forty patients of four photographs that are all right or all wrong, or right whatever the patient."""
    rng = np.random.default_rng(1)
    group, label = np.repeat(np.arange(40), 4), np.repeat(np.arange(40) % 2, 4)
    right = np.repeat(rng.random(40) < 0.7, 4) if together else np.arange(160) % 4 > 0
    found = verdicts(np.where(right == (label == 1), 1.0, -1.0), label, group=group)
    drawn = Resamples(found).interval(at_verdict("accuracy", found.positive, found.label))
    wilson = proportion_confint(right.sum(), 160, method="wilson")
    interval = measured("accuracy", found, resamples=2000).interval
    assert interval == pytest.approx(drawn if together else wilson)  # here the one holds the other


def test_a_bootstrap_that_is_wider_at_one_end_alone_moves_that_end_alone() -> None:
    """All of one patient's photographs wrong, all others right: the bootstrap reaches 1, Wilson's does not."""
    group = np.repeat(np.arange(10), 3)
    found = verdicts(np.where(group == 0, -1.0, 1.0), np.ones(30), group=group)
    drawn = Resamples(found).interval(at_verdict("sensitivity", found.positive, found.label))
    low, high = proportion_confint(27, 30, method="wilson")
    assert drawn is not None
    assert drawn[1] == 1.0 > high
    assert measured("sensitivity", found, resamples=2000).interval == pytest.approx((min(low, drawn[0]), 1.0))


def test_a_share_whose_bootstrap_is_undefined_too_often_keeps_wilsons() -> None:
    """One patient of ten is called: a third of the resamples has no call, and so no precision."""
    group = np.repeat(np.arange(10), 2)
    found = verdicts(np.where(group == 0, 1.0, -1.0), np.ones(20), group=group)
    assert bootstrapped(Resamples(found), at_verdict("precision", found.positive, found.label)).interval is None
    assert measured("precision", found, 2000).interval == pytest.approx(proportion_confint(2, 2, method="wilson"))
