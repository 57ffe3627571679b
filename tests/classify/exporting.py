"""What tests of exported classifiers share."""

from typing import Any

import numpy as np
import torch
from torch import nn

from classify.models import Classifier, build_model

# A size at which the last map has more than one cell, and the layer that makes it.
LAST_MAPS = {
    "custom_cnn": (64, "relu6"),
    "inception_v3": (139, "Mixed_7c"),
    "vgg16": (224, "features.29"),
    "mobilenet": (64, "bn2"),
    "resnet50": (64, "layer4"),
    "efficientnet_lite0": (64, "bn2"),
    "linear_probe": (64, "bn2"),
    "timm:resnet18": (64, "layer4"),
}


def moved(name: str, size: int, **options: Any) -> Classifier:
    """A network whose scales, statistics and verdicts are anything but those it is built with."""
    torch.manual_seed(7)
    classifier = build_model(name, image_size=size, **options).eval()
    for module in classifier.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return classifier.requires_grad_(False)


def pictures(count: int, height: int, width: int, *, low: int = 0, high: int = 256, seed: int = 0) -> np.ndarray:
    """Return uint8 [N, H, W, 3] of noise in low..high - 1."""
    return np.random.default_rng(seed).integers(low, high, (count, height, width, 3), dtype=np.uint8)
