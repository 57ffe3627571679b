"""Whether a classifier's features tell what they should not need to."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from classify.fitting.mixing import Mixture, mix
from classify.fitting.ratio import Ratio
from classify.fitting.supply import Supply
from classify.measuring.shortcut import LEAST, PIECES, own_features, probe, synthetic_probe
from classify.models import Classifier, build_model
from shared.bundle import Bundle
from shared.cohort import Cohort


def alternating(count: int) -> np.ndarray:
    return np.arange(count) % 2 == 1


def test_features_that_say_it_are_found_out() -> None:
    is_one = alternating(60)
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    features[:, 3] += 50 * is_one
    found = probe(features, is_one, np.arange(60))
    assert found is not None
    assert found.auc == 1
    assert found.interval == (1, 1)
    assert (found.n_one, found.n_other) == (30, 30)
    mirrored = probe(features, ~is_one, np.arange(60))
    assert mirrored is not None
    assert mirrored.auc == 1


@pytest.mark.parametrize("seed", range(6))
def test_features_that_say_nothing_of_it_are_at_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(200, 4)).astype(np.float32)
    found = probe(features, rng.permutation(alternating(200)), np.arange(200) // 2)
    assert found is not None
    assert found.interval is not None
    low, high = found.interval
    assert low < 0.5 < high
    assert low <= found.auc <= high


def test_features_that_tell_a_group_tell_nothing_of_groups_that_were_not_seen() -> None:
    """Each group is of one kind and has a feature to itself: known groups are told apart perfectly, others not."""
    group = np.repeat(np.arange(40), 5)
    features = np.eye(40, dtype=np.float32)[group]
    is_one = alternating(40)[group]
    together = probe(features, is_one, group)
    assert together is not None
    assert together.auc == pytest.approx(0.5, abs=1e-6)  # nothing of its own is known of any of them
    apart = probe(features, is_one, np.arange(200))  # were each image a group, it would look like a shortcut
    assert apart is not None
    assert apart.auc == 1


def test_the_scale_of_a_feature_says_nothing() -> None:
    rng = np.random.default_rng(3)
    is_one = alternating(80)
    features = (rng.normal(size=(80, 3)) + 0.8 * is_one[:, None]).astype(np.float32)
    plain, scaled = (probe(features * scale, is_one, np.arange(80)) for scale in (1, np.array([1e3, 1, 1e-3])))
    assert plain is not None
    assert scaled is not None
    assert 0.6 < plain.auc < 1
    assert scaled.auc == pytest.approx(plain.auc, abs=1e-3)


@pytest.mark.parametrize(
    ("ones", "others", "groups"),
    [(LEAST - 1, 50, None), (50, LEAST - 1, None), (0, 50, None), (50, 0, None), (20, 20, PIECES - 1), (0, 0, None)],
)
def test_too_few_images_or_groups_of_a_kind_say_nothing(ones: int, others: int, groups: int | None) -> None:
    is_one = np.repeat([True, False], [ones, others])
    group = np.arange(ones + others)
    if groups is not None:
        group[:ones] %= groups
    assert probe(np.zeros((ones + others, 2), np.float32), is_one, group) is None


def test_as_many_as_are_needed_are_enough() -> None:
    is_one = np.repeat([True, False], LEAST)
    group = np.arange(2 * LEAST) // 2
    found = probe(np.random.default_rng(0).normal(size=(2 * LEAST, 2)).astype(np.float32), is_one, group)
    assert found is not None
    assert found.as_dict().keys() == {"auc", "interval", "n_one", "n_other"}


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return build_model("custom_cnn", image_size=32, depth=2, head=(6,))


def mixed(cohort: Cohort, bundle: Bundle) -> Mixture:
    return mix(cohort, 0, Ratio.parse("1:1"), Supply((bundle,)))


def test_synthetic_images_of_another_look_are_found_out_and_real_ones_are_not(
    classifier: Classifier, cohort: Cohort, make_bundle: Callable[..., Bundle]
) -> None:
    alike = make_bundle(cohort, count=20)
    mixture = mixed(cohort, alike)
    real = mixture.counts["real_positives"]
    found = synthetic_probe(classifier, mixture)
    assert found is not None
    assert (found.n_one, found.n_other) == (real, real)  # each image once, negatives not at all
    grey = replace(alike, images=np.asarray(alike.images) // 4 + 100)
    told = synthetic_probe(classifier, mixed(cohort, grey))
    assert told is not None
    assert told.auc == 1 > found.auc


def test_without_synthetic_images_there_is_nothing_to_tell(classifier: Classifier, cohort: Cohort) -> None:
    assert synthetic_probe(classifier, mix(cohort, 0, Ratio.parse("none"), Supply())) is None


def test_a_classifiers_own_features_are_those_of_each_image_alone(classifier: Classifier, cohort: Cohort) -> None:
    images = np.asarray(cohort.images)[:70]  # more than a batch, at this size
    classifier = build_model("custom_cnn", image_size=128, depth=2, head=(6,)).train()
    found = own_features(classifier, images)
    classifier.eval()
    with torch.inference_mode():
        alone = [classifier.last_hidden(torch.tensor(image[None])).numpy()[0] for image in images]
    assert (found.shape, found.dtype) == ((70, 6), np.float32)
    np.testing.assert_allclose(found, np.stack(alone), rtol=1e-4, atol=1e-5)
