"""Shortcut checks: what a classifier's own features tell that they should not need to.

Where synthetic images are positives alone, "looks synthetic" means "has the disease" in training. If a linear probe on
the classifier's features can tell real from synthetic positives, that was there to be learnt. The same goes for the
source of a photograph (camera, clinic).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from classify.fitting.features import inference_batch
from classify.fitting.mixing import Mixture
from classify.measuring.bootstrap import Interval, group_bootstrap
from classify.measuring.measures import auc
from classify.measuring.verdicts import Verdicts
from classify.models import Classifier
from shared.cohort import POSITIVE

PIECES = 5  # of the images, each probed by what the others taught
LEAST = 10  # images of a kind, below which a probe says nothing
STRENGTH = 0.1  # of the logistic regression: the inverse of its penalty's weight

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """How well a linear probe on a classifier's features tells two kinds of images apart, on images it has not seen.

    `auc` is 0.5 for not at all and 1 for perfectly, with its 95 % interval (bootstrap over groups).
    """

    auc: float
    interval: Interval | None
    n_one: int
    n_other: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def probe(features: npt.NDArray[np.float32], is_one: npt.NDArray[np.bool_], group: Indices) -> Probe | None:
    """Return how well `features` [N, D] tell the images `is_one` [N] from the others; groups [N] stay together.

    None with fewer than ten images or five groups of a kind.
    """
    label = is_one.astype(np.int64)
    kinds = [is_one, ~is_one]
    if min(int(kind.sum()) for kind in kinds) < LEAST:
        return None
    if min(len(np.unique(group[kind])) for kind in kinds) < PIECES:
        return None
    score, piece = np.empty(len(label)), np.empty(len(label), np.int64)
    cuts = StratifiedGroupKFold(PIECES, shuffle=True, random_state=0).split(features, label, group)
    for number, (known, asked) in enumerate(cuts):
        if len(np.unique(label[known])) < 2 or len(np.unique(label[asked])) < 2:
            return None
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
        score[asked] = model.fit(features[known], label[known]).decision_function(features[asked])
        piece[asked] = number
    verdicts = Verdicts(
        image=np.arange(len(label)).astype(np.str_),
        group=group,
        label=label,
        score=score,
        temperature=np.ones(len(label)),
        threshold=np.full(len(label), 0.5),
        fold=piece,
        seed=np.zeros(len(label), np.int64),
    )

    def area(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return auc(score, label, verdicts.model, weights)

    value = float(area(np.ones((1, len(label))))[0])
    return Probe(value, group_bootstrap(verdicts, area), int(label.sum()), int(len(label) - label.sum()))


def synthetic_probe(classifier: Classifier, mixture: Mixture) -> Probe | None:
    """Return how well the classifier's features tell synthetic from real positives; None without synthetic ones."""
    rows = np.unique(mixture.train.index)
    rows = rows[mixture.label[rows] == POSITIVE]
    if not mixture.synthetic[rows].any():
        return None
    features = own_features(classifier, mixture.images[rows])
    return probe(features, mixture.synthetic[rows], mixture.group[rows])


def own_features(classifier: Classifier, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return what the last layer sees [N, D] of `images` [N, S, S, 3] uint8."""
    size, device = inference_batch(classifier), classifier.mean.device
    classifier.eval()
    with torch.inference_mode():
        pieces = [
            classifier.last_hidden(torch.tensor(images[start : start + size], device=device)).float().cpu().numpy()
            for start in range(0, len(images), size)
        ]
    return np.concatenate(pieces)
