"""What a fit feeds to the network: pixels transformed on the device, or what its frozen layers make of them.

With frozen first layers the same image under the same transform gives the same features in every epoch. They are
computed once per distinct image and transform and kept in memory, and in a folder when one is given, where fits at
other ratios find those of the real images again. The folder's files are keyed by the backbone's weights and the pixels
themselves.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classify.fitting.features import FeatureStore, FrozenWork
from classify.fitting.mixing import Entries, Mixture
from classify.fitting.pixels import Pixels, codes_of, fields_of
from classify.fitting.prefix import Cut
from classify.fitting.schedule import Shown, TrainSettings, all_shown
from classify.models import Classifier
from shared.console import say
from shared.nn.memory import free_bytes
from shared.nn.ranks import ALONE, Ranks

MAX_KEPT_BYTES = 8 << 30  # of one fit's features in memory; beyond it frozen layers run in every epoch


class Inputs(Protocol):
    """Images of a mixture as a network sees them.

    Attributes:
        kind: how, which decides on how results are rounded.
        frozen: what frozen layers had to do before; None where they run in every step, or none are frozen.
    """

    kind: str
    frozen: FrozenWork | None

    def logits(self, entries: Entries) -> Tensor:
        """Return the classifier's logits [E, 2] for `entries`, on its device."""


class PixelInputs:
    """Gives the whole network its pixels."""

    kind = "pixels"
    frozen: FrozenWork | None = None

    def __init__(self, classifier: Classifier, pixels: Pixels) -> None:
        self._classifier, self._pixels = classifier, pixels

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the transformed pixels."""
        logits: Tensor = self._classifier(self._pixels[entries])
        return logits


@dataclass(frozen=True, eq=False)
class _Kept:
    """Features of pictures, which their numbers name."""

    codes: npt.NDArray[np.int64]  # [P] ascending
    features: Tensor  # [P, D] float32

    def of(self, entries: Entries) -> Tensor:
        rows = torch.from_numpy(np.searchsorted(self.codes, codes_of(entries)))
        return self.features[rows.to(self.features.device)]


class FeatureInputs:
    """Looks up what the frozen layers make of an image, and applies those that train."""

    kind = "features"

    def __init__(
        self,
        classifier: Classifier,
        parts: Cut,
        pixels: Pixels,
        shown: Shown,
        store: FeatureStore,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Compute the features of every distinct entry of `shown`, for a fit whose steps are in `dtype`.

        What it trains on has them in this precision, what scores it in full: as the whole network would.
        """
        self._rest, self._head = parts.rest, classifier.head
        self._device = classifier.mean.device
        kept = []
        for precision, codes in _wanted(shown, dtype).items():
            found = store.features(classifier, parts, pixels, Entries(*fields_of(codes)), precision)
            kept.append(_Kept(codes, torch.from_numpy(found).to(self._device)))
        self._trained, self._scored = kept[0], kept[-1]
        self.frozen: FrozenWork | None = store.work

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the features found: within `shared.nn.device.autocast` those to train on."""
        kept = self._trained if torch.is_autocast_enabled(self._device.type) else self._scored
        logits: Tensor = self._head(self._rest(kept.of(entries)))
        return logits


def _wanted(shown: Shown, dtype: torch.dtype) -> dict[torch.dtype, npt.NDArray[np.int64]]:
    """Return the numbers of the distinct pictures [P], ascending, by the precision of their features."""
    uses = {dtype: shown.trained, torch.float32: shown.scored}
    if len(uses) == 1:
        uses = {dtype: [*shown.trained, *shown.scored]}
    return {each: np.unique(np.concatenate([codes_of(of) for of in entries])) for each, entries in uses.items()}


def choose_inputs(
    classifier: Classifier,
    parts: Cut | None,
    mixture: Mixture,
    store: FeatureStore,
    settings: TrainSettings,
    ranks: Ranks = ALONE,
) -> Inputs:
    """Return the inputs of a fit with these `settings`: features where `parts` gives them and memory is.

    All of `ranks` get the same kind.
    """
    pixels = Pixels(mixture.images, classifier.mean.device, settings.seed)
    if parts is None:
        return PixelInputs(classifier, pixels)
    shown = all_shown(mixture, settings)
    wanted = 4 * parts.width * sum(map(len, _wanted(shown, settings.dtype).values()))
    allowed = kept_bytes(classifier.mean.device)
    if ranks.most(int(wanted > allowed)):
        sizes = f"{wanted / 2**30:.1f} GiB, of the {allowed / 2**30:.1f} GiB that may be taken"
        say(f"note: what the frozen layers give would take {sizes}, so they run in every epoch.")
        return PixelInputs(classifier, pixels)
    return FeatureInputs(classifier, parts, pixels, shown, store, settings.dtype)


def kept_bytes(device: torch.device) -> int:
    """Return how much memory features may take: no more than half of what is free where they are made and kept."""
    free = [free_bytes(each) for each in {device, torch.device("cpu")}]
    return min([MAX_KEPT_BYTES, *(each // 2 for each in free if each is not None)])
