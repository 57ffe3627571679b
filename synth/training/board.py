"""TensorBoard's events of a run, without those of a past that a resumed run does not share."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter


class Board(Protocol):
    """The part of `SummaryWriter` that a run uses."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Write one number."""

    def add_images(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> None:
        """Write pictures."""

    def flush(self) -> None:
        """Bring what was written to the disk."""


class _Nothing:
    """The board of a process whose neighbour writes."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        pass

    def add_images(self, tag: str, img_tensor: Any, global_step: int, *, dataformats: str) -> None:
        pass

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def open_board(folder: Path, first_step: int, *, write: bool = True) -> Iterator[Board]:
    """Write events into `folder`; earlier ones of `first_step` and later no longer count. Without `write`, do nothing.

    Raises `OSError`: they cannot be written (a full disk), at the next event or flush.
    """
    if not write:
        yield _Nothing()
        return
    shown = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not issubclass(failed.exc_type, OSError):  # the writer's thread; the error is raised here again
            shown(failed)

    threading.excepthook = hook
    try:
        with SummaryWriter(str(folder), purge_step=first_step) as board:
            yield board
    finally:
        threading.excepthook = shown
