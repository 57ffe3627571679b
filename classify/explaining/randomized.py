"""Does a heat map depend on what was learnt? Maps of networks with random weights beside the real ones.

The model-parameter randomisation test (Adebayo et al. 2018, arXiv:1810.03292): a map that stays the same when the
weights are random shows edges and textures of the picture, whatever the network thinks of it.
"""

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from torch import Tensor

from classify.explaining.heatmap import Advance, HeatMap
from classify.fitting.features import inference_batch
from classify.fitting.schedule import seeded
from classify.models import Classifier, parameter_modules

NETWORKS = 3  # with random weights
LITTLE, MUCH = 0.3, 0.6  # of a rank correlation

Maps = npt.NDArray[np.floating]  # [N, S, S]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Randomized:
    """Rank correlations (Spearman) of heat maps with those of networks with random weights.

    Attributes:
        n: images.
        networks: with random weights; an image has the mean over them.
        mean: over images; None where no pair of maps had one.
        std: over images, None of fewer than two.
        undefined: pairs of maps of which one is the same everywhere.
        others: the mean correlation of a real map with that of the next image, which is what unrelated maps have.
    """

    n: int
    networks: int
    mean: float | None
    std: float | None
    undefined: int
    others: float | None

    @property
    def sentence(self) -> str:
        """What it comes to in plain words."""
        if self.mean is None:
            return (
                "No map could be compared with those of random weights, since one of each pair was the same everywhere."
            )
        spread = "" if self.std is None else f" ± {self.std:.2f}"
        beside = "" if self.others is None else f"; maps of two different images: {self.others:.2f}"
        if abs(self.mean) < LITTLE:
            verdict = "so the maps show what the network has learnt"
        elif abs(self.mean) < MUCH:
            verdict = "so part of what the maps show is there in any network of this form"
        else:
            verdict = "so the maps hardly depend on what the network has learnt; do not read them"
        return (
            f"With random weights the maps have a rank correlation of {self.mean:.2f}{spread} with the real ones "
            f"(n = {self.n} images, {self.networks} networks{beside}), {verdict}."
        )


def compare_randomized(
    classifier: Classifier, images: Tensor, method: HeatMap, *, seed: int, advance: Advance = lambda _: None
) -> Randomized:
    """Compare the maps of `images`, uint8 [N, S, S, 3], with those of `NETWORKS` networks with random weights.

    Maps are compared with their signs. `advance` is told of each image and network, N * (1 + NETWORKS) in all.
    """
    real = method(classifier, images, signed=True, advance=advance).cpu().numpy()
    found = np.full((NETWORKS, len(images)), np.nan)
    for number in range(NETWORKS):
        other = randomized(classifier, images, seed=seed + number)
        found[number] = rank_correlations(real, method(other, images, signed=True, advance=advance).cpu().numpy())
    defined = ~np.isnan(found).all(0)
    each = np.nanmean(found[:, defined], axis=0)  # [N]
    others = rank_correlations(real, np.roll(real, 1, axis=0)) if len(real) > 1 else np.empty(0)
    others = others[~np.isnan(others)]
    return Randomized(
        n=len(each),
        networks=NETWORKS,
        mean=float(each.mean()) if len(each) else None,
        std=float(each.std(ddof=1)) if len(each) > 1 else None,
        undefined=int(np.isnan(found).sum()),
        others=float(others.mean()) if len(others) else None,
    )


def rank_correlations(first: Maps, second: Maps) -> Values:
    """Return Spearman's rank correlation of each pair of maps [N], nan where one is the same everywhere."""
    found = np.full(len(first), np.nan)
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        if np.ptp(one) > 0 and np.ptp(other) > 0:
            found[number] = spearmanr(one.ravel(), other.ravel()).statistic
    return found


def randomized(classifier: Classifier, images: Tensor, *, seed: int) -> Classifier:
    """Return a copy of `classifier` that has learnt nothing: every layer is as it is before a training.

    The averages of its batch normalisations are those of `images`, uint8 [N, S, S, 3], as a training would have them:
    with any others the signal fades out or saturates, and with it every map.
    """
    made = copy.deepcopy(classifier)
    with seeded(made.mean.device, seed, "weights", 1), torch.no_grad():  # 0 are those that fits begin with
        for module in (*parameter_modules(made.backbone), *parameter_modules(made.head)):
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            else:  # a layer of a network's own: its values stand in other places
                for tensor in module.parameters(recurse=False):
                    order = torch.randperm(tensor.numel(), device=tensor.device)
                    tensor.copy_(tensor.flatten()[order].view_as(tensor))
    _normalize(made, images)
    return made


def _normalize(classifier: Classifier, images: Tensor) -> None:
    """Set the averages of batch normalisations to those over `images`."""
    norms = [each for each in classifier.modules() if isinstance(getattr(each, "running_mean", None), Tensor)]
    classifier.eval()
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum, norm.training = None, True  # type: ignore[assignment]  # None: all batches count alike
    batches = -(-len(images) // inference_batch(classifier))
    with torch.no_grad():
        # Of a single picture, two: a last map may be a single cell, which has no spread.
        for batch in (images if len(images) > 1 else images.repeat(2, 1, 1, 1)).tensor_split(batches):
            classifier(batch.to(classifier.mean.device))
    classifier.eval()
