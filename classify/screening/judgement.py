"""What a model says of one photograph, or why it says nothing."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.special import expit

from classify.fitting.folder import FittedModel
from classify.measuring.calibration import threshold_for_sensitivity
from classify.measuring.operating import Operating
from classify.measuring.venn_abers import Probability, venn_abers
from classify.measuring.verdicts import Integers, Values
from classify.screening.quality import Image, measure, problems
from classify.screening.reference import Features, Reference
from shared.errors import UserError

LEAST = 10  # validation images of each class, below which a threshold and an interval say nothing


class Verdict(Enum):
    """On which side of the threshold a photograph is, or that it cannot be judged."""

    ABOVE = "above"
    BELOW = "below"
    NONE = "none"


@dataclass(frozen=True)
class Judgement:
    """One photograph's.

    Attributes:
        verdict: `Verdict.NONE` where it cannot be judged.
        probability: that it shows the disease, at the stated prevalence; None where it cannot be judged.
        problems: what is wrong with the photograph, in words.
        distance: to the photographs that the model knows (`Reference.distance`).
        is_known: whether it is like them.
    """

    verdict: Verdict
    probability: Probability | None
    problems: tuple[str, ...]
    distance: float
    is_known: bool


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges photographs by a model's score and by what the model knows.

    Attributes:
        score: [V] of the validation images.
        label: [V] theirs.
        threshold: of sigmoid(score), above which a photograph is shown to a clinician first.
        prevalence: share of positives where it is used.
        reference: what the model knows.
    """

    score: Values
    label: Integers
    threshold: float
    prevalence: float
    reference: Reference

    @property
    def calibration_prevalence(self) -> float:
        """Share of positives among the validation images."""
        return float(self.label.mean())

    def judge(self, image: Image, *, side_px: int, score: float, features: Features) -> Judgement:
        """Judge one prepared image.

        Args:
            image: uint8 [S, S, 3].
            side_px: the photograph's shorter side as it was taken.
            score: log-odds of the positive class.
            features: [D] of the image, as the reference's.
        """
        wrong = problems(measure(image), sharpness=self.reference.sharpness, side_px=side_px, size=self.reference.size)
        distance = float(self.reference.distance(features[None])[0])
        is_known = distance <= self.reference.limit
        if wrong or not is_known:
            return Judgement(Verdict.NONE, None, tuple(wrong), distance, is_known)
        found = venn_abers(self.score, self.label, score).at_prevalence(self.calibration_prevalence, self.prevalence)
        verdict = Verdict.ABOVE if expit(score) > self.threshold else Verdict.BELOW
        return Judgement(verdict, found, (), distance, is_known)


def make_judge(fitted: FittedModel, reference: Reference, operating: Operating) -> Judge:
    """Return the judge of a model, by its validation images; the first prevalence counts.

    Raises `UserError`: as `validation_of`.
    """
    score, label = validation_of(fitted)
    threshold = threshold_for_sensitivity(score, label, operating.sensitivity)
    assert threshold is not None
    return Judge(score, label, threshold, operating.prevalence[0], reference)


def validation_of(fitted: FittedModel) -> tuple[Values, Integers]:
    """Return the scores [V] and labels [V] of a model's validation images.

    Raises `UserError`: too few of a class, or images that the model was fitted on.
    """
    if fitted.config.protocol != "strict":
        raise UserError(
            f"{fitted.path}: under protocol {fitted.config.protocol} turned copies of its validation images were "
            "fitted on, so that no chance can be told of them; serve a model of protocol strict."
        )
    kept = fitted.history["validation"]
    score, label = np.asarray(kept["score"], np.float64), np.asarray(kept["label"], np.int64)
    fewest = min(int((label == value).sum()) for value in (0, 1))
    if fewest < LEAST:
        raise UserError(
            f"{fitted.path}: {fewest} validation images of a class, of which no threshold can be told (at least "
            f"{LEAST}); fit on a larger cohort."
        )
    return score, label
