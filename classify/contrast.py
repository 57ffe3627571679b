"""Rows of Table 2 against each other on the same test images: does it help, and is it the synthetic images?"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from classify.bootstrap import Interval, paired_interval
from classify.gather import RowKey
from classify.measures import at_verdict, auc
from classify.paired import corrected_resampled_t, mcnemar_exact, newcombe_interval
from classify.ratio import NONE
from classify.verdicts import Verdicts
from shared.multiple import holm
from shared.records import Record

LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    """How much better one row is than another, on the test images that both judged.

    Attributes:
        row, other: the two.
        n: images.
        gain: in accuracy, 0..1, with its 95 % interval: Newcombe's, and the bootstrap over groups, in pairs, where that
            goes further.
        auc_gain: the same of the area under the curve, None where undefined; its interval is the bootstrap's.
        only_row_right, only_other_right: images that one of them gets right, by the mean score of its seeds.
        p: McNemar's exact test of these.
        p_folds: the corrected resampled t test over folds, None with fewer than two.
        p_holm: `p` corrected for all contrasts of the table of its family.
    """

    row: RowKey
    other: RowKey
    n: int
    gain: float
    gain_interval: Interval
    auc_gain: float | None
    auc_interval: Interval | None
    only_row_right: int
    only_other_right: int
    p: float
    p_folds: float | None
    p_holm: float = 1.0

    @property
    def is_better(self) -> bool:
        """Whether the row is better beyond chance: by the corrected test, and by the interval, which knows groups."""
        return self.p_holm < LEVEL and self.gain > 0 and self.gain_interval[0] > 0

    @property
    def is_worse(self) -> bool:
        """Whether the row is worse beyond chance, as `is_better`."""
        return self.p_holm < LEVEL and self.gain < 0 and self.gain_interval[1] < 0


def contrasts(rows: Mapping[RowKey, tuple[Sequence[Record], Verdicts]]) -> tuple[list[Contrast], list[Contrast]]:
    """Return every row against the same model without synthetic images, and against the controls of its budget.

    `rows` hold records and verdicts on the balanced set. Each of the two families is corrected by itself (Holm), over
    the whole table.
    """
    against_none, against_controls = [], []
    for key in rows:
        if key.is_baseline:
            continue
        baseline = RowKey(key.model, NONE, NONE, "positive", key.protocol)
        if baseline in rows and (found := _contrast(key, baseline, rows)):
            against_none.append(found)
        for other in rows:
            same = replace(other, control=NONE, synthetic=key.synthetic) == key
            if not key.is_control and other.is_control and same and (found := _contrast(key, other, rows)):
                against_controls.append(found)
    return _corrected(against_none), _corrected(against_controls)


def between_models(rows: Mapping[RowKey, tuple[Sequence[Record], Verdicts]]) -> list[Contrast]:
    """Return every two models without synthetic images against each other, the better first: its own family."""
    baselines = [key for key in rows if key.is_baseline]
    found = []
    for first, second in itertools.combinations(baselines, 2):
        if first.protocol == second.protocol and (one := _contrast(first, second, rows)):
            found.append(one if one.gain >= 0 else _contrast(second, first, rows) or one)
    return _corrected(found)


def _corrected(found: list[Contrast]) -> list[Contrast]:
    return [
        replace(each, p_holm=p) for each, p in zip(found, holm([each.p for each in found], len(found)), strict=True)
    ]


def _contrast(key: RowKey, other: RowKey, rows: Mapping[RowKey, tuple[Sequence[Record], Verdicts]]) -> Contrast | None:
    """Return the contrast of two rows on the folds and images that both have; None when there is none.

    Rows of different cohort files are not compared: their groups are numbered differently.
    """
    (records, first), (others, second) = rows[key], rows[other]
    first, second = _common(first, second)
    if not len(first) or len({record["cohort"]["sha256"] for record in (*records, *others)}) > 1:
        return None
    one, two = first.mean_over_seeds(), second.mean_over_seeds()
    only_first, only_second = int((one.right & ~two.right).sum()), int((two.right & ~one.right).sum())
    both, neither = int((one.right & two.right).sum()), int((~one.right & ~two.right).sum())
    gain, interval = _gain(first, second, newcombe_interval(both, only_first, only_second, neither))
    auc_gain, auc_interval = _auc_gain(first, second)
    return Contrast(
        row=key,
        other=other,
        n=first.n_images,
        gain=gain,
        gain_interval=interval,
        auc_gain=auc_gain,
        auc_interval=auc_interval,
        only_row_right=only_first,
        only_other_right=only_second,
        p=mcnemar_exact(only_first, only_second),
        p_folds=_p_over_folds(records, first, second),
    )


def _common(first: Verdicts, second: Verdicts) -> tuple[Verdicts, Verdicts]:
    """Return the verdicts on images that both judged on the same fold."""
    one, two = (
        np.char.add(np.char.add(each.fold.astype(np.str_), " "), each.image) if len(each) else each.image
        for each in (first, second)
    )
    return first.take(np.isin(one, two)), second.take(np.isin(two, one))


def _gain(first: Verdicts, second: Verdicts, newcombe: Interval) -> tuple[float, Interval]:
    one, two = (at_verdict("accuracy", each.positive, each.label) for each in (first, second))
    gain = one(np.ones((1, len(first))))[0] - two(np.ones((1, len(second))))[0]
    low, high = paired_interval(first, one, second, two) or newcombe
    return float(gain), (min(low, newcombe[0]), max(high, newcombe[1]))


def _auc_gain(first: Verdicts, second: Verdicts) -> tuple[float | None, Interval | None]:
    def area(verdicts: Verdicts, weights: np.ndarray) -> np.ndarray:
        return auc(verdicts.score, verdicts.label, verdicts.model, weights)

    gain = area(first, np.ones((1, len(first))))[0] - area(second, np.ones((1, len(second))))[0]
    if np.isnan(gain):
        return None, None
    return float(gain), paired_interval(first, lambda w: area(first, w), second, lambda w: area(second, w))


def _p_over_folds(records: Sequence[Record], first: Verdicts, second: Verdicts) -> float | None:
    """Return the p of the corrected resampled t test of accuracy, each fold one difference."""
    folds = np.unique(first.fold)
    differences = [first.right[first.fold == f].mean() - second.right[second.fold == f].mean() for f in folds]
    counts = [record["counts"] for record in records]
    n_train = round(np.mean([each["real_positives"] + each["distinct_negatives"] for each in counts]))
    n_test = round(first.n_images / len(folds))
    found = corrected_resampled_t(differences, n_train, n_test)
    return None if found is None else found[1]
