"""What frozen layers make of pictures: computed once, and kept in a folder when one is given.

The folder's files are keyed by all that decides on a feature: the backbone's weights, and the pixels themselves.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from classify.mixing import Entries
from classify.models import Classifier
from classify.pixels import Pixels
from classify.prefix import Cut
from shared.errors import UserError
from shared.files import locked, whole_file
from shared.progress import progress

MAX_BATCH = 128
CPU_BATCH_PIXELS = 8 * 224 * 224  # on a CPU small batches stay in its cache
MAX_STORED_BYTES = 1 << 31  # of one feature file; beyond it, features stay in memory only
DIGEST_BYTES = hashlib.sha256().digest_size

Features = npt.NDArray[np.float32]


class FeatureStore:
    """Computes features, and keeps them in `folder` if there is one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def features(self, classifier: Classifier, parts: Cut, pixels: Pixels, entries: Entries) -> Features:
        """Return float32 [E, D] for `entries` of `pixels`.

        Images are taken in fixed batches, the last one filled up, so that a feature does not depend on its neighbours.
        """
        if self._folder is None or 4 * parts.width * len(entries) > MAX_STORED_BYTES:
            return _compute(classifier, parts, pixels, entries)
        path = self._folder / f"{backbone_sha256(classifier, parts.description)}.safetensors"
        digests = _digests(pixels, entries)
        with locked(path):
            known = _load(path)
            missing = np.array([row for row, digest in enumerate(digests) if digest not in known], np.int64)
            if len(missing):
                new = _compute(classifier, parts, pixels, entries[missing])
                known |= {digests[row]: feature for row, feature in zip(missing, new, strict=True)}
                _save(path, known)
        return np.stack([known[digest] for digest in digests])


def _compute(classifier: Classifier, parts: Cut, pixels: Pixels, entries: Entries) -> Features:
    size = inference_batch(classifier)
    found = np.empty((len(entries), parts.width), np.float32)
    mode = classifier.training
    classifier.eval()
    with torch.inference_mode(), progress("features of the frozen layers", len(entries), unit="images") as bar:
        for start in range(0, len(entries), size):
            chunk = entries[np.arange(start, start + size).clip(max=len(entries) - 1)]
            kept = min(size, len(entries) - start)
            batch = parts.first(classifier.prepare(pixels[chunk]))
            found[start : start + kept] = batch[:kept].float().cpu().numpy()
            bar.advance(kept)
    classifier.train(mode)
    return found


def inference_batch(classifier: Classifier) -> int:
    """Return how many images are taken at once when nothing trains; it follows from device and input size alone."""
    if classifier.mean.device.type != "cpu":
        return MAX_BATCH
    return min(MAX_BATCH, max(1, CPU_BATCH_PIXELS // classifier.image_size**2))


def _digests(pixels: Pixels, entries: Entries) -> list[bytes]:
    """Return the SHA-256 of each entry's pixels; all have one shape."""
    return [digest for rows in _pieces(len(entries)) for digest in _digests_of(pixels[entries[rows]], pixels.shape)]


def _pieces(count: int) -> Iterator[npt.NDArray[np.int64]]:
    return (np.arange(start, min(start + MAX_BATCH, count)) for start in range(0, count, MAX_BATCH))


def _digests_of(images: Tensor, shape: tuple[int, ...]) -> list[bytes]:
    return [hashlib.sha256(repr(shape).encode() + image.tobytes()).digest() for image in images.cpu().numpy()]


def backbone_sha256(classifier: Classifier, part: str = "all") -> str:
    """Return the SHA-256 of all that decides on a feature: the backbone's structure and tensors, the preprocessing."""
    device = classifier.mean.device.type  # kernels of another kind round differently
    digest = hashlib.sha256(f"{device} {classifier.image_size} {part} {classifier.backbone}".encode())
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
        save_file({"digests": digests, "features": features}, part, {"rarescreen-features": "1"})
