"""Records become rows and verdicts: nothing of another row, nothing in another order."""

import itertools
import random

import numpy as np
import pytest
from recorded import record

from classify.measuring.calibration import fit_temperature, threshold_for_sensitivity
from classify.table2.gather import RowKey, attributes_of, rows_of, seen_images, settings_on_validation, verdicts_of


def test_rows_are_told_apart_by_all_that_the_key_names_and_not_by_fold_seed_and_set() -> None:
    records = [
        record((3, 3), (4, 4), model=m, ratio=r, control=c, protocol=p, fold=f, seed=s, set_name=name)
        for m, (r, c), p, f, s, name in itertools.product(
            ("custom_cnn", "vgg16"),
            (("1:2", "none"), ("1:5", "none"), ("1:2", "epochs")),
            ("strict", "paper"),
            (0, 1),
            (0, 1),
            ("balanced", "external"),
        )
    ]
    random.Random(0).shuffle(records)
    rows = rows_of(records)
    assert len(rows) == 2 * 3 * 2
    for key, group in rows.items():
        assert {RowKey.of(each) for each in group} == {key}
        order = [(each["key"]["set"], each["key"]["fold"], each["key"]["seed"]) for each in group]
        assert order == sorted(order)
        assert len(order) == 8


def test_ratios_stand_by_what_they_are_worth_and_not_by_their_letters() -> None:
    ratios = ["1:2", "1:10", "none", "2:1", "1:5"]
    assert [key.ratio for key in rows_of([record((1, 1), (1, 1), ratio=each) for each in ratios])] == [
        "none", "1:10", "1:5", "1:2", "2:1",
    ]  # fmt: skip


def test_verdicts_keep_each_models_own_temperature_and_threshold() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0], 20)
    known = {fold: (rng.normal(2 * label - 1, 2) * (1 + fold), label) for fold in range(3)}
    records = [record(score=[1.0, -2.0], label=[1, 0], fold=fold, validation=known[fold]) for fold in range(3)]
    found = verdicts_of(records, 0.9)
    assert found.fold.tolist() == [0, 0, 1, 1, 2, 2]
    for fold, (score, truth) in known.items():
        own = found.fold == fold
        assert set(found.temperature[own]) == {fit_temperature(score, truth)}
        assert set(found.threshold[own]) == {threshold_for_sensitivity(score, truth, 0.9)}
    assert len(set(found.temperature)) == 3


def test_without_validation_the_likelier_class_is_the_verdict() -> None:
    nothing = record(score=[0.1, -0.1], label=[1, 0])
    assert settings_on_validation(nothing, 0.95) == (1.0, None)
    found = verdicts_of([nothing], 0.95)
    assert found.threshold.tolist() == [0.5, 0.5]
    assert found.positive_at_threshold.tolist() == found.positive.tolist() == [True, False]


def test_attributes_stand_in_the_order_of_the_verdicts() -> None:
    records = [
        record(score=[1.0, 2.0], label=[1, 0], fold=fold, attributes={"tone": [fold, fold + 10], f"own{fold}": [0, 0]})
        for fold in range(2)
    ]
    assert dict(attributes_of(records)) == {"tone": [0, 10, 1, 11]}
    assert list(attributes_of([])) == []


def test_an_image_that_several_models_saw_was_seen_once() -> None:
    records = [record((2, 2), (2, 2), seed=seed, seen=seed) for seed in range(4)]
    assert seen_images(records) == 3
    assert seen_images([]) == 0


@pytest.mark.parametrize("part", ["model", "ratio", "control", "synthetic", "protocol"])
def test_a_key_that_lacks_a_part_is_no_row(part: str) -> None:
    lacking = record()
    del lacking["key"][part]
    with pytest.raises(KeyError, match=part):
        rows_of([lacking])
