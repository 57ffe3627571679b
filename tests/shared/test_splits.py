import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.cohort import EXTERNAL, MAX_FOLDS, NO_FOLD, STUDY, Cohort
from shared.errors import UserError
from shared.splits import (
    _spread,
    _validation_piece,
    assign_folds,
    balanced_test_set,
    external_test_set,
    inner_parts,
    partners,
    parts,
)


def cohort_of(
    label: np.ndarray, group_id: np.ndarray, *, folds: int, seed: int, role: np.ndarray | None = None
) -> Cohort:
    count = len(label)
    role = np.zeros(count, np.uint8) if role is None else role
    fold = np.full(count, NO_FOLD, np.int8)
    study = role == STUDY
    fold[study] = assign_folds(label[study], group_id[study], folds=folds, seed=seed)
    return Cohort(
        images=np.zeros((count, 1, 1, 3), np.uint8),
        label=label,
        image_id=np.array([hashlib.sha256(str(row).encode()).hexdigest() for row in range(count)]),
        group_id=group_id,
        fold=fold,
        role=role,
        source_path=np.array([str(row) for row in range(count)]),
        classes=("n", "p"),
        folds=folds,
        seed=seed,
        source="photographs",
    )


def permuted(cohort: Cohort, order: np.ndarray) -> Cohort:
    names = ("images", "label", "image_id", "group_id", "fold", "role", "source_path")
    return replace(cohort, **{name: getattr(cohort, name)[order] for name in names})


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Any sizes, groups of one or many images of either class, some images external."""
    count = draw(st.integers(12, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    label = (rng.random(count) < draw(st.floats(0.1, 0.9))).astype(np.int64)
    group_id = rng.integers(0, draw(st.integers(6, 3 * count)), count)
    role = ((label == 0) & (rng.random(count) < 0.2)).astype(np.uint8)
    folds = draw(st.integers(2, 6))
    study = role == STUDY
    assume(all(len(np.unique(group_id[study & (label == value)])) >= folds for value in (0, 1)))
    return cohort_of(label, group_id, folds=folds, seed=draw(st.integers(0, 2**32 - 1)), role=role)


@given(cohorts(), st.data())
def test_parts_are_disjoint_cover_the_study_and_split_no_group(cohort: Cohort, data: st.DataObject) -> None:
    fold = data.draw(st.integers(0, cohort.folds - 1))
    split = parts(cohort, fold)
    rows = np.concatenate([split.train, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(cohort.role == STUDY))
    groups = [set(cohort.group_id[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, groups)) == len(set.union(*groups))
    for part in (split.train, split.validation, split.test):
        assert (np.diff(part) > 0).all()
        assert part.dtype == np.int64


@given(cohorts())
def test_each_study_image_is_tested_once(cohort: Cohort) -> None:
    tested = np.concatenate([parts(cohort, fold).test for fold in range(cohort.folds)])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(cohort.role == STUDY))


@given(cohorts(), st.data())
def test_training_has_both_classes(cohort: Cohort, data: st.DataObject) -> None:
    fold = data.draw(st.integers(0, cohort.folds - 1))
    study_rest = (cohort.role == STUDY) & (cohort.fold != fold)
    assume(len(np.unique(cohort.label[study_rest])) == 2)
    train = cohort.label[parts(cohort, fold).train]
    assert set(train.tolist()) == {0, 1}


@given(cohorts(), st.data())
def test_a_draw_does_not_depend_on_the_order_of_the_images(cohort: Cohort, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(cohort)))))
    fold = data.draw(st.integers(0, cohort.folds - 1))
    other = permuted(cohort, order)
    study = other.role == STUDY
    again = assign_folds(other.label[study], other.group_id[study], folds=cohort.folds, seed=cohort.seed)
    np.testing.assert_array_equal(again, other.fold[study])
    for mine, theirs in zip(vars(parts(cohort, fold)).values(), vars(parts(other, fold)).values(), strict=True):
        np.testing.assert_array_equal(np.sort(order[theirs]), mine)
    np.testing.assert_array_equal(np.sort(order[balanced_test_set(other, fold)]), balanced_test_set(cohort, fold))


@given(cohorts(), st.integers(1, 1000))
def test_only_the_order_of_the_group_numbers_counts(cohort: Cohort, factor: int) -> None:
    study = cohort.role == STUDY
    again = assign_folds(cohort.label[study], cohort.group_id[study] * factor - 7, folds=cohort.folds, seed=cohort.seed)
    np.testing.assert_array_equal(again, cohort.fold[study])


@settings(max_examples=20)
@given(
    positives=st.integers(20, 150),
    negatives=st.integers(20, 150),
    folds=st.integers(2, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_shares_of_single_images_are_exact(positives: int, negatives: int, folds: int, seed: int) -> None:
    label = np.repeat([1, 0], [positives, negatives])
    cohort = cohort_of(label, np.arange(len(label)), folds=folds, seed=seed)
    for value, total in ((1, positives), (0, negatives)):
        counts = np.bincount(cohort.fold[label == value], minlength=folds)
        assert set(counts.tolist()) <= {total // folds, -(-total // folds)}
        for fold in range(folds):
            split = parts(cohort, fold)
            rest = total - counts[fold]
            assert (label[split.test] == value).sum() == counts[fold]
            assert (label[split.validation] == value).sum() in (rest // 10, -(-rest // 10))


def test_the_papers_numbers() -> None:
    label = np.repeat([1, 0], 474)
    split = parts(cohort_of(label, np.arange(948), folds=5, seed=0), 0)
    shares = [len(part) / 948 for part in (split.train, split.validation, split.test)]
    np.testing.assert_allclose(shares, [0.72, 0.08, 0.20], atol=0.002)


def test_a_group_that_is_half_of_the_data_is_no_validation_part() -> None:
    label = np.tile([0, 1], 100)
    group_id = np.where(np.arange(200) < 90, 0, np.arange(200))
    cohort = cohort_of(label, group_id, folds=5, seed=1)
    for fold in range(5):
        split = parts(cohort, fold)
        assert 0 not in cohort.group_id[split.validation]
        assert 5 <= len(split.validation) <= 25


def test_seeds_and_folds_draw_differently() -> None:
    label = np.repeat([1, 0], 50)
    first, second = (cohort_of(label, np.arange(100), folds=5, seed=seed) for seed in (0, 1))
    assert (first.fold != second.fold).any()
    assert (parts(first, 0).validation != parts(replace(first, seed=1), 0).validation).any()


@given(cohorts(), st.data())
def test_a_search_divides_the_train_part_alone_and_no_group(cohort: Cohort, data: st.DataObject) -> None:
    fold = data.draw(st.integers(0, cohort.folds - 1))
    train = parts(cohort, fold).train
    groups = [set(cohort.group_id[train[cohort.label[train] == value]]) for value in (0, 1)]
    are_enough = min(map(len, groups)) >= 5 and not groups[0] & groups[1]  # then each fifth has some of each class
    try:
        inner = inner_parts(cohort, fold)
    except UserError:
        assert not are_enough
        return
    assert len(inner.test) == 0
    np.testing.assert_array_equal(np.sort(np.concatenate([inner.train, inner.validation])), train)
    assert not set(cohort.group_id[inner.train]) & set(cohort.group_id[inner.validation])
    for rows in (inner.train, inner.validation):
        assert (np.diff(rows) > 0).all()
        assert set(cohort.label[rows]) == {0, 1}
    order = np.random.default_rng(fold).permutation(len(cohort))
    again = inner_parts(permuted(cohort, order), fold)
    np.testing.assert_array_equal(np.sort(order[again.validation]), inner.validation)


@given(st.integers(20, 60), st.integers(20, 60), st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_a_search_validates_on_a_fifth_of_each_class(positives: int, negatives: int, seed: int, fold: int) -> None:
    label = np.repeat([1, 0], [positives, negatives])
    cohort = cohort_of(label, np.arange(len(label)), folds=5, seed=seed)
    train, inner = parts(cohort, fold).train, inner_parts(cohort, fold)
    for value in (0, 1):
        of_class = (label[train] == value).sum()
        assert (label[inner.validation] == value).sum() in (of_class // 5, -(-of_class // 5))


def test_a_search_on_a_train_part_of_too_few_groups_is_refused() -> None:
    """Of two positive groups in each fold's rest one goes to train, and it cannot be on both sides."""
    label = np.repeat([1, 0], [3, 60])
    cohort = replace(cohort_of(label, np.arange(63), folds=3, seed=0), path=Path("c.h5"))
    with pytest.raises(
        UserError, match=r"^c.h5: the training part of fold 1 cannot be divided again, .* lack a class"
    ) as told:
        inner_parts(cohort, 1)
    assert str(told.value).endswith("its validation images would lack a class; prepare a larger cohort.")
    with pytest.raises(UserError, match="--fold 3: out of range"):
        inner_parts(cohort, 3)


def test_the_balanced_set_has_all_positives_and_as_many_negatives() -> None:
    label = np.repeat([1, 0], [40, 130])
    cohort = cohort_of(label, np.arange(170), folds=5, seed=3)
    for fold in range(5):
        rows = balanced_test_set(cohort, fold)
        assert len(set(rows.tolist())) == len(rows) == 16
        np.testing.assert_array_equal(rows[label[rows] == 1], np.flatnonzero((cohort.fold == fold) & (label == 1)))
        assert (cohort.fold[rows] == fold).all()
        assert (label[rows] == 0).sum() == 8
    assert (balanced_test_set(cohort, 0) != balanced_test_set(replace(cohort, seed=4), 0)).any()


def test_the_balanced_set_stays_balanced_when_negatives_are_few() -> None:
    label = np.repeat([1, 0], [60, 20])
    cohort = cohort_of(label, np.arange(80), folds=5, seed=3)
    rows = balanced_test_set(cohort, 2)
    assert np.bincount(label[rows]).tolist() == [4, 4]


def test_external_images_of_study_groups_are_left_out(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(positives=6, negatives=6, externals=5)
    group_id = cohort.group_id.copy()
    group_id[12:] = [50, 0, 51, 51, 3]
    rows, left_out = external_test_set(replace(cohort, group_id=group_id))
    assert (rows.tolist(), left_out) == ([12, 14, 15], 2)
    assert (cohort.role[rows] == EXTERNAL).all()


@pytest.mark.parametrize("fold", [-1, 3, 100])
def test_a_fold_out_of_range_is_refused(fold: int, make_cohort: Callable[..., Cohort]) -> None:
    for split in (parts, balanced_test_set):
        with pytest.raises(UserError, match=f"--fold {fold}: out of range, .* has 3 folds; give 0 to 2"):
            split(make_cohort(folds=3), fold)


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        (5, r"--folds 5: only 4 independent positive .*give --folds 4 or fewer"),
        (1, "out of range"),
        (101, "out of range"),
    ],
)
def test_too_few_groups_for_the_folds_are_refused(folds: int, sentence: str) -> None:
    label = np.repeat([1, 0], [8, 200])
    group_id = np.concatenate([np.arange(8) // 2, np.arange(10, 210)])
    with pytest.raises(UserError, match=sentence):
        assign_folds(label, group_id, folds=folds, seed=0)


def test_a_single_group_of_a_class_leaves_no_way_but_more_images() -> None:
    with pytest.raises(UserError, match=r"only 1 independent positive .*give more images"):
        assign_folds(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 2]), folds=2, seed=0)


def test_partners_are_the_others_of_the_same_groups(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort()
    for rows in (np.array([0]), np.array([3, 1, 5]), np.arange(0), np.arange(len(cohort))):
        groups = {int(cohort.group_id[row]) for row in rows}
        expected = [row for row in range(len(cohort)) if int(cohort.group_id[row]) in groups and row not in rows]
        assert partners(cohort, rows).tolist() == expected


PIECES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=60)


@given(PIECES)
def test_validation_is_the_piece_that_lacks_least_and_is_nearest_to_a_tenth(images: list[tuple[int, int]]) -> None:
    """Of a loop over the pieces: no class lacking in train, none in validation, shares near to a tenth; the first."""
    label, piece = np.array(images).T

    def rank(number: int) -> tuple[int, int, float, int]:
        counts = [sum(each == (value, number) for each in images) for value in (0, 1)]
        total = [sum(value == own for own, _ in images) for value in (0, 1)]
        lacks_in_train = sum(count == of for count, of in zip(counts, total, strict=True))
        shares = [count / of if of else 0.0 for count, of in zip(counts, total, strict=True)]
        return lacks_in_train, counts.count(0), round(sum(abs(share - 0.1) for share in shares), 9), number

    assert _validation_piece(label, piece) == min(map(rank, range(10)))[3]


IMAGES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 11)), min_size=1, max_size=40)


@given(IMAGES, st.integers(2, 5), st.integers(0, 3))
def test_groups_go_largest_first_to_where_the_squares_of_shares_grow_least(
    images: list[tuple[int, int]], folds: int, seed: int
) -> None:
    """Of a loop in exact numbers: on a tie to the fold with the smaller shares, and then to the first."""
    groups = sorted({group for _, group in images})
    total = [max(1, sum(label == value for label, _ in images)) for value in (0, 1)]
    share = {
        group: [Fraction(sum(each == (value, group) for each in images), total[value]) for value in (0, 1)]
        for group in groups
    }
    size = {group: sum(own == group for _, own in images) for group in groups}
    chance = dict(zip(groups, np.random.default_rng(seed).random(len(groups)).tolist(), strict=True))
    filled = [[Fraction(0), Fraction(0)] for _ in range(folds)]
    fold_of = {}
    for group in sorted(groups, key=lambda group: (-size[group], chance[group])):

        def grows(fold: int, more: list[Fraction] = share[group]) -> tuple[Fraction, Fraction, int]:
            there = filled[fold]
            growth = sum((a + b) ** 2 - a**2 for a, b in zip(there, more, strict=True))
            return Fraction(growth), there[0] + there[1], fold

        fold_of[group] = min(map(grows, range(folds)))[2]
        filled[fold_of[group]] = [a + b for a, b in zip(filled[fold_of[group]], share[group], strict=True)]
    label, group = np.array(images).T
    found = _spread(label, group, folds, np.random.default_rng(seed))
    assert found.tolist() == [fold_of[own] for _, own in images]


def test_as_many_folds_as_are_allowed_and_as_few_groups_as_folds() -> None:
    label, group = np.repeat([1, 0], MAX_FOLDS), np.arange(2 * MAX_FOLDS)
    assert np.bincount(assign_folds(label, group, folds=MAX_FOLDS, seed=0)).tolist() == [2] * MAX_FOLDS
    with pytest.raises(UserError, match=f"--folds {MAX_FOLDS + 1}: out of range"):
        assign_folds(label, group, folds=MAX_FOLDS + 1, seed=0)
    few = np.array([1, 1, 0, 0, 0])
    with pytest.raises(UserError, match=r"only 2 independent positive images or groups, .* give --folds 2 or fewer"):
        assign_folds(few, np.arange(5), folds=3, seed=0)
    with pytest.raises(UserError, match=r"only 2 independent negative images or groups, .* give --folds 2 or fewer"):
        assign_folds(1 - few, np.arange(5), folds=3, seed=0)
