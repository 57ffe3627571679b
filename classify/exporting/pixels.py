"""What `synth prepare` and a classifier do to a photograph, as products of matrices that any runtime can compute.

Pillow and PyTorch resize with filters that widen with the reduction, so that nothing is aliased. Runtimes of ONNX have
not all of these filters, and those that they have do not agree. As matrices of weights, computed here from the sizes
alone, they are the same everywhere. Pillow's rounding, of its weights to 22 bits and of each pass to 8, is part of it:
a network that was trained on such pixels tells a third of a grey level. In float64 these sums are exact, so that
runtimes that add up in another order round alike.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from classify.models import Classifier

LANCZOS_LOBES = 3
WHITE = 255.0
PI_IN_TWO = (3.1415927410125732, -8.742277657347586e-08)  # both are float32, which the exporter makes of numbers
PILLOW_WEIGHTS = 2.0**22  # its weights are whole numbers of these

Filter = Callable[[Tensor], Tensor]


def triangle(x: Tensor) -> Tensor:
    """Return 1 - |x| within 1 of the middle, 0 beyond: bilinear."""
    return (1 - x.abs()).clamp(min=0.0)


def lanczos(x: Tensor) -> Tensor:
    """Return sinc(x) sinc(x / 3) within 3 of the middle, 0 beyond."""
    return torch.where(x.abs() < LANCZOS_LOBES, _sinc(x) * _sinc(x / LANCZOS_LOBES), 0.0)


def _sinc(x: Tensor) -> Tensor:
    angle = x * PI_IN_TWO[0] + x * PI_IN_TWO[1]
    return torch.where(x == 0, 1.0, torch.sin(angle) / torch.where(x == 0, 1.0, angle))


def resampling(length: int, window: Tensor, out: int, kernel: Filter, *, columns: bool = False) -> Tensor:
    """Return the weights float64 by which `out` pixels are made of the middle `window` of `length`: [out, length].

    The filter widens with the reduction and looks beyond the window, and each pixel's weights add up to 1, as in
    Pillow's `resize(…, box=…)` and PyTorch's `interpolate(…, antialias=True)`.

    Args:
        length: pixels that there are.
        window: scalar float64, how many of them, about the middle, become the picture.
        out: pixels that are made.
        kernel: of the distance in pixels of the coarser of the two grids.
        columns: whether to return [length, out], for a product from the right.
    """
    scale = window / out
    middle = (length - window) / 2 + (torch.arange(out, dtype=torch.float64) + 0.5) * scale  # [out]
    place = torch.arange(length, dtype=torch.float64) + 0.5  # [length]
    away = place[:, None] - middle if columns else place - middle[:, None]
    weights = kernel(away / scale.clamp(min=1.0))
    return weights / weights.sum(0 if columns else 1, keepdim=True)


class Squared(nn.Module):
    """Maps photographs uint8 [N, H, W, 3] to their middle squares of `size` px, whole numbers as float32 [N, 3, S, S].

    That is `shared.images.to_square(…, fit="crop")`, pixel for pixel where Pillow goes along the rows first: up to
    version 12 always, and from 13 on where photographs are not much taller than wide. Elsewhere grey levels differ here
    and there. Images that have that size stay as they are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Return the middle squares."""
        height, width = image.shape[1:3]
        if not torch.compiler.is_compiling():
            return self.kept(image) if height == width == self.size else self.squared(image)
        is_prepared = torch.scalar_tensor(height) == self.size, torch.scalar_tensor(width) == self.size
        # A branch in the graph: the products would cost as much as a small network.
        return cast(Tensor, torch.cond(torch.logical_and(*is_prepared), self.kept, self.squared, (image,)))

    def kept(self, image: Tensor) -> Tensor:
        """Return images that have the size."""
        places = torch.arange(self.size)  # in a graph, the other branch's images have other sizes
        image = image.index_select(1, places).index_select(2, places)
        return image.permute(0, 3, 1, 2).float().contiguous()

    def squared(self, image: Tensor) -> Tensor:
        """Return the middle squares of photographs of any size."""
        height, width = image.shape[1:3]
        sides = [torch.scalar_tensor(side, dtype=torch.float64) for side in (height, width)]
        window = torch.minimum(*sides)
        # No transposed product of float64: onnxruntime has no kernel for those in its versions up to 1.23.
        across = _rounded(resampling(width, window, self.size, lanczos, columns=True))  # [W, S]
        down = _rounded(resampling(height, window, self.size, lanczos))  # [S, H]
        x = image.permute(0, 3, 1, 2).double()
        x = _as_8_bit(x @ across)  # [N, 3, H, S]
        return _as_8_bit(down @ x).float().contiguous()


def _rounded(weights: Tensor) -> Tensor:
    return torch.floor(weights * PILLOW_WEIGHTS + 0.5) / PILLOW_WEIGHTS


def _as_8_bit(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp(0.0, WHITE)  # Lanczos overshoots at edges


class Normalized(nn.Module):
    """Maps pixels [N, 3, S, S] to what a backbone takes, float32 [N, 3, P, P]: `Classifier.prepare`."""

    mean: Tensor
    std: Tensor
    weights: Tensor

    def __init__(self, classifier: Classifier, size: int) -> None:
        super().__init__()
        side = torch.scalar_tensor(size, dtype=torch.float64)
        self.resizes = size != classifier.image_size
        self.register_buffer("weights", resampling(size, side, classifier.image_size, triangle).float())  # [P, S]
        self.register_buffer("mean", classifier.mean.cpu().clone())
        self.register_buffer("std", classifier.std.cpu().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the backbone's input."""
        if self.resizes:
            x = self.weights @ x @ self.weights.T
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
