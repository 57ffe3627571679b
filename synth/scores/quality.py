"""How near generated images are to real ones: Frechet distance and kernel distance (KID) in a feature space.

Both depend on the number of images, and the Frechet distance is biased by it. Scores that are compared use equal
numbers (`synth.scores.halvings`), and what a network was trained on is set beside what was held out.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shared.errors import UserError
from shared.files import whole_file
from shared.weights import WeightSource
from stylegan2_ada import Ranks
from synth.scores.features import FID_SPACE, INCEPTION_WIDTH, Extractor, identity, open_extractor
from synth.scores.groups import Groups
from synth.scores.halvings import MOST, Halvings
from synth.scores.kernels import kernel_distance
from synth.scores.moments import Features, Moments, RunningMoments, frechet_distance

FIRST_SEED = 1 << 31  # scores use seeds that nobody types, so no image of theirs is selected later
CPU_DRAW, GPU_DRAW = 64, 512  # images drawn at once: between two looks for a signal; whole batches of any network
KEPT = 10_000  # features of fakes, at most: of the others only the moments, so that memory does not grow with them
FEATURES = ".features"  # folder of the reals' features, beside what is made with them
DRAWS = 20  # of as many training images as were held out

Images = npt.NDArray[np.uint8]  # [N, S, S, 3]
MeanAndSd = tuple[float | None, float | None]


@dataclass(frozen=True)
class QualityScore:
    """One score and all that is needed to compare it.

    Attributes:
        name: "FID", or "Frechet distance (NETWORK)" in another space than Inception's.
        value: that distance between all reference reals and all fakes.
        n_real, n_fake: how many.
        n_equal: images a side of what follows, over halvings of the reals; None, all of it, when there are too few.
        equal_n, equal_n_sd, floor, floor_sd: distance of the fakes, and of the other half of the reals.
        precision, precision_sd, precision_floor, recall, recall_sd, recall_floor: fidelity and diversity likewise.
        spread: trace of the fakes' covariance over that of the reals': 1 is as diverse, 0 one picture; None when the
            reals do not differ.
        held_out, held_out_sd, trained_on, trained_on_sd: distance of the fakes to images that were held out, and to as
            many of those that were trained on, over draws of `n_validation` of each (1000 at most) in whole groups;
            None for fewer than two.
        kid_validation, kid_validation_std, kid_subset_size: KID between fakes and held-out reals, over subsets of that
            size; None likewise.
        kid_low, kid_high: its 95 % interval, by a bootstrap over reals and fakes.
        n_validation: how many were held out.
        extractor, layer, resizer, weights_sha256: the feature space.
        reference: which reals.
        seed: of halves, draws and subsets.
    """

    name: str
    value: float
    n_real: int
    n_fake: int
    n_equal: int
    equal_n: float | None
    equal_n_sd: float | None
    floor: float | None
    floor_sd: float | None
    precision: float | None
    precision_sd: float | None
    precision_floor: float | None
    recall: float | None
    recall_sd: float | None
    recall_floor: float | None
    spread: float | None
    held_out: float | None
    held_out_sd: float | None
    trained_on: float | None
    trained_on_sd: float | None
    kid_validation: float | None
    kid_validation_std: float | None
    kid_low: float | None
    kid_high: float | None
    kid_subset_size: int | None
    n_validation: int
    extractor: str
    layer: str
    resizer: str
    weights_sha256: str
    reference: str
    seed: int


@dataclass(frozen=True, eq=False)
class Fakes:
    """Generated images in a feature space: the moments of all `count`, and the features [K, F] of the first ones."""

    count: int
    moments: Moments
    first: Features

    @classmethod
    def of(cls, features: Features) -> "Fakes":
        """Take features [M, F] as all that there is."""
        return cls(len(features), Moments.of(features), features)


def require_enough_fakes(extractor: Extractor, fakes: int) -> None:
    """Raise `UserError` when a score would be called FID and its covariance had no full rank."""
    if extractor.name == FID_SPACE and fakes <= INCEPTION_WIDTH:
        raise UserError(
            f"{fakes} generated images: too few for an FID, whose covariance of {INCEPTION_WIDTH} features needs more "
            f"than that; give at least {INCEPTION_WIDTH + 1}, or another --features."
        )


def require_subset(subset: int | None, validation: int, fakes: int) -> None:
    """Raise `UserError` when KID's subsets would be larger than what they are taken from."""
    smaller = min(validation, fakes)
    if subset is not None and subset > smaller:
        raise UserError(
            f"--kid-subset {subset}: larger than the {smaller} images of "
            f"{'the validation part' if validation < fakes else 'a score'}; give at most {smaller}."
        )


def draw_at_once(device: torch.device) -> int:
    """Return how many fakes to draw at a time on a device."""
    return GPU_DRAW if device.type == "cuda" else CPU_DRAW


class QualityMeter:
    """Scores generators against fixed reals, whose features are computed once; `validation` has those held out."""

    def __init__(
        self,
        train: Images,
        validation: Images,
        extractor: Extractor,
        *,
        fakes: int = 1000,
        seed: int = 0,
        kid_subset: int | None = None,
        reference: str = "train",
        groups: tuple[Groups, Groups] | None = None,
        at_once: int = CPU_DRAW,
        cache: Path | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """Compute the features of the reals.

        Args:
            train: reference of the Frechet distance, uint8 [N, S, S, 3], N >= 2.
            validation: reference of the KID, uint8 [V, S, S, 3], may be empty.
            extractor: the feature space.
            fakes: how many images a score draws, at least 2.
            seed: of the halves and of KID's subsets.
            kid_subset: images in each of these; None means 100, or as many as there are.
            reference: what the scores call the reals of `train`.
            groups: of `train` and of `validation`; None means that all are independent.
            at_once: fakes that are drawn at a time.
            cache: folder where the reals' features are kept, found again by the content of the images.
            ranks: the processes that draw and look at a share of the fakes each; all of them get the score.

        Raises `UserError`: fewer than two reals or fakes, fewer fakes than an FID needs, or than KID's subsets.
        """
        if len(train) < 2 or fakes < 2:
            raise UserError(
                f"a quality score compares distributions, which {len(train)} real and {fakes} generated images do not "
                "show; give at least 2 of each."
            )
        require_enough_fakes(extractor, fakes)
        require_subset(kid_subset, len(validation), fakes)
        self.extractor, self.fakes, self.seed, self.reference = extractor, fakes, seed, reference
        self.kid_subset, self.at_once = kid_subset, at_once
        self.ranks = ranks or Ranks()
        self.real = cached_features(train, extractor, cache)
        self.validation = cached_features(validation, extractor, cache)
        self.moments = Moments.of(self.real)
        self.groups, self.validation_groups = groups or (Groups.none(len(train)), Groups.none(len(validation)))
        self._halvings = Halvings(self.real, min(fakes, KEPT), seed=seed, groups=self.groups)

    @classmethod
    def build(
        cls,
        train: Images,
        validation: Images,
        *,
        features: str,
        fakes: int,
        seed: int,
        kid_subset: int | None = None,
        groups: tuple[Groups, Groups] | None = None,
        device: torch.device,
        weights: Path | None,
        offline: bool,
        cache: Path | None = None,
        ranks: Ranks | None = None,
    ) -> "QualityMeter":
        """Make a meter in the feature space `features` (one of `synth.scores.features.CHOICES`).

        Raises `UserError`: no such space, or its weights cannot be had.
        """
        source = WeightSource(folder=weights, offline=offline)
        extractor = open_extractor(features, "quality", source=source, device=device)
        return cls(
            train,
            validation,
            extractor,
            fakes=fakes,
            seed=seed,
            kid_subset=kid_subset,
            groups=groups,
            at_once=draw_at_once(device),
            cache=cache,
            ranks=ranks,
        )

    def score(self, draw: Callable[[int, int], Images]) -> dict[str, Any]:
        """Score the generator behind `draw`, which returns uint8 [count, S, S, 3] for (first seed, count).

        The fakes have the seeds `FIRST_SEED` and following. Returns a `QualityScore` as a dictionary, fit for JSON.
        """
        return dataclasses.asdict(self.compare(self.look_at(draw)))

    def look_at(self, draw: Callable[[int, int], Images], count: int | None = None) -> Fakes:
        """Draw as `score` does, and return the fakes' features; `count` of them if not the usual number.

        They pass through in small batches. Of more than `KEPT` fakes the moments are all that stays of the later ones.
        """
        total = count or self.fakes
        batches = [(start, min(self.at_once, total - start)) for start in range(0, total, self.at_once)]
        width = self.extractor.width
        kept: list[Features] = []
        running = RunningMoments(width) if total > KEPT else None
        for start, size in self.ranks.part(batches):
            features = to_features(draw(FIRST_SEED + start, size), self.extractor)
            if start < KEPT:
                kept.append(features[: KEPT - start])
            if running is not None:
                running.add(features)
        first = np.concatenate(self.ranks.gather(np.concatenate([np.empty((0, width)), *kept])))
        if running is None:
            return Fakes.of(first)
        whole = RunningMoments(width)
        for part in self.ranks.gather(running):
            whole.merge(part)
        return Fakes(total, whole.moments(), first)

    def compare(self, fakes: Fakes) -> QualityScore:
        """Score fakes, as many as the meter was made for."""
        space = identity(self.extractor)
        kid = kernel_distance(
            fakes.first, self.validation, seed=self.seed, subset=self.kid_subset, groups=self.validation_groups
        )
        equal = self._halvings.compare(fakes.first) if self._halvings.n >= 2 else None
        precision = None if equal is None else equal.precision
        recall = None if equal is None else equal.recall
        held_out, trained_on = self._generalisation(fakes.first)
        return QualityScore(
            name="FID" if space["extractor"] == FID_SPACE else f"Frechet distance ({space['extractor']})",
            value=frechet_distance(self.moments, fakes.moments),
            n_real=len(self.real),
            n_fake=fakes.count,
            n_equal=self._halvings.n,
            equal_n=None if equal is None else equal.distance.mean,
            equal_n_sd=None if equal is None else equal.distance.sd,
            floor=None if equal is None else equal.distance.floor,
            floor_sd=None if equal is None else equal.distance.floor_sd,
            precision=None if precision is None else precision.mean,
            precision_sd=None if precision is None else precision.sd,
            precision_floor=None if precision is None else precision.floor,
            recall=None if recall is None else recall.mean,
            recall_sd=None if recall is None else recall.sd,
            recall_floor=None if recall is None else recall.floor,
            spread=fakes.moments.spread / self.moments.spread if self.moments.spread > 0 else None,
            held_out=held_out[0],
            held_out_sd=held_out[1],
            trained_on=trained_on[0],
            trained_on_sd=trained_on[1],
            kid_validation=None if kid is None else kid.mean,
            kid_validation_std=None if kid is None else kid.sd,
            kid_low=None if kid is None else kid.low,
            kid_high=None if kid is None else kid.high,
            kid_subset_size=None if kid is None else kid.subset_size,
            n_validation=len(self.validation),
            **space,
            reference=self.reference,
            seed=self.seed,
        )

    def _generalisation(self, fakes: Features) -> tuple[MeanAndSd, MeanAndSd]:
        """Return the distance to what was held out, and to as many training images, each over draws.

        As many fakes are taken as there are images, so that all have the same bias.
        """
        n = min(len(self.validation), len(self.real), len(fakes), MOST)
        if n < 2:
            return (None, None), (None, None)
        rng = np.random.default_rng([self.seed, n])
        sources = (self.validation, self.validation_groups), (self.real, self.groups)
        found = []
        for _ in range(DRAWS):
            taken = Moments.of(fakes[rng.choice(len(fakes), n, replace=False)])
            found.append([frechet_distance(Moments.of(reals[groups.some(rng, n)]), taken) for reals, groups in sources])
        held_out, trained_on = ((float(np.mean(each)), float(np.std(each, ddof=1))) for each in np.transpose(found))
        return held_out, trained_on


def to_features(images: Images, extractor: Extractor) -> Features:
    """Return features [N, F] in float64, which the distances need: their terms nearly cancel."""
    return extractor(images).numpy().astype(np.float64)


def cached_features(images: Images, extractor: Extractor, cache: Path | None) -> Features:
    """Return `to_features`, from the folder `cache` when the same images in the same space are there."""
    if cache is None:
        return to_features(images, extractor)
    key = hashlib.sha256(np.ascontiguousarray(images).tobytes())
    key.update(repr((images.shape, sorted(identity(extractor).items()), torch.__version__)).encode())
    path = cache / f"features-{key.hexdigest()[:32]}.npy"
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)  # takes no memory for what a header says alone
        if stored.shape == (len(images), extractor.width) and stored.dtype == np.float64 and np.isfinite(stored).all():
            return np.array(stored)
    except (OSError, EOFError, ValueError):
        pass  # not there, or damaged: made anew
    features = to_features(images, extractor)
    with whole_file(path) as part, part.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    return features
