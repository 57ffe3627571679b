"""What `synth prepare` and a classifier do to a photograph, as products of matrices that any runtime can compute.

Pillow and PyTorch resize with filters that widen with the reduction, so that nothing is aliased. Runtimes of ONNX have
not all of these filters, and those that they have do not agree. As a matrix of weights, computed here from the sizes
alone, the result is the same everywhere: for prepared images to the rounding of float32, for photographs of other sizes
to Pillow's rounding to 8 bits after each of its two passes (and to their order, which Pillow 13 has changed for tall
pictures; it shows where a pass leaves 0..255). Nothing is rounded here, so that runtimes that add up in another order
give the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from classify.models import Classifier

LANCZOS_LOBES = 3
WHITE = 255.0

Filter = Callable[[Tensor], Tensor]


def triangle(x: Tensor) -> Tensor:
    """Return 1 - |x| within 1 of the middle, 0 beyond: bilinear."""
    return (1 - x.abs()).clamp(min=0.0)


def lanczos(x: Tensor) -> Tensor:
    """Return sinc(x) sinc(x / 3) within 3 of the middle, 0 beyond."""
    return torch.where(x.abs() < LANCZOS_LOBES, torch.sinc(x) * torch.sinc(x / LANCZOS_LOBES), 0.0)


def resampling(length: int, window: Tensor, out: int, kernel: Filter) -> Tensor:
    """Return the weights [out, length] float32 by which `out` pixels are made of the middle `window` of `length`.

    The filter widens with the reduction and looks beyond the window, and each pixel's weights add up to 1, as in
    Pillow's `resize(…, box=…)` and PyTorch's `interpolate(…, antialias=True)`.

    Args:
        length: pixels that there are.
        window: scalar float64, how many of them, about the middle, become the picture.
        out: pixels that are made.
        kernel: of the distance in pixels of the coarser of the two grids.
    """
    scale = window / out
    middle = (length - window) / 2 + (torch.arange(out, dtype=torch.float64) + 0.5) * scale  # [out]
    place = torch.arange(length, dtype=torch.float64) + 0.5  # [length]
    weights = kernel((place[None] - middle[:, None]) / scale.clamp(min=1.0))  # float64: a photograph has 1e4 px a side
    return (weights / weights.sum(1, keepdim=True)).float()


class Squared(nn.Module):
    """Maps photographs uint8 [N, H, W, 3] to their middle squares of `size` px, float32 [N, 3, S, S] in 0..255.

    That is `shared.images.to_square(…, fit="crop")` without its rounding. Images that have that size stay as they are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Return the middle squares."""
        height, width = image.shape[1:3]
        sides = [torch.scalar_tensor(side, dtype=torch.float64) for side in (height, width)]
        window = torch.minimum(*sides)
        across, down = (resampling(length, window, self.size, lanczos) for length in (width, height))
        x = image.permute(0, 3, 1, 2).float()
        x = (x @ across.T).clamp(0.0, WHITE)  # [N, 3, H, S]; Lanczos overshoots at edges
        return (down @ x).clamp(0.0, WHITE)


class Normalized(nn.Module):
    """Maps pixels in 0..255 [N, 3, S, S] to what a backbone takes, float32 [N, 3, P, P]: `Classifier.prepare`."""

    mean: Tensor
    std: Tensor
    weights: Tensor

    def __init__(self, classifier: Classifier, size: int) -> None:
        super().__init__()
        side = torch.scalar_tensor(size, dtype=torch.float64)
        self.resizes = size != classifier.image_size
        self.register_buffer("weights", resampling(size, side, classifier.image_size, triangle))  # [P, S]
        self.register_buffer("mean", classifier.mean.cpu().clone())
        self.register_buffer("std", classifier.std.cpu().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the backbone's input."""
        if self.resizes:
            x = self.weights @ x @ self.weights.T
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
