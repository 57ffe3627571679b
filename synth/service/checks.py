"""Files that are given away only as they were checked: what the system says of them tells whether they changed."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

SETTLED_NS = 2_000_000_000  # a change so shortly before a look may have the same time as one after it
MOST_KNOWN = 20_000

T = TypeVar("T")


class ChangedError(Exception):
    """A file is no longer the one that was checked."""


@dataclass(frozen=True)
class Stamp:
    """What changes when a file does."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, about: os.stat_result) -> Stamp:
        """Take it from what the system says."""
        return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a plain file that is no link.

    Raises `ChangedError`: there is none.
    """
    try:
        about = os.lstat(path)
    except OSError as error:
        raise ChangedError(path) from error
    if not stat.S_ISREG(about.st_mode):
        raise ChangedError(path)
    return Stamp.of(about)


def open_checked(path: Path, stamp: Stamp) -> int:
    """Open the very file that a stamp was taken of; return a descriptor.

    Raises `ChangedError`: it is another one now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ChangedError(path) from error
    if Stamp.of(os.fstat(descriptor)) != stamp:
        os.close(descriptor)
        raise ChangedError(path)
    return descriptor


class Checks(Generic[T]):
    """What a look at a file has found, as long as the file is the same.

    Args:
        look: returns what is to be known of a file; None of one that is of no use.
    """

    def __init__(self, look: Callable[[Path], T | None]) -> None:
        self._look, self._lock = look, threading.Lock()
        self._known: OrderedDict[Path, tuple[Stamp, T | None]] = OrderedDict()

    def of(self, path: Path) -> tuple[Stamp, T] | None:
        """Return a file's stamp and what was found in it, None where that is of no use.

        Raises `ChangedError`: it is gone, or changed during the look.
        """
        with self._lock:
            stamp = stamp_of(path)
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                found = known[1]
            else:
                found = self._look_at(path, stamp)
        return None if found is None else (stamp, found)

    def _look_at(self, path: Path, stamp: Stamp) -> T | None:
        begun = time.time_ns()
        found = self._look(path)
        if stamp_of(path) != stamp:
            raise ChangedError(path)
        self._known.pop(path, None)
        if stamp.changed_ns + SETTLED_NS < begun:
            self._known[path] = stamp, found
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return found
