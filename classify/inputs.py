"""What a fit feeds to the network: pixels transformed on the device, or features that were computed once.

With a frozen backbone the same image under the same transform has the same features in every epoch. They are computed
once per distinct image and transform and kept in memory, and in a folder when one is given, where fits at other ratios
find those of the real images again. The folder's files are keyed by the backbone's weights and the pixels themselves.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from classify.augment import TRANSFORMS, transform
from classify.mixing import Entries, Mixture
from classify.models import Classifier
from shared.errors import UserError
from shared.files import locked, whole_file
from shared.progress import progress

MAX_BATCH = 128
CPU_BATCH_PIXELS = 8 * 224 * 224  # on a CPU small batches stay in its cache
MAX_STORED_BYTES = 1 << 31  # of one feature file; beyond it, features stay in memory only
DIGEST_BYTES = hashlib.sha256().digest_size

Features = npt.NDArray[np.float32]


class Inputs(Protocol):
    """Images of a mixture as a network sees them."""

    def logits(self, entries: Entries) -> Tensor:
        """Return the classifier's logits [E, 2] for `entries`, on its device."""


class PixelInputs:
    """Transforms uint8 pixels on the classifier's device."""

    def __init__(self, classifier: Classifier, images: npt.NDArray[np.uint8]) -> None:
        self._classifier = classifier
        self._images = torch.from_numpy(images).to(classifier.mean.device)  # [M, S, S, 3] uint8

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the transformed pixels."""
        device = self._images.device
        index = torch.from_numpy(entries.index).to(device)
        which = torch.from_numpy(entries.transform).to(device)
        logits: Tensor = self._classifier(transform(self._images[index], which))
        return logits


class FeatureInputs:
    """Looks features of a frozen backbone up and applies the head."""

    def __init__(self, classifier: Classifier, mixture: Mixture, store: "FeatureStore") -> None:
        assert classifier.is_frozen
        pairs = np.unique(np.concatenate([_pair(e) for e in (mixture.train, mixture.validation, mixture.choice)]))
        index, which = np.divmod(pairs, len(TRANSFORMS))
        features = store.features(classifier, mixture.images, Entries(index, which))
        self._head = classifier.head
        self._features = torch.from_numpy(features).to(classifier.mean.device)  # [P, D] float32
        self._row = np.full(len(mixture.images) * len(TRANSFORMS), -1)
        self._row[pairs] = np.arange(len(pairs))

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the features found."""
        rows = torch.from_numpy(self._row[_pair(entries)]).to(self._features.device)
        logits: Tensor = self._head(self._features[rows])
        return logits


def _pair(entries: Entries) -> npt.NDArray[np.int64]:
    return entries.index * len(TRANSFORMS) + entries.transform


class FeatureStore:
    """Computes features, and keeps them in `folder` if there is one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def features(self, classifier: Classifier, images: npt.NDArray[np.uint8], entries: Entries) -> Features:
        """Return float32 [E, D] for `entries` of `images` [M, S, S, 3].

        Images are taken in fixed batches, the last one filled up, so that a feature does not depend on its neighbours.
        """
        if self._folder is None:
            return _compute(classifier, images, entries)
        path = self._folder / f"{backbone_sha256(classifier)}.safetensors"
        digests = _digests(images, entries)
        with locked(path):
            known = _load(path)
            missing = np.array([row for row, digest in enumerate(digests) if digest not in known], np.int64)
            if len(missing):
                new = _compute(classifier, images, entries[missing])
                known |= {digests[row]: feature for row, feature in zip(missing, new, strict=True)}
                _save(path, known)
        return np.stack([known[digest] for digest in digests])


def _compute(classifier: Classifier, images: npt.NDArray[np.uint8], entries: Entries) -> Features:
    device = classifier.mean.device
    size = inference_batch(classifier)
    classifier.eval()
    found = []
    with torch.inference_mode(), progress("features of the frozen backbone", len(entries), unit="images") as bar:
        for start in range(0, len(entries), size):
            chunk = entries[np.arange(start, start + size).clip(max=len(entries) - 1)]
            pixels = torch.from_numpy(images[chunk.index]).to(device)
            batch = classifier.features(transform(pixels, torch.from_numpy(chunk.transform).to(device)))
            kept = min(size, len(entries) - start)
            found.append(batch[:kept].cpu().numpy())
            bar.advance(kept)
    return np.concatenate(found)


def inference_batch(classifier: Classifier) -> int:
    """Return how many images are taken at once when nothing trains; it follows from device and input size alone."""
    if classifier.mean.device.type != "cpu":
        return MAX_BATCH
    return min(MAX_BATCH, max(1, CPU_BATCH_PIXELS // classifier.image_size**2))


def _digests(images: npt.NDArray[np.uint8], entries: Entries) -> list[bytes]:
    """Return the SHA-256 of each transformed image; all have one shape."""
    found: list[bytes] = [b""] * len(entries)
    for row, (index, which) in enumerate(zip(entries.index, entries.transform, strict=True)):
        pixels = transform(torch.tensor(images[index : index + 1]), torch.tensor([which]))
        found[row] = hashlib.sha256(repr(images.shape[1:]).encode() + pixels.numpy().tobytes()).digest()
    return found


def backbone_sha256(classifier: Classifier) -> str:
    """Return the SHA-256 of all that decides on a feature: the backbone's structure and tensors, the preprocessing."""
    device = classifier.mean.device.type  # kernels of another kind round differently
    digest = hashlib.sha256(f"{device} {classifier.image_size} {classifier.backbone}".encode())
    tensors: Sequence[tuple[str, Tensor]] = sorted(classifier.backbone.state_dict().items())
    for name, tensor in (*tensors, ("mean", classifier.mean), ("std", classifier.std)):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _load(path: Path) -> dict[bytes, Features]:
    if not path.exists():
        return {}
    way_out = "delete it, and the features are computed again."
    try:
        arrays = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: a damaged feature file ({error}); {way_out}") from error
    digests, features = arrays.get("digests"), arrays.get("features")
    if digests is None or features is None or digests.shape != (len(features), DIGEST_BYTES) or features.ndim != 2:
        raise UserError(f"{path}: not a feature file; {way_out}")
    return {bytes(digest): feature for digest, feature in zip(digests, features, strict=True)}


def _save(path: Path, known: dict[bytes, Features]) -> None:
    features = np.stack(list(known.values()))
    if features.nbytes > MAX_STORED_BYTES:
        return
    digests = np.frombuffer(b"".join(known), np.uint8).reshape(-1, DIGEST_BYTES)
    with whole_file(path) as part:
        save_file({"digests": digests, "features": features}, part, {"format": "rarescreen-features", "version": "1"})
