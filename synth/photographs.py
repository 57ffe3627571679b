"""The photographs of a cohort before it is one: read from folders, or rendered."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.cohort import EXTERNAL, NEGATIVE, POSITIVE, STUDY
from shared.columns import Array
from shared.duplicates import THUMBNAIL_PX, thumbnail
from shared.errors import UserError
from shared.images import SUFFIXES, BadPhotoError, Fit, find_photos, image_id, read_photo, to_square
from shared.phantom import render_phantom
from shared.progress import progress

MAX_THREADS = 4  # Pillow decodes without holding the interpreter; each thread may hold a photograph of full size
MAX_LISTED = 20


@dataclass(frozen=True, eq=False)
class Photographs:
    """Usable photographs, row by row, in the order of the folders."""

    images: npt.NDArray[np.uint8]  # [N, S, S, 3]
    thumbnails: npt.NDArray[np.uint8]  # [N, 64, 64, 3]
    full_size: npt.NDArray[np.int64]  # [N, 2] height and width in px
    image_id: npt.NDArray[np.str_]  # [N]
    source_path: npt.NDArray[np.str_]  # [N] the folder's name and the path below it
    label: npt.NDArray[np.int64]  # [N]
    role: npt.NDArray[np.uint8]  # [N]
    attributes: dict[str, Array] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()  # a line for each file that was passed over

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class _Source:
    path: Path
    source_path: str
    label: int
    role: int


@dataclass(frozen=True)
class _Found:
    full_size: tuple[int, ...]
    image_id: str


def read_folders(
    positive: Sequence[Path],
    negative: Sequence[Path],
    external_negative: Sequence[Path],
    *,
    size: int,
    fit: Fit,
    skip_bad: bool,
) -> Photographs:
    """Read and square all photographs below the folders, several at a time.

    Raises `UserError`: a missing or empty folder, one folder inside another, or photographs that cannot be used; these
    are named together, unless `skip_bad` passes over them.
    """
    roles = ((positive, POSITIVE, STUDY), (negative, NEGATIVE, STUDY), (external_negative, NEGATIVE, EXTERNAL))
    _refuse_overlap([folder for folders, _, _ in roles for folder in folders])
    sources = [
        source for folders, label, role in roles for folder in folders for source in _sources(folder, label, role)
    ]
    images = np.empty((len(sources), size, size, 3), np.uint8)
    thumbnails = np.empty((len(sources), THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8)

    def read_row(row: int) -> _Found | BadPhotoError:
        try:
            photo = read_photo(sources[row].path)
        except BadPhotoError as error:
            return error
        images[row], thumbnails[row] = to_square(photo, size, fit), thumbnail(photo)
        return _Found(full_size=photo.shape[:2], image_id=image_id(photo))

    results = _in_threads(read_row, len(sources))
    bad = tuple(f"{s.path}: {r}" for s, r in zip(sources, results, strict=True) if isinstance(r, BadPhotoError))
    if bad and not skip_bad:
        raise UserError(
            f"{len(bad)} of {len(sources)} images cannot be used; mend or remove them, or give --skip-bad to go on "
            f"without them:\n{listed(bad)}"
        )
    found = [(source, each) for source, each in zip(sources, results, strict=True) if isinstance(each, _Found)]
    usable = np.array([isinstance(each, _Found) for each in results])
    return Photographs(
        images=images if usable.all() else images[usable],
        thumbnails=thumbnails[usable],
        full_size=np.array([each.full_size for _, each in found], np.int64).reshape(-1, 2),
        image_id=np.array([each.image_id for _, each in found], np.str_),
        source_path=np.array([source.source_path for source, _ in found], np.str_),
        label=np.array([source.label for source, _ in found], np.int64),
        role=np.array([source.role for source, _ in found], np.uint8),
        skipped=bad,
    )


def _refuse_overlap(folders: Sequence[Path]) -> None:
    """Refuse folders that hold one another, since a photograph would then stand in the cohort twice."""
    for i, outer in enumerate(folders):
        for j, inner in enumerate(folders):
            if i != j and inner.resolve().is_relative_to(outer.resolve()):
                raise UserError(
                    f"{inner}: lies in {outer}, so that its images would count twice; give separate folders."
                )


def _sources(folder: Path, label: int, role: int) -> list[_Source]:
    photos = find_photos(folder)
    if not photos:
        raise UserError(f"{folder}: holds no images ({' '.join(SUFFIXES)}); give a folder that does.")
    name = folder_name(folder)
    return [
        _Source(photo, _portable(f"{name}/{photo.relative_to(folder).as_posix()}"), label, role) for photo in photos
    ]


def folder_name(folder: Path) -> str:
    """Return the last part of a folder's path, whatever way the path is written."""
    return _portable(folder.resolve().name) or "root"


def _portable(name: str) -> str:
    """Return a file name as text: what is not in the file system's encoding becomes an escape."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _in_threads(read_row: Callable[[int], _Found | BadPhotoError], count: int) -> list[_Found | BadPhotoError]:
    results = []
    # Pillow warns of odd metadata; the filters belong to the process, so they are set before the threads start.
    with warnings.catch_warnings(), progress("reading photographs", count, unit="images") as bar:
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            for result in pool.map(read_row, range(count)):
                results.append(result)
                bar.advance(1)
    return results


def listed(lines: Sequence[str]) -> str:
    """Return the first of `lines`, indented, and how many more there are."""
    more = [f"… and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    return "\n".join(f"  {line}" for line in [*lines[:MAX_LISTED], *more])


def render(*, positives: int, negatives: int, externals: int, size: int, seed: int) -> Photographs:
    """Render the phantom cohort; its pictures have no other full size than `size`."""
    with progress("rendering the phantom", positives + negatives + externals, unit="images") as bar:
        phantom = render_phantom(
            positives=positives, negatives=negatives, externals=externals, size=size, seed=seed, advance=bar.advance
        )
    count = len(phantom.images)
    return Photographs(
        images=phantom.images,
        thumbnails=np.stack([thumbnail(image) for image in phantom.images]),
        full_size=np.full((count, 2), size, np.int64),
        image_id=np.array([image_id(image) for image in phantom.images], np.str_),
        source_path=np.array([f"phantom/{number:06d}" for number in range(1, count + 1)], np.str_),
        label=phantom.label,
        role=phantom.role,
        attributes=dict(phantom.attributes),
    )
