"""What frozen layers make of pictures: computed once, and kept in a folder when one is given.

The folder's files are keyed by all that decides on a feature: the backbone's weights, the precision, and the pixels
themselves. What is computed is saved every half minute and when a signal comes, so an interrupted fit goes on there.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classify.fitting.feature_file import FeatureFile, Features
from classify.fitting.mixing import Entries
from classify.fitting.pixels import Pixels
from classify.fitting.prefix import Cut
from classify.models import Classifier
from shared.interruption import Interruption
from shared.nn.device import autocast, describe_precision
from shared.nn.ranks import ALONE, Ranks
from shared.progress import progress

MAX_BATCH = 128
CPU_BATCH_PIXELS = 8 * 224 * 224  # on a CPU small batches stay in its cache
SAVE_EVERY_S = 30.0
MOST_OF_THE_TIME = 0.1  # that may go into saving: a file of gigabytes is written less often

Indices = npt.NDArray[np.int64]


@dataclass
class FrozenWork:
    """What frozen layers had to do for a fit, in one process.

    Attributes:
        seconds: of computing features.
        computed: pictures that they were computed of.
        kept: pictures whose features a folder had.
    """

    seconds: float = 0.0
    computed: int = 0
    kept: int = 0


class FeatureStore:
    """Computes features, and keeps them in `folder` if there is one; `work` is what that took."""

    def __init__(
        self, folder: Path | None = None, ranks: Ranks = ALONE, interruption: Interruption | None = None
    ) -> None:
        """Make a store; all of `ranks` ask it for the same features, and each gets them all."""
        self._folder, self._ranks, self._interruption = folder, ranks, interruption or Interruption()
        self.work = FrozenWork()

    def features(
        self,
        classifier: Classifier,
        parts: Cut,
        pixels: Pixels,
        entries: Entries,
        dtype: torch.dtype = torch.float32,
    ) -> Features:
        """Return float32 [E, D] for `entries` of `pixels`, computed in the precision of a fit in `dtype`.

        Images are taken in fixed batches, the last one filled up, so that a feature does not depend on its neighbours.

        Raises:
            UserError: the file of features is damaged.
            shared.interruption.StopAskedError: a signal came; what was computed so far is saved.
        """
        found = np.empty((len(entries), parts.width), np.float32)
        file = self._file(classifier, parts, dtype)
        digests = [] if file is None else _digests(pixels, entries)
        known = np.zeros(len(entries), bool) if file is None else file.look_up(digests, found)
        # The ranks go through the same batches, and one of them may read another machine's folder.
        missing = np.flatnonzero(~np.logical_and.reduce(self._ranks.gather(known)))

        def compute(chunk: Entries) -> Features:
            with torch.inference_mode(), autocast(classifier.mean.device, dtype):
                return cast(Features, parts.first(classifier.prepare(pixels[chunk])).float().cpu().numpy())

        mode = classifier.training
        classifier.eval()
        done, start_s = 0, time.monotonic()
        for end in self._fill(found, entries, missing, compute, inference_batch(classifier)):
            new = missing[done:end]
            if file is not None and self._ranks.first:
                file.add([digests[row] for row in new], found[new])
            done = end
            self._interruption.check(self._ranks)
        classifier.train(mode)
        self.work.seconds += time.monotonic() - start_s
        self.work.computed += len(missing)
        self.work.kept += len(entries) - len(missing)
        return found

    def _file(self, classifier: Classifier, parts: Cut, dtype: torch.dtype) -> FeatureFile | None:
        if self._folder is None:
            return None
        precision = describe_precision(dtype, classifier.mean.device)
        name = backbone_sha256(classifier, parts.description, precision)
        return FeatureFile(self._folder / f"{name}.safetensors", parts.width)

    def _fill(
        self,
        found: Features,
        entries: Entries,
        missing: Indices,
        compute: Callable[[Entries], Features],
        size: int,
    ) -> Iterator[int]:
        """Fill the rows `missing` of `found` batch by batch; give how many are done when they are to be saved.

        That is now and then, when a signal has come, and at the end.
        """
        count, pause_s, saved_s = len(missing), SAVE_EVERY_S, time.monotonic()
        with progress("features of the frozen layers", count, unit="images") as bar:
            for start in range(0, count, size):
                end = min(start + size, count)
                rows = missing[np.arange(start, start + size).clip(max=count - 1)]
                found[missing[start:end]] = compute(entries[rows])[: end - start]
                bar.advance(end - start)
                is_late = time.monotonic() - saved_s >= pause_s
                if self._ranks.most(int(end == count or is_late or self._interruption.signal is not None)):
                    asked_s = time.monotonic()
                    yield end
                    saved_s = time.monotonic()
                    pause_s = max(SAVE_EVERY_S, (saved_s - asked_s) / MOST_OF_THE_TIME)


def inference_batch(classifier: Classifier) -> int:
    """Return how many images are taken at once when nothing trains; it follows from device and input size alone."""
    if classifier.mean.device.type != "cpu":
        return MAX_BATCH
    return min(MAX_BATCH, max(1, CPU_BATCH_PIXELS // classifier.image_size**2))


def _digests(pixels: Pixels, entries: Entries) -> list[bytes]:
    """Return the SHA-256 of each entry's pixels; all have one shape."""
    return [digest for rows in _pieces(len(entries)) for digest in _digests_of(pixels[entries[rows]], pixels.shape)]


def _pieces(count: int) -> Iterator[Indices]:
    return (np.arange(start, min(start + MAX_BATCH, count)) for start in range(0, count, MAX_BATCH))


def _digests_of(images: Tensor, shape: tuple[int, ...]) -> list[bytes]:
    return [hashlib.sha256(repr(shape).encode() + image.tobytes()).digest() for image in images.cpu().numpy()]


def backbone_sha256(classifier: Classifier, part: str = "all", precision: str = "fp32") -> str:
    """Return the SHA-256 of all that decides on a feature beside the pixels.

    That is the backbone's structure and tensors, the preprocessing, the precision, and PyTorch's version and the kind
    of device, whose kernels round each in their way.
    """
    how = f"{torch.__version__} {classifier.mean.device.type} {precision}"
    digest = hashlib.sha256(f"{how} {classifier.image_size} {part} {classifier.backbone}".encode())
    tensors: Sequence[tuple[str, Tensor]] = sorted(classifier.backbone.state_dict().items())
    for name, tensor in (*tensors, ("mean", classifier.mean), ("std", classifier.std)):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
