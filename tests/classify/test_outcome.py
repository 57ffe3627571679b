"""What a row comes to on one test set, held to sums written out, scikit-learn, and data that are really repeated."""

import dataclasses
import statistics
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import record
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from classify.measuring.operating import Operating
from classify.measuring.statistics import METRICS, wilson_interval
from classify.table2.outcome import SetResult, set_result
from shared.errors import UserError

LEAST = 10


def result_of(records: list[dict[str, Any]], *, least: int = LEAST, **operating: Any) -> SetResult:
    return set_result(records, Operating(**operating), least)[0]


def require_same_measures(first: SetResult, second: SetResult) -> None:
    assert first.measured.keys() == second.measured.keys()
    for name, measured in first.measured.items():
        assert measured.value == pytest.approx(second.measured[name].value), name
        assert measured.interval == pytest.approx(second.measured[name].interval), name


def noisy(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], n // 2)
    return rng.normal(2 * label - 1, 1.5), label


def test_an_external_image_that_five_models_judge_counts_once() -> None:
    """In n, and in Wilson's interval, which would be narrower by sqrt(5) if each verdict were an image."""
    score, label = -np.ones(188), np.zeros(188, int)
    score[:5] = 1
    judged = [record(score=score, label=label, set_name="external", fold=fold) for fold in range(5)]
    five, one = result_of(judged), result_of(judged[:1])
    assert (five.n, five.groups, five.folds) == (188, 188, (0, 1, 2, 3, 4))
    assert five.confusion.n == 5 * 188
    assert five.measured["accuracy"].interval == pytest.approx(wilson_interval(183, 188))
    require_same_measures(five, one)
    assert five.measured["sensitivity"].value is None


def test_models_that_differ_on_an_external_image_count_as_parts_of_it() -> None:
    scores = -np.ones((4, 100))
    scores[0, :8] = scores[1, :4] = 1
    judged = [
        record(score=each, label=np.zeros(100, int), set_name="external", fold=f) for f, each in enumerate(scores)
    ]
    accuracy = result_of(judged).measured["accuracy"]
    assert accuracy.value == pytest.approx((92 + 96 + 100 + 100) / 400)
    assert accuracy.interval == pytest.approx(wilson_interval(97, 100))


@settings(max_examples=15)
@given(st.integers(2, 6), st.integers(0, 9))
def test_seeds_do_not_make_intervals_narrower(seeds: int, number: int) -> None:
    """The same verdicts from several seeds tell no more than from one."""
    score, label = noisy(number)
    same = [record(score=score, label=label, seed=seed) for seed in range(seeds)]
    many, one = result_of(same), result_of(same[:1])
    assert many.n == one.n == len(label)
    require_same_measures(many, one)
    assert all(spread is not None and spread.std is None for spread in many.metrics.values())


def test_images_of_one_patient_widen_the_interval_to_that_of_patients() -> None:
    """Ten photographs of each of 40 patients, all right or all wrong, tell no more than 40 photographs."""
    score, label = noisy(3, 40)
    alone = result_of([record(score=score, label=label, group=range(40))])
    groups = np.repeat(np.arange(40), 10)
    together = result_of([record(score=score.repeat(10), label=label.repeat(10), group=groups)])
    independent = result_of([record(score=score.repeat(10), label=label.repeat(10))])
    assert (together.n, together.groups) == (400, 40)
    for name in ("accuracy", "sensitivity", "specificity"):
        (a, b), (c, d), (e, f) = (each.measured[name].interval for each in (alone, together, independent))  # type: ignore[misc]
        assert (c, d) == pytest.approx((a, b), abs=0.06)  # a bootstrap beside Wilson's
        assert d - c > 2 * (f - e)
        assert c <= e <= f <= d


def test_where_each_image_is_a_group_of_its_own_the_interval_is_wilson_s() -> None:
    label = np.repeat([1, 0], 95)
    score = np.concatenate([np.repeat([1.0, -1.0], [80, 15]), np.repeat([-1.0, 1.0], [90, 5])])
    found = result_of([record(score=score, label=label)]).measured
    assert found["accuracy"].interval == pytest.approx(wilson_interval(170, 190))
    assert found["sensitivity"].interval == pytest.approx(wilson_interval(80, 95))
    assert found["specificity"].interval == pytest.approx(wilson_interval(90, 95))
    assert found["precision"].interval == pytest.approx(wilson_interval(80, 85))


def test_a_metric_over_folds_is_that_of_the_means_of_each_folds_seeds() -> None:
    """Fold 0 has three seeds and fold 1 one: each fold counts once, where a mean over records would favour fold 0."""
    rights = {(0, 0): (40, 45), (0, 1): (42, 44), (0, 2): (47, 41), (1, 0): (30, 35)}
    records = [record(right, (50, 50), fold=fold, seed=seed) for (fold, seed), right in rights.items()]
    found = result_of(records)
    assert (found.folds, found.seeds) == ((0, 1), (0, 1, 2))
    accuracy = {key: sum(right) / 100 for key, right in rights.items()}
    of_folds = [statistics.mean(accuracy[0, seed] for seed in range(3)), accuracy[1, 0]]
    spread = found.metrics["accuracy"]
    assert spread is not None
    assert found.measured["accuracy"].value == pytest.approx(statistics.mean(of_folds))
    assert spread.mean == pytest.approx(statistics.mean(of_folds))
    assert spread.std == pytest.approx(statistics.stdev(of_folds))
    assert found.metrics.keys() == set(METRICS)


def test_a_metric_that_is_undefined_in_one_fold_has_no_mean() -> None:
    found = result_of([record((0, 95)), record((90, 90), fold=1)]).metrics
    assert found["precision"] is None
    assert found["sensitivity"] is not None
    assert result_of([record()]).metrics["accuracy"].std is None  # type: ignore[union-attr]


def test_rankings_and_probabilities_are_scikit_learn_s_within_each_model() -> None:
    data = {fold: noisy(fold) for fold in range(3)}
    found = result_of([record(score=score, label=label, fold=fold) for fold, (score, label) in data.items()]).measured
    for name, sklearn in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = np.mean([sklearn(label, score) for score, label in data.values()])
        assert found[name].value == pytest.approx(expected), name
    score, label = (np.concatenate([data[fold][part] for fold in data]) for part in (0, 1))
    assert found["brier"].value == pytest.approx(brier_score_loss(label, 1 / (1 + np.exp(-score))))
    for name in ("auc", "average_precision", "brier", "brier_calibrated"):
        low, high = found[name].interval  # type: ignore[misc]
        assert low <= found[name].value <= high
    probability = torch.from_numpy(1 / (1 + np.exp(-score)))
    error = binary_calibration_error(probability, torch.from_numpy(label), n_bins=15, norm="l1")
    assert found["calibration_error"].value == pytest.approx(float(error))
    assert found["calibration_error"].interval is None  # a bootstrap's would lie above it


def test_each_model_is_judged_at_the_threshold_and_temperature_of_its_own_validation() -> None:
    """Of 20 validation positives 19 must be found: the second lowest decides; fold 1's scores are shifted by 3."""
    label = np.repeat([1, 0], 20)
    validation = np.concatenate([np.arange(20) - 2.5, np.full(20, -4.0)])
    score, truth = noisy(1, 80)
    records = [
        record(score=score + shift, label=truth, fold=fold, validation=(validation + shift, label))
        for fold, shift in ((0, 0.0), (1, 3.0))
    ]
    found = result_of(records, sensitivity=0.95).at_threshold["validation"]
    called = score >= -1.5  # of validation positives from -2.5 up, all but the lowest
    assert found.sensitivity.value == pytest.approx(recall_score(truth, called))
    assert found.specificity.value == pytest.approx(recall_score(truth, called, pos_label=0))
    likelier = result_of(records).at_threshold["0.5"]
    assert likelier.sensitivity.value == pytest.approx(np.mean([(s > 0)[truth == 1] for s in (score, score + 3)]))


@pytest.mark.parametrize("prevalence", [0.03, 0.5])
def test_the_precision_in_practice_is_bayes_theorem(prevalence: float) -> None:
    found = result_of([record((90, 76), (100, 95))], prevalence=(prevalence,)).at_threshold["0.5"]
    ((asked, precision),) = found.precision
    assert asked == prevalence
    true, false = 0.9 * prevalence, 0.2 * (1 - prevalence)
    assert precision.value == pytest.approx(true / (true + false))


def test_no_false_alarm_among_few_images_is_no_certainty_where_the_disease_is_rare() -> None:
    """Of 95 negatives none is called positive: up to 3.9 % may be (Wilson), which at 3 % halves the precision."""
    found = result_of([record((95, 95))], prevalence=(0.03,)).at_threshold["0.5"]
    ((_, precision),) = found.precision
    most = 1 - wilson_interval(95, 95)[0]
    assert precision.value == 1
    assert precision.interval == pytest.approx((0.03 / (0.03 + 0.97 * most), 1.0))
    assert precision.interval is not None
    assert precision.interval[0] < 0.5


def test_nothing_called_positive_has_no_precision_in_practice() -> None:
    ((_, precision),) = result_of([record((0, 95))]).at_threshold["0.5"].precision
    assert (precision.value, precision.interval) == (None, None)


def test_a_fold_with_more_seeds_counts_no_more() -> None:
    """Fold 0 is easier: two more seeds that say the same of it change no value and no interval."""
    easy, hard = noisy(4, 80), noisy(5, 80)
    once = [record(score=2 * easy[0], label=easy[1]), record(score=hard[0], label=hard[1], fold=1)]
    more = [record(score=2 * easy[0], label=easy[1], seed=seed) for seed in (1, 2)]
    require_same_measures(result_of(once + more), result_of(once))


def test_precision_is_of_as_many_images_as_a_model_calls_positive() -> None:
    """Each of two seeds calls other negatives positive: 20 images each, not the 30 that either calls."""
    label = np.repeat([1, 0], 50)
    called = [np.r_[np.arange(10), 50 + 10 * seed + np.arange(10)] for seed in range(2)]
    scores = [np.where(np.isin(np.arange(100), rows), 1.0, -1.0) for rows in called]
    found = result_of([record(score=each, label=label, seed=seed) for seed, each in enumerate(scores)])
    assert found.measured["precision"].interval == pytest.approx(wilson_interval(10, 20))


def test_bars_of_reliability_are_of_images() -> None:
    score, label = noisy(6)
    bars = [
        [each.interval for each in result_of(records).reliability["as given"]]
        for records in (
            [record(score=score, label=label)],
            [record(score=score, label=label, seed=seed) for seed in range(4)],
        )
    ]
    assert np.ravel(bars[0]) == pytest.approx(np.ravel(bars[1]))


def test_an_image_that_was_seen_counts_once() -> None:
    records = [record(seed=seed, seen=38) for seed in range(3)] + [record(fold=1, seen=2)]
    assert result_of(records).seen == 40


def test_images_left_out_are_those_of_one_model() -> None:
    records = [record(set_name="external", fold=fold, left_out=left) for fold, left in enumerate((3, 5, 4))]
    assert result_of(records).left_out == 5


@pytest.mark.parametrize(
    ("operating", "sentence"),
    [
        ({"sensitivity": 0}, "--sensitivity 0: not a share"),
        ({"sensitivity": 1.01}, "--sensitivity 1.01: not a share"),
        ({"prevalence": (0.1, 1)}, "--prevalence 1: not a share"),
        ({"prevalence": (0,)}, "--prevalence 0: not a share"),
    ],
)
def test_shares_out_of_range_are_refused(operating: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Operating(**operating)
    assert dataclasses.asdict(Operating()) == {"sensitivity": 0.95, "prevalence": (0.03,)}
