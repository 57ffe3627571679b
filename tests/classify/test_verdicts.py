"""Verdicts, several an image."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import torch
from judged import verdicts

from classify.verdicts import Verdicts


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


def test_the_mean_over_seeds_is_that_of_a_loop_and_its_order_that_of_fold_and_image() -> None:
    rng = np.random.default_rng(1)
    rows = [(fold, image, seed) for fold in (1, 0) for image in ("c", "a", "b") for seed in (5, 2, 9)]
    rows = [rows[number] for number in rng.permutation(len(rows))]
    score, threshold = rng.normal(size=len(rows)), rng.uniform(0.05, 0.95, len(rows))
    found = verdicts(
        score,
        [int(image == "a") for _, image, _ in rows],
        image=[image for _, image, _ in rows],
        group=[ord(image) for _, image, _ in rows],
        fold=[fold for fold, _, _ in rows],
        seed=[seed for _, _, seed in rows],
        threshold=threshold,
    ).mean_over_seeds()
    expected = sorted({(fold, image) for fold, image, _ in rows})
    assert list(zip(found.fold.tolist(), found.image.tolist(), strict=True)) == expected
    for row, (fold, image) in enumerate(expected):
        mine = [number for number, each in enumerate(rows) if each[:2] == (fold, image)]
        assert found.score[row] == pytest.approx(np.mean(score[mine]))
        odds = scipy.stats.gmean(threshold[mine] / (1 - threshold[mine]))
        assert found.threshold[row] == pytest.approx(odds / (1 + odds))
        above = np.mean(score[mine] - np.log(threshold[mine] / (1 - threshold[mine]))) > 0
        assert found.positive_at_threshold[row] == above
        assert (found.label[row], found.group[row], found.seed[row]) == (image == "a", ord(image), 2)


def test_thresholds_of_a_half_stay_so_and_a_mean_of_one_seed_changes_nothing() -> None:
    found = verdicts([3.0, -2.0], [1, 0], temperature=[2.0, 3.0])
    mean = found.mean_over_seeds()
    for field in dataclasses.fields(Verdicts):
        np.testing.assert_array_equal(getattr(mean, field.name), getattr(found, field.name))


@pytest.mark.parametrize(("label", "group"), [([0, 1], [0, 0]), ([1, 1], [0, 1])])
def test_an_image_has_one_truth_and_one_group(label: list[int], group: list[int]) -> None:
    found = verdicts([1.0, 1.0], label, group=group, image=["a", "a"], seed=[0, 1])
    with pytest.raises(ValueError, match="two labels or two groups"):
        found.mean_over_seeds()


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
