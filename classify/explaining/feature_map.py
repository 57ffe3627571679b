"""The last feature map of a network: where in the picture its last convolution found something.

Networks do not say which of their layers that is, and the last convolution alone is not it everywhere: behind it come
its normalisation and rectifier, in a ResNet the sum with the block's input, in Inception its neighbours. So the network
looks at one blank image and every layer tells the shape of what it gives.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from classify.models import Classifier
from shared.errors import UserError

FEWEST_CELLS = 4  # along a side, below which a map cannot tell where in a picture something is


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A layer that gives the last feature map, float32 [N, channels, height, width], one of whose axes is above 1."""

    layer: nn.Module
    channels: int
    height: int
    width: int

    @property
    def tells_where(self) -> bool:
        """Whether it has cells enough to tell one place in a picture from another."""
        return min(self.height, self.width) >= FEWEST_CELLS


def last_feature_map(classifier: Classifier) -> FeatureMap:
    """Return the layer behind the last convolution whose map has more than one cell, in front of any pooling.

    It is the last layer to give a map of that convolution's size: its rectifier, or the block that it ends.

    Raises:
        UserError: what the network looks at last are no feature maps (attention between patches, for one).
        ValueError: layers were fused for inference, so that blocks are not to be found.
    """
    if isinstance(classifier.backbone, fx.GraphModule):
        raise ValueError("feature map: the network was fused by `for_inference`; give the one that was loaded.")
    given = _given(classifier)
    convolutions = [place for place, (layer, shape) in enumerate(given) if _convolves(layer) and _is_map(shape)]
    if convolutions:
        _, channels, height, width = given[convolutions[-1]][1]
        alike = [place for place, (_, shape) in enumerate(given) if _is_map(shape) and shape[2:] == (height, width)]
        layer, (_, channels, _, _) = given[alike[-1]]
        rest = [shape for _, shape in given[alike[-1] + 1 :] if len(shape) > 2 and max(shape[2:]) > 1]
        if all(len(shape) == 4 and shape[1] == channels for shape in rest):
            return FeatureMap(layer, channels, height, width)
    raise UserError(
        "--method grad-cam: what this network looks at last is no map of convolutions, so there is nothing to weigh; "
        "give --method occlusion, which asks nothing of a network's inside."
    )


def _given(classifier: Classifier) -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Return each layer of the backbone with the shape that it gives, in the order in which they end."""
    given: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            given.append((layer, tuple(output.shape)))

    hooks = [layer.register_forward_hook(note) for layer in classifier.backbone.modules()]
    size, mode = classifier.image_size, classifier.training
    try:
        classifier.eval()
        with torch.no_grad():
            classifier.features(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=classifier.mean.device))
    finally:
        classifier.train(mode)
        for hook in hooks:
            hook.remove()
    return given


def _convolves(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d)


def _is_map(shape: tuple[int, ...]) -> bool:
    """Tell whether it is of a feature map [1, C, H, W] with more than one cell."""
    return len(shape) == 4 and max(shape[2:]) > 1
