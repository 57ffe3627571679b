"""Heat maps: where in a picture a classifier finds evidence for the positive class.

Evidence is what raises the log-odds of the positive class, the difference of the two logits; a logit alone may rise
together with the other one, which changes no verdict. What speaks against the positive class is left at 0.

- `grad_cam` (Selvaraju et al. 2017, arXiv:1610.02391): the last feature maps, weighted by what a little more of each
  would do to the log-odds. One pass there and back; as coarse as these maps are.
- `occlusion` (Zeiler and Fergus 2014, arXiv:1311.2901): by how much the log-odds fall when a window is covered with the
  picture's mean colour. More than a hundred passes; it asks nothing of a network's inside, and is no approximation.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.explaining.feature_map import last_feature_map
from classify.fitting.features import inference_batch
from classify.models import Classifier
from shared.errors import UserError, with_extra

WINDOW = 6  # of these occlusion windows lie side by side along the picture
STEPS = 2  # to a window's side that the next one is shifted by

Advance = Callable[[float], None]


class HeatMap(Protocol):
    """A method: see `grad_cam` and `occlusion`."""

    def __call__(
        self, classifier: Classifier, images: Tensor, *, signed: bool = False, advance: Advance = ...
    ) -> Tensor:
        """Return heat maps of images."""


def grad_cam(
    classifier: Classifier, images: Tensor, *, signed: bool = False, advance: Advance = lambda _: None
) -> Tensor:
    """Return Grad-CAM's heat maps, float32 [N, S, S], of `images`, uint8 [N, S, S, 3] as they are stored.

    ReLU(sum_k alpha_k A^k), with A^k the last feature maps (`classify.explaining.feature_map`) and alpha_k the mean
    over their cells of d(log-odds) / dA^k; enlarged bilinearly to the picture. Where nothing but the mean of the maps
    and one layer follows, the cells sum up to the log-odds but for its bias.

    Args:
        classifier: as it is loaded, frozen or not, on any device; its mode and gradients are left as they are.
        images: any number; they pass in batches.
        signed: also what speaks against the positive class, below 0 (no ReLU).
        advance: is told how many images are done.

    Returns:
        On the classifier's device; above 0 is evidence for the positive class, larger is more, 0 is none.

    Raises:
        UserError: captum is not installed, or what the network looks at last is no feature map.
        ValueError: the classifier was fused by `for_inference`.
    """
    layer = last_feature_map(classifier).layer

    def maps(x: Tensor) -> Tensor:
        method = _captum().LayerGradCam(lambda each: _log_odds(classifier, each), layer)
        return cast(Tensor, method.attribute(x, relu_attributions=not signed))

    return _in_batches(classifier, images, maps, advance)


def occlusion(
    classifier: Classifier, images: Tensor, *, signed: bool = False, advance: Advance = lambda _: None
) -> Tensor:
    """Return by how much the log-odds fall where a window is covered, float32 [N, S, S].

    Windows of a sixth of the picture's side are shifted by half of theirs and filled with the picture's mean colour; a
    pixel has the mean over the windows that cover it. For the rest see `grad_cam`.

    Raises `UserError`: captum is not installed.
    """
    window = math.ceil(classifier.image_size / WINDOW)
    shape, strides = (3, window, window), (3, *(max(1, window // STEPS),) * 2)
    at_once = inference_batch(classifier)

    def maps(x: Tensor) -> Tensor:
        method = _captum().Occlusion(lambda each: _log_odds(classifier, each))
        mean = x.mean((2, 3), keepdim=True).expand_as(x)
        windows = max(1, at_once // len(x))
        found = method.attribute(x, shape, strides=strides, baselines=mean, perturbations_per_eval=windows)
        drop = cast(Tensor, found).mean(1, keepdim=True)
        return drop if signed else drop.relu()

    return _in_batches(classifier, images, maps, advance)


METHODS: Mapping[str, HeatMap] = {"grad-cam": grad_cam, "occlusion": occlusion}
TITLES: Mapping[str, str] = {"grad-cam": "Grad-CAM", "occlusion": "Occlusion"}
AUTO = "auto"


def choose_method(classifier: Classifier, asked: str = AUTO) -> tuple[str, str | None]:
    """Return a method of `METHODS`, and a sentence about it where its reader must know more.

    `AUTO` is Grad-CAM where the network's last map tells where something is, else occlusion.

    Raises `UserError`: Grad-CAM is asked for, and what the network looks at last is no feature map.
    """
    if asked not in (AUTO, "grad-cam"):
        return asked, None
    try:
        found = last_feature_map(classifier)
    except UserError:
        if asked != AUTO:
            raise
        return "occlusion", "By occlusion, since what this network looks at last is no map of convolutions."
    if found.tells_where:
        return "grad-cam", None
    cells = f"the network's last map has {found.height} x {found.width} cells, too few to tell where"
    if asked == AUTO:
        return "occlusion", f"By occlusion, since {cells}."
    return asked, f"warning: {cells}; --method occlusion can."


def _captum() -> Any:
    """Return captum's methods; it is an extra of this package, and has no types."""
    try:
        from captum import attr
    except ImportError as error:
        raise UserError(f"heat maps: need the package captum; {with_extra('explain')}.") from error
    return attr


def _log_odds(classifier: Classifier, x: Tensor) -> Tensor:
    """Return the log-odds of the positive class [N] for prepared images [N, 3, P, P]."""
    logits = classifier.head(classifier.backbone(x))
    return cast(Tensor, logits[:, 1] - logits[:, 0])


def _in_batches(classifier: Classifier, images: Tensor, maps: Callable[[Tensor], Tensor], advance: Advance) -> Tensor:
    """Return `maps` [N, 1, h, w] of prepared images, enlarged to the pictures' size."""
    device, size = classifier.mean.device, tuple(images.shape[1:3])
    with _asked(classifier):
        found, batch = torch.empty(len(images), *size, device=device), inference_batch(classifier)
        for start in range(0, len(images), batch):
            x = classifier.prepare(images[start : start + batch].to(device))
            large = F.interpolate(maps(x).detach().float(), size=size, mode="bilinear", align_corners=False)
            found[start : start + batch] = large[:, 0]
            advance(len(x))
    return found


@contextmanager
def _asked(classifier: Classifier) -> Iterator[None]:
    """Put a classifier into evaluation mode for the block, where gradients are to be had whatever the caller does."""
    mode = classifier.training
    classifier.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        classifier.train(mode)
