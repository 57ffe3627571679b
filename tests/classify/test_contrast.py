"""Rows against each other, held to loops over the raw verdicts, statsmodels and sums written out."""

import itertools
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from recorded import record
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from classify.measuring.paired import corrected_resampled_t, sign_flip_exact
from classify.measuring.verdicts import Verdicts
from classify.table2.contrast import Contrast, Contrasts, contrasts
from classify.table2.gather import RowKey, rows_of, verdicts_of

LABEL = np.repeat([1, 0], 40)
Rows = dict[RowKey, tuple[list[dict[str, Any]], Verdicts]]


def gathered(records: list[dict[str, Any]]) -> Rows:
    return {key: (group, verdicts_of(group, 0.95)) for key, group in rows_of(records).items()}


def compared(*records: dict[str, Any]) -> Contrasts:
    return contrasts(gathered(list(records)))


def only(*records: dict[str, Any]) -> Contrast:
    """Return the one contrast of a table of two rows."""
    (found,) = [each for family in vars(compared(*records)).values() for each in family]
    return found


def every(found: Contrasts) -> list[Contrast]:
    return [each for family in vars(found).values() for each in family]


def scores(seed: int, skill: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(skill * (2 * LABEL - 1), 1.3)


def fit(skill: float, number: int, *, fold: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a record of made-up scores over the images of a fold, better with more `skill`."""
    return record(score=scores(100 * number + fold, skill), label=LABEL, fold=fold, **changes)


def named(found: Sequence[Contrast]) -> list[tuple[str, str]]:
    return [
        (f"{c.row.ratio} {c.row.control} {c.row.synthetic}", f"{c.other.ratio} {c.other.control} {c.other.synthetic}")
        for c in found
    ]


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
    """Return what a contrast is, by loops over the verdicts that the same fold and seed of both gave on an image."""

    def judged(records: list[dict[str, Any]]) -> dict[tuple[int, str, int], bool]:
        found: dict[tuple[int, str, int], bool] = {}
        for each in records:
            said, key = each["verdicts"], each["key"]
            for image, score, label in zip(said["image_id"], said["score"], said["label"], strict=True):
                found[key["fold"], image, key["seed"]] = (score > 0) == (label == 1)
        return found

    one, two = judged(first), judged(second)
    of_images: dict[tuple[int, str], list[tuple[bool, bool]]] = {}
    for key in sorted(one.keys() & two.keys()):
        of_images.setdefault(key[:2], []).append((one[key], two[key]))

    def share(rights: list[tuple[bool, bool]], want: tuple[bool, bool]) -> float:
        return rights.count(want) / len(rights)

    ahead = {key: share(rights, (True, False)) for key, rights in of_images.items()}
    behind = {key: share(rights, (False, True)) for key, rights in of_images.items()}
    gain = {key: ahead[key] - behind[key] for key in of_images}
    folds = sorted({fold for fold, _ in of_images})
    return {
        "n": len({image for _, image in of_images}),
        "gain": np.mean(list(gain.values())),
        "ahead": sum(ahead.values()),
        "behind": sum(behind.values()),
        "p": sign_flip_exact(
            [sum(a - b for a, b in rights) for rights in of_images.values()], [len(r) for r in of_images.values()]
        ),
        "by_fold": [np.mean([gain[key] for key in gain if key[0] == fold]) for fold in folds],
    }


def test_every_row_is_compared_with_none_with_the_controls_of_its_ratio_and_with_positives_alone() -> None:
    found = compared(*STUDY)
    none = "none none positive"
    assert named(found.against_none) == [
        ("1:5 none positive", none),
        ("1:5 oversampling positive", none),
        ("1:2 none positive", none),
        ("1:2 none both", none),
        ("1:2 oversampling positive", none),
        ("1:2 epochs positive", none),
    ]
    assert named(found.against_controls) == [
        ("1:5 none positive", "1:5 oversampling positive"),
        ("1:2 none positive", "1:2 oversampling positive"),
        ("1:2 none positive", "1:2 epochs positive"),
        ("1:2 none both", "1:2 oversampling positive"),
        ("1:2 none both", "1:2 epochs positive"),
    ]
    assert named(found.against_positive) == [("1:2 none both", "1:2 none positive")]
    assert not found.between_models
    assert not found.against_probe
    assert found.count == len(every(found)) == 12


def test_contrasts_are_those_of_a_loop_over_the_raw_verdicts_and_corrected_together() -> None:
    rows, found = rows_of(STUDY), every(compared(*STUDY))
    for each in found:
        expected = naive(rows[each.row], rows[each.other])
        assert each.n == expected["n"] == 240
        assert each.seeds == 2
        assert each.gain == pytest.approx(expected["gain"])
        assert (each.only_row_right, each.only_other_right) == pytest.approx((expected["ahead"], expected["behind"]))
        assert each.gain == pytest.approx((each.only_row_right - each.only_other_right) / each.n)
        assert each.p == pytest.approx(expected["p"])
        t_test = corrected_resampled_t(expected["by_fold"], 600, 80)
        assert each.p_folds == pytest.approx(None if t_test is None else t_test[1])
        low, high = each.gain_interval
        assert low < each.gain < high
    for name in ("p", "p_folds"):
        corrected = multipletests([getattr(each, name) for each in found], method="holm")[1]
        assert [getattr(each, f"{name}_holm") for each in found] == pytest.approx(corrected)


def naive_newcombe(both: int, ahead: int, behind: int, neither: int) -> tuple[float, float]:
    """Method 10 with Wilson's ends of both shares by statsmodels."""
    n = both + ahead + behind + neither
    ends = [proportion_confint(count, n, method="wilson") for count in (both + ahead, both + behind)]
    one, two = (both + ahead) / n, (both + behind) / n
    over = both * neither - ahead * behind
    over = max(over - n / 2, 0) if over > 0 else over
    phi = over / np.sqrt((both + ahead) * (behind + neither) * (both + behind) * (ahead + neither))
    reach = [
        np.sqrt(a**2 - 2 * phi * a * b + b**2)
        for a, b in ((one - ends[0][0], ends[1][1] - two), (ends[0][1] - one, two - ends[1][0]))
    ]
    return one - two - reach[0], one - two + reach[1]


def naive_bootstrap(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> tuple[float, float]:
    """Draw patients anew within each fold and class, with all their images, and take the middle 95 % of the gains."""
    rng, drawn = np.random.default_rng(7), []
    strata: dict[tuple[int, int], dict[int, list[int]]] = {}
    for one, two in zip(rows, others, strict=True):
        said, told = one["verdicts"], two["verdicts"]
        for group, label, a, b in zip(said["group_id"], said["label"], said["score"], told["score"], strict=True):
            gain = int((a > 0) == (label == 1)) - int((b > 0) == (label == 1))
            strata.setdefault((one["key"]["fold"], label), {}).setdefault(group, []).append(gain)
    for _ in range(4000):
        gains: list[int] = []
        for patients in strata.values():
            own = list(patients.values())
            for number in rng.integers(0, len(own), len(own)):
                gains += own[number]
        drawn.append(np.mean(gains))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize("photographs", [1, 8])
def test_the_interval_of_a_gain_is_newcombe_s_or_the_bootstrap_s_over_patients_where_that_goes_further(
    photographs: int,
) -> None:
    """With eight photographs a patient, which a row gets right or wrong together, the bootstrap is the wider one."""
    rng, rows = np.random.default_rng(5), {}
    patient = np.arange(80) // photographs
    for ratio, skill in (("none", 0.6), ("1:2", 1.0)):
        rows[ratio] = [
            record(
                score=rng.normal(skill, 1.3, patient.max() + 1)[patient] * (2 * LABEL - 1),
                label=LABEL,
                group=(1000 * fold + patient).tolist(),
                fold=fold,
                ratio=ratio,
            )
            for fold in range(2)
        ]
    found = only(*rows["none"], *rows["1:2"])
    right = {
        ratio: np.concatenate([(np.array(each["verdicts"]["score"]) > 0) == (LABEL == 1) for each in rows[ratio]])
        for ratio in rows
    }
    one, two = right["1:2"], right["none"]
    newcombe = naive_newcombe(*(int(which.sum()) for which in (one & two, one & ~two, ~one & two, ~one & ~two)))
    bootstrap = naive_bootstrap(rows["1:2"], rows["none"])
    expected = min(newcombe[0], bootstrap[0]), max(newcombe[1], bootstrap[1])
    error = 0.012  # of ends by 2000 and 4000 draws; patients widen the interval by 0.05 and more
    assert found.gain_interval == pytest.approx(expected, abs=1e-9 if photographs == 1 else error)
    if photographs > 1:
        assert bootstrap[1] - bootstrap[0] > newcombe[1] - newcombe[0] + 8 * error


def test_of_two_numbers_of_training_images_the_smaller_widens_the_test_of_folds() -> None:
    """1:2 learns from more photographs of the other class than none does, and fold 3 is judged by one row alone."""
    few, many = ({"real_positives": 183, "distinct_negatives": n, "synthetic_positives": 0} for n in (183, 275))
    none = [fit(0.5, 1, fold=fold, counts=few) for fold in range(3)]
    odd = fit(0.5, 1, fold=3, counts={**few, "real_positives": 3})
    more = [fit(1.0, 2, fold=fold, ratio="1:2", counts=many) for fold in range(3)]
    expected = corrected_resampled_t(naive(more, none)["by_fold"], 366, 80)
    assert expected is not None
    assert only(*none, odd, *more).p_folds == pytest.approx(expected[1])


def test_with_one_seed_p_is_mcnemar_s_of_statsmodels() -> None:
    records = [each for each in STUDY if each["key"]["seed"] == 1]
    rows = rows_of(records)
    for each in every(compared(*records)):
        one, two = (
            np.concatenate([(np.array(r["verdicts"]["score"]) > 0) == (LABEL == 1) for r in rows[key]])
            for key in (each.row, each.other)
        )
        table = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
        assert each.p == pytest.approx(mcnemar(table, exact=True).pvalue)


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
    found = only(*none, *kept)
    expected = naive(kept, none)
    assert found.n == expected["n"] == 60
    assert found.gain == pytest.approx(expected["gain"])
    assert found.p_folds is found.p_folds_holm is None  # one fold is common
    assert not every(compared(fit(0.5, 1, fold=0), fit(0.9, 2, fold=1, ratio="1:2")))


def test_seeds_that_only_one_row_has_are_left_out() -> None:
    """They would make an ensemble of one row, or weigh its easy folds more."""
    none = [fit(0.5, 1 + seed, seed=seed) for seed in (0, 1)]
    more = [fit(0.5, 7 + seed, seed=seed, ratio="1:2") for seed in (1, 2, 3)]
    found = only(*none, *more)
    assert found.seeds == 1
    assert astuple(found)[2:] == astuple(only(none[1], more[0]))[2:]
    assert not every(compared(none[0], *more))


def test_verdicts_that_are_the_same_have_no_gain_whatever_seeds_folds_have() -> None:
    """Fold 0 is easy, and has two more seeds."""
    easy, hard = scores(1, 3.0), scores(2, 0.3)
    rows = [
        record(score=score, label=LABEL, fold=fold, seed=seed, ratio=ratio)
        for ratio in ("none", "1:2")
        for fold, score, seeds in ((0, easy, 1 if ratio == "none" else 3), (1, hard, 1))
        for seed in range(seeds)
    ]
    found = only(*rows)
    assert (found.gain, found.auc_gain, found.p, found.p_folds) == (0, 0, 1, 1)
    assert found.auc_interval == (0, 0)


def test_protocols_are_never_mixed() -> None:
    mixed = compared(
        fit(0.5, 1, protocol="paper"), fit(1.0, 2, ratio="1:2"), fit(1.0, 3, ratio="1:2", control="epochs")
    )
    assert not mixed.against_none
    assert len(mixed.against_controls) == 1
    both = [
        fit(skill, 4, protocol=p, ratio=r) for skill, r in ((0.5, "none"), (1.0, "1:2")) for p in ("paper", "strict")
    ]
    found = compared(*both).against_none
    assert [(each.row.protocol, each.other.protocol) for each in found] == [("strict", "strict"), ("paper", "paper")]


def test_models_are_compared_with_themselves_and_without_synthetic_images_with_each_other() -> None:
    found = compared(fit(0.5, 1), fit(1.0, 2, model="vgg16", ratio="1:2"), fit(0.6, 3, model="vgg16"))
    assert [(each.row.model, each.other.model) for each in found.against_none] == [("vgg16", "vgg16")]
    assert len(found.between_models) == 1
    assert not found.against_probe


def test_models_with_synthetic_images_are_compared_with_the_linear_probe_without() -> None:
    records = [
        fit(0.5 + number / 10, number, model=model, ratio=ratio, protocol=protocol)
        for number, (model, ratio, protocol) in enumerate(
            itertools.product(("linear_probe", "custom_cnn"), ("none", "1:5", "1:2"), ("strict", "paper"))
        )
    ]
    found = compared(*records, fit(1.0, 50, ratio="1:2", control="epochs"), fit(1.0, 51, ratio="1:2", synthetic="both"))
    assert [(c.row.model, c.row.ratio, c.row.protocol, c.other.model, c.other.ratio) for c in found.against_probe] == [
        ("custom_cnn", ratio, protocol, "linear_probe", "none")
        for protocol in ("strict", "paper")
        for ratio in ("1:5", "1:2")
    ]
    assert {each.row.protocol == each.other.protocol for each in found.against_probe} == {True}


def test_rows_of_different_cohort_files_are_not_compared() -> None:
    """The same photographs may have other group numbers there."""
    assert not every(compared(fit(0.5, 1), fit(1.0, 2, ratio="1:2", cohort="d" * 64)))


def test_the_gain_in_auc_is_the_difference_of_the_means_over_models() -> None:
    rows = rows_of(STUDY)
    for each in compared(*STUDY).against_none:
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
    found = only(record(score=[1.0, -1.0], label=[1, 1]), record(score=[1.0, 1.0], label=[1, 1], ratio="1:2"))
    assert (found.gain, found.auc_gain, found.auc_interval) == (0.5, None, None)


def test_two_rows_that_are_always_right_have_an_interval_with_a_width() -> None:
    """A bootstrap would say that neither gain nor loss is possible."""
    found = only(record((95, 95)), record((95, 95), ratio="1:2"))
    assert (found.gain, found.p, found.is_better, found.is_worse) == (0, 1, False, False)
    low, high = found.gain_interval
    assert -low == high > 0.01


def test_photographs_of_few_patients_are_not_beyond_chance() -> None:
    """12 photographs turn right, but all are of one patient of ten: one of one, which is half of all that can be."""
    images = 120
    label = np.repeat([1, 0], images // 2)
    wrong = np.arange(images) < 12
    score = np.where(label == 1, 2.0, -2.0)
    groups = np.arange(images) // 12
    found = only(
        record(score=np.where(wrong, -score, score), label=label, group=groups),
        record(score=score, label=label, group=groups, ratio="1:2"),
    )
    assert (found.n, found.groups, found.p) == (120, 10, 1.0)
    assert found.gain == pytest.approx(0.1)
    assert not found.is_better
    alone = [
        record(score=np.where(wrong, -score, score), label=label),
        record(score=score, label=label, ratio="1:2"),
    ]
    assert only(*alone).is_better
    assert only(*alone).p == pytest.approx(2 / 2**12)
    back = only(alone[0] | {"key": alone[1]["key"]}, alone[1] | {"key": alone[0]["key"]})
    assert (back.is_better, back.is_worse) == (False, True)


@pytest.mark.parametrize(("gains", "holds"), [((6, 6, 7, 6, 7), True), ((28, 0, 1, 2, 1), False)])
def test_what_other_trainings_would_change_is_told_by_the_folds(gains: tuple[int, ...], holds: bool) -> None:
    """32 images more are right either way; where one fold has nearly all of them, another training may have none."""
    rows = [
        record((60 + gain, 80), (100, 100), fold=fold, ratio=ratio)
        for fold, gains_of_fold in enumerate(gains)
        for ratio, gain in (("none", 0), ("1:2", gains_of_fold))
    ]
    found = only(*rows)
    assert found.is_better
    assert found.gain == pytest.approx(0.032)
    assert found.holds_for_trainings == holds
    assert not only(*rows[:2]).holds_for_trainings  # one fold tells nothing


def test_models_without_synthetic_images_stand_against_each_other_the_better_first() -> None:
    """Every pair once, as a loop over the verdicts finds it."""
    skills = {"custom_cnn": 0.5, "vgg16": 1.5, "resnet50": 1.0}
    records = [
        fit(skill, number, fold=fold, model=model)
        for number, (model, skill) in enumerate(skills.items())
        for fold in range(3)
    ]
    rest = [fit(3.0, 9, model="vgg16", ratio="1:2"), fit(3.0, 8, model="vgg16", protocol="paper")]
    found = compared(*records, *rest).between_models
    assert len(found) == 3
    for each in found:
        one, two = ([r for r in records if r["key"]["model"] == key.model] for key in (each.row, each.other))
        expected = naive(one, two)
        assert each.gain == pytest.approx(expected["gain"])
        assert each.gain > 0
        assert skills[each.row.model] > skills[each.other.model]
        assert each.p == pytest.approx(expected["p"])
