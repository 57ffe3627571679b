"""Which images a classifier learns from: the ratio, the class balance, and what a protocol lets through.

A ratio is synthetic:real. It counts the positives before augmentation; afterwards every image becomes six, so it stays.
All draws follow from the cohort's seed and from content, not from the order of files, and they are nested: what 1:5
uses is part of what 1:2 uses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classify.augment import IDENTITY, TRANSFORMS
from shared.bundle import Bundle
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.errors import UserError
from shared.splits import VALIDATION_SHARE, balanced_test_set, parts

PROTOCOLS = ("strict", "paper")
NONE = "none"

_RATIO = re.compile(r"([1-9][0-9]{0,5}):([1-9][0-9]{0,5})")
_SYNTHETIC_DRAW, _NEGATIVE_DRAW, _LEAKY_SPLIT = 1, 2, 3  # keep the random streams apart

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ratio:
    """So many synthetic positives for so many real ones; 0:1 is none."""

    synthetic: int
    real: int

    @classmethod
    def parse(cls, text: str) -> "Ratio":
        """Return the ratio that `text` names: `none` or A:B; raise `UserError` for anything else."""
        if text == NONE:
            return cls(0, 1)
        match = _RATIO.fullmatch(text)
        if match is None:
            raise UserError(
                f"--ratio {text}: not a ratio of synthetic to real images; give none or A:B with whole numbers from 1, "
                "such as 1:5."
            )
        synthetic, real = int(match[1]), int(match[2])
        divisor = int(np.gcd(synthetic, real))
        return cls(synthetic // divisor, real // divisor)

    def __str__(self) -> str:
        return f"{self.synthetic}:{self.real}" if self.synthetic else NONE

    def count(self, real: int) -> int:
        """Return the number of synthetic images beside `real` ones, rounded to the nearest (halves up)."""
        return (2 * real * self.synthetic + self.real) // (2 * self.real)


@dataclass(frozen=True, eq=False)
class Entries:
    """Images as they are shown to the network: row of `Mixture.images` and number of the transform."""

    index: Indices  # [E]
    transform: Indices  # [E]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Indices) -> "Entries":
        return Entries(self.index[rows], self.transform[rows])


@dataclass(frozen=True, eq=False)
class Mixture:
    """All that one fit sees.

    `choice` decides on the epoch: the validation images, and under the paper's protocol the balanced test set.
    """

    images: npt.NDArray[np.uint8]  # [M, S, S, 3] each image once
    label: Indices  # [M]
    train: Entries
    validation: Entries
    choice: Entries
    counts: dict[str, int]  # images before augmentation, by what they are
    fitted_rows: Indices  # of the cohort: real images in train or validation


def mix(cohort: Cohort, fold: int, ratio: Ratio, bundle: Bundle | None, protocol: str) -> Mixture:
    """Return what a classifier of `fold` is fitted on.

    strict: 90:10 first (`shared.splits.parts`), then the train part alone becomes six-fold.
    paper: all of the other folds becomes six-fold, and then 90:10, so that turned twins lie on both sides, as they did.

    Raises `UserError`: no such fold, a class without images, or more synthetic images wanted than the bundle holds.
    """
    assert protocol in PROTOCOLS
    by_use = parts(cohort, fold)
    others = np.concatenate([by_use.train, by_use.validation])
    base = others if protocol == "paper" else by_use.train
    positives, negatives = (_of_class(cohort, base, value) for value in (POSITIVE, NEGATIVE))
    synthetic = draw_synthetic(cohort, fold, len(positives), ratio, bundle)
    drawn = draw_negatives(cohort, fold, negatives, len(positives) + len(synthetic))
    chosen_on = balanced_test_set(cohort, fold) if protocol == "paper" else by_use.validation

    builder = _Builder(cohort, bundle)
    shown = np.concatenate([builder.real(positives), builder.synthetic(synthetic), builder.real(drawn)])
    choice = Entries(builder.real(chosen_on), np.full(len(chosen_on), IDENTITY))
    train, validation = six_fold(shown), choice
    if protocol == "paper":
        train, validation = _split_leaky(train, np.random.default_rng([cohort.seed, fold, _LEAKY_SPLIT]))
    images, label = builder.build()
    return Mixture(
        images=images,
        label=label,
        train=train,
        validation=validation,
        choice=choice,
        counts={
            "real_positives": len(positives),
            "synthetic_positives": len(synthetic),
            "negatives": len(drawn),
            "distinct_negatives": len(np.unique(drawn)),
            "train": len(train),
            "validation": len(validation),
        },
        fitted_rows=np.unique(others),
    )


def _of_class(cohort: Cohort, rows: Indices, value: int) -> Indices:
    """Return the rows of one class in an order that follows from content."""
    rows = rows[cohort.label[rows] == value]
    if not len(rows):
        raise UserError(f"{cohort.path}: no {cohort.classes[value]} images left to fit on; prepare a larger cohort.")
    return rows[np.argsort(cohort.image_id[rows], kind="stable")]


def draw_synthetic(cohort: Cohort, fold: int, real: int, ratio: Ratio, bundle: Bundle | None) -> Indices:
    """Return the rows of `bundle` that stand beside `real` positives; a smaller ratio's come first in a larger one's.

    They are drawn at random, unless the bundle has an order of its own: then the first ones are taken.

    Raises `UserError`: the bundle holds too few, or the ratio asks for less than one image.
    """
    if not ratio.synthetic:
        return np.empty(0, np.int64)
    assert bundle is not None
    wanted, held = ratio.count(real), len(bundle)
    if not wanted:
        raise UserError(f"--ratio {ratio}: less than one synthetic image for {real} real ones; give a larger ratio.")
    if wanted > held:
        raise UserError(
            f"--ratio {ratio}: {wanted} synthetic images wanted for {real} real ones, but {bundle.path} holds {held}, "
            f"so {wanted - held} are missing; generate and select more, or give a smaller ratio."
        )
    if bundle.is_ordered:
        return np.arange(wanted)
    return np.random.default_rng([cohort.seed, fold, _SYNTHETIC_DRAW]).permutation(held)[:wanted]


def draw_negatives(cohort: Cohort, fold: int, rows: Indices, count: int) -> Indices:
    """Return `count` of the negatives `rows`, each once before any comes twice."""
    rng = np.random.default_rng([cohort.seed, fold, _NEGATIVE_DRAW])
    rounds = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate(rounds)[:count]


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

    def __init__(self, cohort: Cohort, bundle: Bundle | None) -> None:
        self._cohort, self._bundle = cohort, bundle
        self._row: dict[tuple[bool, int], int] = {}

    def real(self, rows: Indices) -> Indices:
        return self._rows((False, int(row)) for row in rows)

    def synthetic(self, rows: Indices) -> Indices:
        return self._rows((True, int(row)) for row in rows)

    def _rows(self, keys: Iterator[tuple[bool, int]]) -> Indices:
        return np.array([self._row.setdefault(key, len(self._row)) for key in keys], np.int64)

    def build(self) -> tuple[npt.NDArray[np.uint8], Indices]:
        size = self._cohort.size
        images = np.empty((len(self._row), size, size, 3), np.uint8)
        label = np.full(len(self._row), POSITIVE)
        is_synthetic, source = np.array(list(self._row)).reshape(-1, 2).T
        real = is_synthetic == 0
        images[real] = self._cohort.images[source[real]]
        label[real] = self._cohort.label[source[real]]
        if self._bundle is not None and not real.all():
            images[~real] = self._bundle.images[source[~real]]
        return images, label
