"""Rows against each other, held to loops over the raw verdicts, statsmodels and sums written out."""

import itertools
from typing import Any

import numpy as np
import pytest
from recorded import record
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from classify.contrast import Contrast, between_models, contrasts
from classify.gather import RowKey, rows_of, verdicts_of
from classify.paired import corrected_resampled_t
from classify.verdicts import Verdicts

LABEL = np.repeat([1, 0], 40)
Rows = dict[RowKey, tuple[list[dict[str, Any]], Verdicts]]


def gathered(records: list[dict[str, Any]]) -> Rows:
    return {key: (group, verdicts_of(group, 0.95)) for key, group in rows_of(records).items()}


def scores(seed: int, skill: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(skill * (2 * LABEL - 1), 1.3)


def fit(skill: float, number: int, *, fold: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a record of made-up scores over the images of a fold, better with more `skill`."""
    return record(score=scores(100 * number + fold, skill), label=LABEL, fold=fold, **changes)


def named(found: list[Contrast]) -> dict[tuple[str, str], Contrast]:
    return {
        (f"{c.row.ratio} {c.row.control} {c.row.synthetic}", f"{c.other.ratio} {c.other.control}"): c for c in found
    }


STUDY = [
    fit(skill, 10 * number + seed, fold=fold, seed=seed, ratio=ratio, control=control, synthetic=synthetic)
    for number, (skill, ratio, control, synthetic) in enumerate(
        [
            (0.8, "none", "none", "positive"),
            (1.0, "1:5", "none", "positive"),
            (1.4, "1:2", "none", "positive"),
            (1.3, "1:2", "none", "both"),
            (0.9, "1:2", "oversampling", "positive"),
            (0.9, "1:2", "epochs", "positive"),
            (0.7, "1:5", "oversampling", "positive"),
        ]
    )
    for fold in range(3)
    for seed in range(2)
]


def naive(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a contrast is, by loops over the images of each fold that both judged."""

    def judged(records: list[dict[str, Any]]) -> dict[tuple[int, str], list[tuple[float, int]]]:
        found: dict[tuple[int, str], list[tuple[float, int]]] = {}
        for each in records:
            said = each["verdicts"]
            for image, score, label in zip(said["image_id"], said["score"], said["label"], strict=True):
                found.setdefault((each["key"]["fold"], image), []).append((score, label))
        return found

    one, two = judged(first), judged(second)
    common = sorted(one.keys() & two.keys())

    def shares(found: dict[tuple[int, str], list[tuple[float, int]]], fold: int | None = None) -> float:
        rights = [
            (score > 0) == (label == 1)
            for key in common
            for score, label in found[key]
            if fold is None or key[0] == fold
        ]
        return sum(rights) / len(rights)

    def vote(found: dict[tuple[int, str], list[tuple[float, int]]], key: tuple[int, str]) -> bool:
        said = found[key]
        return (sum(score for score, _ in said) / len(said) > 0) == (said[0][1] == 1)

    table = np.zeros((2, 2), int)
    for key in common:
        table[0 if vote(one, key) else 1, 0 if vote(two, key) else 1] += 1
    folds = sorted({fold for fold, _ in common})
    return {
        "n": len({image for _, image in common}),
        "gain": shares(one) - shares(two),
        "table": table,
        "p": mcnemar(table, exact=True).pvalue if table[0, 1] + table[1, 0] else 1.0,
        "by_fold": [shares(one, fold) - shares(two, fold) for fold in folds],
    }


def test_every_row_is_compared_with_none_and_with_the_controls_of_its_ratio_alone() -> None:
    against_none, against_controls = contrasts(gathered(STUDY))
    none = "none none"
    assert list(named(against_none)) == [
        ("1:5 none positive", none),
        ("1:5 oversampling positive", none),
        ("1:2 none positive", none),
        ("1:2 none both", none),
        ("1:2 oversampling positive", none),
        ("1:2 epochs positive", none),
    ]
    assert list(named(against_controls)) == [
        ("1:5 none positive", "1:5 oversampling"),
        ("1:2 none positive", "1:2 oversampling"),
        ("1:2 none positive", "1:2 epochs"),
        ("1:2 none both", "1:2 oversampling"),
        ("1:2 none both", "1:2 epochs"),
    ]


def test_contrasts_are_those_of_a_loop_over_the_raw_verdicts() -> None:
    rows = rows_of(STUDY)
    for found in contrasts(gathered(STUDY)):
        for each in found:
            expected = naive(rows[each.row], rows[each.other])
            assert each.n == expected["n"] == 240
            assert each.gain == pytest.approx(expected["gain"])
            assert (each.only_row_right, each.only_other_right) == (expected["table"][0, 1], expected["table"][1, 0])
            assert each.p == pytest.approx(expected["p"])
            t_test = corrected_resampled_t(expected["by_fold"], 600, 80)
            assert each.p_folds == pytest.approx(None if t_test is None else t_test[1])
            low, high = each.gain_interval
            assert low < each.gain < high
        corrected = multipletests([each.p for each in found], method="holm")[1]
        assert [each.p_holm for each in found] == pytest.approx(corrected)


def test_only_folds_and_images_that_both_judged_are_compared() -> None:
    """None was tested on folds 0 and 1, 1:2 on folds 1 and 2 and there on fewer images: fold 1's first 60 remain."""
    none = [fit(0.5, 1, fold=fold) for fold in (0, 1)]
    part = np.arange(80) < 60
    kept = [
        record(
            score=scores(300 + fold, 1.5)[part],
            label=LABEL[part],
            image=[f"fold{fold}-{number:04}" for number in np.flatnonzero(part)],
            group=10_000 * fold + np.flatnonzero(part),
            fold=fold,
            ratio="1:2",
        )
        for fold in (1, 2)
    ]
    ((found,), _) = contrasts(gathered(none + kept))
    expected = naive(kept, none)
    assert found.n == expected["n"] == 60
    assert found.gain == pytest.approx(expected["gain"])
    assert found.p_folds is None  # one fold is common
    assert contrasts(gathered([fit(0.5, 1, fold=0), fit(0.9, 2, fold=1, ratio="1:2")])) == ([], [])


def test_protocols_are_never_mixed() -> None:
    mixed = [fit(0.5, 1, protocol="paper"), fit(1.0, 2, ratio="1:2"), fit(1.0, 3, ratio="1:2", control="epochs")]
    against_none, against_controls = contrasts(gathered(mixed))
    assert against_none == []
    assert len(against_controls) == 1
    both = [
        fit(skill, 4, protocol=p, ratio=r) for skill, r in ((0.5, "none"), (1.0, "1:2")) for p in ("paper", "strict")
    ]
    found, _ = contrasts(gathered(both))
    assert [(each.row.protocol, each.other.protocol) for each in found] == [("paper", "paper"), ("strict", "strict")]


def test_models_are_compared_with_themselves_alone() -> None:
    rows = [fit(0.5, 1), fit(1.0, 2, model="vgg16", ratio="1:2"), fit(0.6, 3, model="vgg16")]
    found, _ = contrasts(gathered(rows))
    assert [(each.row.model, each.other.model) for each in found] == [("vgg16", "vgg16")]


def test_rows_of_different_cohort_files_are_not_compared() -> None:
    """The same photographs may have other group numbers there."""
    assert contrasts(gathered([fit(0.5, 1), fit(1.0, 2, ratio="1:2", cohort="d" * 64)])) == ([], [])


def test_several_seeds_of_one_row_and_one_of_the_other_are_compared_image_by_image() -> None:
    rows = [fit(0.5, 1), *(fit(1.2, 10 + seed, seed=seed, ratio="1:2") for seed in range(3))]
    ((found,), _) = contrasts(gathered(rows))
    expected = naive(rows[1:], rows[:1])
    assert (found.n, found.only_row_right) == (80, expected["table"][0, 1])
    assert found.gain == pytest.approx(expected["gain"])


def test_the_gain_in_auc_is_the_difference_of_the_means_over_models() -> None:
    rows = rows_of(STUDY)
    for each in contrasts(gathered(STUDY))[0]:
        means = []
        for key in (each.row, each.other):
            areas = []
            for one in rows[key]:
                score = np.array(one["verdicts"]["score"])
                pairs = itertools.product(score[LABEL == 1], score[LABEL == 0])
                areas.append(np.mean([a > b for a, b in pairs]))
            means.append(np.mean(areas))
        assert each.auc_gain == pytest.approx(means[0] - means[1])


def test_a_class_that_is_missing_leaves_the_gain_in_auc_undefined() -> None:
    rows = [record(score=[1.0, -1.0], label=[1, 1]), record(score=[1.0, 1.0], label=[1, 1], ratio="1:2")]
    ((found,), _) = contrasts(gathered(rows))
    assert (found.gain, found.auc_gain, found.auc_interval) == (0.5, None, None)


def test_two_rows_that_are_always_right_have_an_interval_with_a_width() -> None:
    """A bootstrap would say that neither gain nor loss is possible."""
    ((found,), _) = contrasts(gathered([record((95, 95)), record((95, 95), ratio="1:2")]))
    assert (found.gain, found.p, found.is_better, found.is_worse) == (0, 1, False, False)
    low, high = found.gain_interval
    assert -low == high > 0.01


def test_photographs_of_few_patients_are_not_beyond_chance_though_mcnemar_says_so() -> None:
    """12 photographs turn right, but all are of one patient of ten: the test of photographs is fooled, not the row."""
    images = 120
    label = np.repeat([1, 0], images // 2)
    wrong = np.arange(images) < 12
    score = np.where(label == 1, 2.0, -2.0)
    groups = np.arange(images) // 12
    rows = [
        record(score=np.where(wrong, -score, score), label=label, group=groups),
        record(score=score, label=label, group=groups, ratio="1:2"),
    ]
    ((found,), _) = contrasts(gathered(rows))
    assert found.p_holm < 0.001
    assert found.gain == pytest.approx(0.1)
    assert not found.is_better
    alone = [
        record(score=np.where(wrong, -score, score), label=label),
        record(score=score, label=label, ratio="1:2"),
    ]
    ((independent,), _) = contrasts(gathered(alone))
    assert independent.is_better
    ((back,), _) = contrasts(gathered([alone[0] | {"key": alone[1]["key"]}, alone[1] | {"key": alone[0]["key"]}]))
    assert (back.is_better, back.is_worse) == (False, True)


def test_models_without_synthetic_images_are_compared_the_better_first() -> None:
    skills = {"custom_cnn": 0.5, "vgg16": 1.5, "resnet50": 1.0}
    rows = [fit(skill, 1 + n, model=model) for n, (model, skill) in enumerate(skills.items())]
    found = between_models(gathered([*rows, fit(1.0, 9, ratio="1:2"), fit(1.0, 9, model="vgg16", protocol="paper")]))
    assert len(found) == 3
    assert all(each.gain >= 0 and skills[each.row.model] > skills[each.other.model] for each in found)
    assert [each.p_holm for each in found] == pytest.approx(multipletests([e.p for e in found], method="holm")[1])


def test_models_without_synthetic_images_stand_against_each_other_the_better_first() -> None:
    """Every pair once, as a loop over the verdicts finds it, with Holm's correction over the pairs alone."""
    skills = {"custom_cnn": 0.5, "vgg16": 1.5, "resnet50": 1.0}
    records = [
        fit(skill, number, fold=fold, model=model)
        for number, (model, skill) in enumerate(skills.items())
        for fold in range(3)
    ]
    rest = [fit(3.0, 9, model="vgg16", ratio="1:2"), fit(3.0, 8, model="vgg16", protocol="paper")]
    found = between_models(gathered(records + rest))
    assert len(found) == 3
    for each in found:
        one, two = ([r for r in records if r["key"]["model"] == key.model] for key in (each.row, each.other))
        expected = naive(one, two)
        assert each.gain == pytest.approx(expected["gain"])
        assert each.gain > 0
        assert each.p == pytest.approx(expected["p"])
    assert [c.p_holm for c in found] == pytest.approx(multipletests([c.p for c in found], method="holm")[1])
