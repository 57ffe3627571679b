"""Training state in a file: whole or absent, sealed by its hash, and loadable without running anything."""

import hashlib
import os
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from shared.errors import UserError
from shared.files import READ_BYTES, whole_file

SEAL = b"\nrarescreen-state sha256:"  # follows torch's archive, and the digest follows it; torch reads past both


class DamagedStateError(UserError):
    """The file is not as it was written: another state may still be used."""


class _Hashed:
    """A stream that hashes what passes, and keeps the reason when the disk takes no more (torch hides it)."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.sha256 = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            written = self.stream.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.sha256.update(data)
        return written

    def flush(self) -> None:
        self.stream.flush()


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and containers of them to `path`, whole or not at all.

    Raises `OSError`: it cannot be written (a full disk); what was at `path` before is still there.
    """
    with whole_file(path) as part, part.open("wb") as raw:
        stream = _Hashed(raw)
        try:
            torch.save(state, cast("IO[bytes]", stream))
            stream.write(SEAL + stream.sha256.digest())
        except (OSError, RuntimeError) as error:
            if stream.failure is not None:
                raise stream.failure from error
            raise


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, on the CPU.

    Raises `UserError`: the file is damaged (`DamagedStateError`), or holds anything but data.
    """
    if not _is_whole(path):
        raise DamagedStateError(f"{path}: not a complete checkpoint; remove it to start this run again.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # torch raises many kinds for what is not data
        raise UserError(
            f"{path}: not a checkpoint of this program ({type(error).__name__}); remove it to start this run again."
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: not a checkpoint of this program; remove it to start this run again.")
    return state


def copy_state(source: Path, target: Path) -> None:
    """Copy what `save_state` wrote to `target`, whole or not at all; what is copied is what was checked.

    Raises:
        DamagedStateError: it is not as it was written.
        OSError: it is not there, or cannot be written.
    """
    with whole_file(target) as part, part.open("wb") as copy:
        if not _is_whole(source, copy):
            raise DamagedStateError(f"{source}: not a complete checkpoint; remove it.")


def _is_whole(path: Path, copy: BinaryIO | None = None) -> bool:
    """Tell whether the hash at the end of the file is that of all before the seal; write what is read to `copy`."""
    digest = hashlib.sha256()
    tail = len(SEAL) + digest.digest_size
    with path.open("rb") as stream:
        left = os.fstat(stream.fileno()).st_size - tail
        if left < 0:
            return False
        while left > 0:
            data = stream.read(min(READ_BYTES, left))
            if not data:
                return False
            digest.update(data)
            left -= len(data)
            if copy is not None:
                copy.write(data)
        end = stream.read()
        if copy is not None:
            copy.write(end)
        return end == SEAL + digest.digest()
