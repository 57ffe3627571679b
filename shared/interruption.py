"""Signals that ask a training to stop: it saves its state within one step and ends with a code that says why.

| signal | exit code |
|---|---|
| SIGINT (Ctrl-C); a second one ends at once | 130 |
| SIGTERM | 143 |
| SIGUSR1, which schedulers send before the time is up | 75 (EX_TEMPFAIL: run the same command again) |
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

from shared.console import processes

EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 75}
LOOK_EVERY_S = 0.2


class Ranks(Protocol):
    """Processes that take each step together."""

    def most(self, value: int) -> int:
        """Return the largest of the values that all of them ask with."""


class StopAskedError(Exception):
    """A signal has come, and what runs between two steps need not be finished."""


class Interruption:
    """What was asked by signals so far."""

    def __init__(self, *, patient: bool = False) -> None:
        """With `patient`, a second Ctrl-C changes nothing: launchers pass signals on that a process has already."""
        self.signal: signal.Signals | None = None
        self.patient = patient

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Remember the first signal; Ctrl-C after another one is a `KeyboardInterrupt`, at once."""
        if self.signal is None:
            self.signal = signal.Signals(number)
        elif number == signal.SIGINT and not self.patient:
            raise KeyboardInterrupt

    def check(self, ranks: Ranks | None = None) -> None:
        """Raise `StopAskedError` when a signal has come: to this process, or to any of `ranks`, which must all ask."""
        number = self.signal or 0
        if ranks is not None and (number := ranks.most(number)):
            self.signal = signal.Signals(number)
        if number:
            raise StopAskedError

    def sleep(self, seconds: float) -> None:
        """Wait; a signal ends it at once, and the process (SystemExit with the signal's code)."""
        end = time.monotonic() + seconds
        while not self.signal and time.monotonic() < end:
            time.sleep(min(LOOK_EVERY_S, seconds))
        if self.signal:
            raise SystemExit(self.exit_code)

    @property
    def exit_code(self) -> int:
        """The documented code of the signal that has come."""
        assert self.signal is not None
        return EXIT_CODES[self.signal.name]


@contextlib.contextmanager
def watching_signals(*, patient: bool = False) -> Iterator[Interruption]:
    """Receive the signals of `EXIT_CODES` during the block, as far as the system has them (`patient`: see above)."""
    interruption = Interruption(patient=patient or processes() > 1)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # only the main thread may set handlers
        return
    numbers = [getattr(signal, name) for name in EXIT_CODES if hasattr(signal, name)]
    before = {number: signal.signal(number, interruption.receive) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
