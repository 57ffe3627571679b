"""Which images a classifier learns from: the ratio, the class balance, and what a protocol lets through.

A ratio is synthetic:real. It counts the positives before augmentation; afterwards every image becomes six, so it stays.
All draws follow from the cohort's seed and from content, not from the order of files, and they are nested: what 1:5
uses is part of what 1:2 uses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from classify.fitting.augment import IDENTITY, TRANSFORMS
from classify.fitting.ratio import NONE, Ratio, require_control
from classify.fitting.supply import Supply, draw
from shared.bundle import Bundle
from shared.choices import PROTOCOLS
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.errors import UserError
from shared.splits import VALIDATION_SHARE, balanced_test_set, inner_parts, parts

_NEGATIVE_DRAW, _LEAKY_SPLIT, _POSITIVE_DRAW = 2, 3, 4  # keep the random streams apart

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Entries:
    """Images as they are shown to the network.

    Attributes:
        index: [E] row of `Mixture.images`.
        transform: [E] number of the flip or turn.
        variation: [E] number of a random change besides (`classify.fitting.augment.vary`), 0 for none.
    """

    index: Indices
    transform: Indices
    variation: Indices = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if len(self.variation) != len(self.index):
            object.__setattr__(self, "variation", np.zeros(len(self.index), np.int64))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Indices) -> "Entries":
        return Entries(self.index[rows], self.transform[rows], self.variation[rows])

    def varied(self, number: int) -> "Entries":
        """Return the same entries, each under its random change `number`."""
        return Entries(self.index, self.transform, np.full(len(self), number, np.int64))


@dataclass(frozen=True, eq=False)
class Mixture:
    """All that one fit sees.

    `choice` decides on the epoch: the validation images, and under the paper's protocol the balanced test set.
    """

    read: Callable[[], npt.NDArray[np.uint8]]  # of `images`
    label: Indices  # [M]
    synthetic: npt.NDArray[np.bool_]  # [M]
    group: Indices  # [M] of the cohort; each synthetic image has one of its own, below 0
    train: Entries
    validation: Entries
    choice: Entries
    counts: dict[str, int]  # images before augmentation, by what they are
    fitted_rows: Indices  # of the cohort: real images in train or validation

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """Each image once, [M, S, S, 3]; read at their first use, since most plans are made for their counts alone."""
        return self.read()

    @property
    def is_paper(self) -> bool:
        """Whether the epoch is chosen on other images than validation's."""
        return self.choice is not self.validation


def mix(
    cohort: Cohort,
    fold: int,
    ratio: Ratio,
    supply: Supply,
    protocol: str = "strict",
    control: str = NONE,
    *,
    inner: bool = False,
) -> Mixture:
    """Return what a classifier of `fold` is fitted on; with `inner`, its train part alone is divided and used.

    strict: 90:10 first (`shared.splits.parts`), then the train part alone becomes six-fold.
    paper: all of the other folds becomes six-fold, and then 90:10, so that turned twins lie on both sides, as they did.

    With P real positives and S synthetic ones there are P + S negatives: real ones, each once before any comes twice;
    with bundles of both classes P real and S synthetic ones. A control (`classify.fitting.ratio.CONTROLS`) takes real
    positives again in place of the S, or none at all.

    Raises `UserError`: no such fold or control, a class without images, or more synthetic images wanted than there are.
    """
    assert protocol in PROTOCOLS
    require_control(control, ratio)
    by_use = inner_parts(cohort, fold) if inner else parts(cohort, fold)
    others = np.concatenate([by_use.train, by_use.validation])
    base = others if protocol == "paper" else by_use.train
    positives, negatives = (_of_class(cohort, base, value) for value in (POSITIVE, NEGATIVE))
    real, extra = len(positives), ratio.count(len(positives))

    builder = _Builder(cohort, supply.all)
    shown, made = [builder.real(positives)], {POSITIVE: 0, NEGATIVE: 0}
    if control == NONE:
        for value in (POSITIVE, NEGATIVE):
            if extra and (value == POSITIVE or supply.of(value)):
                which, rows = draw(supply.of(value), extra, (cohort.seed, fold), real=real, ratio=ratio)
                shown.append(builder.synthetic(supply.of(value), which, rows))
                made[value] = extra
    elif control != "epochs":
        shown.append(builder.real(repeat(positives, extra, (cohort.seed, fold, _POSITIVE_DRAW))))
    wanted = real + (0 if control == "epochs" else extra) - made[NEGATIVE]
    drawn = repeat(negatives, wanted, (cohort.seed, fold, _NEGATIVE_DRAW))
    shown.append(builder.real(drawn))

    chosen_on = balanced_test_set(cohort, fold) if protocol == "paper" else by_use.validation
    choice = Entries(builder.real(chosen_on), np.full(len(chosen_on), IDENTITY))
    train, validation = six_fold(np.concatenate(shown)), choice
    if protocol == "paper":
        train, validation = _split_leaky(train, np.random.default_rng([cohort.seed, fold, _LEAKY_SPLIT]))
    label, group = builder.columns()
    return Mixture(
        read=builder.images,
        label=label,
        synthetic=group < 0,
        group=group,
        train=train,
        validation=validation,
        choice=choice,
        counts={
            "real_positives": real,
            "synthetic_positives": made[POSITIVE],
            "synthetic_negatives": made[NEGATIVE],
            "negatives": len(drawn),
            "distinct_negatives": len(np.unique(drawn)),
            "train": len(train),
            "validation": len(validation),
        },
        fitted_rows=np.unique(others),
    )


def more_epochs(epochs: int, real: int, extra: int) -> int:
    """Return for how many epochs `real` images are shown as often as `real` + `extra` in `epochs`."""
    return round(epochs * (real + extra) / real)


def _of_class(cohort: Cohort, rows: Indices, value: int) -> Indices:
    """Return the rows of one class in an order that follows from content."""
    rows = rows[cohort.label[rows] == value]
    if not len(rows):
        raise UserError(f"{cohort.path}: no {cohort.classes[value]} images left to fit on; prepare a larger cohort.")
    return rows[np.argsort(cohort.image_id[rows], kind="stable")]


def repeat(rows: Indices, count: int, seed: Sequence[int]) -> Indices:
    """Return `count` of `rows`, drawn at random from `seed`, each once before any comes twice."""
    rng = np.random.default_rng([*seed])
    rounds = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate([np.empty(0, np.int64), *rounds])[:count]


def six_fold(index: Indices) -> Entries:
    """Return every image under each of the six transforms."""
    count = len(TRANSFORMS)
    return Entries(np.repeat(index, count), np.tile(np.arange(count), len(index)))


def _split_leaky(entries: Entries, rng: np.random.Generator) -> tuple[Entries, Entries]:
    order = rng.permutation(len(entries))
    held_out = round(len(entries) * VALIDATION_SHARE)
    return entries[np.sort(order[held_out:])], entries[np.sort(order[:held_out])]


class _Builder:
    """Collects images, each once, and tells their rows in the mixture."""

    def __init__(self, cohort: Cohort, bundles: Sequence[Bundle]) -> None:
        self._cohort, self._bundles = cohort, bundles
        self._row: dict[tuple[int, int], int] = {}  # (source, row there): row here; source 0 is the cohort

    def real(self, rows: Indices) -> Indices:
        return self._rows(np.zeros(len(rows), np.int64), rows)

    def synthetic(self, bundles: Sequence[Bundle], which: Indices, rows: Indices) -> Indices:
        source = np.array([1 + self._bundles.index(bundle) for bundle in bundles], np.int64)
        return self._rows(source[which], rows)

    def _rows(self, source: Indices, rows: Indices) -> Indices:
        keys = zip(source.tolist(), rows.tolist(), strict=True)
        return np.array([self._row.setdefault(key, len(self._row)) for key in keys], np.int64)

    def _places(self) -> tuple[Indices, Indices]:
        source, row = np.array(list(self._row)).reshape(-1, 2).T
        return source, row

    def columns(self) -> tuple[Indices, Indices]:
        label, group = np.empty(len(self._row), np.int64), -1 - np.arange(len(self._row))
        source, row = self._places()
        own = source == 0
        label[own], group[own] = self._cohort.label[row[own]], self._cohort.group_id[row[own]]
        for number, bundle in enumerate(self._bundles, start=1):
            label[source == number] = bundle.label
        return label, group

    def images(self) -> npt.NDArray[np.uint8]:
        size = self._cohort.size
        images = np.empty((len(self._row), size, size, 3), np.uint8)
        source, row = self._places()
        for number, images_of in enumerate((self._cohort.images, *(bundle.images for bundle in self._bundles))):
            own = source == number
            images[own] = images_of[row[own]]
        return images
