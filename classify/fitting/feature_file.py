"""A file of features that several processes read and add to, by the SHA-256 of the pixels that each is of."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from shared.console import say
from shared.errors import UserError
from shared.files import locked, whole_file

MAX_STORED_BYTES = 1 << 31  # of one file; what is beyond it stays in memory only
FORMAT, VERSION = "rarescreen-features", "1"
DIGEST_BYTES = hashlib.sha256().digest_size

Features = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class FeatureFile:
    """Features of `width` numbers each. The file need not be there yet."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self._width, self._is_full = path, width, False

    def look_up(self, digests: Sequence[bytes], into: Features) -> Mask:
        """Write the features that are there into the rows of `into` [E, D], and tell which these are [E].

        Raises `UserError`: the file is damaged.
        """
        kept, features = self._read()
        place = {digest: row for row, digest in enumerate(kept)}
        known = np.array([digest in place for digest in digests], bool)
        for row in np.flatnonzero(known).tolist():  # one by one, so that there is no copy of them all in between
            into[row] = features[place[digests[row]]]
        return known

    def add(self, digests: Sequence[bytes], features: Features) -> None:
        """Add `features` [E, D] beside what others have added meanwhile, as far as the file may grow.

        Raises `UserError`: the file is damaged.
        """
        if self._is_full:
            return
        with locked(self.path):  # no longer than this takes: others compute meanwhile
            kept, there = self._read()
            known = set(kept)
            new = {digest: row for row, digest in enumerate(digests) if digest not in known}
            room = MAX_STORED_BYTES // (4 * self._width) - len(kept)
            if len(new) > room:
                self._is_full = True  # which is said once
                say(f"note: {self.path} has reached its {MAX_STORED_BYTES / 2**30:.3g} GiB; more stays in memory only.")
                new = dict(list(new.items())[: max(room, 0)])
            if not new:
                return
            grown = np.concatenate([there, features[list(new.values())]])
            named = np.frombuffer(b"".join([*kept, *new]), np.uint8).reshape(-1, DIGEST_BYTES)
            with whole_file(self.path) as part:
                save_file({"digests": named, "features": grown}, part, {FORMAT: VERSION})

    def _read(self) -> tuple[list[bytes], Features]:
        if not self.path.exists():
            return [], np.empty((0, self._width), np.float32)
        way_out = "delete it, and the features are computed again."
        try:
            with safe_open(self.path, "numpy") as file:
                version = (file.metadata() or {}).get(FORMAT)
            if version != VERSION:
                raise ValueError(f"version {version}, and this is version {VERSION}")
            arrays = load_file(self.path)
        except (SafetensorError, ValueError) as error:
            raise UserError(f"{self.path}: a damaged feature file ({error}); {way_out}") from error
        digests, features = arrays.get("digests"), arrays.get("features")
        if digests is None or features is None or digests.shape != (len(features), DIGEST_BYTES):
            raise UserError(f"{self.path}: not a feature file; {way_out}")
        if features.shape[1:] != (self._width,) or features.dtype != np.float32:
            raise UserError(f"{self.path}: not a feature file of this network; {way_out}")
        return [digest.tobytes() for digest in digests], features
