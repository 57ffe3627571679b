"""What the server knows of networks, and how it has pictures drawn: by a process of its own, which it can end."""

from __future__ import annotations

import base64
import contextlib
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import BusyError, UserError
from shared.own_processes import module_command
from synth.service.child import Child, Message

COMMAND = module_command("synth.service.drawing_process")
START_S = 180.0  # torch takes its time
ANSWER_S = 60.0
MOST_WAITING = 64  # each holds a thread
BLOCK = 32  # pictures that are drawn at once anyway (`synth.drawing.pictures.BATCH`): neighbours are kept
MAX_DRAWN_PX = 512
CACHE_BYTES = 1 << 26


@dataclass(frozen=True)
class NetworkFacts:
    """What a network says of itself; `photographs` are those that it saw, `cohort` is the SHA-256 of theirs or ""."""

    sha256: str
    name: str
    size: int
    classes: tuple[str, ...]
    class_name: str
    licence: str
    cohort: str
    photographs: int

    @property
    def saw_photographs(self) -> bool:
        """Whether it may know photographs by heart."""
        return bool(self.cohort) or self.photographs > 0


@dataclass(frozen=True)
class Picture:
    """What is to be drawn."""

    sha256: str
    seed: int
    truncation: float | None
    class_index: int | None


class Artist(Protocol):
    """Who opens networks."""

    def describe(self, path: Path) -> NetworkFacts:
        """Return what a network file says of itself; raise `UserError` where it is none."""

    def draw(self, path: Path, picture: Picture) -> bytes:
        """Return a PNG; raise `BusyError` where too many wait, and `UserError` where it cannot be drawn."""

    def close(self) -> None:
        """End."""


class ArtistProcess:
    """An `Artist` in a process, which is started when it is needed and again when it has died."""

    def __init__(self, device: str = "auto", command: Sequence[str] = COMMAND) -> None:
        self._device, self._command = device, command
        self._lock, self._room = threading.Lock(), threading.Semaphore(MOST_WAITING)  # of the process
        self._known = threading.Lock()  # of the cache alone: whoever looks into it must not wait for a drawing
        self._numbers = itertools.count()
        self._child: Child | None = None
        self._cache: OrderedDict[Picture, bytes] = OrderedDict()

    def describe(self, path: Path) -> NetworkFacts:
        """Return what a network file says of itself."""
        with self._turn():
            about = self._answer({"ask": "describe", "path": str(path)})
        return NetworkFacts(**about | {"classes": tuple(about["classes"])})

    def draw(self, path: Path, picture: Picture) -> bytes:
        """Return a PNG; those of the seeds beside it are drawn with it."""
        known = self._drawn(picture)
        if known is not None:
            return known
        with self._turn():
            return self._drawn(picture) or self._draw(path, picture)  # it may have been drawn meanwhile

    def _drawn(self, picture: Picture) -> bytes | None:
        with self._known:
            return self._cache.get(picture)

    def _draw(self, path: Path, picture: Picture) -> bytes:
        first = picture.seed - picture.seed % BLOCK
        seeds = list(range(first, first + BLOCK))
        asked = {"ask": "draw", "path": str(path), "seeds": seeds, "device": self._device} | {
            name: getattr(picture, name) for name in ("sha256", "truncation", "class_index")
        }
        pngs = [base64.b64decode(each) for each in self._answer(asked)["pngs"]]
        with self._known:
            for seed, png in zip(seeds, pngs, strict=True):
                self._cache[Picture(picture.sha256, seed, picture.truncation, picture.class_index)] = png
            while sum(map(len, self._cache.values())) > CACHE_BYTES:
                self._cache.popitem(last=False)
        return pngs[picture.seed - first]

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the process, if not too many do."""
        if not self._room.acquire(blocking=False):
            raise BusyError("too many pictures are being drawn; try again in a minute.")
        try:
            with self._lock:
                yield
        finally:
            self._room.release()

    def _answer(self, message: Message) -> Message:
        seconds = ANSWER_S
        if self._child is None or not self._child.is_alive:
            self._end()
            self._child, seconds = Child(self._command), START_S
        number = next(self._numbers)
        self._child.tell(message | {"number": number})
        end = time.monotonic() + seconds
        while self._child.is_alive and time.monotonic() < end:
            answer = self._child.hear(0.2)
            if answer is not None and answer.pop("number", None) == number:
                if "error" in answer:
                    raise UserError(answer["error"])
                return answer
        self._end()
        raise BusyError("drawing takes too long just now; try again in a minute.")

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
