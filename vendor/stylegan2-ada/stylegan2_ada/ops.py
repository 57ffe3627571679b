"""Resampling, modulated convolution and the small operations that both networks are made of.

Resampling is a depthwise convolution, but on NVIDIA's GPUs a kernel of our own, which is faster by far
(`benchmarks/results/gan_step.md`).

Shapes: N images, C channels, H x W pixels, I and O input and output channels, K kernel width. Sources: StyleGAN2
(arXiv:1912.04958, section 2 and appendix B) and Zhang 2019 (arXiv:1904.11486) for filtering before resampling.
"""

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2_ada.convolution import conv2d, conv_transpose2d

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)  # keeps the second moment of a unit normal through a leaky ReLU


def binomial_filter() -> Tensor:
    """Return the [1, 3, 3, 1] low-pass filter of StyleGAN2 as a 2-D kernel that sums to one, float32 [4, 4]."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum()


def _depthwise(kernel: Tensor, channels: int, x: Tensor) -> Tensor:
    """Repeat a 2-D kernel [K, K] for every channel: [C, 1, K, K] in the type of `x`."""
    return kernel.to(x.dtype).expand(channels, 1, *kernel.shape)


_kernel_works: bool | None = None  # unknown before a GPU's first picture


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda and x.dtype != torch.float64 and kernel_works(x.device)


def kernel_works(device: torch.device) -> bool:
    """Tell whether a device has the kernel: Triton compiles it when it first runs, and needs a C compiler for that.

    Without it resampling is a convolution everywhere; that is said once.
    """
    global _kernel_works
    if device.type != "cuda":
        return False
    if _kernel_works is None:
        try:
            _resample_on_gpu(torch.ones(1, 1, 4, 4, device=device), binomial_filter().to(device), pad=2, size=(4, 4))
            _kernel_works = True
        except Exception as error:  # noqa: BLE001 - whatever Triton lacks: its errors are of many kinds
            reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
            warnings.warn(f"resampling is slow on {device}, since Triton cannot compile ({reason})", stacklevel=2)
            _kernel_works = False
    return _kernel_works


def _resample_on_gpu(
    x: Tensor, kernel: Tensor, *, pad: int, size: tuple[int, int], up: int = 1, down: int = 1, gain: float = 1.0
) -> Tensor:
    from stylegan2_ada.resampling_kernel import Geometry, resample  # only where there is Triton

    return resample(x, kernel, Geometry(up, down, pad, *size), gain)


def upsample2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Insert zeros and low-pass: [N, C, H, W] to [N, C, 2H, 2W]. `kernel` is [4, 4] and sums to one."""
    channels, height, width = x.shape[1:]
    if _on_gpu(x):
        return _resample_on_gpu(x, kernel, pad=2, size=(2 * height, 2 * width), up=2, gain=4)
    # Factor 4: three of four pixels are inserted zeros.
    return F.conv_transpose2d(x, _depthwise(kernel * 4, channels, x), stride=2, padding=1, groups=channels)


def downsample2d(x: Tensor, kernel: Tensor) -> Tensor:
    """Low-pass and keep every second pixel: [N, C, 2H, 2W] to [N, C, H, W]. `kernel` is [4, 4] and sums to one."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # CPUs have a fast gradient of a strided depthwise convolution in float32 only.
        return downsample2d(x.float(), kernel).to(x.dtype)
    channels, height, width = x.shape[1:]
    if _on_gpu(x):
        return _resample_on_gpu(x, kernel, pad=1, size=(height // 2, width // 2), down=2)
    return F.conv2d(x, _depthwise(kernel.flip((0, 1)), channels, x), stride=2, padding=1, groups=channels)


def filter2d(x: Tensor, kernel: Tensor, padding: tuple[int, int] = (2, 1), gain: float = 1.0) -> Tensor:
    """Convolve every channel with `kernel`, zero-padded (before, after) each axis; the default keeps the size."""
    channels, height, width = x.shape[1:]
    before, after = padding
    if _on_gpu(x):
        grown = before + after - kernel.shape[0] + 1
        return _resample_on_gpu(x, kernel, pad=before, size=(height + grown, width + grown), gain=gain)
    weight = _depthwise(kernel.flip((0, 1)) * gain, channels, x)
    if before == after:
        return F.conv2d(x, weight, padding=before, groups=channels)
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, groups=channels)


def conv2d_up2(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Upsample by two and convolve: [N, I, H, W], weight [O, I, 3, 3] to [N, O, 2H, 2W].

    `weight` is a true convolution kernel. The convolution comes before the low-pass filter, which commutes with it and
    is cheaper on the smaller picture.
    """
    y = conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H + 1, 2W + 1]
    return filter2d(y, kernel, (1, 1), gain=4)


def conv2d_down2(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve and downsample by two: [N, I, 2H, 2W], weight [O, I, K, K] with K = 1 or 3 to [N, O, H, W]."""
    if weight.shape[-1] == 1:
        return conv2d(downsample2d(x, kernel), weight, bias)
    return conv2d(filter2d(x, kernel, (2, 2)), weight, bias, stride=2)


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU, in place, then clamp to +-`clamp`. Gains are folded into what comes before (it is homogeneous)."""
    y = F.leaky_relu(x, LRELU_SLOPE, inplace=True)
    return y if clamp is None else y.clamp(-clamp, clamp)


def normalize_second_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each row of [N, F] to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, kernel: Tensor | None, demodulate: bool, gain: float = 1.0
) -> Tensor:
    """Convolve with a kernel whose input channels are scaled per image (StyleGAN2, Eq. 1 and 3).

    Scaling the activations before and after one shared convolution equals convolving each image with its own kernel,
    and keeps the batch in one matrix product.

    Args:
        x: activations [N, I, H, W].
        weight: [O, I, K, K]; a true convolution kernel when upsampling, else for cross-correlation.
        style: per-image scale of each input channel, [N, I].
        kernel: low-pass filter [4, 4] when the result is to be twice as large, else None.
        demodulate: normalise each output channel to the expected standard deviation of one (Eq. 3).
        gain: factor on the result.

    The convolution runs in the type of `x`; weight and style are of full precision.
    """
    x = x * style.to(x.dtype)[:, :, None, None]
    cast = weight.to(x.dtype)
    if kernel is not None:
        y = conv2d_up2(x, cast, kernel)
    else:
        y = conv2d(x, cast, padding=weight.shape[-1] // 2)
    if not demodulate:
        return y * gain if gain != 1.0 else y
    energy = style.square() @ weight.square().sum(dim=(2, 3)).t()  # [N, O]
    scale = (energy + 1e-8).rsqrt() * gain  # in full precision: a sum over all inputs
    return y * scale.to(y.dtype)[:, :, None, None]  # Eq. 3
