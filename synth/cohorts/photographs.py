"""The photographs of a cohort before it is one: read as a source lists them, or rendered."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.cohort import PHANTOM
from shared.columns import Array
from shared.duplicates import THUMBNAIL_PX, thumbnail
from shared.errors import UserError
from shared.images import BadPhotoError, Fit, image_id, read_photo, to_square
from shared.phantom import render_phantom
from shared.progress import progress

MAX_THREADS = 4  # Pillow decodes without holding the interpreter; each thread may hold a photograph of full size
MAX_LISTED = 20
MAX_BYTES = 1 << 34  # of squared photographs and thumbnails, which are in memory at once
PHANTOM_CLASSES = ("phantom_negative", "phantom_positive")


@dataclass(frozen=True)
class Source:
    """A photograph that is not read yet, and what is known of it."""

    path: Path
    source_path: str  # what the cohort calls it: relative
    label: int
    role: int
    group: str = ""  # what must stay on one side of a split; "" where nothing is known
    attributes: Mapping[str, str] = field(default_factory=dict)  # all sources of a listing have the same names


@dataclass(frozen=True)
class Listing:
    """The photographs of a cohort, as a source of photographs lists them."""

    sources: Sequence[Source]
    classes: tuple[str, str]  # names of label 0 and label 1
    source: str  # what the cohort says of its origin
    notes: tuple[str, ...] = ()  # what was left out, and why: lines for the report


@dataclass(frozen=True, eq=False)
class Photographs:
    """Usable photographs, row by row, in the order of their listing."""

    images: npt.NDArray[np.uint8]  # [N, S, S, 3]
    thumbnails: npt.NDArray[np.uint8]  # [N, 64, 64, 3]
    full_size: npt.NDArray[np.int64]  # [N, 2] height and width in px
    image_id: npt.NDArray[np.str_]  # [N]
    source_path: npt.NDArray[np.str_]  # [N]
    label: npt.NDArray[np.int64]  # [N]
    role: npt.NDArray[np.uint8]  # [N]
    groups: tuple[str, ...]  # [N] "" where none is known
    classes: tuple[str, str]
    source: str
    attributes: dict[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # a line for each file that was passed over

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class _Found:
    full_size: tuple[int, ...]
    image_id: str


def read_photographs(listing: Listing, *, size: int, fit: Fit, skip_bad: bool) -> Photographs:
    """Read and square the photographs of a listing, several at a time.

    Raises `UserError`: more than `MAX_BYTES` of squared photographs, or photographs that cannot be used; these are
    named together, unless `skip_bad` passes over them.
    """
    sources = listing.sources
    _refuse_too_much(len(sources), size)
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
        raise _unusable(bad, len(sources))
    usable = np.array([isinstance(each, _Found) for each in results], bool)
    found = [each for each in results if isinstance(each, _Found)]
    kept = [source for source, good in zip(sources, usable, strict=True) if good]
    return Photographs(
        images=images if usable.all() else images[usable],
        thumbnails=thumbnails[usable],
        full_size=np.array([each.full_size for each in found], np.int64).reshape(-1, 2),
        image_id=np.array([each.image_id for each in found], np.str_),
        source_path=np.array([source.source_path for source in kept], np.str_),
        label=np.array([source.label for source in kept], np.int64),
        role=np.array([source.role for source in kept], np.uint8),
        groups=tuple(source.group for source in kept),
        classes=listing.classes,
        source=listing.source,
        attributes=_columns(kept),
        notes=listing.notes,
        skipped=bad,
    )


def _unusable(bad: Sequence[str], count: int) -> UserError:
    return UserError(
        f"{len(bad)} of {count} images cannot be used; mend or remove them, or give --skip-bad to go on without them:\n"
        f"{listed(bad)}"
    )


def _refuse_too_much(count: int, size: int) -> None:
    needed = count * 3 * (size**2 + THUMBNAIL_PX**2)
    if needed > MAX_BYTES:
        raise UserError(
            f"--size {size}: {count} images of this size take {needed >> 30} GiB of memory, more than "
            f"{MAX_BYTES >> 30}; give a smaller --size, or fewer images."
        )


def _columns(sources: Sequence[Source]) -> dict[str, Array]:
    """Return the attributes by name, without those that no source has a value of."""
    names = sources[0].attributes if sources else ()
    columns = {name: np.array([source.attributes[name] for source in sources], np.str_) for name in names}
    return {name: column for name, column in columns.items() if (column != "").any()}


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
        groups=("",) * count,
        classes=PHANTOM_CLASSES,
        source=PHANTOM,
        attributes=dict(phantom.attributes),
    )
