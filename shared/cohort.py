"""cohort.h5: the real images, squared to one size, with their labels, groups and folds."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from shared.columns import (
    IMAGES,
    MAX_SIZE_PX,
    Array,
    Column,
    MismatchError,
    Sizes,
    check_links,
    read_column,
    read_images,
    read_text,
    read_whole_number,
    sealed_content,
    write_columns,
)
from shared.image_chunks import write_images
from shared.sealed import read_seal, write_sealed
from shared.stored import StoredImages

FORMAT = "rarescreen-cohort"
VERSION = 1
MADE_BY = "`synth prepare`"

NEGATIVE, POSITIVE = 0, 1  # label
STUDY, EXTERNAL = 0, 1  # role
NO_FOLD = -1  # fold of an external image
PHANTOM = "phantom"  # source of a rendered cohort
MAX_FOLDS = 100

ATTRIBUTES = "attributes/"
COLUMNS = {
    "images": Column("uint8", ("N", "S", "S", 3)),
    "label": Column("int64", ("N",)),
    "image_id": Column("ascii", ("N",)),
    "group_id": Column("int64", ("N",)),
    "fold": Column("int8", ("N",)),
    "role": Column("uint8", ("N",)),
    "source_path": Column("utf8", ("N",)),
}
ATTRIBUTE = Column("any", ("N",))

_IMAGE_ID = re.compile("[0-9a-f]{64}")
ATTRIBUTE_NAME = re.compile(r"(?!\.+$)[^/\0]{1,100}")


@dataclass(frozen=True, eq=False)
class Cohort:
    """Real images and what is known of each.

    Rows of all arrays belong together. `attributes` are optional columns (skin tone, site) of any simple type.
    """

    images: npt.NDArray[np.uint8] | StoredImages  # [N, S, S, 3] RGB
    label: npt.NDArray[np.int64]  # [N] 0 negative, 1 positive
    image_id: npt.NDArray[np.str_]  # [N] SHA-256 of the full-size pixels and their shape
    group_id: npt.NDArray[np.int64]  # [N] images that stay on one side of a split
    fold: npt.NDArray[np.int8]  # [N] 0..folds-1, -1 for external
    role: npt.NDArray[np.uint8]  # [N] STUDY or EXTERNAL
    source_path: npt.NDArray[np.str_]  # [N] relative
    classes: tuple[str, str]  # names of label 0 and label 1
    folds: int
    seed: int
    source: str  # "photographs", "SCIN" or `PHANTOM`, and behind it what was made of their backgrounds
    attributes: dict[str, Array] = field(default_factory=dict)
    path: Path | None = None
    sha256: str = ""  # of the file; empty before it is written

    def __len__(self) -> int:
        return len(self.label)

    @property
    def size(self) -> int:
        """Side of the images in px."""
        return int(self.images.shape[1])

    @property
    def positive(self) -> str:
        """Name of the rare class."""
        return self.classes[POSITIVE]


def write_cohort(path: Path, cohort: Cohort) -> str:
    """Write `cohort` to `path`, whole or not at all, and return the file's SHA-256.

    Raises `ValueError`: the arrays contradict each other.
    """
    values = {name: np.asarray(getattr(cohort, name)) for name in COLUMNS if name != IMAGES}
    columns = COLUMNS | {ATTRIBUTES + name: ATTRIBUTE for name in cohort.attributes}
    values |= {ATTRIBUTES + name: np.asarray(column) for name, column in cohort.attributes.items()}

    def build(file: h5py.File) -> None:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["size"] = cohort.size
        file.attrs["classes"] = json.dumps(cohort.classes, ensure_ascii=False)
        file.attrs["positive"] = cohort.positive
        file.attrs["folds"], file.attrs["seed"], file.attrs["source"] = cohort.folds, cohort.seed, cohort.source
        write_columns(file, columns, values)
        write_images(file, cohort.images)

    try:
        _check(cohort)
    except MismatchError as error:
        raise ValueError(f"not a cohort: {error}") from error
    return write_sealed(path, build)


def read_cohort(path: Path) -> Cohort:
    """Read the cohort at `path`; its images are read at their first use.

    Raises `UserError`: no such file, truncated, damaged, of another format or newer version, or not as the format says.
    """
    path = Path(path)
    with sealed_content(path, format=FORMAT, version=VERSION, what="cohort", made_by=MADE_BY) as file:
        names = check_links(file)
        extra = [name for name in names if name not in COLUMNS and not name.startswith(ATTRIBUTES)]
        if extra:
            raise MismatchError(f"holds {extra[0]}, which the format does not know")
        sizes: Sizes = {}
        sha256 = read_seal(path, what="cohort", made_by=MADE_BY).sha256
        images = read_images(file, path, sha256, sizes)
        columns = {name: read_column(file, name, COLUMNS[name], sizes) for name in COLUMNS if name != IMAGES}
        attributes = {
            name.removeprefix(ATTRIBUTES): read_column(file, name, ATTRIBUTE, sizes)
            for name in names
            if name.startswith(ATTRIBUTES)
        }
        cohort = Cohort(
            images=images,
            **columns,
            attributes=attributes,
            classes=_classes(read_text(file, "classes")),
            folds=read_whole_number(file, "folds", low=2, high=MAX_FOLDS),
            seed=read_whole_number(file, "seed", low=0, high=2**32 - 1),
            source=read_text(file, "source"),
            path=path,
            sha256=sha256,
        )
        _check(cohort)
        size = read_whole_number(file, "size", low=1, high=MAX_SIZE_PX)
        if (read_text(file, "positive"), size) != (cohort.positive, cohort.size):
            raise MismatchError("its attributes positive and size do not belong to its classes and images")
    return cohort


def _classes(text: str) -> tuple[str, str]:
    try:
        match json.loads(text):
            case [str(negative), str(positive)]:
                return negative, positive
    except (ValueError, RecursionError):
        pass
    raise MismatchError("its attribute classes is not a JSON list of two names")


def _check(cohort: Cohort) -> None:
    """Raise `MismatchError` where the columns contradict each other or the format."""
    count = cohort.images.shape[0]
    lengths = {name: len(getattr(cohort, name)) for name in COLUMNS}
    lengths |= {ATTRIBUTES + name: len(column) for name, column in cohort.attributes.items()}
    for name, length in lengths.items():
        if length != count:
            raise MismatchError(f"{name} has {length} rows and images {count}")
    study = cohort.role == STUDY
    rules: Sequence[tuple[str, bool]] = (
        ("images are not uint8 [N, S, S, 3]", _are_images(cohort.images)),
        ("a label is neither 0 nor 1", bool(np.isin(cohort.label, (NEGATIVE, POSITIVE)).all())),
        ("a role is neither 0 nor 1", bool(np.isin(cohort.role, (STUDY, EXTERNAL)).all())),
        ("the two classes have one name", cohort.classes[0] != cohort.classes[1]),
        ("a study image has no fold", bool(((cohort.fold >= 0) & (cohort.fold < cohort.folds))[study].all())),
        ("an external image has a fold", bool((cohort.fold[~study] == NO_FOLD).all())),
        ("a group is split over folds", groups_are_whole(cohort.group_id[study], cohort.fold[study])),
        ("an image_id is not a SHA-256", all(map(_IMAGE_ID.fullmatch, cohort.image_id.tolist()))),
        ("an attribute's name holds a slash or is too long", all(map(ATTRIBUTE_NAME.fullmatch, cohort.attributes))),
    )
    for problem, holds in rules:
        if not holds:
            raise MismatchError(problem)


def _are_images(images: npt.NDArray[np.uint8] | StoredImages) -> bool:
    shape = images.shape
    return images.dtype == np.uint8 and len(shape) == 4 and shape[1] == shape[2] > 0 and shape[3] == 3


def groups_are_whole(group_id: npt.NDArray[np.int64], part: npt.NDArray[np.int8]) -> bool:
    """Tell whether all images of each group lie in one part."""
    order = np.argsort(group_id, kind="stable")
    same_group = np.diff(group_id[order]) == 0
    return bool((np.diff(part[order])[same_group] == 0).all())
