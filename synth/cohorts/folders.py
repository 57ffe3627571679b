"""The photographs in folders, one folder or several for each class."""

import os
from collections.abc import Sequence
from pathlib import Path

from shared.cohort import EXTERNAL, NEGATIVE, POSITIVE, STUDY
from shared.errors import UserError
from shared.images import SUFFIXES, find_photos
from synth.cohorts.photographs import Listing, Source


def list_folders(positive: Sequence[Path], negative: Sequence[Path], external_negative: Sequence[Path]) -> Listing:
    """Return all photographs below the folders, in their order.

    Raises `UserError`: a missing or empty folder, or one folder inside another.
    """
    roles = ((positive, POSITIVE, STUDY), (negative, NEGATIVE, STUDY), (external_negative, NEGATIVE, EXTERNAL))
    _refuse_overlap([folder for folders, _, _ in roles for folder in folders])
    sources = [
        source for folders, label, role in roles for folder in folders for source in _sources(folder, label, role)
    ]
    return Listing(sources, _class_names(negative, positive), "photographs")


def _refuse_overlap(folders: Sequence[Path]) -> None:
    """Refuse folders that hold one another, since a photograph would then stand in the cohort twice."""
    for i, outer in enumerate(folders):
        for j, inner in enumerate(folders):
            if i != j and inner.resolve().is_relative_to(outer.resolve()):
                if inner.resolve() == outer.resolve():
                    raise UserError(f"{inner}: is given twice, and its images would count twice; give it once.")
                raise UserError(
                    f"{inner}: lies in {outer}, so that its images would count twice; give separate folders."
                )


def _sources(folder: Path, label: int, role: int) -> list[Source]:
    photos = find_photos(folder)
    if not photos:
        raise UserError(f"{folder}: holds no images ({' '.join(SUFFIXES)}); give a folder that does.")
    name = _folder_name(folder)
    return [Source(photo, _portable(f"{name}/{photo.relative_to(folder).as_posix()}"), label, role) for photo in photos]


def _folder_name(folder: Path) -> str:
    """Return the last part of a folder's path, whatever way the path is written."""
    return _portable(folder.resolve().name) or "root"


def _portable(name: str) -> str:
    """Return a file name as text: what is not in the file system's encoding becomes an escape."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _class_names(negative: Sequence[Path], positive: Sequence[Path]) -> tuple[str, str]:
    """Return the names of the folders, or what the options call them where they are the same."""
    first, second = ("+".join(sorted({_folder_name(folder) for folder in side})) for side in (negative, positive))
    return (first, second) if first != second else ("negative", "positive")
