"""What commands say: progress, reports and one-sentence errors, all on standard error."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from shared.errors import UserError

LINE_EVERY_S = 60.0  # without a terminal, long work prints one line a minute


def processes() -> int:
    """Return how many processes torchrun started for this command, 1 without it."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def rank() -> int:
    """Return this process's place among those that torchrun started for one command, 0 without it."""
    return int(os.environ.get("RANK") or 0) if processes() > 1 else 0


def console() -> Console:
    """Return a console on standard error as it is now (tests and click replace the stream).

    Of several processes with one command only the first speaks.
    """
    return Console(stderr=True, highlight=False, quiet=rank() > 0)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one sentence on standard error and exit code 2, without a traceback."""
    try:
        yield
    except UserError as error:
        _fail(str(error), code=2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; check the path, its permissions and the free space.", code=2)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again.", code=130)


def _fail(sentence: str, *, code: int) -> None:
    place = f"process {rank()}: " if rank() > 0 else ""
    Console(stderr=True, highlight=False).print(Text(f"error: {place}{sentence}"), soft_wrap=True)
    raise SystemExit(code)


class Bar(Protocol):
    """What a stage tells while it works."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""

    def note(self, text: str) -> None:
        """Show a short state ("p 0.31") behind the bar."""


class _RateColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} {self._unit}/s" if task.speed else "", style="progress.data.speed")


class _TerminalBar:
    def __init__(self, progress: Progress, description: str, total: float) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, note="")

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._task, amount)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


class _LineBar:
    """One line a minute, and one at the end, for logs."""

    def __init__(self, out: Console, description: str, total: float, unit: str) -> None:
        self._out, self._description, self._total, self._unit = out, description, total, unit
        self._done, self._told, self._note = 0.0, -1.0, ""
        self._start = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self.line()

    def note(self, text: str) -> None:
        self._note = text

    def end(self) -> None:
        if self._done != self._told:
            self.line()

    def line(self) -> None:
        self._told = self._done
        self._last = time.monotonic()
        elapsed_s = self._last - self._start
        rate = self._done / elapsed_s if elapsed_s > 0 else 0.0
        left = f", {(self._total - self._done) / rate:.0f} s left" if 0 < self._done < self._total else ""
        self._out.print(
            Text(
                f"{self._description}: {self._done:.4g}/{self._total:.4g} {self._unit}, {rate:.3g} {self._unit}/s, "
                f"{elapsed_s:.0f} s{left}{'  ' + self._note if self._note else ''}"
            ),
            soft_wrap=True,
        )


@contextlib.contextmanager
def progress(description: str, total: float, *, unit: str) -> Iterator[Bar]:
    """Show work of `total` units: a bar with rate and remaining time on a terminal, one line a minute elsewhere."""
    out = console()
    if out.is_terminal and not out.is_dumb_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=out) as bars:
            yield _TerminalBar(bars, description, total)
    else:
        line = _LineBar(out, description, total, unit)
        yield line
        line.end()


def say(text: str) -> None:
    """Print one line of a report (rich markup is not interpreted, so paths with brackets survive)."""
    console().print(Text(text), soft_wrap=True)


def is_interactive() -> bool:
    """Tell whether a person watches standard error."""
    return sys.stderr.isatty()
