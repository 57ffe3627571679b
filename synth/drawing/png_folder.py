"""A folder of PNGs, one a seed, which appears when it is complete.

The pictures are made in a hidden folder (`.export.….part`) and put into place at the end. Where the folder asked for
does not exist, that is one renaming: whoever kills the command leaves the hidden folder beside it and nothing else. An
existing folder may hold other things and cannot be replaced, so the hidden one lies in it, and file by file moves out
of it in one go.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.errors import UserError
from shared.files import PART

PICTURE = re.compile(r"seed-?\d{3,20}\.png", re.ASCII)
SYNC_THREADS = 16
SYNC_AT_ONCE = 1024  # files, for memory's sake

_STAGE = ".export."


def png_name(seed: int) -> str:
    """Return what the PNG of a seed is called."""
    return f"seed{seed:04d}.png"


def write_png(folder: Path, image: npt.NDArray[np.uint8], seed: int) -> None:
    """Write a picture, uint8 [S, S, 3], by the name of its seed."""
    Image.fromarray(image).save(folder / png_name(seed), format="PNG")


def require_empty(folder: Path, *, option: str, force: bool) -> None:
    """Raise `UserError` when the folder that `option` names is a file, or holds something and `force` is not given."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option} {folder}: a file, where a folder is expected; give another.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UserError(f"{option} {folder}: not empty; give another folder, or --force to write into it.")


@contextlib.contextmanager
def staged(folder: Path, inner: str = "", last: str | None = None) -> Iterator[Path]:
    """Give a new folder to write into; when the block ends well, what is in it gets to `folder`/`inner`.

    Pictures of an earlier call go then, and what else is there stays. `last` is a file that comes after all pictures,
    so that those beside it are complete; an earlier one goes before them.
    """
    new = not folder.exists()
    parent = folder.parent if new else folder
    parent.mkdir(parents=True, exist_ok=True)
    if not new:
        for left in folder.glob(f"{_STAGE}*{PART}"):  # by a command that was killed
            shutil.rmtree(left)
    stage = parent / f"{_STAGE}{secrets.token_hex(4)}{PART}"
    (stage / inner).mkdir(parents=True)
    try:
        yield stage / inner
        _sync(stage / inner)
        if new:
            stage.rename(folder)
        else:
            _move(stage / inner, folder / inner, last)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Let the files in `folder` last through a power cut; several at once, since a disk waits most of the time."""

    def sync(path: Path) -> None:
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())

    paths = list(folder.iterdir())
    with ThreadPoolExecutor(SYNC_THREADS) as pool:
        for start in range(0, len(paths), SYNC_AT_ONCE):
            list(pool.map(sync, paths[start : start + SYNC_AT_ONCE]))


def _move(source: Path, target: Path, last: str | None) -> None:
    """Move all files, in place of the pictures that are there."""
    target.mkdir(exist_ok=True)
    if last is not None:
        (target / last).unlink(missing_ok=True)
    for old in target.iterdir():
        if PICTURE.fullmatch(old.name):
            old.unlink()
    for picture in source.glob("*.png"):
        picture.replace(target / picture.name)
    if last is not None:
        (source / last).replace(target / last)
