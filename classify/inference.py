"""A classifier made ready to answer: the same function with fewer passes over memory."""

import copy
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from classify.fitting.features import inference_batch
from classify.models import Classifier, channels_last


def for_inference(classifier: Classifier) -> Classifier:
    """Return a copy of `classifier` for evaluation only: each batch norm has gone into the convolution before it.

    Networks whose graph torch.fx cannot follow stay as they are.
    """
    ready = copy.deepcopy(classifier).requires_grad_(False).eval()
    try:
        fused = fuse(ready.backbone)
    except Exception:  # noqa: BLE001 - networks whose course depends on values raise all kinds
        return ready
    assert isinstance(fused, fx.GraphModule | nn.Module)
    channels_last(fused)
    ready.backbone = fused
    return ready.eval()


def log_odds(
    classifier: Classifier, images: npt.NDArray[np.uint8], advance: Callable[[float], None] = lambda _: None
) -> npt.NDArray[np.float64]:
    """Return the log-odds of the positive class [N] for `images` [N, S, S, 3] uint8, N at least 1.

    They pass in batches, in evaluation mode; `advance` is told how many are done.
    """
    size = inference_batch(classifier)
    found = []
    classifier.eval()
    with torch.inference_mode():
        for start in range(0, len(images), size):
            batch = torch.tensor(images[start : start + size], device=classifier.mean.device)
            logits = classifier(batch).cpu().double()
            found.append((logits[:, 1] - logits[:, 0]).numpy())
            advance(len(batch))
    return np.concatenate(found)
