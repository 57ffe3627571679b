"""Who may learn from which image: the one place that splits.

All choices follow from labels, groups and a seed; none depends on the order of the images, so the same photographs
split alike at every size. Groups are never split, and each part holds its share of both classes as nearly as they
allow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.cohort import EXTERNAL, MAX_FOLDS, NEGATIVE, POSITIVE, STUDY, Cohort
from shared.errors import UserError

VALIDATION_SHARE = 0.1  # of what is not test
INNER_PIECES = 5  # of the train part, one of which validates a search

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows of a cohort by use, ascending: fitting, choosing, and the final evaluation."""

    train: Indices
    validation: Indices
    test: Indices


def assign_folds(
    label: npt.NDArray[np.int64], group_id: npt.NDArray[np.int64], *, folds: int, seed: int
) -> npt.NDArray[np.int8]:
    """Return the fold of each image, 0..folds-1, stratified by label with each group whole.

    Classes whose groups are single images differ by at most one image between folds.

    Raises `UserError`: fewer than two folds, or fewer groups of a class than folds.
    """
    if not 2 <= folds <= MAX_FOLDS:
        raise UserError(f"--folds {folds}: out of range, since each image is tested once; give 2 to {MAX_FOLDS}.")
    for value, name in ((POSITIVE, "positive"), (NEGATIVE, "negative")):
        groups = len(np.unique(group_id[label == value]))
        if groups < folds:
            way_out = f"give --folds {groups} or fewer, or more images" if groups >= 2 else "give more images"
            raise UserError(
                f"--folds {folds}: only {groups} independent {name} images or groups, so that a fold would have none; "
                f"{way_out}."
            )
    return _spread(label, group_id, folds, np.random.default_rng([seed, folds])).astype(np.int8)


def _spread(
    label: npt.NDArray[np.int64], group_id: npt.NDArray[np.int64], folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Deal whole groups to folds, large ones first and equal ones in random order.

    Each goes where it adds least to the sum over folds and classes of (share of the class)^2; that sum is smallest for
    equal shares.
    """
    groups, member = np.unique(group_id, return_inverse=True)
    counts = np.zeros((len(groups), 2))  # images by group and class
    np.add.at(counts, (member, label), 1)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    shuffled = np.argsort(rng.random(len(groups)), kind="stable")
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    filled = np.zeros((folds, 2))
    fold_of = np.empty(len(groups), np.int64)
    for group in order:
        # The square grows by 2 * filled * share + share^2; on a tie the emptier fold takes the group.
        growth = np.round(filled @ share[group], 12)
        fold_of[group] = np.lexsort((filled.sum(axis=1).round(12), growth))[0]
        filled[fold_of[group]] += share[group]
    return fold_of[member]


def parts(cohort: Cohort, fold: int) -> Parts:
    """Return the rows of the study images by use when `fold` is the one that is tested.

    Test is the fold, validation a tenth of the rest, train what remains. When the rest of a class is a single group,
    train has it and validation has none of that class.

    Raises `UserError`: no such fold.
    """
    require_fold(cohort, fold)
    rest = np.flatnonzero((cohort.role == STUDY) & (cohort.fold != fold))
    label, group_id = cohort.label[rest], cohort.group_id[rest]
    tenth = _spread(
        label, group_id, round(1 / VALIDATION_SHARE), np.random.default_rng([cohort.seed, cohort.folds, fold])
    )
    chosen = tenth == _validation_piece(label, tenth)
    return Parts(
        train=rest[~chosen],
        validation=rest[chosen],
        test=np.flatnonzero((cohort.role == STUDY) & (cohort.fold == fold)),
    )


def inner_parts(cohort: Cohort, fold: int) -> Parts:
    """Return the train part of `fold` divided once more, for what is searched before anything is validated.

    Validation is a fifth of it, train what remains; test is empty, since nothing here may be tested.

    Raises `UserError`: no such fold, or a train part of too few groups to divide.
    """
    rows = parts(cohort, fold).train
    label, group_id = cohort.label[rows], cohort.group_id[rows]
    piece = _spread(label, group_id, INNER_PIECES, np.random.default_rng([cohort.seed, cohort.folds, fold, 1]))
    chosen = piece == 0
    for name, part in (("train", rows[~chosen]), ("validation", rows[chosen])):
        if len(np.unique(cohort.label[part])) < 2:
            raise UserError(
                f"{cohort.path}: the training part of fold {fold} cannot be divided again, since its {name} images "
                "would lack a class; prepare a larger cohort."
            )
    return Parts(train=rows[~chosen], validation=rows[chosen], test=np.empty(0, np.int64))


def _validation_piece(label: npt.NDArray[np.int64], piece: npt.NDArray[np.int64]) -> int:
    """Return the piece whose shares of the classes are nearest to a tenth, both sides having both classes if possible.

    Large groups fill pieces of their own, so the pieces may be far from equal.
    """
    pieces = round(1 / VALIDATION_SHARE)
    counts = np.zeros((pieces, 2))
    np.add.at(counts, (piece, label), 1)
    total = counts.sum(axis=0)
    lacking_in_train = (counts == total).sum(axis=1)
    lacking_in_validation = (counts == 0).sum(axis=1)
    distance = np.abs(counts / np.maximum(total, 1) - VALIDATION_SHARE).sum(axis=1).round(12)
    return int(np.lexsort((distance, lacking_in_validation, lacking_in_train))[0])


def require_fold(cohort: Cohort, fold: int) -> None:
    """Raise `UserError` when `cohort` has no such fold."""
    if not 0 <= fold < cohort.folds:
        raise UserError(
            f"--fold {fold}: out of range, since the cohort has {cohort.folds} folds; give 0 to {cohort.folds - 1}."
        )


def balanced_test_set(cohort: Cohort, fold: int) -> Indices:
    """Return all positives of the fold and equally many of its negatives, drawn by the cohort's seed; rows ascending.

    Where the fold has fewer negatives than positives, the positives are drawn to match: the set stays balanced.

    Raises `UserError`: no such fold.
    """
    require_fold(cohort, fold)
    test = (cohort.role == STUDY) & (cohort.fold == fold)
    classes = [_by_content(cohort, np.flatnonzero(test & (cohort.label == value))) for value in (POSITIVE, NEGATIVE)]
    count = min(map(len, classes))
    rng = np.random.default_rng([cohort.seed, cohort.folds, fold, count])
    drawn = [rows if len(rows) == count else rng.choice(rows, count, replace=False) for rows in classes]
    return np.sort(np.concatenate(drawn))


def _by_content(cohort: Cohort, rows: Indices) -> Indices:
    """Return `rows` ordered by image id, so that a draw does not depend on the order of the files."""
    return rows[np.argsort(cohort.image_id[rows], kind="stable")]


def external_test_set(cohort: Cohort) -> tuple[Indices, int]:
    """Return the external images, and how many are left out because their group holds a study image."""
    external = cohort.role == EXTERNAL
    shared_group = np.isin(cohort.group_id, cohort.group_id[cohort.role == STUDY])
    return np.flatnonzero(external & ~shared_group), int((external & shared_group).sum())


def partners(cohort: Cohort, rows: Indices) -> Indices:
    """Return the rows of other images of the same groups, ascending.

    Who has seen an image has, as far as a test goes, seen its whole group. Groups are numbered anew when a cohort is
    prepared again, ids are not: so ids of whole groups are what is remembered.
    """
    related = np.isin(cohort.group_id, cohort.group_id[rows])
    related[rows] = False
    return np.flatnonzero(related)
