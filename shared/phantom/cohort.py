"""From counts and a seed to arrays of pictures; each picture has its own random stream."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from shared.errors import UserError
from shared.phantom.other import other_lesion, tone_of

SMALLEST_PX, LARGEST_PX = 8, 1024


class Stream(IntEnum):
    """The pictures' random streams: the same number in two streams never gives the same skin."""

    POSITIVE = 0
    NEGATIVE = 1
    EXTERNAL = 2
    OTHER = 3


def generator(seed: int, stream: Stream, index: int) -> np.random.Generator:
    """Return the generator of one picture, a function of these three numbers and nothing else."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), index)))


def check(size: int, seed: int, **counts: int) -> None:
    """Raise `UserError` for a size, a seed or a count that cannot be rendered."""
    if not SMALLEST_PX <= size <= LARGEST_PX:
        raise UserError(
            f"phantom of {size} px: phantoms are drawn at {SMALLEST_PX} to {LARGEST_PX} px; give such a size."
        )
    if seed < 0:
        raise UserError(f"phantom seed {seed}: random streams are numbered from 0; give a seed of 0 or more.")
    for name, count in counts.items():
        if count < 0:
            raise UserError(f"{count} phantom {name}: a number of pictures cannot be negative; give 0 or more.")


def render_other_lesions(count: int, *, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return `count` pictures [count, size, size, 3] uint8 of phantom skin with other lesions, tones in turn.

    Skin, light and camera are those of `render_phantom`; the random streams are others at every seed.
    Raises `UserError` for a size or a number out of range.
    """
    check(size, seed, pictures=count)
    images = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        images[index] = other_lesion(generator(seed, Stream.OTHER, index), tone_of(index), size)
    return images
