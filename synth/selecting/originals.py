"""The photographs that a generated image may be a copy of, ready to be compared with.

Each is known in all eight turns and flips (a training saw them so): by its features, and by a thumbnail for the
perceptual hash, whose hits the correlation of the pixels confirms. Photographs of one group say nothing of how far
patients are from each other, so between photographs only distances to other groups count.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.cohort import STUDY, Cohort
from shared.duplicates import MIN_CORRELATION, Prints, Thumbnails, near_copies, thumbnails_of
from shared.progress import Bar
from shared.splits import parts
from synth.scores.features import Extractor
from synth.scores.groups import Groups, Rows
from synth.scores.quality import Images, cached_features
from synth.selecting.comparison import nearest, turned

FORMS = 8  # turns and flips of a square

Distances = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Parts:
    """Rows of a cohort: what a generator was trained on, what was held out from that, and what else it saw."""

    trained: Rows
    held_out: Rows
    others: Rows = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def rows(self) -> Rows:
        """All of them, in this order."""
        return np.concatenate([self.trained, self.held_out, self.others])


def parts_of(
    cohort: Cohort, label: int | None, fold: int, protocol: str, seen: npt.NDArray[np.str_] | None = None
) -> Parts:
    """Return the photographs of each part, of the class `label`, or of both with None; and all others that were `seen`.

    strict: the train and validation parts of the fold. paper: all study images, and nothing held out. Others are those
    of the same patients, and what the generator's start saw.
    """
    split = None if protocol == "paper" else parts(cohort, fold)
    trained = np.flatnonzero(cohort.role == STUDY) if split is None else split.train
    held_out = np.empty(0, np.int64) if split is None else split.validation
    wanted = np.ones(len(cohort), bool) if label is None else cohort.label == label
    trained, held_out = (rows[wanted[rows]] for rows in (trained, held_out))
    left = np.isin(cohort.image_id, [] if seen is None else seen)
    left[np.concatenate([trained, held_out])] = False
    return Parts(trained, held_out, np.flatnonzero(left))


@dataclass(frozen=True, eq=False)
class Originals:
    """M photographs of a cohort.

    Attributes:
        parts: their rows in the cohort; in what follows they stand in the order of `parts.rows`.
        forms: features of their turns and flips, [8, M, F].
        thumbnails: uint8 [M, 64, 64, 3].
        groups: of the M.
    """

    parts: Parts
    forms: npt.NDArray[np.float64]
    thumbnails: Thumbnails
    groups: Groups

    @classmethod
    def of(cls, cohort: Cohort, rows: Parts, extractor: Extractor, bar: Bar, cache: Path | None = None) -> "Originals":
        """Look at photographs of a cohort, in each of their forms; `cache` is a folder where features are kept."""
        images: Images = np.asarray(cohort.images[rows.rows])
        forms = np.empty((FORMS, len(images), extractor.width))
        for number, form in enumerate(turned(images)):
            forms[number] = cached_features(form, extractor, cache)
            bar.advance(len(images))
        return cls(rows, forms, thumbnails_of(images), Groups.of(cohort.group_id[rows.rows]))

    def __len__(self) -> int:
        """Return M."""
        return len(self.thumbnails)

    @property
    def trained(self) -> int:
        """How many were trained on: they stand first."""
        return len(self.parts.trained)

    @property
    def compared(self) -> int:
        """How many were trained on or held out: what stands behind them was seen in some other way."""
        return self.trained + len(self.parts.held_out)

    @cached_property
    def others(self) -> Distances:
        """Distance of each photograph to each of other groups, in the nearest form; infinite within a group: [M, M]."""
        between = nearest(self.forms[0], self.forms)
        between[self.groups.related] = np.inf
        return between

    def distances(self, features: npt.NDArray[np.floating]) -> Distances:
        """Return the distance of images with features [N, F] to every photograph in its nearest form, [N, M]."""
        return nearest(features.astype(np.float64, copy=False), self.forms)

    @cached_property
    def prints(self) -> Prints:
        """What their pixels are told apart by."""
        return Prints.coarse(self.thumbnails)

    def same(self, thumbnails: Thumbnails, least: float) -> Rows:
        """Return for each of N images the photograph that it is by its pixels, -1 for none: [N].

        `least` is how much their pixels must correlate (`least_correlation`).
        """
        found = np.full(len(thumbnails), -1, np.int64)
        best = np.full(len(thumbnails), -np.inf)
        for pair in near_copies(Prints.coarse(thumbnails), self.prints, least):
            if pair.correlation > best[pair.first]:
                found[pair.first], best[pair.first] = pair.second, pair.correlation
        return found

    def least_correlation(self, quantile: float) -> float:
        """Return how much the pixels of a copy correlate: more than those of all but `quantile` of the photographs do.

        That is with the most alike one of another group; it is `MIN_CORRELATION` at least.
        """
        best = np.zeros(len(self))
        for pair in near_copies(self.prints, self.prints):
            if not self.groups.related[pair.first, pair.second]:
                best[pair.first] = max(best[pair.first], pair.correlation)
        return max(MIN_CORRELATION, float(np.quantile(best, 1 - quantile)))

    def columns(self, rows: Rows) -> Rows:
        """Return the places among the M of rows of the cohort.

        Raises `ValueError`: one of them is not here.
        """
        place = {row: column for column, row in enumerate(self.parts.rows.tolist())}
        try:
            return np.array([place[row] for row in rows.tolist()], np.int64)
        except KeyError as error:
            raise ValueError(f"row {error} of the cohort is not among the photographs") from error
