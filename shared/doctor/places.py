"""Whether results can be written into a folder: space, kind of file system, locks, and what killed processes left."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import filelock

from shared.doctor.finding import Finding, bad, good, note
from shared.files import PART
from shared.studies.link_lock import SEPARATOR
from shared.studies.liveness import has_ended
from shared.studies.storage import network_file_system

GIB = 1 << 30
MOST_ENTRIES = 200_000  # of a folder; whoever has more knows it
OLD_S = 86_400.0  # what has not been written to for a day belongs to nobody


def examine_folder(folder: Path, needed_bytes: int) -> list[Finding]:
    """Look at `folder`, or the nearest one above it that exists.

    `needed_bytes` is about what a job writes into it, 0 where that is not known.
    """
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        return [bad("folder", f"{folder}: {there} is a file, where a folder must be; give another --out.")]
    if not os.access(there, os.W_OK | os.X_OK):
        return [bad("folder", f"{there}: cannot be written to; give another --out, or change its permissions.")]
    return [*_space(there, needed_bytes), *_file_system(there), *_works(there), *_left_behind(folder)]


def _space(folder: Path, needed: int) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    left = f", the job leaves about {in_gib(needed)} there" if needed else ""
    text = f"{in_gib(free)} free in {folder}{left}"
    yield good("disk", text) if free > needed else bad("disk", f"{text}; make room, or give another --out.")


def _file_system(folder: Path) -> Iterator[Finding]:
    kind = network_file_system(folder)
    if kind is not None:
        yield note(
            "file system",
            f"{folder} is on {kind}, which several machines may share: studies are a journal there, not SQLite",
        )


def _works(folder: Path) -> Iterator[Finding]:
    """Try, in a folder of its own, what every result relies on."""
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor.", dir=folder) as name:
            place = Path(name)
            with filelock.FileLock(place / "lock", timeout=5):
                pass
            (place / f"new{PART}").write_bytes(b"new")
            (place / "old").write_bytes(b"old")
            (place / f"new{PART}").replace(place / "old")
            (place / "link").symlink_to("nobody - nothing")
            try:
                (place / "link").symlink_to("somebody - else")
                yield bad("locks", f"{folder}: makes one link twice, so locks do not hold there; give another --out.")
                return
            except FileExistsError:
                pass
            as_written = (place / "old").read_bytes() == b"new"
    except (OSError, NotImplementedError, filelock.Timeout) as error:
        reason = getattr(error, "strerror", None) or error
        yield bad("locks", f"{folder}: locks, links or renaming do not work there ({reason}); give another --out.")
        return
    if as_written:
        yield good("locks", "locks, links and renaming work")
    else:
        yield bad("locks", f"{folder}: a file that was replaced is still the old one; give another --out.")


def _left_behind(folder: Path) -> Iterator[Finding]:
    """Tell of locks whose holders have ended, and of half-written files and folders, untouched for a day."""
    parts, locks, now = [], [], time.time()
    for path in islice(_below(folder), MOST_ENTRIES):
        with contextlib.suppress(FileNotFoundError):  # others work here meanwhile
            if path.is_symlink():
                if has_ended(str(path.readlink()).partition(SEPARATOR)[0]):
                    locks.append(path)
            elif path.name.startswith(".") and path.name.endswith(PART) and now - path.stat().st_mtime > OLD_S:
                parts.append(path)
    if locks:
        yield note(
            "stale locks", f"{_some(locks)}: of processes that have ended; the next command breaks them by itself."
        )
    if parts:
        size = sum(_size(path) for path in parts)
        yield note("half-written", f"{_some(parts)}, {in_gib(size)}: left by processes that were killed; delete them.")


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        halves = [name for name in folders if name.startswith(".") and name.endswith(PART)]
        folders[:] = [name for name in folders if name not in halves]
        yield from (Path(place) / name for name in [*names, *halves])


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; of what has vanished, none."""
    size = 0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            size += each.lstat().st_size
    return size


def _some(paths: list[Path]) -> str:
    return f"{paths[0]}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def in_gib(count: int) -> str:
    """Return bytes in words, as people compare them with disks and memory."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / (1 << 20):.0f} MiB"
