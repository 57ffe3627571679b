"""Pictures from seeds, as users of NVIDIA's scripts know them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stylegan2_ada import Generator
from stylegan2_ada.config import NoiseMode

BATCH = 32
BATCH_PIXELS = 1 << 22  # fewer images at once where they are large, for memory's sake


def batch_for(size: int, asked: int | None) -> int:
    """Return how many pictures of `size` px to draw at once: as `asked`, else 32, and fewer above 256 px."""
    return asked or max(1, min(BATCH, BATCH_PIXELS // size**2))


def latents(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Return float32 [N, z_dim]: for each seed, `numpy.random.RandomState(seed).randn(1, z_dim)`."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return torch.from_numpy(np.asarray(rows, np.float32).reshape(len(seeds), z_dim))


def to_pixels(pictures: Tensor) -> npt.NDArray[np.uint8]:
    """Turn float [N, 3, S, S], about in [-1, 1], into uint8 [N, S, S, 3]: floor of x * 127.5 + 128, clamped."""
    pixels = (pictures.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    return pixels.contiguous().cpu().numpy()


def labels(seeds: Sequence[int], c_dim: int, class_index: int | None) -> Tensor | None:
    """Return one-hot float32 [N, c_dim], None for an unconditional network; without a class, seed modulo c_dim."""
    if c_dim == 0:
        return None
    index = torch.tensor([seed % c_dim if class_index is None else class_index for seed in seeds], dtype=torch.int64)
    return torch.nn.functional.one_hot(index, c_dim).float()


@torch.inference_mode()
def draw(
    G: Generator,
    seeds: Sequence[int],
    *,
    truncation: float = 1.0,
    noise: NoiseMode = "const",
    class_index: int | None = None,
    batch: int | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw one picture a seed.

    Batches are of one size, the last filled up with copies, and random noise comes from each image's own seed: what
    else is drawn does not change a picture, nor does `batch` beyond rounding.

    Args:
        G: the generator, in evaluation mode; it is used where it is.
        seeds: each 0 to 2^32 - 1.
        truncation: psi; 1 draws the whole distribution, 0 the mean style.
        noise: stored ("const"), drawn from the seed ("random"), or left out ("none").
        class_index: class of a conditional network; None draws the classes in turn, by the seed.
        batch: pictures at once, by default 32 and fewer above 256 px.

    Returns:
        uint8 [N, S, S, 3].
    """
    size = G.img_resolution
    batch = batch_for(size, batch)
    device = next(G.parameters()).device
    images = np.empty((len(seeds), size, size, 3), np.uint8)
    for start in range(0, len(seeds), batch):
        part = list(seeds[start : start + batch])
        filled = part + part[:1] * (batch - len(part))
        c = labels(filled, G.c_dim, class_index)
        pictures = G(
            latents(filled, G.z_dim).to(device),
            None if c is None else c.to(device),
            truncation_psi=truncation,
            noise_mode=noise,
            generators=[torch.Generator(device).manual_seed(seed) for seed in filled] if noise == "random" else None,
        )
        images[start : start + len(part)] = to_pixels(pictures)[: len(part)]
    return images
