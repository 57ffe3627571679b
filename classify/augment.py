"""The six transforms of an image: itself and the paper's five flips and turns."""

from collections.abc import Callable

import torch
from torch import Tensor

# Each maps [N, S, S, C] to the same shape; rows are dimension 1, columns 2, and turns go counter-clockwise.
TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "flip horizontally": lambda x: x.flip(2),
    "flip vertically": lambda x: x.flip(1),
    "turn 90": lambda x: torch.rot90(x, 1, (1, 2)),
    "turn 180": lambda x: torch.rot90(x, 2, (1, 2)),
    "turn 270": lambda x: torch.rot90(x, 3, (1, 2)),
}
IDENTITY = 0


def transform(images: Tensor, which: Tensor) -> Tensor:
    """Return `images` [N, S, S, C], each under the transform of its number in `which` (int64 [N]); any device."""
    out = torch.empty_like(images)
    for number, apply in enumerate(TRANSFORMS.values()):
        rows = torch.nonzero(which == number).squeeze(1)
        if len(rows):
            out[rows] = apply(images[rows])
    return out
