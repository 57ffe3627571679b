"""Both scores of an image: likeness to the mean real feature, and the discriminator's logit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.cohort import STUDY, Cohort
from shared.console import Bar
from shared.errors import UserError
from shared.splits import parts
from shared.stored import StoredImages
from stylegan2_ada import Discriminator
from synth.features import Extractor
from synth.logits import choose_partners, discriminator_logits
from synth.selection import ScorePair, cosine_similarity

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
class Scorer:
    """What an image is held against: the mean real feature, and a discriminator with fixed company.

    Attributes:
        extractor: the feature space.
        mean_feature: float32 [F] of the reals.
        D: the discriminator.
        partners: uint8 [G - 1, S, S, 3], the reals that the discriminator sees beside each image.
        class_index: class of a conditional network.
    """

    extractor: Extractor
    mean_feature: npt.NDArray[np.float64]
    D: Discriminator
    partners: npt.NDArray[np.uint8]
    class_index: int | None

    @classmethod
    def of(
        cls,
        reals: npt.NDArray[np.uint8],
        extractor: Extractor,
        D: Discriminator,
        *,
        class_index: int | None,
        seed: int,
    ) -> "Scorer":
        """Make the scorer that uint8 reals [R, S, S, 3] define; `seed` chooses the partners among them."""
        mean_feature = extractor(reals).numpy().astype(np.float64).mean(axis=0)
        partners = choose_partners(reals, D.config.mbstd_group_size, seed=seed)
        return cls(extractor, mean_feature, D, partners, class_index)

    def scores(self, images: Images, bar: Bar) -> ScorePair:
        """Return both scores of images [N, S, S, 3], each from its image alone."""
        pairs = []
        for start in range(0, len(images), SCORE_AT_ONCE):
            part = np.asarray(images[start : start + SCORE_AT_ONCE])
            similarity = cosine_similarity(self.extractor(part).numpy(), self.mean_feature)
            logits = discriminator_logits(self.D, part, self.partners, class_index=self.class_index)
            pairs.append((similarity, logits))
            bar.advance(len(part))
        empty = (np.empty(0, np.float32),) * 2
        return ScorePair(*(np.concatenate(column) for column in zip(empty, *pairs, strict=True)))
