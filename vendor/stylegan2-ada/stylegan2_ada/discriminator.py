"""The discriminator of StyleGAN2 (arXiv:1912.04958, figure 7): residual by default, `orig` and `skip` by option."""

import math

import torch
from torch import Tensor, nn

from stylegan2_ada import ops
from stylegan2_ada.config import DiscriminatorConfig, channels_at
from stylegan2_ada.layers import Conv2d, FullyConnected, Mapping


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Append the mean standard deviation over groups of images as one more channel (arXiv:1710.10196, section 3).

    A batch of N = G * n images forms n groups: image i stands with i + n, i + 2n, ... Shapes: [N, C, H, W] to
    [N, C + 1, H, W].
    """
    count, channels, height, width = x.shape
    group = min(group_size, count)
    if count % group:
        raise ValueError(f"{count} images cannot be split into groups of {group}; use a multiple of {group}")
    y = x.reshape(group, -1, channels, height, width)
    deviation = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [n]
    extra = deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, extra], dim=1).contiguous(memory_format=torch.channels_last)


class DiscriminatorBlock(nn.Module):
    """One resolution: two convolutions, the second halving the size, and the architecture's short cut."""

    resample_filter: Tensor

    def __init__(self, size: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.architecture = config.architecture
        self.reads_rgb = size == config.img_resolution or config.architecture == "skip"
        channels = channels_at(size, config.channel_base, config.channel_max)
        out_channels = channels_at(size // 2, config.channel_base, config.channel_max)
        residual = config.architecture == "resnet"
        gain = math.sqrt(0.5) if residual else 1.0  # keeps the variance of the sum of both paths
        clamp = config.conv_clamp
        if self.reads_rgb:
            self.fromrgb = Conv2d(config.img_channels, channels, 1, clamp=clamp)
        self.conv0 = Conv2d(channels, channels, 3, clamp=clamp)
        self.conv1 = Conv2d(channels, out_channels, 3, down=True, clamp=clamp, gain=gain)
        if residual:
            self.skip = Conv2d(channels, out_channels, 1, down=True, activate=False, bias=False, gain=gain)
        self.register_buffer("resample_filter", ops.binomial_filter())

    def forward(self, x: Tensor | None, rgb: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return activations [N, O, S/2, S/2] in `dtype` and the picture for the next block."""
        if self.reads_rgb:
            y = self.fromrgb(rgb.to(dtype))
            x = y if x is None else x + y
            if self.architecture == "skip":
                rgb = ops.downsample2d(rgb, self.resample_filter)
        assert x is not None
        if self.architecture == "resnet":
            short = self.skip(x)
            return short + self.conv1(self.conv0(x)), rgb
        return self.conv1(self.conv0(x)), rgb


class DiscriminatorEpilogue(nn.Module):
    """The last 4 x 4: minibatch standard deviation, a convolution and two linear layers."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        channels = channels_at(4, config.channel_base, config.channel_max)
        self.cmap_dim = channels if config.c_dim > 0 else 0
        self.mbstd_group_size = config.mbstd_group_size
        if config.architecture == "skip":
            self.fromrgb = Conv2d(config.img_channels, channels, 1)
        self.conv = Conv2d(channels + 1, channels, 3, clamp=config.conv_clamp)
        self.fc = FullyConnected(channels * 4 * 4, channels, activate=True)
        self.out = FullyConnected(channels, self.cmap_dim or 1, activate=False)

    def forward(self, x: Tensor, rgb: Tensor, cmap: Tensor | None) -> Tensor:
        """Return logits [N, 1] of x [N, C, 4, 4]; `cmap` [N, cmap_dim] is the embedded label (arXiv:1802.05637)."""
        if hasattr(self, "fromrgb"):
            x = x + self.fromrgb(rgb)
        x = self.conv(minibatch_stddev(x, self.mbstd_group_size))
        x = self.out(self.fc(x.flatten(1)))
        if cmap is None:
            return x
        return (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


class Discriminator(nn.Module):
    """Score pictures: the larger the logit, the more real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim, self.img_resolution = config.c_dim, config.img_resolution
        self.resolutions = [2**i for i in range(config.img_resolution.bit_length() - 1, 2, -1)]
        for size in self.resolutions:
            self.add_module(f"b{size}", DiscriminatorBlock(size, config))
        self.b4 = DiscriminatorEpilogue(config)
        if config.c_dim > 0:
            self.mapping = Mapping(0, config.c_dim, self.b4.cmap_dim, layers=8, track_mean=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, img: Tensor, c: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return logits, float32 [N, 1], of pictures [N, img_channels, S, S] in [-1, 1].

        `c` are one-hot labels [N, c_dim]. The blocks above 4 x 4 run in `dtype`, the last one in float32. Minibatch
        standard deviation makes a logit depend on the other images of its group.
        """
        x: Tensor | None = None
        rgb = img.contiguous(memory_format=torch.channels_last)
        for size in self.resolutions:
            x, rgb = getattr(self, f"b{size}")(x, rgb, dtype)
        assert x is not None
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        logits: Tensor = self.b4(x.float(), rgb, cmap)
        return logits
