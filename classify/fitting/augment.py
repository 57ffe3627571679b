"""What an image is shown as: under one of six transforms, and for one control under random changes besides.

The six are the image itself and the paper's five flips and turns. The random changes are what classifiers of
photographs are usually trained with; they stand where synthetic images might, to see what those add.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

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

# Ranges of the random changes, each evenly likely.
MAX_TURN = np.pi / 9  # 20 degrees, either way
MAX_ZOOM = 0.25  # in or out, of the logarithm
MAX_SHIFT = 0.1  # of the side
MAX_COLOUR = 0.2  # brightness, contrast and saturation are multiplied by 1 - 0.2 to 1 + 0.2
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601

Changes = npt.NDArray[np.float32]


def transform(images: Tensor, which: Tensor) -> Tensor:
    """Return `images` [N, S, S, C], each under the transform of its number in `which` (int64 [N]).

    `which` is on the CPU, so that no GPU is waited for.
    """
    out = torch.empty_like(images)
    for number, apply in enumerate(TRANSFORMS.values()):
        rows = torch.nonzero(which == number).squeeze(1).to(images.device)
        if len(rows):
            out[rows] = apply(images[rows])
    return out


def draw_changes(keys: Sequence[Sequence[int]]) -> Changes:
    """Return random changes [N, 7] float32: turn, zoom, shift x and y, brightness, contrast, saturation.

    Each row follows from its key alone, whatever stands beside it. All zeros change nothing.
    """
    drawn = np.stack([np.random.default_rng(key).uniform(-1, 1, 7) for key in keys])
    most = np.array([MAX_TURN, MAX_ZOOM, *[2 * MAX_SHIFT] * 2, *[MAX_COLOUR] * 3])  # the grid's side is 2
    changes: Changes = (drawn * most).astype(np.float32)
    return changes


def vary(images: Tensor, changes: Tensor) -> Tensor:
    """Return uint8 `images` [N, S, S, 3], each changed by its row of `changes` [N, 7]; the outside is reflected."""
    turn, zoom, x_shift, y_shift, *colours = changes.unbind(1)
    brightness, contrast, saturation = (1 + each.view(-1, 1, 1, 1) for each in colours)
    cos, sin = zoom.exp() * turn.cos(), zoom.exp() * turn.sin()
    theta = torch.stack([torch.stack([cos, -sin, x_shift], 1), torch.stack([sin, cos, y_shift], 1)], 1)  # [N, 2, 3]
    x = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    luma = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
    x = x * brightness
    mean = (x * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    x = (x - mean) * contrast + mean
    grey = (x * luma).sum(1, keepdim=True)
    x = (x - grey) * saturation + grey
    return x.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
