"""The feature spaces that pictures are compared in, one row each.

A score is only comparable within its space, so every score names its space, and only a distance in `inception` is an
FID. `auto` means the paper's space where its weights can be had, and the offline one otherwise.
"""

import functools
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.console import say
from shared.errors import UserError
from shared.nn.backbone import RESIZER, Images, OfflineBackbone, in_batches, resize
from shared.weights import DINOV2, DINOV2_SMALL, FID_INCEPTION, VGG16, WeightSource, find_weights

Purpose = Literal["quality", "similarity"]

AUTO, OFFLINE, LITE1 = "auto", "offline", "lite1"
PAPER_SPACE: dict[Purpose, str] = {"quality": "inception", "similarity": "vgg16"}
WEIGHTS = {"inception": FID_INCEPTION, "vgg16": VGG16, "dinov2": DINOV2, "dinov2-small": DINOV2_SMALL}
FID_SPACE, INCEPTION_WIDTH = "InceptionV3", 2048
DINOV2_NETWORKS = {"dinov2": ("DINOv2 ViT-L/14", "large", 1024), "dinov2-small": ("DINOv2 ViT-S/14", "small", 384)}
DINOV2_PX = 224

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG16_PX = 224


class Extractor(Protocol):
    """A frozen feature space."""

    @property
    def name(self) -> str:
        """The network, as scores name it."""

    @property
    def layer(self) -> str:
        """Which of its activations."""

    @property
    def resizer(self) -> str:
        """How images of any size come to the network's."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the file of weights."""

    @property
    def width(self) -> int:
        """F, the number of features."""

    def __call__(self, images: Images) -> Tensor:
        """Return float32 [N, F] on the CPU for uint8 [N, S, S, 3]; each row depends on its image alone."""


@dataclass(frozen=True, eq=False)
class NetworkExtractor:
    """An `Extractor` made of a function from uint8 [N, S, S, 3] to [N, F]."""

    name: str
    layer: str
    resizer: str
    width: int
    weights_sha256: str
    device: torch.device
    network: Callable[[Tensor], Tensor]

    def __call__(self, images: Images) -> Tensor:
        """Return float32 [N, F] on the CPU for uint8 [N, S, S, 3]."""
        return in_batches(self.network, images, width=self.width, device=self.device)


def identity(extractor: Extractor) -> dict[str, str]:
    """Return what a score must say of its feature space."""
    return {
        "extractor": extractor.name,
        "layer": extractor.layer,
        "resizer": extractor.resizer,
        "weights_sha256": extractor.weights_sha256,
    }


def offline(source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of EfficientNet-Lite0, whose weights a Python package carries."""
    return OfflineBackbone(source=source, device=device)


def lite1(source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of EfficientNet-Lite1, for networks that were trained with the features of EfficientNet-Lite0."""
    return OfflineBackbone(1, source=source, device=device)


def inception(source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of the FID: torch-fidelity's InceptionV3 with the weights of the original TensorFlow graph."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    found = find_weights(WEIGHTS["inception"], source)
    # torch-fidelity unpickles whatever file it is given; it is given what the safe reader made of it.
    clean = io.BytesIO()
    torch.save(torch.load(found.path, map_location="cpu", weights_only=True), clean)
    clean.seek(0)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=clean)
    for block in network.modules():
        if hasattr(block, "conv") and hasattr(block, "bn"):  # one pass over memory, and the same up to rounding
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), torch.nn.Identity()
    network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def features(images: Tensor) -> Tensor:
        pooled: Tensor = network(images.permute(0, 3, 1, 2))[0]
        return pooled

    resizer = "bilinear as in TensorFlow 1 (torch-fidelity)"
    return NetworkExtractor(FID_SPACE, "pool3", resizer, INCEPTION_WIDTH, found.sha256, device, features)


def vgg16(source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of torchvision's ImageNet VGG16, second hidden layer of its head, after ReLU."""
    from torchvision import models

    found = find_weights(WEIGHTS["vgg16"], source)
    network = models.vgg16(weights=None, init_weights=False)
    network.load_state_dict(torch.load(found.path, map_location="cpu", weights_only=True))
    network.classifier = network.classifier[:5]  # ends with the ReLU behind fc2
    network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    mean, std = (torch.tensor(row, device=device).mul(255)[:, None, None] for row in (IMAGENET_MEAN, IMAGENET_STD))

    def features(images: Tensor) -> Tensor:
        fc2: Tensor = network(resize(images, VGG16_PX).sub_(mean).div_(std))
        return fc2

    return NetworkExtractor("VGG16", "fc2 after ReLU", RESIZER, 4096, found.sha256, device, features)


def dinov2(space: str, source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of DINOv2's class token (arXiv:2304.07193), which judges as people do (arXiv:2306.04675).

    `space` is a key of `DINOV2_NETWORKS`; the large one is that of the published FD-DINOv2.

    Raises `UserError`: the weights cannot be had, or are another network's.
    """
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn

    name, size, width = DINOV2_NETWORKS[space]
    found = find_weights(WEIGHTS[space], source)
    network: Any = timm.create_model(
        f"vit_{size}_patch14_dinov2", pretrained=False, img_size=DINOV2_PX, num_classes=0, global_pool="token"
    )
    try:
        tensors = torch.load(found.path, map_location="cpu", weights_only=True)
        network.load_state_dict(checkpoint_filter_fn(tensors, network))
    except (AttributeError, EOFError, KeyError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"{found.path}: not the weights of {name}; put those of {WEIGHTS[space].url} there.") from error
    network.to(device).eval().requires_grad_(False)
    mean, std = (torch.tensor(row, device=device).mul(255)[:, None, None] for row in (IMAGENET_MEAN, IMAGENET_STD))

    def features(images: Tensor) -> Tensor:
        side = (DINOV2_PX, DINOV2_PX)
        x = F.interpolate(images.permute(0, 3, 1, 2).float(), size=side, mode="bicubic", antialias=True)
        token: Tensor = network(x.clamp(0, 255).sub_(mean).div_(std))
        return token

    resizer = f"bicubic, antialiased, to {DINOV2_PX} px"
    return NetworkExtractor(name, "class token", resizer, width, found.sha256, device, features)


SPACES: dict[str, Callable[[WeightSource, torch.device], Extractor]] = {
    OFFLINE: offline,
    LITE1: lite1,
    "inception": inception,
    "vgg16": vgg16,
    "dinov2": functools.partial(dinov2, "dinov2"),
    "dinov2-small": functools.partial(dinov2, "dinov2-small"),
}
CHOICES = (AUTO, *SPACES)


def open_extractor(
    choice: str, purpose: Purpose, *, source: WeightSource, device: torch.device, looked_through: bool = False
) -> Extractor:
    """Build the feature space that `choice` means for `purpose` (`resolve_choice`).

    Raises `UserError`: no such space, or its weights cannot be had.
    """
    return SPACES[resolve_choice(choice, purpose, source, looked_through=looked_through)](source, device)


def resolve_choice(choice: str, purpose: Purpose, source: WeightSource, *, looked_through: bool = False) -> str:
    """Return the space that `choice` means for `purpose`; "auto" means the paper's, if its weights can be had.

    Args:
        choice: one of `CHOICES`.
        purpose: what it is for.
        source: where weights may come from.
        looked_through: whether what is judged was trained through the offline space, which then flatters it: "auto"
            avoids it, and who asks for it is warned.

    Raises `UserError`: no such space, or the weights of the one that is asked for cannot be had.
    """
    otherwise = LITE1 if looked_through else OFFLINE
    if looked_through and choice == OFFLINE:
        say(f"--features {OFFLINE}: the training looks through the same network, which flatters; {LITE1} does not")
    if choice != AUTO:
        if choice not in SPACES:
            raise UserError(f"--features {choice}: no such feature space; give one of {', '.join(CHOICES)}.")
        if choice in WEIGHTS:
            find_weights(WEIGHTS[choice], source)  # before anything is made that needs them
        return choice
    space = PAPER_SPACE[purpose]
    try:
        find_weights(WEIGHTS[space], source)
    except UserError as error:
        file = str(error).partition(":")[0]
        say(
            f"{purpose} is measured in the features of EfficientNet-Lite{int(otherwise == LITE1)} ({otherwise}): the "
            f"paper's network ({file}) is not here; --features {space} says where to put it"
        )
        return otherwise
    return space
