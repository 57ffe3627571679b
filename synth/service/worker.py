"""The process that fills one order: it draws candidates and selects of them, as `synth generate` and `synth select` do.

    python -m synth.service.worker

The server writes what is to be done, one line, to standard input. All that is written has the order's name, so that
the next process for the same order goes on or begins anew, and comes to the same bytes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from shared.bundle import read_candidates
from shared.errors import UserError
from shared.files import remove_parts
from shared.progress import Bar, speak_through
from synth.service.child import Server, be_child

GIB = 1 << 30
TELL_EVERY_S = 0.5
LOCK = ".worker.lock"
LOCK_WAIT_S = 60.0  # a process whose server died may take a moment to notice


@dataclass(frozen=True)
class Job:
    """An order as the worker gets it.

    Attributes:
        name: of the files that it writes.
        folder: where it writes them.
        network: its file, with its SHA-256.
        cohort: the file that the network was trained on.
        request: what the client asked for (`synth.service.requests.OrderRequest`).
        features, device, weights, offline, memory_gib: as the operator says.
    """

    name: str
    folder: str
    network: str
    sha256: str
    cohort: str
    request: dict[str, Any]
    features: str
    device: str
    weights: str | None
    offline: bool
    memory_gib: float

    @property
    def out(self) -> Path:
        """The bundle, before anybody knows whether it may be given away."""
        return Path(self.folder) / f"{self.name}.h5"

    @property
    def candidates(self) -> Path:
        """What is selected from."""
        return Path(self.folder) / f"{self.name}_candidates.h5"


def main() -> None:
    """Fill the order that the server names."""
    be_child(_work)


def _work(server: Server) -> None:
    job = Job(**next(server.messages()))
    _bound_memory(job.memory_gib)
    with filelock.FileLock(Path(job.folder) / LOCK, timeout=LOCK_WAIT_S):
        remove_parts(Path(job.folder))
        speak_through(_Told(server))
        try:
            fill(job)
        except UserError as error:
            server.tell(error=str(error))
        except OSError as error:
            server.tell(error=f"{error.filename}: {error.strerror}")
        else:
            server.tell(done=True)


def fill(job: Job) -> None:
    """Draw and select.

    Raises `UserError`: as the two commands, or the network is another one now.
    """
    from synth.generate import GenerateOptions, generate
    from synth.select import select
    from synth.selecting.options import SelectOptions

    asked = job.request
    weights = None if job.weights is None else Path(job.weights)
    surroundings: dict[str, Any] = {"device": job.device, "weights": weights, "offline": job.offline, "force": True}
    if not _is_whole(job.candidates):
        drawn = {name: asked[name] for name in ("count", "seed", "truncation", "class_index")}
        generate(GenerateOptions(network=job.network, out=job.candidates, **drawn, **surroundings))
    if read_candidates(job.candidates).generator.get("network") != job.sha256:
        raise UserError(f"{job.network}: changed while it was offered; start the service again.")
    chosen: dict[str, Any] = {name: asked[name] for name in ("rule", "sigma", "keep")} | {"features": job.features}
    places: dict[str, Any] = {
        "candidates": job.candidates,
        "cohort": Path(job.cohort),
        "network": job.network,
        "out": job.out,
    }
    select(SelectOptions(**places, **chosen, **surroundings))


def _is_whole(path: Path) -> bool:
    try:
        read_candidates(path)
    except (UserError, OSError):
        return False
    return True


def _bound_memory(gib: float) -> None:
    """Let what asks for more memory fail, before the system ends processes of its own choice."""
    if sys.platform == "linux":
        import resource

        most = int(gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


class _Told:
    """Sends the bars and sentences of the stages to the server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(self, description: str, total: float, unit: str) -> Bar:
        del unit
        return _ToldBar(self._server, description, total)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # for the operator: it may name files and patients' numbers


class _ToldBar:
    def __init__(self, server: Server, description: str, total: float) -> None:
        self._server, self._what, self._total = server, description, total
        self._done, self._told = 0.0, 0.0

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if time.monotonic() - self._told > TELL_EVERY_S:
            self._tell()

    def skip(self, amount: float) -> None:
        self._done += amount

    def note(self, text: str) -> None:
        del text

    def end(self) -> None:
        self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._server.tell(what=self._what, progress=self._done / self._total if self._total else 1.0)


if __name__ == "__main__":
    main()
