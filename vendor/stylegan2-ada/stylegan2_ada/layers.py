"""Layers with equalised learning rate: weights are unit normal and scaled when used (arXiv:1710.10196, section 4.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2_ada import ops
from stylegan2_ada.convolution import conv2d


class FullyConnected(nn.Module):
    """Linear layer [N, I] to [N, O], optionally with a leaky ReLU behind it."""

    def __init__(
        self, in_features: int, out_features: int, *, activate: bool, lr_multiplier: float = 1.0, bias_init: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        gain = ops.LRELU_GAIN if activate else 1.0
        self.weight_gain = gain * lr_multiplier / math.sqrt(in_features)
        self.bias_gain = gain * lr_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to [N, I]."""
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return ops.leaky_relu(y) if self.activate else y


class Conv2d(nn.Module):
    """Convolution [N, I, H, W] to [N, O, H, W], or half that size with `down`, for the discriminator."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        activate: bool = True,
        bias: bool = True,
        down: bool = False,
        clamp: float | None = None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", ops.binomial_filter())
        self.bias_gain = gain * (ops.LRELU_GAIN if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(in_channels * kernel_size**2)
        self.activate, self.down = activate, down
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to [N, I, H, W], in the type of `x`."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.bias_gain).to(x.dtype)
        if self.down:
            y = ops.conv2d_down2(x, weight, self.resample_filter, bias)
        else:
            y = conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        if self.activate:
            return ops.leaky_relu(y, self.clamp)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Mapping(nn.Module):
    """Map a latent z [N, z_dim] and a label c [N, c_dim] to a style w [N, w_dim].

    With `z_dim` 0 it embeds the label alone, as the conditional discriminator does. `w_avg` is the running mean of w,
    the anchor of the truncation trick.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, *, layers: int, lr_multiplier: float = 0.01, track_mean: bool = True
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.layers = z_dim, c_dim, layers
        if c_dim > 0:
            self.embed = FullyConnected(c_dim, w_dim, activate=False)
        widths = [z_dim + (w_dim if c_dim > 0 else 0)] + [w_dim] * layers
        for index in range(layers):
            layer = FullyConnected(widths[index], widths[index + 1], activate=True, lr_multiplier=lr_multiplier)
            setattr(self, f"fc{index}", layer)
        if track_mean:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        """Return w [N, w_dim]."""
        parts = []
        if z is not None and self.z_dim > 0:
            parts.append(ops.normalize_second_moment(z))
        if self.c_dim > 0:
            if c is None:
                raise ValueError(f"this network is conditional: a label of {self.c_dim} values is needed")
            parts.append(ops.normalize_second_moment(self.embed(c)))
        w = torch.cat(parts, dim=1)
        for index in range(self.layers):
            w = getattr(self, f"fc{index}")(w)
        return w
