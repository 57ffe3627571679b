"""What the networks of a fold may see of a cohort."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.cohort import NEGATIVE, POSITIVE, STUDY, Cohort
from shared.errors import UserError
from shared.splits import parts
from synth.scores.groups import Groups
from synth.training.options import TrainOptions

LABELS = {"positive": (POSITIVE,), "negative": (NEGATIVE,), "both": (NEGATIVE, POSITIVE)}
MIN_IMAGES = 2


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The real images that a fold's networks may see."""

    images: npt.NDArray[np.uint8]  # [N, S, S, 3]
    labels: npt.NDArray[np.int64]  # [N], index of the class among those trained
    classes: int  # how many a conditional network has, 0 for an unconditional one
    validation: npt.NDArray[np.uint8]  # [V, S, S, 3]
    groups: tuple[Groups, Groups]  # of images and of validation
    seen: npt.NDArray[np.int64]  # [N + V] rows of the cohort that training or a choice uses

    @classmethod
    def of(cls, cohort: Cohort, fold: int, options: TrainOptions) -> "TrainingSet":
        """Return what the protocol lets a fold's networks see.

        strict: the fold's train part, and its validation part for choices. paper: all study images of the class, which
        then include every fold's test images; choices are made on the training images.

        Raises `UserError`: too few images.
        """
        wanted = LABELS[options.label]
        if options.protocol == "paper":
            train = np.flatnonzero(cohort.role == STUDY)
            validation = train[:0]
        else:
            split = parts(cohort, fold)
            train, validation = split.train, split.validation
        train = train[np.isin(cohort.label[train], wanted)]
        validation = validation[np.isin(cohort.label[validation], wanted)]
        if len(train) < MIN_IMAGES:
            raise UserError(
                f"--label {options.label}: {len(train)} images of that class in the train part of fold {fold}, and a "
                f"network needs at least {MIN_IMAGES}; prepare a cohort with more."
            )
        return cls(
            np.asarray(cohort.images[train]),
            np.searchsorted(np.array(wanted), cohort.label[train]),
            classes(options),
            np.asarray(cohort.images[validation]),
            (Groups.of(cohort.group_id[train]), Groups.of(cohort.group_id[validation])),
            np.concatenate([train, validation]),
        )


def classes(options: TrainOptions) -> int:
    """Return how many classes a conditional network is asked for, 0 for an unconditional one."""
    return len(LABELS[options.label]) if options.label == "both" else 0
