"""Progress of long work on standard error: bars on a terminal, a line a minute elsewhere.

A process that works for another one sends its bars and sentences there (`speak_through`).
"""

import contextlib
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

from shared import console

FIRST_ESTIMATE = 0.01  # share of the work from which on it tells how long the rest takes
LINE_EVERY_S = 60.0  # without a terminal, long work prints one line a minute


class Bar(Protocol):
    """What a stage tells while it works."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""

    def skip(self, amount: float) -> None:
        """Count `amount` units as done by an earlier process: they say nothing of the rate."""

    def note(self, text: str) -> None:
        """Show a short state ("p 0.31") behind the bar."""

    def end(self) -> None:
        """Stop counting, done or not."""


class Bars(Protocol):
    """Where bars are shown, several at once."""

    def start(self, description: str, total: float, unit: str) -> Bar:
        """Show work of `total` units."""


@contextlib.contextmanager
def progress(description: str, total: float, *, unit: str) -> Iterator[Bar]:
    """Show work of `total` units: a bar with rate and remaining time on a terminal, one line a minute elsewhere."""
    with progress_bars() as bars:
        bar = bars.start(description, total, unit)
        yield bar
        bar.end()  # not after an error, whose sentence is to be the last


@contextlib.contextmanager
def progress_bars() -> Iterator[Bars]:
    """Show several bars at once, each as `progress` does."""
    out = console.console()
    if _elsewhere is not None:
        yield _elsewhere
    elif out.is_terminal and not out.is_dumb_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=out) as shown:
            yield _TerminalBars(shown)
    else:
        yield _Lines(out)


class Elsewhere(Bars, Protocol):
    """A process that this one works for, which shows bars and says sentences."""

    def say(self, text: str) -> None:
        """Say one line."""


_elsewhere: Elsewhere | None = None


def speak_through(elsewhere: Elsewhere) -> None:
    """Send all bars and sentences of this process elsewhere from now on."""
    global _elsewhere
    _elsewhere = elsewhere
    console.speak_through(elsewhere.say)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} {task.fields['unit']}/s" if task.speed else "", style="progress.data.speed")


class _TerminalBars:
    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def start(self, description: str, total: float, unit: str) -> Bar:
        return _TerminalBar(self._shown, description, total, unit)


class _TerminalBar:
    def __init__(self, shown: Progress, description: str, total: float, unit: str) -> None:
        self._shown = shown
        self._task = shown.add_task(description, total=total, note="", unit=unit)

    def advance(self, amount: float = 1) -> None:
        self._shown.advance(self._task, amount)

    def skip(self, amount: float) -> None:
        task = next(task for task in self._shown.tasks if task.id == self._task)
        task.completed += amount  # `advance` would take it for speed

    def note(self, text: str) -> None:
        self._shown.update(self._task, note=text)

    def end(self) -> None:
        self._shown.stop_task(self._task)


class _Lines:
    def __init__(self, out: Console) -> None:
        self._out = out

    def start(self, description: str, total: float, unit: str) -> Bar:
        return _LineBar(self._out, description, total, unit)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"


class _LineBar:
    """One line a minute, and one at the end, for logs."""

    def __init__(self, out: Console, description: str, total: float, unit: str) -> None:
        self._out, self._description, self._total, self._unit = out, description, total, unit
        self._done, self._skipped, self._told, self._note = 0.0, 0.0, -1.0, ""
        self._start = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self._line()

    def skip(self, amount: float) -> None:
        self._done += amount
        self._skipped += amount

    def note(self, text: str) -> None:
        self._note = text

    def end(self) -> None:
        if self._done != self._told:
            self._line()

    def _line(self) -> None:
        self._told = self._done
        self._last = time.monotonic()
        elapsed_s = self._last - self._start
        rate = (self._done - self._skipped) / elapsed_s if elapsed_s > 0 else 0.0
        known = FIRST_ESTIMATE * self._total <= self._done < self._total and rate > 0
        left = f", {(self._total - self._done) / rate:.0f} s left" if known else ""
        count = f"{_number(self._done)}/{_number(self._total)} {self._unit}, {rate:.3g} {self._unit}/s"
        note = f"  {self._note}" if self._note else ""
        self._out.print(Text(f"{self._description}: {count}, {elapsed_s:.0f} s{left}{note}"), soft_wrap=True)
