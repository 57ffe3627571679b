"""Who was given what: one JSON line each, only ever added, and each with the SHA-256 of the one before it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_LINE = 1 << 16  # bytes; none that is written here is longer
FIRST = "0" * 64  # stands for the line before the first one
MOST_LINES = 1000  # of a page


class AuditError(Exception):
    """What was to be done could not be written down, so it must not be done."""


class AuditLog:
    """A file of lines, for one process; what a power cut leaves of a last line stays, and is told as damaged."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock, self._lock = path, clock, threading.Lock()
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._last = self._end_last_line()

    def write(self, who: str, what: str, **more: Any) -> None:
        """Add a line, on the disk before this returns.

        Raises `AuditError`: it could not be written; nothing of it is left.
        """
        line = {"time": self._clock(), "who": who, "what": what} | more
        with self._lock:
            content = json.dumps(line | {"before": self._last}, ensure_ascii=True, allow_nan=False).encode()
            try:
                if len(content) >= MOST_LINE or not self._is_there():
                    raise OSError("the line is too long, or the file was moved away")
                self._append(content + b"\n")
            except OSError as error:
                raise AuditError(str(error)) from error
            self._last = hashlib.sha256(content).hexdigest()

    def trouble(self) -> str | None:
        """Return a sentence where nothing could be written, None where all is well."""
        try:
            left = os.fstatvfs(self._descriptor).f_bavail
            return (
                None if left and self._is_there() else "the audit log cannot be written to, so nothing is given away."
            )
        except OSError:
            return "the audit log cannot be reached, so nothing is given away."

    def page(self, after: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Return up to `limit` lines from the byte `after` on, and the byte from which the next page goes on.

        Raises `ValueError`: no line begins there.
        """
        with self.path.open("rb") as stream:
            if after:
                stream.seek(after - 1)
                if stream.read(1) != b"\n":
                    raise ValueError(after)
            lines: list[dict[str, Any]] = []
            while len(lines) < min(limit, MOST_LINES):
                content = stream.readline(MOST_LINE)
                if not content.endswith(b"\n"):
                    break
                after += len(content)
                lines.append(_parsed(content))
        return lines, after

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _is_there(self) -> bool:
        """Tell whether the file still has its name: what is written into a removed one is lost."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _append(self, content: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, content) != len(content):
                raise OSError("the disk is full")
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def _end_last_line(self) -> str:
        """End a line that a power cut has cut short; return the hash of the last one."""
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, 2 * MOST_LINE, max(0, size - 2 * MOST_LINE))
        if not tail:
            return FIRST
        if not tail.endswith(b"\n"):
            self._append(b"\n")
        last = tail.removesuffix(b"\n").rpartition(b"\n")[2]
        return hashlib.sha256(last).hexdigest()


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        line = json.loads(content)
    except (ValueError, RecursionError):
        line = None
    return line if isinstance(line, dict) else {"time": None, "who": None, "what": "damaged"}


def first_break(path: Path) -> int | None:
    """Return the number of the first line, from 1 on, that does not name the one before it; None where all do."""
    before = FIRST
    with path.open("rb") as stream:
        lines = iter(lambda: stream.readline(MOST_LINE), b"")  # one that is longer is none of ours
        for number, content in enumerate(lines, start=1):
            if _parsed(content).get("before") != before:
                return number
            before = hashlib.sha256(content.removesuffix(b"\n")).hexdigest()
    return None
