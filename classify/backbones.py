"""The networks behind the registry's rows: how each is built, and where its ImageNet weights come from.

Every builder takes the side of the images in px, and the number of convolutions where that is free, and returns the
backbone, which maps float32 [N, 3, S, S] to float32 [N, D], with D. Libraries are imported when they are used, so that
the registry can be read without torch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from shared.nn.timm_networks import find_timm_network, load_timm_network, read_tensors, timm_weights
from shared.weights import EFFICIENTNET_LITE, TORCHVISION, WeightFile, find_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from shared.weights import WeightSource

    Build = Callable[[int, "int | None"], tuple[nn.Module, int]]

CUSTOM_DEPTH = 6  # convolutions; paper, Table 4
MAX_CUSTOM_DEPTH = 9
CUSTOM_STEP = 32  # the first convolution's channels, and how many more each next one has; same place

INCEPTION_V3 = WeightFile(
    name="inception_v3_google-0cc3c7bd.pth", sha256="0cc3c7bd", url=TORCHVISION + "inception_v3_google-0cc3c7bd.pth"
)
RESNET50 = WeightFile(name="resnet50-0676ba61.pth", sha256="0676ba61", url=TORCHVISION + "resnet50-0676ba61.pth")


def custom_cnn(image_size: int, depth: int | None) -> tuple[nn.Module, int]:
    """Build the paper's own network (Table 4) of `depth` convolutions up to its flattened features.

    Each convolution but the first halves the image: `image_size` is a multiple of 2 ** (depth - 1).
    """
    from torch import nn

    assert depth is not None

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number in range(1, depth + 1):
        width = CUSTOM_STEP * number
        layers[f"conv{number}"] = nn.Conv2d(channels, width, kernel_size=3, padding=1)
        layers[f"norm{number}"] = nn.BatchNorm2d(width)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        if number > 1:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
        channels = width
    layers["flatten"] = nn.Flatten()
    return nn.Sequential(layers), channels * (image_size >> (depth - 1)) ** 2


def largest_depth(image_size: int) -> int:
    """Return how many convolutions the custom CNN can have at most for images of `image_size` px."""
    halvings = (image_size & -image_size).bit_length() - 1  # until the side is odd
    return min(halvings + 1, MAX_CUSTOM_DEPTH)


def inception_v3(image_size: int, depth: int | None) -> tuple[nn.Module, int]:  # noqa: ARG001
    """Build torchvision's InceptionV3 without its auxiliary classifier."""
    from torch import nn
    from torchvision import models

    network = models.inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    network.fc = nn.Identity()
    return network, 2048


def vgg16(image_size: int, depth: int | None) -> tuple[nn.Module, int]:  # noqa: ARG001
    """Build torchvision's VGG16; its two layers of 4096 stay part of the backbone."""
    from torch import nn
    from torchvision import models

    network = models.vgg16(weights=None, init_weights=False)
    network.classifier[-1] = nn.Identity()
    return network, 4096


def resnet50(image_size: int, depth: int | None) -> tuple[nn.Module, int]:  # noqa: ARG001
    """Build torchvision's ResNet50."""
    from torch import nn
    from torchvision import models

    network = models.resnet50(weights=None)
    network.fc = nn.Identity()
    return network, 2048


def timm_backbone(name: str) -> Build:
    """Return the builder of timm's network `name`."""

    def build(image_size: int, depth: int | None) -> tuple[nn.Module, int]:  # noqa: ARG001
        import timm

        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        return network, cast(int, getattr(network, "head_hidden_size", None) or network.num_features)

    return build


@dataclass(frozen=True)
class Pretrained:
    """ImageNet weights: in which file they are, and how its tensors are read from where it is found."""

    file: Callable[[], WeightFile]
    read: Callable[[WeightSource], Mapping[str, Tensor]]


def in_file(file: WeightFile) -> Pretrained:
    """Return the weights in `file`, as they stand there."""
    return _as_published(lambda: file)


def in_timm(name: str) -> Pretrained:
    """Return the ImageNet weights that timm names for its network `name`, whose foreign names it converts."""

    def read(source: WeightSource) -> Mapping[str, Tensor]:
        network, _ = load_timm_network(find_timm_network(name, "--model"), source)
        return network.state_dict()

    return Pretrained(lambda: timm_weights(name, "--model"), read)


def _as_published(file: Callable[[], WeightFile]) -> Pretrained:
    return Pretrained(file, lambda source: read_tensors(find_weights(file(), source).path))


def _read_efficientnet_lite0(source: WeightSource) -> Mapping[str, Tensor]:
    from shared.nn.backbone import load_efficientnet_lite

    tensors: Mapping[str, Tensor] = load_efficientnet_lite(0, source).state_dict()
    return tensors


# A Python package carries it; its tensors have other names there.
IN_PACKAGE = Pretrained(lambda: EFFICIENTNET_LITE[0], _read_efficientnet_lite0)
