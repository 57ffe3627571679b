"""The generator of StyleGAN2 (arXiv:1912.04958, figure 2d and the "output skips" of figure 7b).

z [N, z_dim] and c [N, c_dim] go through the mapping network to w; one copy of w a layer steers the synthesis network,
which grows a learned 4 x 4 constant to the picture and sums RGB contributions of all resolutions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylegan2_ada import ops
from stylegan2_ada.config import NOISE_MODES, GeneratorConfig, NoiseMode, channels_at
from stylegan2_ada.layers import FullyConnected, Mapping
from stylegan2_ada.ranks import Dice

Generators = Dice | Sequence[torch.Generator] | None


def normal_noise(count: int, size: int, generators: Generators, device: torch.device) -> Tensor:
    """Draw unit normal noise, float32 [N, 1, size, size]: for the batch as a whole, or from one generator an image.

    A generator for each image makes a picture independent of its neighbours in the batch.
    """
    if generators is None:
        return torch.randn(count, 1, size, size, device=device)
    if isinstance(generators, Dice):
        return generators.normal(count, 1, size, size)
    if len(generators) != count:
        raise ValueError(f"{len(generators)} random generators were given for {count} images; give one for each")
    return torch.stack([torch.randn(1, size, size, generator=each, device=device) for each in generators])


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias and leaky ReLU; doubles the size with `up`."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, size: int, *, up: bool, clamp: float | None):
        super().__init__()
        self.size, self.up = size, up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, in_channels, activate=False, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.register_buffer("resample_filter", ops.binomial_filter())

    def noise(self, count: int, mode: NoiseMode, generators: Generators) -> Tensor | None:
        """Return the noise of `count` pictures: the stored one [S, S], a new one [N, 1, S, S], or none."""
        if mode == "random":
            return normal_noise(count, self.size, generators, self.noise_const.device)
        return self.noise_const if mode == "const" else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Apply the layer to x [N, I, H, W] in the style w [N, w_dim], with `noise` from the method of that name."""
        kernel = self.resample_filter if self.up else None
        gain = ops.LRELU_GAIN
        y = ops.modulated_conv2d(x, self.weight, self.affine(w), kernel=kernel, demodulate=True, gain=gain)
        shift = (self.bias * gain)[None, :, None, None]
        if noise is None:
            y = y + shift.to(y.dtype)
        elif noise.ndim == 2:
            y = y + (shift + noise * (self.noise_strength * gain)).to(y.dtype)
        else:
            y = y + shift.to(y.dtype) + (noise * (self.noise_strength * gain)).to(y.dtype)
        return ops.leaky_relu(y, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution without demodulation: one resolution's contribution to the picture."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, *, clamp: float | None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, activate=False, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return RGB, float32 [N, 3, H, W], of x [N, I, H, W]: contributions are added up in full precision."""
        style = self.affine(w) * self.weight_gain
        y = ops.modulated_conv2d(x, self.weight, style, kernel=None, demodulate=False).float()
        y = y + self.bias[:, None, None]
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: an upsampling convolution (not at 4 x 4), a convolution, and its RGB contribution."""

    resample_filter: Tensor

    def __init__(self, size: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.size = size
        out_channels = channels_at(size, config.channel_base, config.channel_max)
        if size == 4:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            in_channels = channels_at(size // 2, config.channel_base, config.channel_max)
            self.conv0 = SynthesisLayer(in_channels, out_channels, config.w_dim, size, up=True, clamp=config.conv_clamp)
        self.conv1 = SynthesisLayer(out_channels, out_channels, config.w_dim, size, up=False, clamp=config.conv_clamp)
        self.torgb = ToRGB(out_channels, config.img_channels, config.w_dim, clamp=config.conv_clamp)
        self.register_buffer("resample_filter", ops.binomial_filter())

    @property
    def convolutions(self) -> list[SynthesisLayer]:
        """Its convolutions in order, each with a style of its own (the RGB layer shares the next block's first)."""
        return [self.conv1] if self.size == 4 else [self.conv0, self.conv1]

    def forward(
        self,
        x: Tensor | None,
        rgb: Tensor | None,
        ws: Tensor,
        noise: Sequence[Tensor | None],
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Return activations [N, O, S, S] and the picture so far, float32 [N, 3, S, S].

        `ws` is [N, convolutions + 1, w_dim], `noise` one a convolution; these run in `dtype`.
        """
        styles = iter(ws.unbind(dim=1))
        if x is None or rgb is None:
            x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, next(styles), noise[0])
            return x, self.torgb(x, next(styles))
        x = self.conv0(x.to(dtype), next(styles), noise[0])
        x = self.conv1(x, next(styles), noise[1])
        return x, ops.upsample2d(rgb, self.resample_filter) + self.torgb(x, next(styles))


class Synthesis(nn.Module):
    """The synthesis network: ws [N, num_ws, w_dim] to a picture [N, 3, S, S]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, config.img_resolution.bit_length())]
        for size in self.resolutions:
            self.add_module(f"b{size}", SynthesisBlock(size, config))
        self.num_ws = 2 * len(self.resolutions)

    def noise(self, count: int, mode: NoiseMode, generators: Generators = None) -> list[Tensor | None]:
        """Return what `render` takes as noise, for `count` pictures: chance, split from deed."""
        layers = [layer for size in self.resolutions for layer in getattr(self, f"b{size}").convolutions]
        return [layer.noise(count, mode, generators) for layer in layers]

    def render(self, ws: Tensor, noise: Sequence[Tensor | None], dtype: torch.dtype) -> Tensor:
        """Draw float32 [N, 3, S, S], about in [-1, 1], from one style and one noise a layer; a pure function.

        The convolutions above 4 x 4 run in `dtype`; styles, the first block and the sum of RGB stay in float32.
        """
        x: Tensor | None = None
        rgb: Tensor | None = None
        first = 0
        for size in self.resolutions:
            block: SynthesisBlock = getattr(self, f"b{size}")
            last = first + len(block.convolutions)
            x, rgb = block(x, rgb, ws[:, first : last + 1], noise[first:last], dtype)
            first = last
        assert rgb is not None
        return rgb

    def forward(
        self,
        ws: Tensor,
        *,
        noise_mode: NoiseMode,
        generators: Generators = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw float32 [N, 3, S, S] from one style a layer: `noise`, then `render`."""
        return self.render(ws, self.noise(len(ws), noise_mode, generators), dtype)


class Generator(nn.Module):
    """Mapping and synthesis together: a picture from a latent vector."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.img_resolution = config.z_dim, config.c_dim, config.img_resolution
        self.synthesis = Synthesis(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(config.z_dim, config.c_dim, config.w_dim, layers=config.mapping_layers)
        self.to(memory_format=torch.channels_last)

    def styles(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Return ws [N, num_ws, w_dim]; the first `truncation_cutoff` are drawn towards the mean style by psi."""
        w: Tensor = self.mapping(z, c)
        ws = w[:, None].expand(-1, self.num_ws, -1)
        if truncation_psi == 1.0:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        truncated = self.mapping.w_avg.lerp(ws[:, :cutoff], truncation_psi)
        return torch.cat([truncated, ws[:, cutoff:]], dim=1)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        generators: Generators = None,
    ) -> Tensor:
        """Draw pictures.

        Args:
            z: latents [N, z_dim], unit normal.
            c: one-hot labels [N, c_dim], for a conditional network.
            truncation_psi: 1 draws the whole distribution, 0 the mean style.
            truncation_cutoff: how many layers are truncated, by default all.
            noise_mode: "const" uses the stored noise, "random" draws it, "none" leaves it out.
            generators: for random noise, dice for the batch or one generator for each image.

        Returns:
            float32 [N, img_channels, S, S], about in [-1, 1].
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise mode {noise_mode!r} is unknown; use one of {', '.join(NOISE_MODES)}")
        ws = self.styles(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        picture: Tensor = self.synthesis(ws, noise_mode=noise_mode, generators=generators)
        return picture
