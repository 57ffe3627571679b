"""Verdicts, several an image."""

import dataclasses

import numpy as np
import pytest
import torch
from judged import verdicts

from classify.measuring.verdicts import Verdicts


def test_probabilities_are_the_softmax_of_two_logits_and_verdicts_follow_the_larger() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(scale=4, size=(50, 2)))
    score = (logits[:, 1] - logits[:, 0]).numpy()
    temperature, label = rng.uniform(0.5, 3, 50), rng.integers(0, 2, 50)
    found = verdicts(score, label, temperature=temperature)
    np.testing.assert_allclose(found.probability, logits.softmax(1)[:, 1].numpy())
    by_temperature = (logits / torch.from_numpy(temperature)[:, None]).softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(found.calibrated, by_temperature)
    np.testing.assert_array_equal(found.positive, logits.argmax(1).numpy() == 1)
    np.testing.assert_array_equal(found.right, logits.argmax(1).numpy() == label)
    np.testing.assert_array_equal(found.positive_at_threshold, found.positive)


def test_a_tie_is_negative_at_either_threshold() -> None:
    found = verdicts([0.0, 0.0], [0, 1])
    assert not found.positive.any()
    assert not found.positive_at_threshold.any()
    assert found.right.tolist() == [True, False]


def test_a_threshold_is_the_model_s_own() -> None:
    found = verdicts([-1.0, -1.0], [1, 1], threshold=[0.2, 0.3])  # sigmoid(-1) = 0.269
    assert found.positive_at_threshold.tolist() == [True, False]
    assert not found.positive.any()


def test_joining_keeps_rows_and_counts_an_image_once() -> None:
    first = verdicts([1.0, -1.0], [1, 0], image=["a", "b"])
    second = verdicts([2.0], [1], image=["a longer name"])
    third = dataclasses.replace(first, fold=first.fold + 1)
    joined = Verdicts.join([first, second, third])
    assert len(joined) == 5
    assert joined.n_images == 3
    assert joined.image.tolist() == ["a", "b", "a longer name", "a", "b"]
    assert joined.model.tolist() == [0, 0, 0, 1, 1]
    assert joined.take(joined.fold == 1).score.tolist() == [1.0, -1.0]
    with pytest.raises(ValueError, match="nothing to join"):
        Verdicts.join([])


def test_models_are_pairs_of_fold_and_seed() -> None:
    found = verdicts(np.ones(5), np.ones(5), fold=[1, 0, 1, 0, 1], seed=[0, 7, 3, 7, 0])
    assert found.model.tolist() == [1, 0, 2, 0, 1]


def test_an_image_counts_once_in_each_fold_or_once_in_all() -> None:
    """Three verdicts of two folds on image a, of which two are of one fold; one on b."""
    found = verdicts(np.ones(4), np.ones(4), image=["a", "b", "a", "a"], fold=[0, 0, 0, 1], seed=[0, 0, 1, 0])
    assert found.share.tolist() == [0.5, 1.0, 0.5, 1.0]
    assert found.weight_of_image.tolist() == pytest.approx([1 / 3, 1.0, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"group": [1]}, "different lengths"),
        ({"label": [0, 2]}, "neither 0 nor 1"),
        ({"score": [0.0, np.nan]}, "no number"),
        ({"temperature": [1.0, 0.0]}, "not above 0"),
        ({"threshold": [0.5, 1.5]}, "no probability"),
    ],
)
def test_what_cannot_be_a_verdict_is_refused(columns: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(verdicts([1.0, 2.0], [0, 1]), **{name: np.array(each) for name, each in columns.items()})


def test_thresholds_of_nothing_and_of_all_are_probabilities() -> None:
    assert verdicts([0.0, 0.0], [0, 1], threshold=[0.0, 1.0]).positive_at_threshold.tolist() == [True, False]
