"""The tensors that a fit changes, taken out and put back: what a checkpoint holds, and what processes share."""

from typing import Any

import torch
from torch import Tensor

from classify.models import Classifier, trainable_state


def snapshot(classifier: Classifier) -> dict[str, Tensor]:
    """Return a copy of what a fit changes, on the CPU."""
    return {name: tensor.cpu().clone() for name, tensor in trainable_state(classifier).items()}


def moving(classifier: Classifier) -> list[Tensor]:
    """Return what moves without gradients while training: the means of batch normalisation and the like."""
    state = trainable_state(classifier)
    own = dict(classifier.named_parameters())
    return [tensor for name, tensor in state.items() if name not in own and tensor.is_floating_point()]


def own_state(classifier: Classifier) -> dict[str, Any]:
    """Return what is not the same in all processes in the middle of an epoch.

    That is their random numbers (of dropout), and what moves without gradients.
    """
    device = classifier.mean.device
    own: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return own | {"moving": [tensor.cpu().clone() for tensor in moving(classifier)]}


def restore_own(classifier: Classifier, own: dict[str, Any]) -> None:
    """Put back what `own_state` gave."""
    device = classifier.mean.device
    torch.set_rng_state(own["cpu"])
    if "cuda" in own and device.type == "cuda":
        torch.cuda.set_rng_state(own["cuda"], device)
    for tensor, kept in zip(moving(classifier), own["moving"], strict=True):
        tensor.copy_(kept)
