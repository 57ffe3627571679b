"""Work for other processes, which find it in a module of its own."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.errors import UserError
from shared.interruption import Interruption, StopAskedError
from shared.progress import progress


@dataclass(frozen=True)
class Piece:
    """Leaves a file with its place, and then does as `how` says."""

    path: Path
    how: str = "well"

    def __call__(self, interruption: Interruption, slot: int) -> None:
        with progress(self.path.name, 2, unit="steps") as bar:
            bar.advance(2)
            bar.note(self.how)
        self.path.write_text(f"{slot} {torch.get_num_threads()}")
        if self.how == "error":
            raise UserError(f"{self.path.name}: is bad; give a good one.")
        if self.how == "full":
            raise OSError(28, "No space left on device", str(self.path))
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "wrong":
            raise AssertionError
        if "stopped" in self.how or self.how == "waits":
            with contextlib.suppress(StopAskedError):
                while True:
                    interruption.check()
                    time.sleep(0.01)
            if self.how == "full when stopped":
                raise OSError(28, "No space left on device", str(self.path))
            self.path.write_text("stopped")
            raise SystemExit(interruption.exit_code)
