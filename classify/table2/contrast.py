"""Rows of Table 2 against each other on the same test images: does it help, and is it the synthetic images?

Two questions are kept apart. Would it be so on other patients? That is McNemar's, and its answer holds for the models
as they were trained. Would it be so with other trainings? Seeds and epochs chosen on few validation images move a
model's accuracy by points, which no test of images sees; only differences between folds tell of it.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from classify.fitting.ratio import NONE
from classify.measuring.bootstrap import Interval, Resamples
from classify.measuring.measures import auc, mean
from classify.measuring.paired import corrected_resampled_t, newcombe_interval, sign_flip_exact
from classify.measuring.verdicts import Integers, Values, Verdicts
from classify.table2.gather import RowKey
from shared.multiple import holm
from shared.records import Record

LEVEL = 0.05
PROBE = "linear_probe"  # what other models have to beat, with whatever they are given

Rows = Mapping[RowKey, tuple[Sequence[Record], Verdicts]]


@dataclass(frozen=True)
class Contrast:
    """How much better one row is than another, on the test images that the same folds and seeds of both judged.

    An image counts once: with several seeds by the mean of its verdicts.

    Attributes:
        row, other: the two.
        n: images.
        groups: patients or cases that these images are of.
        seeds: that both have.
        gain: in accuracy, 0..1, with its 95 % interval: Newcombe's, and the bootstrap over groups, in pairs, where that
            goes further.
        auc_gain: the same of the area under the curve, None where undefined; its interval is the bootstrap's.
        only_row_right, only_other_right: images that one of them gets right, means over seeds.
        p: whether as many images got better as worse: McNemar's exact test, or the same of groups and of mean verdicts
            (`classify.measuring.paired.sign_flip_exact`).
        p_folds: the corrected resampled t test over folds, None where they cannot tell.
        p_holm, p_folds_holm: each corrected for all of the table's contrasts that have it.
    """

    row: RowKey
    other: RowKey
    n: int
    groups: int
    seeds: int
    gain: float
    gain_interval: Interval
    auc_gain: float | None
    auc_interval: Interval | None
    only_row_right: float
    only_other_right: float
    p: float
    p_folds: float | None
    p_holm: float = 1.0
    p_folds_holm: float | None = None

    @property
    def is_better(self) -> bool:
        """Whether these models of the row are better beyond chance among images: by the corrected test and interval."""
        return self.p_holm < LEVEL and self.gain > 0 and self.gain_interval[0] > 0

    @property
    def is_worse(self) -> bool:
        """Whether these models of the row are worse beyond chance among images, as `is_better`."""
        return self.p_holm < LEVEL and self.gain < 0 and self.gain_interval[1] < 0

    @property
    def holds_for_trainings(self) -> bool:
        """Whether the folds say that other trainings would differ so, too."""
        return self.p_folds_holm is not None and self.p_folds_holm < LEVEL


@dataclass(frozen=True)
class Contrasts:
    """All contrasts of a table; p values are corrected for all of them together (Holm)."""

    against_none: tuple[Contrast, ...] = ()  # rows against the same model without synthetic images
    against_controls: tuple[Contrast, ...] = ()  # synthetic images against what stands in their place
    against_positive: tuple[Contrast, ...] = ()  # synthetic images in both classes against positives alone
    between_models: tuple[Contrast, ...] = ()  # models without synthetic images, the better first
    against_probe: tuple[Contrast, ...] = ()  # other models with synthetic images against the linear probe without

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.all)

    @property
    def all(self) -> tuple[Contrast, ...]:
        """All of them, family by family."""
        return tuple(each for name in self.__annotations__ for each in getattr(self, name))


def contrasts(rows: Rows) -> Contrasts:
    """Return what the rows of a table, their records and verdicts on the balanced set, are against each other."""
    found = {
        "against_none": _pairs(rows, _is_with_and_without),
        "against_controls": _pairs(rows, _is_with_and_instead),
        "against_positive": _pairs(rows, _is_both_and_positive),
        "between_models": _between_models(rows),
        "against_probe": _pairs(rows, _is_beside_the_probe),
    }
    corrected = iter(_corrected([each for family in found.values() for each in family]))
    return Contrasts(**{name: tuple(itertools.islice(corrected, len(family))) for name, family in found.items()})


def _is_with_and_without(key: RowKey, other: RowKey) -> bool:
    return not key.is_baseline and other == RowKey(key.model, NONE, NONE, "positive", key.protocol)


def _is_with_and_instead(key: RowKey, other: RowKey) -> bool:
    same = replace(other, control=NONE, synthetic=key.synthetic) == key
    return not key.is_control and other.is_control and same


def _is_both_and_positive(key: RowKey, other: RowKey) -> bool:
    return key.synthetic == "both" and other == replace(key, synthetic="positive")


def _is_beside_the_probe(key: RowKey, other: RowKey) -> bool:
    made = not key.is_baseline and not key.is_control and key.synthetic == "positive"
    return made and key.model != PROBE and other == RowKey(PROBE, NONE, NONE, "positive", key.protocol)


def _pairs(rows: Rows, belong: Callable[[RowKey, RowKey], bool]) -> list[Contrast]:
    pairs = [(key, other) for key in rows for other in rows if belong(key, other)]
    return [found for key, other in pairs if (found := _contrast(key, other, rows))]


def _between_models(rows: Rows) -> list[Contrast]:
    found = []
    for first, second in itertools.combinations([key for key in rows if key.is_baseline], 2):
        if first.protocol == second.protocol and (one := _contrast(first, second, rows)):
            found.append(one if one.gain >= 0 else _contrast(second, first, rows) or one)
    return found


def _corrected(found: Sequence[Contrast]) -> list[Contrast]:
    of_images = holm([each.p for each in found], len(found))
    known = [each.p_folds for each in found if each.p_folds is not None]
    of_folds = iter(holm(known, len(known)))
    return [
        replace(each, p_holm=p, p_folds_holm=None if each.p_folds is None else next(of_folds))
        for each, p in zip(found, of_images, strict=True)
    ]


def _contrast(key: RowKey, other: RowKey, rows: Rows) -> Contrast | None:
    """Return the contrast of two rows on the folds, seeds and images that both have; None when there is none.

    Rows of different cohort files are not compared: their groups are numbered differently.
    """
    (records, first), (others, second) = rows[key], rows[other]
    first, second = _common(first, second)
    if not len(first) or len({record["cohort"]["sha256"] for record in (*records, *others)}) > 1:
        return None
    share, n = first.share, first.n_images
    both, only_first, only_second, neither = (
        float(share @ which)
        for which in (
            first.right & second.right,
            first.right & ~second.right,
            ~first.right & second.right,
            ~first.right & ~second.right,
        )
    )
    difference = first.right.astype(np.float64) - second.right
    interval = newcombe_interval(both, only_first, only_second, neither)
    resamples = Resamples(first)
    drawn = resamples.interval(lambda weights: mean(difference, weights)) or interval
    auc_gain, auc_interval = _auc_gain(resamples, second)
    return Contrast(
        row=key,
        other=other,
        n=n,
        groups=len(np.unique(first.group)),
        seeds=len(np.unique(first.seed)),
        gain=float(share @ difference / share.sum()),
        gain_interval=(min(drawn[0], interval[0]), max(drawn[1], interval[1])),
        auc_gain=auc_gain,
        auc_interval=auc_interval,
        only_row_right=only_first,
        only_other_right=only_second,
        p=sign_flip_exact(*_of_images(first, difference)),
        p_folds=_p_over_folds((records, others), first, difference),
    )


def _common(first: Verdicts, second: Verdicts) -> tuple[Verdicts, Verdicts]:
    """Return the verdicts on images that the same fold and seed of both judged, in one order."""

    def names(verdicts: Verdicts) -> np.ndarray[Any, Any]:
        model = np.char.add(np.char.add(verdicts.fold.astype(np.str_), " "), verdicts.seed.astype(np.str_))
        return np.char.add(np.char.add(model, " "), verdicts.image)

    if not len(first) or not len(second):
        return first.take(np.empty(0, np.int64)), second.take(np.empty(0, np.int64))
    _, one, two = np.intersect1d(names(first), names(second), return_indices=True)
    return first.take(one), second.take(two)


def _of_images(verdicts: Verdicts, difference: Values) -> tuple[list[int], list[int], list[int]]:
    """Return for each image by how many verdicts one row is ahead, how many verdicts it has, and its group."""
    _, row, image = np.unique(verdicts.image, return_index=True, return_inverse=True)
    image = image.reshape(-1)
    ahead, count = np.bincount(image, weights=difference), np.bincount(image)
    return np.rint(ahead).astype(int).tolist(), count.tolist(), verdicts.group[row].tolist()


def _auc_gain(resamples: Resamples, second: Verdicts) -> tuple[float | None, Interval | None]:
    first = resamples.verdicts

    def gain(weights: Values) -> Values:
        one, two = (auc(each.score, each.label, each.model, weights, each.share) for each in (first, second))
        return one - two

    return resamples.value(gain), resamples.interval(gain)


def _p_over_folds(rows: Sequence[Sequence[Record]], verdicts: Verdicts, difference: Values) -> float | None:
    """Return the p of the corrected resampled t test of accuracy, each fold one difference.

    Of two rows that learnt from different numbers of images the smaller counts, which makes p larger.
    """
    folds, share = np.unique(verdicts.fold), verdicts.share
    own = [verdicts.fold == fold for fold in folds]
    differences = [float(share[rows] @ difference[rows] / share[rows].sum()) for rows in own]
    n_train = min(_mean_real(records, folds) for records in rows)
    n_test = round(verdicts.n_images / len(folds))
    found = corrected_resampled_t(differences, n_train, n_test)
    return None if found is None else found[1]


def _mean_real(records: Sequence[Record], folds: Integers) -> int:
    """Return how many different photographs the models of these folds learnt from, on average."""
    own = [record["counts"] for record in records if record["key"]["fold"] in folds]
    real: list[int] = [counts["real_positives"] + counts["distinct_negatives"] for counts in own]
    return round(statistics.mean(real))
