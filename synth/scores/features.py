"""The feature spaces that pictures are compared in, one row each.

A score is only comparable within its space, so every score names its space, and only a distance in `inception` is an
FID. `auto` means the paper's space where its weights can be had, and the offline one otherwise.
"""

import functools
import io
import pickle
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.console import say
from shared.errors import UserError
from shared.nn.backbone import RESIZER, OfflineBackbone
from shared.nn.timm_networks import TIMM_PREFIX, Rgb, find_timm_network, load_timm_network
from shared.weights import DINOV2, DINOV2_SMALL, FID_INCEPTION, VGG16, WeightFile, WeightSource, find_weights
from synth.scores.extractor import Extractor as Extractor
from synth.scores.extractor import NetworkExtractor as NetworkExtractor
from synth.scores.extractor import identity as identity
from synth.scores.extractor import provenance as provenance

Purpose = Literal["quality", "similarity"]

AUTO, OFFLINE, LITE1 = "auto", "offline", "lite1"
OPTION = "--features"
PAPER_SPACE: dict[Purpose, str] = {"quality": "inception", "similarity": "vgg16"}
LOOKED_THROUGH = (OFFLINE, f"{TIMM_PREFIX}tf_efficientnet_lite0")  # names of the network that projected training uses
WEIGHTS = {
    "inception": FID_INCEPTION,
    "vgg16": VGG16,
    "vgg16-fc1": VGG16,
    "vgg16-conv5": VGG16,
    "dinov2": DINOV2,
    "dinov2-small": DINOV2_SMALL,
}
FID_SPACE, INCEPTION_WIDTH = "InceptionV3", 2048
DINOV2_NETWORKS = {"dinov2": ("DINOv2 ViT-L/14", "large", 1024), "dinov2-small": ("DINOv2 ViT-S/14", "small", 384)}
DINOV2_PX = 224

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG16_PX = 224
VGG16_LAYERS = {  # what it is, its width, side of the maps that the head takes, and how much of the head stays
    "vgg16": ("fc2 after ReLU", 4096, 7, 5),
    "vgg16-fc1": ("fc1 after ReLU", 4096, 7, 2),
    "vgg16-conv5": ("conv5 after max pooling, global average", 512, 1, 0),
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

    resizer, licence = "bilinear as in TensorFlow 1 (torch-fidelity)", WEIGHTS["inception"].licence
    return NetworkExtractor(FID_SPACE, "pool3", resizer, INCEPTION_WIDTH, found.sha256, device, features, licence)


def vgg16(space: str, source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of a layer of torchvision's ImageNet VGG16 (arXiv:1409.1556); `space` is a key of `VGG16_LAYERS`.

    torchvision's own preprocessing (`VGG16_Weights.IMAGENET1K_V1`) takes the middle 224 px of an image whose shorter
    side is resized to 256 px, then mean and SD of ImageNet's pixels. Here the whole square image is resized to 224 px,
    so that no part of a lesion is cut off; the rest is theirs.
    """
    from torchvision import models

    layer, width, maps_px, kept = VGG16_LAYERS[space]
    found = find_weights(WEIGHTS[space], source)
    network = models.vgg16(weights=None, init_weights=False)
    network.load_state_dict(torch.load(found.path, map_location="cpu", weights_only=True))
    network.avgpool = torch.nn.AdaptiveAvgPool2d(maps_px)
    network.classifier = network.classifier[:kept]
    network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    prepare = _preparation(VGG16_PX, "bilinear", IMAGENET_MEAN, IMAGENET_STD, device)
    licence = WEIGHTS[space].licence
    return NetworkExtractor(
        "VGG16", layer, RESIZER, width, found.sha256, device, lambda images: network(prepare(images)), licence
    )


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
    prepare = _preparation(DINOV2_PX, "bicubic", IMAGENET_MEAN, IMAGENET_STD, device)
    resizer, licence = f"bicubic, antialiased, to {DINOV2_PX} px", WEIGHTS[space].licence
    return NetworkExtractor(
        name, "class token", resizer, width, found.sha256, device, lambda images: network(prepare(images)), licence
    )


def timm_space(name: str, source: WeightSource, device: torch.device) -> Extractor:
    """Build the space of timm's network `name`: pooled features before its classifier.

    Size, interpolation, mean and SD are those that timm names for the weights (`timm.data.resolve_data_config`). The
    whole image is resized, without the crop that timm takes out of its middle, so that no part of a lesion is cut off.

    Raises `UserError`: no such network, its weights cannot be had or are another's, or it returns no features.
    """
    published = find_timm_network(name, OPTION)
    network, found = load_timm_network(published, source)
    network.to(device)
    px, interpolation = published.input_px, published.interpolation
    prepare = _preparation(px, interpolation, published.mean, published.std, device)

    def features(images: Tensor) -> Tensor:
        pooled: Tensor = network(prepare(images))
        return pooled

    try:
        with torch.inference_mode():
            _, width = features(torch.zeros(1, px, px, 3, dtype=torch.uint8, device=device)).shape
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(
            f"{OPTION} {TIMM_PREFIX}{name}: gives no vector of features for a picture ({reason}); give another network."
        ) from error
    return NetworkExtractor(
        name=f"{TIMM_PREFIX}{published.name}",
        layer="pooled, before the classifier",
        resizer=f"{interpolation}, antialiased, to {px} px",
        width=width,
        weights_sha256=found.sha256,
        device=device,
        network=features,
        licence=published.weights.licence,
    )


def _preparation(
    side_px: int, interpolation: str, mean: Rgb, std: Rgb, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return what makes a network's input, float32 [N, 3, P, P] with P = `side_px`, of uint8 [N, S, S, 3].

    `mean` and `std` are of pixels in [0, 1].
    """
    shift, scale = (torch.tensor(row, device=device).mul(255)[:, None, None] for row in (mean, std))

    def prepare(images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float()
        x = F.interpolate(x, size=(side_px, side_px), mode=interpolation, antialias=True)
        return x.clamp(0, 255).sub_(shift).div_(scale)  # bicubic leaves the range of pixels

    return prepare


SPACES: dict[str, Callable[[WeightSource, torch.device], Extractor]] = {
    OFFLINE: offline,
    LITE1: lite1,
    "inception": inception,
    "vgg16": functools.partial(vgg16, "vgg16"),
    "vgg16-fc1": functools.partial(vgg16, "vgg16-fc1"),
    "vgg16-conv5": functools.partial(vgg16, "vgg16-conv5"),
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
    space = resolve_choice(choice, purpose, source, looked_through=looked_through)
    if space.startswith(TIMM_PREFIX):
        return timm_space(space.removeprefix(TIMM_PREFIX), source, device)
    return SPACES[space](source, device)


def resolve_choice(choice: str, purpose: Purpose, source: WeightSource, *, looked_through: bool = False) -> str:
    """Return the space that `choice` means for `purpose`; "auto" means the paper's, if its weights can be had.

    Args:
        choice: one of `CHOICES`, or `timm:NAME` with any network of timm.
        purpose: what it is for.
        source: where weights may come from.
        looked_through: whether what is judged was trained through the offline space, which then flatters it: "auto"
            avoids it, and who asks for it is warned.

    Raises `UserError`: no such space, or the weights of the one that is asked for cannot be had.
    """
    otherwise = LITE1 if looked_through else OFFLINE
    if looked_through and choice.partition(".")[0] in LOOKED_THROUGH:
        say(f"{OPTION} {choice}: the training looks through the same network, which flatters; {LITE1} does not")
    if choice != AUTO:
        file = _weight_file(choice)
        if file is not None:
            find_weights(file, source)  # before anything is made that needs them
        return choice
    space = PAPER_SPACE[purpose]
    try:
        find_weights(WEIGHTS[space], source)
    except UserError as error:
        file_name = str(error).partition(":")[0]
        say(
            f"{purpose} is measured in the features of EfficientNet-Lite{int(otherwise == LITE1)} ({otherwise}), "
            f"since the paper's ({file_name}) is not here; {OPTION} {space} tells where to get and put it"
        )
        return otherwise
    return space


def _weight_file(space: str) -> WeightFile | None:
    """Return the file that a space needs; None when a package that is a dependency carries it."""
    if space.startswith(TIMM_PREFIX):
        return find_timm_network(space.removeprefix(TIMM_PREFIX), OPTION).weights
    if space not in SPACES:
        raise UserError(
            f"{OPTION} {space}: no such feature space; give one of {', '.join(CHOICES)}, or {TIMM_PREFIX}NAME."
        )
    return WEIGHTS.get(space)
