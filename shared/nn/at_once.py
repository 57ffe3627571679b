"""Several pieces of work at once, each in a process of its own that this one shows, stops and answers for.

A process on its own keeps all cores busy only with large networks: two small trainings side by side, on half of the
cores each, are faster than one after the other.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shared.console import say
from shared.errors import UserError
from shared.interruption import EXIT_CODES, Interruption, watching_signals
from shared.progress import Bar, Bars, progress_bars, speak_through

_SIGKILL = 9
LOOK_EVERY_S = 0.2  # for a signal to this process
SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads


@dataclass(frozen=True)
class Work:
    """One piece: a name for messages, and what to call; both go to another process, so `call` can be pickled.

    `call` gets the signals that came to its process, and its place among those that work: 0 to `at_once` - 1.
    """

    name: str
    call: Callable[[Interruption, int], None]


def do_at_once(pieces: Sequence[Work], at_once: int, threads: int, interruption: Interruption) -> None:
    """Do all pieces, `at_once` of them at a time, each with `threads` threads.

    When one fails no other is begun, and those that run are asked to save and stop.

    Raises:
        UserError, OSError: what the first piece that failed raised, or that its process was killed.
        RuntimeError: a process ended by a mistake of ours, whose traceback it has printed.
        SystemExit: a signal asked to stop; the pieces that ran have been asked as well and have ended.
    """
    with progress_bars() as bars, _Workers(at_once, threads, bars) as workers:
        waiting = iter(pieces)
        for work in itertools.islice(waiting, at_once):
            workers.begin(work)
        while workers.running:
            ended = workers.look()
            if (interruption.signal or workers.failure) and not workers.stopping:
                workers.stop(interruption.signal or signal.SIGTERM)
            if not workers.stopping:
                for work in itertools.islice(waiting, ended):
                    workers.begin(work)
    if workers.failure is not None:
        raise workers.failure  # even after a signal: what could not be saved must be known
    if interruption.signal:
        raise SystemExit(interruption.exit_code)


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    slot: int
    bars: dict[int, Bar] = field(default_factory=dict)


class _Workers:
    """The processes that work now; leaving the block ends those that are left."""

    def __init__(self, at_once: int, threads: int, bars: Bars) -> None:
        self.running: list[_Worker] = []
        self.failure: Exception | None = None
        self.stopping = False
        self._free, self._threads, self._bars = list(range(at_once)), threads, bars

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.running:  # only after an error of our own, or a second Ctrl-C
            worker.process.kill()
            worker.process.join()

    def begin(self, work: Work) -> None:
        """Start a process."""
        pipe, theirs = SPAWN.Pipe(duplex=False)
        slot = self._free.pop(0)
        process = SPAWN.Process(target=_be_worker, args=(work, slot, self._threads, theirs), name=work.name)
        with _held_signals():
            process.start()
        theirs.close()  # so that the pipe ends with the process
        self.running.append(_Worker(process, pipe, slot))

    def look(self) -> int:
        """Show what the processes told within a moment; return how many of them have ended."""
        told: list[Any] = wait([worker.pipe for worker in self.running], timeout=LOOK_EVERY_S)
        ended = [worker for worker in self.running if worker.pipe in told and not self._listen(worker)]
        for worker in ended:
            worker.process.join()
            self.running.remove(worker)
            self._free.append(worker.slot)
            for bar in worker.bars.values():
                bar.end()
            code = worker.process.exitcode
            if code and not (self.stopping and code in _STOPPED):
                self.failure = self.failure or _failure(worker.process.name, code)
        return len(ended)

    def stop(self, number: signal.Signals) -> None:
        """Ask all of them to save and end."""
        self.stopping = True
        for worker in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid or 0, number)

    def _listen(self, worker: _Worker) -> bool:
        """Show one message; tell whether there will be more."""
        try:
            kind, *what = worker.pipe.recv()
        except EOFError:
            return False
        if kind == "say":
            say(what[0])
        elif kind == "start":
            worker.bars[what[0]] = self._bars.start(*what[1:])
        elif kind == "error":
            self.failure = self.failure or what[0]
        else:
            getattr(worker.bars[what[0]], kind)(*what[1:])
        return True


# How a process ends that was asked to stop: after saving, or before it had begun.
_STOPPED = {*EXIT_CODES.values(), *(-getattr(signal, name) for name in EXIT_CODES if hasattr(signal, name))}


def _failure(name: str, code: int) -> Exception:
    if code in EXIT_CODES.values():
        return UserError(f"{name}: its process was asked to stop, and has saved; the same command goes on.")
    if code < 0:
        killed = "SIGKILL, perhaps for want of memory" if -code == _SIGKILL else f"signal {-code}"
        return UserError(
            f"{name}: its process was killed by {killed}; the same command goes on, with a smaller --jobs if it "
            "happens again."
        )
    return RuntimeError(f"{name}: its process ended with code {code}")


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Hold signals back in a process that is started within the block, until it can receive them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else it starts now, and lets the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signals() -> set[signal.Signals]:
    return {getattr(signal, name) for name in EXIT_CODES if hasattr(signal, name)}


def _be_worker(work: Work, slot: int, threads: int, pipe: Connection) -> None:
    """Do one piece in this process, and tell the one that started it of all that happens."""
    torch.set_num_threads(threads)
    speak_through(_Pipe(pipe))
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    with watching_signals(patient=True) as interruption, threadpool_limits(threads):
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
        try:
            work.call(interruption, slot)
        except (UserError, OSError) as error:
            with contextlib.suppress(OSError):
                pipe.send(("error", error))
            raise SystemExit(2) from None


def _stop_when_alone() -> None:
    """Ask this process to save and end once the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


class _Pipe:
    """Bars and sentences of this process, sent to the one that started it as long as that one is there."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._numbers = itertools.count()

    def send(self, *message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(message)

    def say(self, text: str) -> None:
        self.send("say", text)

    def start(self, description: str, total: float, unit: str) -> Bar:
        number = next(self._numbers)
        self.send("start", number, description, total, unit)
        return _PipeBar(self, number)


class _PipeBar:
    def __init__(self, pipe: _Pipe, number: int) -> None:
        self._pipe, self._number = pipe, number

    def advance(self, amount: float = 1) -> None:
        self._pipe.send("advance", self._number, amount)

    def skip(self, amount: float) -> None:
        self._pipe.send("skip", self._number, amount)

    def note(self, text: str) -> None:
        self._pipe.send("note", self._number, text)

    def end(self) -> None:
        self._pipe.send("end", self._number)
