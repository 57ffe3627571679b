"""What a fit feeds to the network: pixels transformed on the device, or what its frozen layers make of them.

With frozen first layers the same image under the same transform gives the same features in every epoch. They are
computed once per distinct image and transform and kept in memory, and in a folder when one is given, where fits at
other ratios find those of the real images again. The folder's files are keyed by the backbone's weights and the pixels
themselves.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from classify.augment import draw_changes, transform, vary
from classify.mixing import Entries, Mixture
from classify.models import Classifier
from classify.prefix import Cut, cut
from shared.console import say
from shared.errors import UserError
from shared.files import locked, whole_file
from shared.progress import progress

MAX_BATCH = 128
CPU_BATCH_PIXELS = 8 * 224 * 224  # on a CPU small batches stay in its cache
MAX_KEPT_BYTES = 8 << 30  # of one fit's features in memory; beyond it frozen layers run in every epoch
MAX_STORED_BYTES = 1 << 31  # of one feature file; beyond it, features stay in memory only
DIGEST_BYTES = hashlib.sha256().digest_size

_TRANSFORM_BIT, _VARIATION_BIT = 32, 40  # of the number of an entry

Features = npt.NDArray[np.float32]
T = TypeVar("T", int, npt.NDArray[np.int64])


class Inputs(Protocol):
    """Images of a mixture as a network sees them."""

    def logits(self, entries: Entries) -> Tensor:
        """Return the classifier's logits [E, 2] for `entries`, on its device."""


class Pixels:
    """The images of a mixture, on a device, from where entries are drawn."""

    def __init__(self, images: npt.NDArray[np.uint8], device: torch.device, seed: int) -> None:
        self.device = device
        self._images = torch.from_numpy(images).to(device)  # [M, S, S, 3] uint8
        self._seed = seed

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return tuple(self._images.shape[1:])

    def __getitem__(self, entries: Entries) -> Tensor:
        """Return uint8 [E, S, S, 3]: each entry's image under its transform, and its random change if it has one."""
        index = torch.from_numpy(entries.index).to(self.device)
        images = transform(self._images[index], torch.from_numpy(entries.transform))
        varied = np.flatnonzero(entries.variation)
        if len(varied):
            keys = [(self._seed, *_fields(code)) for code in _codes(entries)[varied].tolist()]
            changes = torch.from_numpy(draw_changes(keys)).to(self.device)
            rows = torch.from_numpy(varied).to(self.device)
            images[rows] = vary(images[rows], changes)
        return images


def _codes(entries: Entries) -> npt.NDArray[np.int64]:
    """Return a number [E] for each entry that others have not."""
    return entries.index | entries.transform << _TRANSFORM_BIT | entries.variation << _VARIATION_BIT


def _fields(codes: T) -> tuple[T, T, T]:
    """Return index, transform and variation of entries."""
    low = (1 << _TRANSFORM_BIT) - 1
    middle = (1 << (_VARIATION_BIT - _TRANSFORM_BIT)) - 1
    return codes & low, codes >> _TRANSFORM_BIT & middle, codes >> _VARIATION_BIT


def _distinct(shown: Sequence[Entries]) -> npt.NDArray[np.int64]:
    return np.unique(np.concatenate([_codes(entries) for entries in shown]))


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

    def __init__(
        self, classifier: Classifier, parts: Cut, pixels: Pixels, shown: Sequence[Entries], store: "FeatureStore"
    ) -> None:
        """Compute the features of every distinct entry of `shown`."""
        self._known = _distinct(shown)  # [P] ascending
        self._rest, self._head = parts.rest, classifier.head
        features = store.features(classifier, parts, pixels, Entries(*_fields(self._known)))
        self._features = torch.from_numpy(features).to(classifier.mean.device)  # [P, D] float32

    def logits(self, entries: Entries) -> Tensor:
        """Return the logits [E, 2] of the features found."""
        rows = torch.from_numpy(np.searchsorted(self._known, _codes(entries)))
        logits: Tensor = self._head(self._rest(self._features[rows.to(self._features.device)]))
        return logits


def choose_inputs(
    classifier: Classifier, mixture: Mixture, shown: Sequence[Entries], store: "FeatureStore", seed: int
) -> Inputs:
    """Return the inputs of a fit that will be `shown` these entries: features where frozen layers give them.

    `seed` is of the random changes.
    """
    pixels = Pixels(mixture.images, classifier.mean.device, seed)
    parts = cut(classifier)
    if parts is None:
        return PixelInputs(classifier, pixels)
    bytes_wanted = 4 * parts.width * len(_distinct(shown))
    if bytes_wanted > MAX_KEPT_BYTES:
        say(f"note: what the frozen layers give would take {bytes_wanted / 2**30:.1f} GiB, so they run in every epoch.")
        return PixelInputs(classifier, pixels)
    return FeatureInputs(classifier, parts, pixels, shown, store)


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
