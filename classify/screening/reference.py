"""What a model knows: the features and the quality of the photographs that it learnt from, and no photograph.

A file of them stands in the model's folder, so that a page can be served where the cohort may not go. Features say less
of a patient than a photograph does, and more than nothing: keep the file as you keep the model.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from classify.fitting.folder import MODEL, FittedModel
from classify.screening.quality import least_sharpness, measure
from shared.cohort import Cohort
from shared.columns import Column, MismatchError, check_links, read_column, read_text, sealed_content, write_columns
from shared.errors import UserError
from shared.files import sha256_of
from shared.nn.backbone import OfflineBackbone
from shared.progress import progress
from shared.sealed import write_sealed
from shared.splits import parts

FORMAT, VERSION = "rarescreen-screening", 1
# The features in which photographs are alike. A classifier's own were tried: they know what tells its classes apart,
# and a small CNN found most photographs of another kind familiar (docs/serve.md).
SPACE = "EfficientNet-Lite0"
NAME = "screening.h5"
MOST = 4000  # photographs whose features are kept, evenly spread
NEIGHBOUR = 10  # whose distance says how unlike the known ones an image is
TURNED_AWAY = 0.05  # share of ordinary photographs that may be called unlike
WHAT, MADE_BY = "screening file", "`classify serve --cohort`"
COLUMNS = {"features": Column("float32", ("R", "D"))}

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of a model's photographs.

    Attributes:
        features: [R, D] of them, in `SPACE`, each of length 1.
        limit: of the distance to the `NEIGHBOUR`th nearest, above which an image is unlike them.
        sharpness: what nearly all of them reach (`classify.screening.quality`).
        size: side of a prepared image in px.
        model: SHA-256 of the model's tensors.
        cohort: SHA-256 of the cohort.
    """

    features: Features
    limit: float
    sharpness: float
    size: int
    model: str
    cohort: str

    def distance(self, features: Features) -> npt.NDArray[np.float64]:
        """Return how far images with `features` [N, D] are from the known ones, [N], from 0 to 2.

        The distance to the k-th nearest after scaling to length 1 (Sun et al. 2022, arXiv:2204.06507).
        """
        return neighbour_distance(self.features, unit(features))


def unit(features: Features) -> Features:
    """Return features [N, D] scaled to length 1; a row of zeros stays."""
    length = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    scaled: Features = (features / np.maximum(length, 1e-12)).astype(np.float32)
    return scaled


def neighbour_distance(known: Features, asked: Features) -> npt.NDArray[np.float64]:
    """Return the distance of each of `asked` [N, D] to the k-th nearest of `known` [R, D], both of length 1."""
    cosine = asked.astype(np.float64) @ known.astype(np.float64).T  # [N, R]
    k = min(NEIGHBOUR, len(known))
    nearest = np.partition(cosine, -k, axis=1)[:, -k]
    return np.sqrt(np.maximum(2 - 2 * nearest, 0))


def limit_of(distances: npt.NDArray[np.float64], share: float = TURNED_AWAY) -> float:
    """Return the limit that another image of the same kind exceeds with a chance of at most `share`.

    The ceil((n + 1)(1 - share))-th smallest of n distances (split conformal prediction); infinite for too few images.
    """
    rank = math.ceil((len(distances) + 1) * (1 - share) - 1e-9)
    return float(np.sort(distances)[rank - 1]) if rank <= len(distances) else math.inf


def make_reference(fitted: FittedModel, cohort: Cohort) -> Reference:
    """Look at the photographs that a model learnt from, and at its validation photographs for the limit.

    Raises `UserError`: the model was fitted on another cohort.
    """
    if fitted.config.cohort != cohort.sha256:
        raise UserError(f"{fitted.path}: fitted on another cohort than {cohort.path}; give its own.")
    part = parts(cohort, fitted.config.fold)
    train = part.train[np.linspace(0, len(part.train) - 1, min(MOST, len(part.train))).round().astype(np.int64)]
    space, rows_of = OfflineBackbone(), (train, part.validation)
    with progress("features of the model's photographs", sum(map(len, rows_of)), unit="images") as bar:
        known, held_out = (unit(space(np.asarray(cohort.images[rows]), bar.advance).numpy()) for rows in rows_of)
    return Reference(
        features=known,
        limit=limit_of(neighbour_distance(known, held_out)),
        sharpness=least_sharpness([measure(image) for image in np.asarray(cohort.images[train])]),
        size=cohort.size,
        model=digest_of(fitted),
        cohort=cohort.sha256,
    )


def digest_of(fitted: FittedModel) -> str:
    """Return the SHA-256 of a model's tensors file."""
    return sha256_of(fitted.path / MODEL)


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference to `path`, whole or not at all."""

    def build(file: h5py.File) -> None:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        about = {
            "limit": reference.limit if math.isfinite(reference.limit) else None,
            "space": SPACE,
            "sharpness": reference.sharpness,
            "size": reference.size,
            "model": reference.model,
            "cohort": reference.cohort,
        }
        file.attrs["about"] = json.dumps(about)
        write_columns(file, COLUMNS, {"features": reference.features})

    write_sealed(path, build)


def read_reference(path: Path, fitted: FittedModel) -> Reference:
    """Read the reference of a model.

    Raises `UserError`: no such file, damaged, or of another model.
    """
    with sealed_content(path, format=FORMAT, version=VERSION, what=WHAT, made_by=MADE_BY) as file:
        if check_links(file) != list(COLUMNS):
            raise MismatchError("holds other columns than its format has")
        found = _reference(read_column(file, "features", COLUMNS["features"], {}), read_text(file, "about"))
    if found.model != digest_of(fitted):
        raise UserError(f"{path}: of another model than {fitted.path}; give --cohort to make it anew.")
    return found


def _reference(features: Features, text: str) -> Reference:
    try:
        about: dict[str, Any] = json.loads(text)
        limit = math.inf if about["limit"] is None else float(about["limit"])
        sharpness, size = float(about["sharpness"]), int(about["size"])
        if about["space"] != SPACE:
            raise MismatchError(f"its features are not those of {SPACE}")
        return Reference(features, limit, sharpness, size, str(about["model"]), str(about["cohort"]))
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise MismatchError("its attribute about is not as its format says") from error
