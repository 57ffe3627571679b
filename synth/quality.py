"""How near generated images are to real ones: Frechet distance and kernel distance (KID) in a feature space.

Both depend on the number of images. Scores that are compared use equal numbers: `equal_n` sets half of the reals
against equally many fakes, and `floor` the same half against the other half, which is what perfect fakes would reach.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from shared.errors import UserError
from shared.files import whole_file
from shared.weights import WeightSource
from stylegan2_ada import Ranks
from synth.features import FID_SPACE, Extractor, identity, open_extractor

KID_SUBSETS = 100
KID_SUBSET_SIZE = 100  # at most: 100 subsets of 100 use all images of any part that fits the paper's scale
FIRST_SEED = 1 << 31  # scores use seeds that nobody types, so no image of theirs is selected later
DRAW_AT_ONCE = 64

Images = npt.NDArray[np.uint8]  # [N, S, S, 3]
Features = npt.NDArray[np.float64]  # [N, F]


@dataclass(frozen=True)
class QualityScore:
    """One score and all that is needed to compare it.

    Attributes:
        name: "FID", or "Frechet distance (NETWORK)" in another space than Inception's.
        value: that distance between all reference reals and all fakes.
        n_real, n_fake: how many.
        equal_n, floor, n_equal: fakes against half of the reals, one half against the other, images a side; None when
            there are too few reals.
        spread: trace of the fakes' covariance over that of the reals': 1 is as diverse, 0 one picture; None when the
            reals do not differ.
        kid_validation, kid_validation_std, n_validation: KID between fakes and held-out reals; None when there are
            fewer than two.
        extractor, layer, resizer, weights_sha256: the feature space.
        reference: which reals.
        seed: of the halves and of KID's subsets.
    """

    name: str
    value: float
    n_real: int
    n_fake: int
    equal_n: float | None
    floor: float | None
    n_equal: int
    spread: float | None
    kid_validation: float | None
    kid_validation_std: float | None
    n_validation: int
    extractor: str
    layer: str
    resizer: str
    weights_sha256: str
    reference: str
    seed: int


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean [F], and a root [R, F] of the covariance: root.T @ root, R at most the number of features or of rows."""

    mean: npt.NDArray[np.float64]
    root: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: Features) -> "Moments":
        """Return the moments of features [N, F], N >= 2, the covariance divided by N - 1."""
        mean = features.mean(axis=0)
        root = (features - mean) / math.sqrt(len(features) - 1)
        if len(root) > root.shape[1]:
            root = np.asarray(np.linalg.qr(root, mode="r"))
        return cls(mean, root)

    @property
    def spread(self) -> float:
        """Trace of the covariance: the mean squared distance from the mean."""
        return float(np.square(self.root).sum())


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), between Gaussians (arXiv:1706.08500, Eq. 6).

    With S = R^T R, the eigenvalues of S_a S_b are the squared singular values of R_a R_b^T, so the last trace is their
    sum. That needs no square root of a singular matrix, and for fewer images than features little time.
    """
    cross = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    distance = np.square(a.mean - b.mean).sum() + np.square(a.root).sum() + np.square(b.root).sum() - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(a: Features, b: Features, *, seed: int) -> tuple[float, float] | None:
    """Return KID (arXiv:1801.01401), its mean and standard deviation over subsets; None for fewer than 2 images."""
    size = min(len(a), len(b), KID_SUBSET_SIZE)
    if size < 2:
        return None
    result = kid_features_to_metric(
        torch.from_numpy(a),
        torch.from_numpy(b),
        kid_subsets=KID_SUBSETS,
        kid_subset_size=size,
        rng_seed=seed,
        verbose=False,
    )
    return float(result[KEY_METRIC_KID_MEAN]), float(result[KEY_METRIC_KID_STD])


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
        reference: str = "train",
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
            reference: what the scores call the reals of `train`.
            cache: folder where the reals' features are kept, found again by the content of the images.
            ranks: the processes that draw and look at a share of the fakes each; all of them get the score.

        Raises `UserError`: fewer than two reals or fakes.
        """
        if len(train) < 2 or fakes < 2:
            raise UserError(
                f"a quality score compares distributions, which {len(train)} real and {fakes} generated images do not "
                "show; give at least 2 of each."
            )
        self.extractor, self.fakes, self.seed, self.reference = extractor, fakes, seed, reference
        self.ranks = ranks or Ranks()
        features = cached_features(train, extractor, cache)
        self.validation = cached_features(validation, extractor, cache)
        self._real = Moments.of(features)
        self._n_real = len(train)
        self._n_equal = min(len(train) // 2, fakes)
        self._half: Moments | None = None
        self._floor: float | None = None
        if self._n_equal >= 2:
            order = np.random.default_rng([seed, len(train)]).permutation(len(train))
            self._half = Moments.of(features[order[: self._n_equal]])
            self._floor = frechet_distance(self._half, Moments.of(features[order[self._n_equal : 2 * self._n_equal]]))

    @classmethod
    def build(
        cls,
        train: Images,
        validation: Images,
        *,
        features: str,
        fakes: int,
        seed: int,
        device: torch.device,
        weights: Path | None,
        offline: bool,
        cache: Path | None = None,
        ranks: Ranks | None = None,
    ) -> "QualityMeter":
        """Make a meter in the feature space `features` (one of `synth.features.CHOICES`).

        Raises `UserError`: no such space, or its weights cannot be had.
        """
        source = WeightSource(folder=weights, offline=offline)
        extractor = open_extractor(features, "quality", source=source, device=device)
        return cls(train, validation, extractor, fakes=fakes, seed=seed, cache=cache, ranks=ranks)

    def score(self, draw: Callable[[int, int], Images]) -> dict[str, Any]:
        """Score the generator behind `draw`, which returns uint8 [count, S, S, 3] for (first seed, count).

        The fakes have the seeds `FIRST_SEED` and following. Returns a `QualityScore` as a dictionary, fit for JSON.
        """
        starts = self.ranks.part(range(0, self.fakes, DRAW_AT_ONCE))
        drawn = (draw(FIRST_SEED + start, min(DRAW_AT_ONCE, self.fakes - start)) for start in starts)
        features = [to_features(images, self.extractor) for images in drawn]
        parts = self.ranks.gather(np.concatenate([np.empty((0, self.extractor.width)), *features]))
        return dataclasses.asdict(self.compare(np.concatenate(parts)))

    def compare(self, fakes: Features) -> QualityScore:
        """Score the features [n_fake, F] of fakes."""
        space = identity(self.extractor)
        kid = kernel_distance(fakes, self.validation, seed=self.seed)
        half, moments = self._half, Moments.of(fakes)
        return QualityScore(
            name="FID" if space["extractor"] == FID_SPACE else f"Frechet distance ({space['extractor']})",
            value=frechet_distance(self._real, moments),
            n_real=self._n_real,
            n_fake=len(fakes),
            equal_n=None if half is None else frechet_distance(half, Moments.of(fakes[: self._n_equal])),
            floor=self._floor,
            n_equal=self._n_equal,
            spread=moments.spread / self._real.spread if self._real.spread > 0 else None,
            kid_validation=None if kid is None else kid[0],
            kid_validation_std=None if kid is None else kid[1],
            n_validation=len(self.validation),
            **space,
            reference=self.reference,
            seed=self.seed,
        )


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
        stored = np.load(path, allow_pickle=False)
        if stored.shape == (len(images), extractor.width) and stored.dtype == np.float64 and np.isfinite(stored).all():
            return np.asarray(stored)
    except (OSError, EOFError, ValueError):
        pass  # not there, or damaged: made anew
    features = to_features(images, extractor)
    with whole_file(path) as part, part.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    return features
