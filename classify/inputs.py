"""What a fit feeds to the network: pixels transformed on the device, or what its frozen layers make of them.

With frozen first layers the same image under the same transform gives the same features in every epoch. They are
computed once per distinct image and transform and kept in memory, and in a folder when one is given, where fits at
other ratios find those of the real images again. The folder's files are keyed by the backbone's weights and the pixels
themselves.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classify.features import FeatureStore
from classify.mixing import Entries, Mixture
from classify.models import Classifier
from classify.pixels import Pixels, codes_of, fields_of
from classify.prefix import Cut
from classify.schedule import Shown
from shared.console import say

MAX_KEPT_BYTES = 8 << 30  # of one fit's features in memory; beyond it frozen layers run in every epoch


class Inputs(Protocol):
    """Images of a mixture as a network sees them."""

    def logits(self, entries: Entries) -> Tensor:
        """Return the classifier's logits [E, 2] for `entries`, on its device."""


def _distinct(shown: Sequence[Entries]) -> npt.NDArray[np.int64]:
    return np.unique(np.concatenate([codes_of(entries) for entries in shown]))


class PixelInputs:
    """Gives the whole network its pixels."""

    def __init__(self, classifier: Classifier, pixels: Pixels) -> None:
        self._classifier, self._pixels = classifier, pixels

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the transformed pixels."""
        logits: Tensor = self._classifier(self._pixels[entries])
        return logits


class FeatureInputs:
    """Looks up what the frozen layers make of an image, and applies those that train."""

    def __init__(self, classifier: Classifier, parts: Cut, pixels: Pixels, shown: Shown, store: FeatureStore) -> None:
        """Compute the features of every distinct entry of `shown`."""
        self._known = _distinct(shown.all)  # [P] ascending
        self._rest, self._head = parts.rest, classifier.head
        features = store.features(classifier, parts, pixels, Entries(*fields_of(self._known)))
        self._features = torch.from_numpy(features).to(classifier.mean.device)  # [P, D] float32

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the features found."""
        rows = torch.from_numpy(np.searchsorted(self._known, codes_of(entries)))
        logits: Tensor = self._head(self._rest(self._features[rows.to(self._features.device)]))
        return logits


def choose_inputs(
    classifier: Classifier, parts: Cut | None, mixture: Mixture, shown: Shown, store: FeatureStore, seed: int
) -> Inputs:
    """Return the inputs of a fit that will be `shown` these entries: features where frozen layers give them.

    `seed` is of the random changes.
    """
    pixels = Pixels(mixture.images, classifier.mean.device, seed)
    if parts is None:
        return PixelInputs(classifier, pixels)
    bytes_wanted = 4 * parts.width * len(_distinct(shown.all))
    if bytes_wanted > MAX_KEPT_BYTES:
        say(f"note: what the frozen layers give would take {bytes_wanted / 2**30:.1f} GiB, so they run in every epoch.")
        return PixelInputs(classifier, pixels)
    return FeatureInputs(classifier, parts, pixels, shown, store)
