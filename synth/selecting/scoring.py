"""All that is known of an image by itself: scores, the nearest photograph, and an estimate of skin tone.

Each follows from the image, the photographs and the networks alone: neighbours, order and number do not matter.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shared.cohort import STUDY, Cohort
from shared.duplicates import thumbnails_of
from shared.errors import UserError
from shared.progress import Bar
from shared.splits import parts
from shared.stored import AnyImages, read_rows
from stylegan2_ada import AnyDiscriminator
from synth.scores.features import Extractor
from synth.scores.moments import Features
from synth.scores.quality import Images, to_features
from synth.selecting.diversity import typicality
from synth.selecting.logits import choose_partners, discriminator_logits
from synth.selecting.originals import Distances, Originals
from synth.selecting.selection import Scores, ScoreTable, cosine_similarity
from synth.selecting.skin_tone import typology_angle

SCORE_AT_ONCE = 128  # images between two steps of a progress bar, whole batches of every network

Rows = npt.NDArray[np.int64]


def reference_rows(cohort: Cohort, label: int, fold: int, protocol: str, reference: str = "train") -> tuple[Rows, Rows]:
    """Return the rows of the class that set the thresholds, and other rows of it as a control.

    strict: the train part of the fold, and its validation part; with `reference` "validation" the other way round.
    paper: all study images, and no control.

    Raises `UserError`: no such fold, or reference images of fewer than two groups.
    """
    if protocol == "paper":
        if reference != "train":
            raise UserError(
                f"--reference {reference}: the paper's protocol holds nothing out; leave it out, or use the strict one."
            )
        chosen, control = np.flatnonzero(cohort.role == STUDY), np.empty(0, np.int64)
    else:
        split = parts(cohort, fold)
        chosen, control = split.train, split.validation
        if reference == "validation":
            chosen, control = control, chosen
    chosen, control = chosen[cohort.label[chosen] == label], control[cohort.label[control] == label]
    if len(np.unique(cohort.group_id[chosen])) < 2:
        raise UserError(
            f"{cohort.path}: {len(chosen)} images of {cohort.classes[label]} in the {reference} part, of fewer than "
            "two patients, which set no threshold; prepare a cohort with more"
            f"{', or give --reference train' if reference != 'train' else ''}."
        )
    return chosen, control


@dataclass(frozen=True, eq=False)
class Judged:
    """What is known of N images; each field but `scores` is an array [N].

    Attributes:
        scores: similarity, logit and typicality.
        nearest, distance: the nearest photograph (its place in `Originals`) and the distance to it.
        to_trained, to_held_out: distances to the nearest that was trained on, and held out; infinite where none was.
        same: the photograph that it is by its pixels, -1 for none.
        like: the nearest photograph of the reference (its place in it).
        tone: individual typology angle in degrees.
    """

    scores: ScoreTable
    nearest: Rows
    distance: Scores
    to_trained: Scores
    to_held_out: Scores
    same: Rows
    like: Rows
    tone: Scores

    def __len__(self) -> int:
        return len(self.nearest)

    @classmethod
    def joined(cls, found: Sequence["Judged"]) -> "Judged":
        """Return what is known of several parts, in their order."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "scores"]
        columns = {name: np.concatenate([getattr(part, name) for part in found]) for name in names}
        return cls(ScoreTable.joined([part.scores for part in found]), **columns)


@dataclass(frozen=True, eq=False)
class Judge:
    """Photographs and networks that images are judged by.

    Attributes:
        originals: photographs that an image may be a copy of.
        reference: the rows of the cohort, all among these, that define the mean feature and what is typical.
        extractor: the feature space of `originals`.
        D: the discriminator.
        class_index: class of a conditional network.
        partners: the reals that the discriminator sees beside each image (`synth.selecting.logits`).
        least_correlation: of the pixels of a copy and its photograph.
    """

    originals: Originals
    reference: Rows
    extractor: Extractor
    D: AnyDiscriminator
    class_index: int | None
    partners: Images
    least_correlation: float

    @classmethod
    def of(
        cls,
        originals: Originals,
        cohort: Cohort,
        reference: Rows,
        extractor: Extractor,
        D: AnyDiscriminator,
        *,
        class_index: int | None,
        seed: int,
        gate: float,
    ) -> "Judge":
        """Choose the partners by `seed` from the reference; `gate` is the quantile of `Originals.least_correlation`."""
        reals = np.asarray(cohort.images[reference])
        partners = choose_partners(reals, D.config.mbstd_group_size, seed=seed)
        least = originals.least_correlation(gate)
        return cls(originals, reference, extractor, D, class_index, partners, least)

    def of_reals(self, cohort: Cohort, rows: Rows, bar: Bar) -> ScoreTable:
        """Return the scores of photographs, by rows of the cohort; how like they are to themselves does not count."""
        columns = self.originals.columns(rows)
        among = self.originals.others[np.ix_(columns, self._reference)]
        return ScoreTable(
            cosine_similarity(self.originals.forms[0][columns], self._mean_feature),
            np.concatenate([self._logits(part, bar) for part in _pieces(cohort.images[rows])]),
            typicality(among),
        )

    def look(self, images: AnyImages, part: range, bar: Bar, every: int) -> tuple[Judged, Features]:
        """Judge the images of `part`, a few at a time.

        Returns also the features of those whose row is a multiple of `every`, float32 [K, F], in their order.
        """
        found, kept = [], [np.empty((0, self.extractor.width), np.float32)]
        for start in range(part.start, max(part.stop, part.start + 1), SCORE_AT_ONCE):
            rows = np.arange(start, min(start + SCORE_AT_ONCE, part.stop))
            pictures = read_rows(images, rows)
            features = to_features(pictures, self.extractor)
            found.append(self._judged(pictures, features, self.originals.distances(features)))
            kept.append(features[rows % every == 0].astype(np.float32))
            bar.advance(len(rows))
        return Judged.joined(found), np.concatenate(kept)

    def _judged(self, images: Images, features: Features, distances: Distances) -> Judged:
        to_reference, trained = distances[:, self._reference], self.originals.trained
        thumbnails = thumbnails_of(images)
        return Judged(
            scores=ScoreTable(
                cosine_similarity(features, self._mean_feature),
                self._logits(images, None),
                typicality(to_reference),
            ),
            nearest=distances.argmin(axis=1),
            distance=_least(distances),
            to_trained=_least(distances[:, :trained]),
            to_held_out=_least(distances[:, trained : self.originals.compared]),
            same=self.originals.same(thumbnails, self.least_correlation),
            like=to_reference.argmin(axis=1),
            tone=typology_angle(thumbnails),
        )

    def _logits(self, images: Images, bar: Bar | None) -> Scores:
        if bar is not None:
            bar.advance(len(images))
        return discriminator_logits(self.D, images, self.partners, class_index=self.class_index)

    @cached_property
    def _reference(self) -> Rows:
        return self.originals.columns(self.reference)

    @cached_property
    def _mean_feature(self) -> Features:
        return np.asarray(self.originals.forms[0][self._reference].mean(axis=0))


def _least(distances: Distances) -> Scores:
    return np.asarray(distances.min(axis=1, initial=np.inf), np.float32)


def _pieces(images: Images) -> list[Images]:
    """Return images in parts that are whole batches of every network; of none, one part without images."""
    return [images[start : start + SCORE_AT_ONCE] for start in range(0, max(len(images), 1), SCORE_AT_ONCE)]
