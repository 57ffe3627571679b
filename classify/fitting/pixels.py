"""The images of a mixture on a device, and numbers that tell one picture of them from another."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classify.fitting.augment import draw_changes, transform, vary
from classify.fitting.mixing import Entries

_TRANSFORM_BIT, _VARIATION_BIT = 32, 40  # of the number of an entry

T = TypeVar("T", int, npt.NDArray[np.int64])


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
            keys = [(self._seed, *fields_of(code)) for code in codes_of(entries)[varied].tolist()]
            changes = torch.from_numpy(draw_changes(keys)).to(self.device)
            rows = torch.from_numpy(varied).to(self.device)
            images[rows] = vary(images[rows], changes)
        return images


def codes_of(entries: Entries) -> npt.NDArray[np.int64]:
    """Return a number [E] for each entry that others have not."""
    return entries.index | entries.transform << _TRANSFORM_BIT | entries.variation << _VARIATION_BIT


def fields_of(codes: T) -> tuple[T, T, T]:
    """Return index, transform and variation of entries."""
    low = (1 << _TRANSFORM_BIT) - 1
    middle = (1 << (_VARIATION_BIT - _TRANSFORM_BIT)) - 1
    return codes & low, codes >> _TRANSFORM_BIT & middle, codes >> _VARIATION_BIT
