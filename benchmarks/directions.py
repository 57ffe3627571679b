"""Which way each metric moves when photographs are spoiled, and whether it moves at all.

    python benchmarks/directions.py cohort.h5 [--features lite1] [--count 240]

Photographs of both classes, as many of each, are parted at random: one half is the reference, the other stands for what
a perfect generator would draw. Half of the latter are taken as they are, blurred, with noise, with fewer and fewer of
the rare class or of the dark pictures, or a few images over and over.
"""

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from shared.cohort import POSITIVE, STUDY, read_cohort
from shared.weights import WeightSource
from synth.scores.features import CHOICES, open_extractor
from synth.scores.groups import Groups
from synth.scores.halvings import Halvings, Spread
from synth.scores.kernels import KernelDistance, kernel_distance
from synth.scores.moments import Features
from synth.scores.quality import Images, to_features

BLURS = (0.5, 1.0, 2.0)  # standard deviation, px
NOISES = (8, 16, 32)  # standard deviation, of 255
SHARES = (0.25, 0.1, 0.0)  # that a mode still has of the images, of which it is half
DISTINCT = (1 / 2, 1 / 8, 1 / 32)  # share of the images
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Every metric of one set of fakes; `distance`, `precision` and `recall` with their floors."""

    distance: Spread
    kid: KernelDistance
    precision: Spread
    recall: Spread


def blurred(images: Images, sigma: float) -> Images:
    """Return [N, S, S, 3] through a Gaussian of `sigma` px."""
    soft: npt.NDArray[np.float32] = gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0))
    return np.rint(soft).astype(np.uint8)


def noisy(images: Images, sd: float, *, seed: int = 0) -> Images:
    """Return [N, S, S, 3] with Gaussian noise, clipped to what a picture can hold."""
    noise = np.random.default_rng(seed).normal(scale=sd, size=images.shape)
    return np.rint(images + noise).clip(0, 255).astype(np.uint8)


def dark(images: Images) -> Mask:
    """Return which half of [N, S, S, 3] has the smaller mean: [N]."""
    means = images.mean(axis=(1, 2, 3))
    return np.isin(np.arange(len(images)), np.argsort(means, kind="stable")[: len(images) // 2])


def spoiled(images: Images, modes: dict[str, Mask]) -> Iterator[tuple[str, list[tuple[str, Images]]]]:
    """Give each way of spoiling by name, with its degrees from none to most, of M images each.

    Args:
        images: [2 M, S, S, 3], in a random order: the first M are taken as they are.
        modes: which images [2 M] are of a mode that can be lost, half of them.
    """
    m = len(images) // 2
    whole = images[:m]

    def degrees(degree: Callable[[float], Images], values: tuple[float, ...], unit: str) -> list[tuple[str, Images]]:
        return [("as they are", whole), *((f"{value:g}{unit}", degree(value)) for value in values)]

    def with_share(share: float, mode: Mask) -> Images:
        count = round(share * m)
        return np.concatenate([images[~mode][: m - count], images[mode][:count]])

    def over_and_over(share: float) -> Images:
        return whole[np.arange(m) % max(1, round(share * m))]

    yield "blur", degrees(lambda sigma: blurred(whole, sigma), BLURS, " px")
    yield "noise", degrees(lambda sd: noisy(whole, sd), NOISES, " of 255")
    for name, mode in modes.items():
        yield f"{name} lost", degrees(functools.partial(with_share, mode=mode), SHARES, " of the images left")
    yield "duplicates", degrees(over_and_over, DISTINCT, " of the images differ")


class Judge:
    """Every metric against fixed photographs."""

    def __init__(self, real: Images, look: Callable[[Images], Features], fakes: int, groups: Groups | None) -> None:
        """Take photographs [N, S, S, 3], and of how many fakes sets will be."""
        self._look, self._groups = look, groups
        self._real = look(real)
        self._halvings = Halvings(self._real, fakes, seed=0, groups=groups)
        self.n = self._halvings.n

    def __call__(self, fakes: Images) -> Scores:
        """Score fakes [M, S, S, 3]."""
        features = self._look(fakes)
        equal = self._halvings.compare(features)
        kid = kernel_distance(features, self._real, seed=0, groups=self._groups)
        assert kid is not None
        assert equal.precision is not None
        assert equal.recall is not None
        return Scores(equal.distance, kid, equal.precision, equal.recall)


def table(found: list[tuple[str, str, Scores]]) -> str:
    """Return the scores as Markdown, with the floor as last row."""
    lines = ["| | | distance | KID x 1000 | precision | recall |", "|---|---|--:|--:|--:|--:|"]
    for way, degree, scores in found:
        kid = f"{1000 * scores.kid.mean:.1f} ({1000 * scores.kid.low:.1f} to {1000 * scores.kid.high:.1f})"
        spreads = (scores.distance, 1), (scores.precision, 2), (scores.recall, 2)
        distance, precision, recall = (f"{each.mean:.{digits}f} ± {each.sd:.{digits}f}" for each, digits in spreads)
        lines.append(f"| {way} | {degree} | {distance} | {kid} | {precision} | {recall} |")
    last = found[-1][2]
    spreads = (last.distance, 1), (last.precision, 2), (last.recall, 2)
    distance, precision, recall = (f"{each.floor:.{digits}f} ± {each.floor_sd:.{digits}f}" for each, digits in spreads)
    lines.append(f"| *floor* | | {distance} | | {precision} | {recall} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--features", choices=CHOICES, default="lite1")
    parser.add_argument("--count", type=int, default=240, help="photographs of each class, at most")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    cohort = read_cohort(options.cohort)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero((cohort.role == STUDY) & (cohort.label == label))) for label in (0, 1)]
    half = min(options.count, *map(len, rows)) // 2
    source = WeightSource(folder=options.weights, offline=options.weights is None)
    extractor = open_extractor(options.features, "quality", source=source, device=torch.device("cpu"))
    reference = np.sort(np.concatenate([each[:half] for each in rows]))
    others = rng.permutation(np.concatenate([each[half : 2 * half] for each in rows]))
    images = np.stack([cohort.images[row] for row in others])
    modes = {"rare class": cohort.label[others] == POSITIVE, "dark pictures": dark(images)}
    groups = Groups.of(cohort.group_id[reference])
    judge = Judge(np.asarray(cohort.images[reference]), lambda images: to_features(images, extractor), half, groups)
    found = [(way, degree, judge(images)) for way, degrees in spoiled(images, modes) for degree, images in degrees]
    print(table(found))
    print(json.dumps({"space": extractor.name, "reference": 2 * half, "fakes": half, "n_equal": judge.n}))


if __name__ == "__main__":
    main()
