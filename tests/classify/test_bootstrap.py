"""Intervals over groups: what is drawn, what is covered, and what is undefined."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from judged import verdicts
from scipy.stats import binom
from sklearn import metrics as sklearn

from classify.measuring import bootstrap
from classify.measuring.bootstrap import Resamples, Statistic, group_bootstrap
from classify.measuring.measures import accuracy, at_verdict, auc, mean
from classify.measuring.statistics import wilson_interval
from classify.measuring.verdicts import Verdicts


def patients(seed: int, *, folds: int = 3, groups: int = 24) -> Verdicts:
    """Return one model a fold that judges its patients, of one to four photographs each, half of them positive."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 5, groups)
    group = np.repeat(np.arange(groups), size)
    label = group % 2
    score = np.round(rng.normal(2 * label - 1, 2.0), 1)
    return verdicts(score, label, group=100 + group, fold=group // 2 % folds)


def recorded(statistic: Statistic, weights: list[np.ndarray]) -> Statistic:
    def record(given: np.ndarray) -> np.ndarray:
        weights.append(given)
        return statistic(given)

    return record


def test_whole_groups_are_drawn_as_many_in_each_stratum_as_it_has() -> None:
    found, seen = patients(0), []
    statistic = at_verdict("accuracy", found.positive, found.label)
    group_bootstrap(found, recorded(statistic, seen), resamples=300)
    weights = np.concatenate(seen[1:])  # the first are the data themselves
    assert (seen[0] == 1).all()
    assert weights.shape == (300, len(found))
    of_group = {group: weights[:, found.group == group] for group in np.unique(found.group)}
    assert all((each == each[:, :1]).all() for each in of_group.values())
    for fold in range(3):
        for label in (0, 1):
            inside = np.unique(found.group[(found.fold == fold) & (found.label == label)])
            assert (sum(of_group[group][:, 0] for group in inside) == len(inside)).all()


def test_the_interval_is_that_of_a_loop_over_repeated_verdicts() -> None:
    found, seen = patients(1), []
    statistic = partial(auc, found.score, found.label, found.model)
    interval = group_bootstrap(found, recorded(statistic, seen), resamples=200)
    values = []
    for row in np.concatenate(seen[1:]).astype(int):
        drawn = found.take(np.repeat(np.arange(len(found)), row))
        parts = [drawn.take(drawn.fold == fold) for fold in range(3)]
        values.append(np.mean([sklearn.roc_auc_score(part.label, part.score) for part in parts]))
    assert interval == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))


def test_the_draw_depends_on_the_seed_and_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    found = patients(2)
    shuffled = found.take(np.random.default_rng(0).permutation(len(found)))

    def interval(of: Verdicts, seed: int = 0) -> tuple[float, float] | None:
        statistic = at_verdict("f1", of.positive, of.label)
        return group_bootstrap(of, statistic, resamples=500, seed=seed)

    expected = interval(found)
    assert interval(found) == expected
    assert interval(found, seed=1) != expected
    assert interval(shuffled) == pytest.approx(expected)
    monkeypatch.setattr(bootstrap, "NUMBERS_AT_ONCE", 7 * len(found))
    assert interval(found) == pytest.approx(expected)


def test_several_statistics_see_the_same_draws_which_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = patients(3)
    statistics = [at_verdict(name, found.positive, found.label) for name in ("accuracy", "f1", "sensitivity")]
    alone = [group_bootstrap(found, statistic) for statistic in statistics]
    resamples = Resamples(found)
    assert resamples.interval(statistics[0]) == alone[0]
    monkeypatch.delattr(bootstrap.np.random, "default_rng")  # nothing is drawn again
    assert [resamples.interval(statistic) for statistic in reversed(statistics)] == alone[::-1]


def test_the_spread_of_a_mean_is_the_closed_form() -> None:
    """One image a group: the bootstrap's standard deviation is sigma / sqrt(n), sigma with denominator n."""
    values = np.random.default_rng(3).normal(size=80)
    one, seen, resamples = verdicts(values, np.zeros(80)), [], 4000
    interval = group_bootstrap(one, recorded(partial(mean, values), seen), resamples=resamples)
    drawn = np.concatenate([mean(values, weights) for weights in seen[1:]])
    expected = values.std() / np.sqrt(80)
    assert drawn.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * resamples))
    assert interval is not None
    assert np.diff(interval)[0] == pytest.approx(2 * 1.96 * expected, rel=0.1)


def test_a_share_of_independent_images_has_binomial_quantiles_and_so_the_coverage_that_is_documented() -> None:
    """The resamples of k right of n are Binomial(n, k / n); the figures of the module's docstring follow from that."""
    n = 188
    k = np.arange(n + 1)
    low, high = (binom.ppf(quantile, n, k / n) / n for quantile in (0.025, 0.975))
    low[[0, n]] = high[[0, n]] = (0, 1)
    for right in (120, 183):
        found = verdicts(np.where(np.arange(n) < right, 1.0, -1.0), np.ones(n))
        interval = group_bootstrap(found, at_verdict("sensitivity", found.positive, found.label), resamples=4000)
        assert interval == pytest.approx((low[right], high[right]), abs=1.01 / n)  # the draws' noise: one image
    chance = binom.pmf(k, n, 0.973)
    assert chance[(low <= 0.973) & (high >= 0.973)].sum() == pytest.approx(0.88, abs=0.005)
    wilson = np.array([wilson_interval(right, n) for right in range(n + 1)])
    assert chance[(wilson[:, 0] <= 0.973) & (wilson[:, 1] >= 0.973)].sum() == pytest.approx(0.96, abs=0.005)


def test_intervals_hold_the_truth_as_often_as_they_say_and_those_that_ignore_groups_do_not() -> None:
    """Four photographs a patient, whose rightness has the intraclass correlation 1 / (a + b + 1) = 0.8.

    The design effect is 1 + (4 - 1) 0.8 = 3.4: the variance that the patients add.
    """
    runs, groups, size = 300, 30, 4
    rng, sure = np.random.default_rng(4), 0.25
    label = np.repeat([0, 1], groups * size)
    group = np.repeat(np.arange(2 * groups), size)
    truth = np.repeat([0.9, 0.8], groups)  # chance of a right verdict, of negatives and of positives
    held, width = np.zeros((runs, 2), bool), np.zeros((runs, 2))
    for run in range(runs):
        chance = rng.beta(sure * truth, sure * (1 - truth))
        right = rng.random(len(group)) < chance[group]
        score = np.where(right == (label == 1), 1.0, -1.0)
        for place, belongs in enumerate((group, np.arange(len(group)))):
            found = verdicts(score, label, group=belongs)
            interval = group_bootstrap(found, partial(accuracy, found.positive, label), resamples=400, seed=run)
            assert interval is not None
            held[run, place] = interval[0] <= truth.mean() <= interval[1]
            width[run, place] = interval[1] - interval[0]
    spread = np.sqrt(0.95 * 0.05 / runs)  # of a share over the runs
    assert abs(held[:, 0].mean() - 0.95) < 3 * spread
    assert held[:, 1].mean() < 0.95 - 6 * spread
    assert width[:, 0].mean() / width[:, 1].mean() == pytest.approx(np.sqrt(3.4), rel=0.1)


def test_an_image_that_five_models_judge_counts_once() -> None:
    rng = np.random.default_rng(5)
    label, score = rng.integers(0, 2, 40), rng.normal(size=(5, 40))
    one = verdicts(score[0], label, group=np.arange(40) // 2)
    five = Verdicts.join([verdicts(score[fold], label, group=one.group, fold=np.full(40, fold)) for fold in range(5)])
    interval = group_bootstrap(five, at_verdict("accuracy", five.positive, five.label), resamples=500)
    averaged = five.right.reshape(5, 40).mean(0)
    assert interval == pytest.approx(group_bootstrap(one, partial(mean, averaged), resamples=500))


@pytest.mark.parametrize(("called", "defined"), [(0, False), (1, False), (5, True)])
def test_a_measure_that_is_undefined_too_often_has_no_interval(called: int, defined: bool) -> None:
    """Without a positive verdict there is no precision: of 10 images of which k are called, (1 - k/10)^10 of draws."""
    found = verdicts(np.where(np.arange(10) < called, 1.0, -1.0), np.ones(10))
    interval = group_bootstrap(found, at_verdict("precision", found.positive, found.label), resamples=300)
    assert (interval is not None) == defined
    share = (1 - called / 10) ** 10
    assert (share < bootstrap.MOST_UNDEFINED) == defined


def test_a_class_that_is_missing_or_no_verdict_at_all_gives_no_interval() -> None:
    negatives = verdicts(np.arange(5.0), np.zeros(5))
    assert group_bootstrap(negatives, partial(auc, negatives.score, negatives.label, negatives.model)) is None
    nothing = negatives.take(np.zeros(5, bool))
    assert group_bootstrap(nothing, at_verdict("accuracy", nothing.positive, nothing.label)) is None


def test_a_fold_that_more_seeds_judge_counts_no_more() -> None:
    """Fold 0 is easy; four seeds that say the same of it are one, in the value of a statistic and in its interval."""
    found = patients(7)
    easy = found.fold == found.fold.min()
    again = [dataclasses.replace(found.take(easy), seed=found.seed[easy] + number) for number in (1, 2, 3)]
    more = Verdicts.join([found, *again])
    intervals = [group_bootstrap(each, at_verdict("accuracy", each.positive, each.label)) for each in (found, more)]
    assert intervals[0] == pytest.approx(intervals[1])


def test_groups_that_several_folds_judge_are_one_stratum_whichever_these_are() -> None:
    """Of two such groups, one judged right and one wrong, either may be drawn twice."""
    found = verdicts(
        [1.0, 1.0, -1.0, -1.0], np.ones(4), image=["a", "a", "b", "b"], group=[0, 0, 1, 1], fold=[0, 1, 1, 2]
    )
    assert group_bootstrap(found, at_verdict("accuracy", found.positive, found.label), resamples=200) == (0.0, 1.0)


@pytest.mark.parametrize(("undefined", "told"), [(5, True), (6, False)])
def test_five_percent_of_the_resamples_may_be_undefined_and_no_more(undefined: int, told: bool) -> None:
    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(weights)) < undefined * (len(weights) > 1), np.nan, 0.5)

    interval = group_bootstrap(verdicts(np.ones(8), np.ones(8)), statistic, resamples=100)
    assert interval == ((0.5, 0.5) if told else None)


def test_what_is_undefined_has_no_value() -> None:
    found = verdicts(-np.ones(4), np.ones(4))
    assert Resamples(found).value(at_verdict("precision", found.positive, found.label)) is None
