"""Processes that work for the server, and speak JSON lines with it.

The server writes lines to a child's standard input and reads its standard output; a child whose input ends has lost its
server, and ends at once. Nothing that either says is executed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

MOST_LINE = 1 << 28  # characters
GRACE_S = 5.0

Message = dict[str, Any]


class Child:
    """A process and what it says; `command` is what is run."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._said: queue.Queue[Message] = queue.Queue(maxsize=64)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, message: Message) -> None:
        """Write a line to it; a dead one hears nothing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def hear(self, seconds: float) -> Message | None:
        """Return the next thing that it says, None when it says nothing for so long."""
        try:
            return self._said.get(timeout=seconds)
        except queue.Empty:
            return None

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or has said something that nobody has heard."""
        return self._process.poll() is None or self._reader.is_alive() or not self._said.empty()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, and forget what it said."""
        self._process.kill()
        while self._reader.is_alive():
            self.hear(0.05)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(MOST_LINE):
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict):
                self._said.put(message)


class Server:
    """The server as a child sees it."""

    def __init__(self, said: TextIO) -> None:
        self._said, self._lock = said, threading.Lock()
        self._heard: queue.Queue[Message] = queue.Queue()

    def tell(self, **message: Any) -> None:
        """Write a line; where nobody reads any more, end."""
        with self._lock:
            try:
                self._said.write(json.dumps(message) + "\n")
                self._said.flush()
            except BrokenPipeError:
                os._exit(1)

    def messages(self) -> Iterator[Message]:
        """Give what it says, for ever."""
        while True:
            yield self._heard.get()

    def listen(self) -> None:
        """Hear it, and end this process when it is gone, whatever the process is doing."""
        for line in sys.stdin:
            self._heard.put(json.loads(line))
        os._exit(1)


def be_child(work: Callable[[Server], None]) -> None:
    """Do the work of a child process; what libraries print goes to standard error."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = Server(said)
    threading.Thread(target=server.listen, daemon=True).start()
    work(server)
    os._exit(0)  # whatever threads there are
