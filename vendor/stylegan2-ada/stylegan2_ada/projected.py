"""The projected discriminator (Sauer et al., arXiv:2111.01007): small heads on frozen features, mixed at random.

A pretrained network that is not trained gives feature maps at four scales. Random 1 x 1 convolutions mix their
channels, random 3 x 3 convolutions and upsampling pass coarse maps on to finer ones (the paper's cross-channel and
cross-scale mixing), and a head of a few convolutions with spectral norm judges each scale.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylegan2_ada.config import ProjectedConfig

LOGITS_SIDE = 4  # each head ends with so many logits squared
LEAK = 0.2


class ProjectedDiscriminator(nn.Module):
    """Score pictures by patches: the larger the logits, the more real.

    The pretrained network is not part of it: `attach` gives it before the first use, and no file holds it. The random
    mixing is part of it, as buffers.
    """

    def __init__(self, config: ProjectedConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim, self.img_resolution = config.c_dim, config.img_resolution
        self._backbone: list[nn.Module] = []  # in a list, and so no submodule: `state_dict` leaves it out
        widths = config.widths
        for scale, (have, want) in enumerate(zip(config.channels, widths, strict=True)):
            self.register_buffer(f"mix_channels{scale}", _random_kernel(want, have, 1))
        for scale, (coarse, fine) in enumerate(zip(widths[1:], widths[:-1], strict=True)):
            self.register_buffer(f"mix_scales{scale}", _random_kernel(fine, coarse, 3))
        sides = [config.input_px // stride for stride in config.strides]
        self.heads = nn.ModuleList(
            Head(width, side, config.max_width) for width, side in zip(widths, sides, strict=True)
        )
        self.to(memory_format=torch.channels_last)

    def attach(self, backbone: nn.Module) -> None:
        """Give the pretrained network: pictures [N, 3, S, S] in [-1, 1] to maps [N, C, P/stride, P/stride], a list.

        It is used as it is, and frozen.
        """
        self._backbone = [backbone.requires_grad_(False).eval()]

    @property
    def is_attached(self) -> bool:
        """Whether the pretrained network is there."""
        return bool(self._backbone)

    def forward(self, img: Tensor, c: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return logits, float32 [N, L], of pictures [N, 3, S, S] in [-1, 1], each of its image alone.

        All heads have as many among them, so that in a mean each scale counts the same. Their convolutions run in
        `dtype`, the pretrained network and its mixing in its own type.

        Raises RuntimeError: no pretrained network is attached.
        """
        if not self._backbone:
            raise RuntimeError(f"attach {self.config.backbone} first")
        assert c is None, "a projected discriminator takes no labels"
        maps: list[Tensor] = self._backbone[0](img)
        logits = [head(x, dtype) for head, x in zip(self.heads, self.mix(maps), strict=True)]
        return torch.cat(logits, dim=1)

    def mix(self, maps: list[Tensor]) -> list[Tensor]:
        """Mix channels, then scales from the coarsest on: maps [N, C, side, side] to [N, width, side, side], a list."""
        mixed = [F.conv2d(x, self.get_buffer(f"mix_channels{scale}")) for scale, x in enumerate(maps)]
        for scale in reversed(range(len(mixed) - 1)):
            coarse = F.conv2d(mixed[scale + 1], self.get_buffer(f"mix_scales{scale}"), padding=1)
            side = mixed[scale].shape[-1]
            coarse = F.interpolate(coarse, size=(side, side), mode="bilinear")
            mixed[scale] = (mixed[scale] + coarse) * math.sqrt(0.5)
        return mixed

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "ProjectedDiscriminator":
        """Move the pretrained network as well, as `to` does with all the rest."""
        for backbone in self._backbone:
            backbone._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _random_kernel(out_channels: int, in_channels: int, side: int) -> Tensor:
    """Return normal weights [O, I, K, K] that keep the variance (arXiv:1502.01852, without a rectifier's gain)."""
    return torch.randn(out_channels, in_channels, side, side) / math.sqrt(in_channels * side**2)


class Head(nn.Module):
    """Judge maps of one scale: halve them until few are left a side, and give `LOGITS_SIDE` logits squared."""

    def __init__(self, channels: int, side: int, max_width: int) -> None:
        super().__init__()
        halvings = max(math.ceil(math.log2(side / LOGITS_SIDE)), 0)
        widths = [channels] + [min(channels * 2**i, max_width) for i in range(1, halvings + 1)]
        layers = [nn.Conv2d(have, want, 4, stride=2, padding=1) for have, want in itertools.pairwise(widths)]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.Conv2d(widths[-1], 1, 1)]
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in layers)

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return logits, float32 [N, LOGITS_SIDE^2], of maps [N, C, side, side]; convolutions run in `dtype`."""
        x = x.to(dtype)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Conv2d)
            # The kernel is normalised in its own type: power iterations of spectral norm need it.
            weight, bias = layer.weight.to(dtype), None if layer.bias is None else layer.bias.to(dtype)
            x = F.conv2d(x, weight, bias, layer.stride, layer.padding)
            if index < len(self.layers) - 1:
                x = F.leaky_relu(x, LEAK)
        if x.shape[-1] < LOGITS_SIDE:  # of the coarsest maps: each counts for several
            x = F.interpolate(x, size=(LOGITS_SIDE, LOGITS_SIDE), mode="nearest")
        return x.flatten(1).float()
