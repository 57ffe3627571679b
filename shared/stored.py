"""Images that stay in their sealed file until they are used."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from shared.errors import UserError
from shared.sealed import H5PY_ERRORS, read_seal

CACHE_BYTES = 1 << 30  # images up to this size are kept in memory after their first use

PIECE_BYTES = 1 << 24  # of images that are passed on at a time

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StoredImages:
    """The images of a sealed file as a read-only array: `len`, `shape`, numpy indexing, `np.asarray`.

    Up to `CACHE_BYTES` the first use loads all; beyond it each use reads what it names. No file stays open, so an
    object may be pickled, or used on both sides of a fork.
    """

    path: Path
    sha256: str
    shape: tuple[int, ...]  # [N, S, S, 3]

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Images:
        if self._fits:
            images: Images = self._all[index]
            return images
        rows, *rest = index if isinstance(index, tuple) else (index,)
        images = self._read(rows)
        return images[tuple(rest)] if images.ndim < self.ndim else images[(slice(None), *rest)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Images:
        images = self._all if self._fits else self._read(slice(None))
        return np.array(images, dtype=dtype) if copy else np.asarray(images, dtype=dtype)

    def read(self, rows: Any) -> Images:
        """Return the images that `rows` names, and keep nothing in memory."""
        return self._all[rows] if "_all" in self.__dict__ else self._read(rows)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "sha256": self.sha256, "shape": self.shape}  # the cache stays behind

    @property
    def _fits(self) -> bool:
        return int(np.prod(self.shape)) <= CACHE_BYTES

    @cached_property
    def _all(self) -> Images:
        images = self._read(slice(None))
        images.flags.writeable = False
        return images

    def _read(self, rows: Any) -> Images:
        """Read the images that `rows` (number, slice, mask or numbers in any order, repeats included) names."""
        numbers = np.arange(len(self))[rows]
        wanted, inverse = np.unique(numbers, return_inverse=True)
        found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        self._check_seal()
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                start = 0
                for run in np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1):
                    if len(run):
                        found[start : start + len(run)] = file["images"][run[0] : run[-1] + 1]
                        start += len(run)
        except H5PY_ERRORS as error:
            raise UserError(f"{self.path}: its images are not readable ({error}); make the file again.") from error
        if isinstance(rows, slice) and (rows.step is None or rows.step > 0):
            return found
        return found[inverse.reshape(numbers.shape)]

    def _check_seal(self) -> None:
        if read_seal(self.path, what="file", made_by="Rarescreen").sha256 != self.sha256:
            raise UserError(f"{self.path}: replaced since it was opened; run the command again.")


@dataclass(frozen=True, eq=False)
class MadeImages:
    """Images that are made whenever they are asked for, as a read-only array: `len`, `shape`, numpy indexing.

    Attributes:
        shape: [N, S, S, 3].
        make: returns the images of some rows, uint8 [R, S, S, 3].
        at_once: how many are best made at a time.
    """

    shape: tuple[int, ...]
    make: Callable[[Rows], Images]
    at_once: int

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Images:
        rows, *rest = index if isinstance(index, tuple) else (index,)
        numbers = np.arange(len(self))[rows]
        images = self.make(np.atleast_1d(numbers))
        return images[(slice(None) if numbers.ndim else 0, *rest)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Images:
        return np.asarray(self[:], dtype=dtype)


AnyImages: TypeAlias = Images | StoredImages | MadeImages


def read_rows(images: AnyImages, rows: Rows) -> Images:
    """Return the images of some rows; those of a file are not kept in memory."""
    return images.read(rows) if isinstance(images, StoredImages) else images[rows]


def pieces_of(images: AnyImages) -> Iterator[Images]:
    """Give images in pieces that fit into memory; those of a file are not kept."""
    rows = max(1, PIECE_BYTES // int(np.prod(images.shape[1:])))
    if isinstance(images, MadeImages):
        rows = images.at_once
    for start in range(0, len(images), rows):
        part = slice(start, start + rows)
        yield images.read(part) if isinstance(images, StoredImages) else images[part]
