"""The optional CSV of a cohort: which photographs belong to one patient, and what else is known of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from shared.cohort import ATTRIBUTE_NAME
from shared.columns import Array
from shared.errors import UserError
from shared.files import require_file
from synth.cohorts.csv_file import Row, read_csv

FILE, GROUP = "file", "group"

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # "007" is a name
_DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+([eE][-+]?[0-9]{1,2})?")


@dataclass(frozen=True, eq=False)
class Metadata:
    """What the CSV says, in the order of the photographs."""

    groups: tuple[str, ...]  # "" where none is known
    attributes: dict[str, Array]
    unknown_photos: int  # photographs that the CSV does not name
    unknown_rows: int  # rows that name no photograph


def read_metadata(path: Path, source_paths: Sequence[str]) -> Metadata:
    """Match the rows of a CSV with photographs: column `file`, optional `group`, any other column an attribute.

    `file` is a path as the cohort has it ("eh/a/1.jpg"), below the folder given ("a/1.jpg"), or a bare name ("1.jpg").
    Attributes become whole numbers, numbers (missing = NaN) or texts.

    Raises `UserError`: no such file, no column `file`, a file named twice, a name of several photographs, or no match.
    """
    header, rows = _read(path)
    photo_of = _match(path, [row[FILE] for row in rows], source_paths)
    row_of = {photo: row for photo, row in zip(photo_of, rows, strict=True) if photo is not None}
    if not row_of:
        raise UserError(f"--csv {path}: names none of the photographs in its column {FILE}; give their paths or names.")
    photos = range(len(source_paths))
    attributes = {}
    for name in header:
        if name not in (FILE, GROUP):
            attributes[name] = _typed([row_of.get(photo, {}).get(name, "") for photo in photos])
    return Metadata(
        groups=tuple(row_of.get(photo, {}).get(GROUP, "") for photo in photos),
        attributes=attributes,
        unknown_photos=len(source_paths) - len(row_of),
        unknown_rows=len(rows) - len(row_of),
    )


def require_table(path: Path) -> None:
    """Raise `UserError` where a CSV cannot be one, whatever the photographs: reading these takes longer."""
    _read(path)


def _read(path: Path) -> tuple[list[str], list[Row]]:
    header, rows = read_csv(require_file(path, "CSV"), f"--csv {path}")
    if FILE not in header:
        raise UserError(f"--csv {path}: has no column named {FILE}; name the column of the photographs' paths so.")
    bad = [name for name in header if not ATTRIBUTE_NAME.fullmatch(name)]
    if bad:
        raise UserError(f"--csv {path}: the column name {bad[0]!r} is empty or holds a slash; rename the column.")
    return header, rows


def _match(path: Path, files: Sequence[str], source_paths: Sequence[str]) -> list[int | None]:
    """Return for each of `files` the number of its photograph, or None."""
    photos: dict[str, set[int]] = {}
    for photo, source_path in enumerate(source_paths):
        below = source_path.partition("/")[2]
        for name in {source_path, below, PurePosixPath(source_path).name}:
            photos.setdefault(name, set()).add(photo)
    matched: list[int | None] = []
    for file in files:
        found = photos.get(file.replace("\\", "/").removeprefix("./"), set())
        if len(found) > 1:
            raise UserError(
                f"--csv {path}: {file} names {len(found)} photographs; write FOLDER/{file} with its folder."
            )
        matched.append(next(iter(found), None))
    known = [photo for photo in matched if photo is not None]
    if len(set(known)) < len(known):
        twice = next(source_paths[photo] for photo in known if known.count(photo) > 1)
        raise UserError(f"--csv {path}: {twice} stands twice in column {FILE}; keep one row a photograph.")
    return matched


def _typed(cells: Sequence[str]) -> Array:
    known = [cell for cell in cells if cell]
    if known and len(known) == len(cells) and all(map(_WHOLE.fullmatch, known)):
        return np.array([int(cell) for cell in cells], np.int64)
    if known and all(_WHOLE.fullmatch(cell) or _DECIMAL.fullmatch(cell) for cell in known):
        return np.array([float(cell) if cell else np.nan for cell in cells], np.float64)
    return np.array(cells, np.str_)
