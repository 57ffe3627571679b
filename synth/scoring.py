"""Both scores of an image: likeness to the mean real feature, and the discriminator's logit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.cohort import STUDY, Cohort
from shared.errors import UserError
from shared.progress import Bar
from shared.splits import parts
from shared.stored import StoredImages
from stylegan2_ada import AnyDiscriminator
from synth.features import Extractor
from synth.logits import choose_partners, discriminator_logits
from synth.selection import ScorePair, Scores, cosine_similarity

SCORE_AT_ONCE = 128  # images between two steps of a progress bar, whole batches of every network

Images = npt.NDArray[np.uint8] | StoredImages  # [N, S, S, 3]
Rows = npt.NDArray[np.int64]


def reference_rows(cohort: Cohort, label: int, fold: int, protocol: str) -> tuple[Rows, Rows]:
    """Return the rows of the class that set the thresholds, and held-out rows of it as a control.

    strict: the train part of the fold, and its validation part. paper: all study images, and no control.

    Raises `UserError`: no such fold, or fewer than two reference images.
    """
    if protocol == "paper":
        reference, control = np.flatnonzero(cohort.role == STUDY), np.empty(0, np.int64)
    else:
        split = parts(cohort, fold)
        reference, control = split.train, split.validation
    reference, control = reference[cohort.label[reference] == label], control[cohort.label[control] == label]
    if len(reference) < 2:
        raise UserError(
            f"{cohort.path}: {len(reference)} images of {cohort.classes[label]} in the reference part, which set no "
            "threshold; prepare a cohort with more."
        )
    return reference, control


@dataclass(frozen=True, eq=False)
class Judges:
    """What scores an image: a feature space, and a discriminator with fixed company.

    Attributes:
        extractor: the feature space.
        D: the discriminator.
        class_index: class of a conditional network.
        seed: chooses the reals that the discriminator sees beside each image.
    """

    extractor: Extractor
    D: AnyDiscriminator
    class_index: int | None
    seed: int


def score(
    reals: npt.NDArray[np.uint8], others: Sequence[Images], judges: Judges, bar: Bar
) -> tuple[ScorePair, list[ScorePair]]:
    """Return both scores of the reals that define the mean feature and the company, and those of other images.

    Each score follows from its image, the reals and the networks alone. Images are uint8 [N, S, S, 3].
    """
    features = np.concatenate([judges.extractor(part).numpy() for part in _chunks(reals)])
    mean_feature = features.mean(axis=0, dtype=np.float64)
    partners = choose_partners(reals, judges.D.config.mbstd_group_size, seed=judges.seed)

    def logits(part: npt.NDArray[np.uint8]) -> Scores:
        bar.advance(len(part))
        return discriminator_logits(judges.D, part, partners, class_index=judges.class_index)

    def both(images: Images) -> ScorePair:
        return ScorePair.joined(
            [
                ScorePair(cosine_similarity(judges.extractor(part).numpy(), mean_feature), logits(part))
                for part in _chunks(images)
            ]
        )

    defining = ScorePair(
        cosine_similarity(features, mean_feature), np.concatenate([logits(part) for part in _chunks(reals)])
    )
    return defining, [both(images) for images in others]


def _chunks(images: Images) -> Iterator[npt.NDArray[np.uint8]]:
    """Give the images in parts that are whole batches of every network; of none, one part without images."""
    for start in range(0, max(len(images), 1), SCORE_AT_ONCE):
        yield np.asarray(images[start : start + SCORE_AT_ONCE])
