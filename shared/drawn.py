"""Images that a generator drew, in memory: before the selection and after it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.choices import PROTOCOLS
from shared.columns import Array, MismatchError
from shared.stored import AnyImages

ALL_FOLDS = -1  # fold of images whose generator learnt from every fold

Json = dict[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """Images that a generator drew for one class of a cohort."""

    images: AnyImages  # [N, S, S, 3] RGB
    seed: npt.NDArray[np.int64]  # [N] with the network, enough to draw the image again
    seen_image_id: npt.NDArray[np.str_]  # [K] real images that the generator or a choice saw, in whole groups
    seen_group_id: npt.NDArray[np.int64]  # [K] and their groups
    class_name: str
    label: int
    fold: int  # ALL_FOLDS when the generator learnt from every fold
    protocol: str
    generator: Json  # network sha256, gamma, target, lr, kimg, truncation, noise, class
    quality: Json  # FID with its n, extractor, resizer, reference
    cohort: str  # sha256 of the cohort file
    path: Path | None = None
    sha256: str = ""  # of the file; empty before it is written

    def __len__(self) -> int:
        return len(self.seed)

    @property
    def size(self) -> int:
        """Side of the images in px."""
        return int(self.images.shape[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle(Candidates):
    """The candidates that a rule selected, with the scores and verdicts of all and the reals behind the thresholds.

    `candidates` has the columns seed, similarity, discriminator, selected, by_similarity, by_discriminator;
    `reference` has image_id, similarity, discriminator. Both may have more; candidates/is_copy tells which are too near
    to a photograph (candidates/nearest, a row of `seen`), and none of these is selected.

    The images stand in the order in which a rule chose them, when it has one (candidates/order), else in that of their
    seeds.
    """

    similarity: npt.NDArray[np.float32]  # [N] cosine to the mean real feature
    discriminator: npt.NDArray[np.float32]  # [N] logit, larger = more real
    candidates: dict[str, Array]  # each [C]
    reference: dict[str, Array]  # each [R]
    rule: str
    sigma: float
    thresholds: Json
    features: Json = field(default_factory=dict)  # extractor, layer, weights sha256, licence
    shareable: bool = False  # whether it may be given to those who may not see the photographs
    shareable_reason: str = "nobody has looked for copies of photographs"
    memorization: Json = field(default_factory=dict)  # what was found of copies
    audit: Json = field(default_factory=dict)  # what the rules keep and leave out

    @property
    def is_ordered(self) -> bool:
        """Whether the images stand in the order of their choice, so that the first ones are the best smaller bundle."""
        return "order" in self.candidates


def check(drawn: Candidates) -> None:
    """Raise `MismatchError` where the columns contradict each other or the format."""
    shape = drawn.images.shape
    groups: list[tuple[int, dict[str, Array]]] = [
        (shape[0], {"seed": drawn.seed}),
        (len(drawn.seen_image_id), {"seen/group_id": drawn.seen_group_id}),
    ]
    rules = [
        ("images are not uint8 [N, S, S, 3]", drawn.images.dtype == np.uint8 and len(shape) == 4 and shape[3] == 3),
        ("images are not square", shape[1:2] == shape[2:3] != (0,)),
        ("the protocol is neither strict nor paper", drawn.protocol in PROTOCOLS),
        ("the label is neither 0 nor 1", drawn.label in (0, 1)),
    ]
    if isinstance(drawn, Bundle):
        scores = {"similarity": drawn.similarity, "discriminator": drawn.discriminator}
        groups += [
            (shape[0], scores),
            (len(drawn.candidates["seed"]), drawn.candidates),
            (len(drawn.reference["image_id"]), drawn.reference),
        ]
        kept = drawn.candidates["seed"][drawn.candidates["selected"].astype(bool)]
        if drawn.is_ordered and _is_whole(drawn.candidates["order"]):
            kept = kept[np.argsort(drawn.candidates["order"][drawn.candidates["selected"].astype(bool)])]
        same = (kept, drawn.seed) if drawn.is_ordered else (np.sort(kept), np.sort(drawn.seed))
        rules += [
            ("the selected candidates are not its images", np.array_equal(*same)),
            ("a score is not finite", _are_finite(scores, drawn.candidates, drawn.reference)),
            ("sigma is not finite", bool(np.isfinite(drawn.sigma))),
            ("a copy of a photograph is selected", not _selected_copies(drawn.candidates)),
            ("candidates/order is not of whole numbers", _is_whole(drawn.candidates.get("order"))),
            ("a nearest photograph is not among those seen", _are_rows(drawn.candidates, len(drawn.seen_image_id))),
        ]
    for count, columns in groups:
        for name, column in columns.items():
            if len(column) != count:
                raise MismatchError(f"{name} has {len(column)} rows instead of {count}")
    for problem, holds in rules:
        if not holds:
            raise MismatchError(problem)


def _are_rows(candidates: dict[str, Array], count: int) -> bool:
    nearest = candidates.get("nearest", np.empty(0, np.int64))
    return _is_whole(nearest) and bool(((nearest >= 0) & (nearest < count)).all())


def _is_whole(column: Array | None) -> bool:
    return column is None or column.dtype.kind in "iu"


def _selected_copies(candidates: dict[str, Array]) -> int:
    copies = candidates.get("is_copy", np.zeros(len(candidates["seed"]), bool))
    return int((copies.astype(bool) & candidates["selected"].astype(bool)).sum()) if len(copies) else 0


def _are_finite(*groups: dict[str, Array]) -> bool:
    scores = [group[name] for group in groups for name in ("similarity", "discriminator")]
    return all(np.isfinite(score).all() for score in scores)
