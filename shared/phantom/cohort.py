"""From counts and a seed to arrays of pictures; each picture has its own random stream."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shared.errors import UserError
from shared.phantom.camera import EXTERNAL_CAMERA, STUDY_CAMERA, photograph
from shared.phantom.eczema import paint_eczema
from shared.phantom.herpeticum import paint_herpeticum
from shared.phantom.other import other_lesion
from shared.phantom.skin import bare_skin, tone_of, working_grid

SMALLEST_PX, LARGEST_PX = 8, 1024


class Stream(IntEnum):
    """The pictures' random streams: the same number in two streams never gives the same skin."""

    POSITIVE = 0
    NEGATIVE = 1
    EXTERNAL = 2
    OTHER = 3


@dataclass(frozen=True, eq=False)
class Phantom:
    """A rendered cohort: positives, then negatives, then the external negatives.

    images: uint8 [N, S, S, 3] sRGB. label: int64 [N], 1 positive, 0 negative. role: uint8 [N], 0 study, 1 external.
    attributes: `skin_tone` int8 [N], 1 (palest) to 6; `severity` int8 [N], 1 mild to 3 severe.
    """

    images: npt.NDArray[np.uint8]
    label: npt.NDArray[np.int64]
    role: npt.NDArray[np.uint8]
    attributes: dict[str, npt.NDArray[np.int8]]


def generator(seed: int, stream: Stream, index: int) -> np.random.Generator:
    """Return the generator of one picture, a function of these three numbers and nothing else."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), index)))


def render_phantom(
    *,
    positives: int = 474,
    negatives: int = 474,
    externals: int = 188,
    size: int = 64,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> Phantom:
    """Render a phantom cohort; `advance` is told of each finished picture.

    The default counts are those of the paper. Picture number i of a class depends on `seed`, its class and i alone, and
    at another size it shows the same scene. The six skin tones come in turn. Raises `UserError` for a size, seed or
    count out of range.
    """
    check(size, seed, positives=positives, negatives=negatives, externals=externals)
    plan = [(Stream.POSITIVE, i) for i in range(positives)]
    plan += [(Stream.NEGATIVE, i) for i in range(negatives)]
    plan += [(Stream.EXTERNAL, i) for i in range(externals)]
    images = np.empty((len(plan), size, size, 3), np.uint8)
    severity = np.empty(len(plan), np.int8)
    with _one_thread():
        for row, (stream, index) in enumerate(plan):
            images[row], severity[row] = _picture(seed, stream, index, size)
            if advance is not None:
                advance(1)
    streams = np.array([stream for stream, _ in plan], np.int64)
    tones = np.array([tone_of(index) for _, index in plan], np.int8)
    return Phantom(
        images=images,
        label=(streams == Stream.POSITIVE).astype(np.int64),
        role=(streams == Stream.EXTERNAL).astype(np.uint8),
        attributes={"skin_tone": tones, "severity": severity},
    )


def _picture(seed: int, stream: Stream, index: int, size: int) -> tuple[npt.NDArray[np.uint8], int]:
    rng = generator(seed, stream, index)
    skin = bare_skin(rng, tone_of(index), working_grid(size))
    paint = paint_herpeticum if stream is Stream.POSITIVE else paint_eczema
    severity = paint(rng, skin)
    camera = EXTERNAL_CAMERA if stream is Stream.EXTERNAL else STUDY_CAMERA
    return photograph(rng, skin, camera, size), severity


def render_other_lesions(count: int, *, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return `count` pictures [count, size, size, 3] uint8 of phantom skin with other lesions, tones in turn.

    Skin, light and camera are those of `render_phantom`; the random streams are others at every seed.
    Raises `UserError` for a size or a number out of range.
    """
    check(size, seed, pictures=count)
    images = np.empty((count, size, size, 3), np.uint8)
    with _one_thread():
        for index in range(count):
            images[index] = other_lesion(generator(seed, Stream.OTHER, index), tone_of(index), size)
    return images


def _one_thread() -> threadpool_limits:
    """Keep the many small matrix products on one thread: on a busy machine several only wait for each other."""
    return threadpool_limits(limits=1, user_api="blas")


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
