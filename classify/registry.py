"""Every model that can be trained, one row each, and nothing of torch.

Sources: Table 2 (labels), Table 3 (head, layers, learning rate and epochs of InceptionV3) and Table 4 (the custom CNN)
of the paper. What it does not state is ours: cross-entropy, batches of 32, Adam for the pretrained networks, ReLU and
dropout 0.5 behind each hidden layer of a head, and frozen backbones where it gives no number of layers.
"""

from dataclasses import dataclass
from typing import cast

from classify import backbones
from shared.errors import UserError
from shared.nn.timm_networks import TIMM_PREFIX as TIMM_PREFIX
from shared.nn.timm_networks import Rgb as Rgb
from shared.nn.timm_networks import timm_config
from shared.weights import VGG16

IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)
HALF: Rgb = (0.5, 0.5, 0.5)  # pixels to [-1, 1]
LITE_MEAN: Rgb = (127 / 255,) * 3  # EfficientNet-Lite: (x - 127) / 128
LITE_STD: Rgb = (128 / 255,) * 3

MAX_IMAGE_SIZE = 1024


@dataclass(frozen=True)
class ModelSpec:
    """A model: its network, its preprocessing, and how it is trained unless the user says otherwise."""

    name: str
    label: str  # as Table 2 prints it
    build: "backbones.Build"
    pretrained: "backbones.Pretrained | None" = None
    # Of the original network with its ImageNet head, which Table 2 prints but for InceptionV3.
    imagenet_parameters: int | None = None
    image_size: int | None = None  # side of the input in px; None: that of the cohort
    min_image_size: int = 32
    depth: int | None = None  # convolutions, where a user may choose
    mean: Rgb = IMAGENET_MEAN  # of pixels in [0, 1]
    std: Rgb = IMAGENET_STD
    head: tuple[int, ...] = (512, 256)  # hidden widths, Table 3
    dropout: float = 0.5
    unfreeze: int | None = 0  # backbone modules that train, counted backwards; None: all, from scratch
    optimizer: str = "adam"
    lr: float = 1e-3
    epochs: int = 20
    batch: int = 32


SPECS = (
    ModelSpec(
        name="custom_cnn",
        label="Custom CNN",
        build=backbones.custom_cnn,
        depth=backbones.CUSTOM_DEPTH,
        mean=HALF,
        std=HALF,
        head=(32,),
        unfreeze=None,
        optimizer="rmsprop",
        lr=1.15e-4,
        epochs=300,
    ),
    ModelSpec(
        name="inception_v3",
        label="InceptionV3",
        build=backbones.inception_v3,
        pretrained=backbones.in_file(backbones.INCEPTION_V3),
        imagenet_parameters=23_834_568,  # without the auxiliary classifier
        image_size=299,
        min_image_size=75,
        mean=HALF,
        std=HALF,
        unfreeze=34,
    ),
    ModelSpec(
        name="vgg16",
        label="VGG16",
        build=backbones.vgg16,
        pretrained=backbones.in_file(VGG16),
        imagenet_parameters=138_357_544,
        image_size=224,
    ),
    ModelSpec(
        name="mobilenet",
        label="MobileNet",
        build=backbones.timm_backbone("mobilenetv1_100"),
        pretrained=backbones.in_timm("mobilenetv1_100"),
        imagenet_parameters=4_231_976,
        image_size=224,
        mean=HALF,
        std=HALF,
    ),
    ModelSpec(
        name="resnet50",
        label="ResNet50",
        build=backbones.resnet50,
        pretrained=backbones.in_file(backbones.RESNET50),
        imagenet_parameters=25_557_032,
        image_size=224,
    ),
    ModelSpec(
        name="efficientnet_lite0",
        label="EfficientNet-Lite0",
        build=backbones.timm_backbone("tf_efficientnet_lite0"),
        pretrained=backbones.IN_PACKAGE,
        imagenet_parameters=4_652_008,
        image_size=224,
        mean=LITE_MEAN,
        std=LITE_STD,
    ),
    ModelSpec(
        name="linear_probe",
        label="Linear probe",
        build=backbones.timm_backbone("tf_efficientnet_lite0"),
        pretrained=backbones.IN_PACKAGE,
        imagenet_parameters=4_652_008,
        image_size=224,
        mean=LITE_MEAN,
        std=LITE_STD,
        head=(),  # logistic regression on the frozen features: what any other model has to beat
        dropout=0.0,
    ),
)
MODELS = {spec.name: spec for spec in SPECS}


def find_model(name: str) -> ModelSpec:
    """Return the row of `name`, or one made for `timm:NAME` from what timm says of that network.

    Raises `UserError`: no such model.
    """
    if name in MODELS:
        return MODELS[name]
    if name.startswith(TIMM_PREFIX):
        return _timm_spec(name)
    raise UserError(f"--model {name}: no such model; give one of {', '.join(MODELS)}, or timm:NAME.")


def model_label(name: str) -> str:
    """Return how tables print the model `name`."""
    return MODELS[name].label if name in MODELS else name


def _timm_spec(name: str) -> ModelSpec:
    network = name.removeprefix(TIMM_PREFIX)
    default = timm_config(network, "--model")
    return ModelSpec(
        name=name,
        label=name,
        build=backbones.timm_backbone(network),
        pretrained=backbones.in_timm(network),
        image_size=int(default.input_size[-1]),
        mean=cast(Rgb, tuple(default.mean)),
        std=cast(Rgb, tuple(default.std)),
    )
