"""Photographs of strangers are decoded in a process of their own, which may hang, burst or crash without harm.

The process knows nothing but bytes, has bounded memory, writes no file, and is killed when it takes too long; another
one takes its place. What comes back is the prepared square, so that no large picture ever reaches the service.
"""

from __future__ import annotations

import os
import queue
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from shared.images import BadPhotoError, Fit
from shared.own_processes import module_command

SECONDS = 10.0  # for one photograph
MAX_REASON = 300  # characters
REQUEST, ANSWER = struct.Struct("<I"), struct.Struct("<BII")  # bytes; state, bytes of the content, shorter side in px
GOOD, BAD = 1, 0
LEAST_ENVIRONMENT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "HOME", "LANG")

Square = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Decoded:
    """A photograph as a model takes it: uint8 [S, S, 3], and its shorter side as it was taken, in px."""

    image: Square
    side_px: int


class Decoders:
    """Some processes that decode; each photograph has one for itself.

    Args:
        count: processes.
        size, fit: how a photograph is squared (`shared.images.to_square`).
        seconds: after which a process is killed.
    """

    def __init__(self, count: int, *, size: int, fit: Fit, seconds: float = SECONDS) -> None:
        self._command = module_command("shared.decoding_worker", str(size), fit)
        self._size, self._seconds = size, seconds
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()  # None: one that is still to be started
        for _ in range(count):
            self._idle.put(self._start())

    def decode(self, content: bytes) -> Decoded:
        """Return the photograph that `content` is.

        Raises `BadPhotoError`: it is none, too large, or took too long; `OSError`: no process can be started just now.
        """
        process = self._idle.get()
        try:
            if process is not None and not process.is_alive():  # it was ended while it was idle: not this one's fault
                process.end()
                process = None
            if process is None:
                process = self._start()
            with process.killed_after(self._seconds) as was_killed:
                answer = process.ask(content)
            if answer is None:
                late = f"it took more than {self._seconds:g} s" if was_killed() else "its decoder broke off"
                raise BadPhotoError(f"cannot be decoded ({late})")
        finally:
            if process is not None and not process.is_alive():
                process.end()
                process = None
            self._idle.put(process)  # in any case: a place that is lost would be lost for good
        return self._read(*answer)

    def _read(self, state: int, body: bytes, side_px: int) -> Decoded:
        if state != GOOD:
            raise BadPhotoError(body.decode("utf-8", "replace")[:MAX_REASON])
        return Decoded(np.frombuffer(body, np.uint8).reshape(self._size, self._size, 3), side_px)

    def _start(self) -> _Process:
        environment = {name: os.environ[name] for name in LEAST_ENVIRONMENT if name in os.environ}
        return _Process(
            # What decoding libraries complain of is nothing that the service's log, of one line a request, is for.
            subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            ),
            3 * self._size**2,
        )

    def close(self) -> None:
        """End all processes that are idle."""
        with suppress(queue.Empty):
            while True:
                process = self._idle.get_nowait()
                if process is not None:
                    process.end()


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], square_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._most = max(square_bytes, 4 * MAX_REASON)
        self._broken = False

    def ask(self, content: bytes) -> tuple[int, bytes, int] | None:
        """Return state, content and side of the answer, None if there is none."""
        try:
            self._stdin.write(REQUEST.pack(len(content)))
            self._stdin.write(content)
            self._stdin.flush()
            state, length, side_px = ANSWER.unpack(_exactly(self._stdout, ANSWER.size))
            if length > self._most:
                raise EOFError
            return state, _exactly(self._stdout, length), side_px
        except (OSError, EOFError, struct.error, ValueError):
            self._broken = True
            return None

    @contextmanager
    def killed_after(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Kill the process unless the block ends in time; what is given tells whether it was."""
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield killed.is_set
        finally:
            timer.cancel()

    def is_alive(self) -> bool:
        return not self._broken and self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):  # what was not sent to it is lost
            self._stdin.close()
        self._stdout.close()


def _exactly(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content
