"""Files: whole or not at all, one writer at a time, read within bounds, and refused in a sentence."""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock

from shared.errors import BusyError, UserError

PART = ".part"  # ends the names of files that are being written
LOCK = ".lock"
READ_BYTES = 1 << 20  # of a large file at a time
MAX_JSON_BYTES = 1 << 28  # of a table or a log


class ClampedFile(io.BufferedReader):
    """A file to read, never asked for more bytes than are left of it.

    Decoders read as many as a damaged header says, and Python allocates them all before it looks for them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, all that are left where it is negative or None."""
        if size is None or size < 0:
            return super().read()
        return super().read(min(size, max(self._size - self.tell(), 0)))


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, sync it and rename it into place.

    A reader of `path` sees the old file or the new one, never a part; when the block fails nothing is left behind. An
    error of the system that names no file (a full disk) is given the name of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.chmod(_mode_of(path))
        part.replace(path)
        _sync_directory(path.parent)
    except Exception as error:
        if _tells_of_a_full_disk(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if isinstance(error, OSError) and error.filename in (None, name):
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def _tells_of_a_full_disk(error: Exception) -> bool:
    """Tell whether an error means that, also one of a library that has its own for it (HDF5, safetensors)."""
    text = str(error)
    return getattr(error, "errno", None) == errno.ENOSPC or "errno = 28" in text or "No space left on device" in text


def _read_umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _read_umask()  # once, before there are threads whose files would be made under another one


def _mode_of(path: Path) -> int:
    """Return the rights of a file at `path`: of the one that is replaced, or else those that the umask leaves."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_UMASK


def _sync_directory(directory: Path) -> None:
    """Make a rename in `directory` last through a power cut, where the system can (Windows cannot)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_parts(directory: Path) -> None:
    """Remove what killed processes left half-written in `directory`; nobody may be writing there."""
    for part in Path(directory).glob(f".*{PART}"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all; NaN and infinity are errors, not bad JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what the JSON file at `path` says.

    Raises `ValueError`: it is too large, not UTF-8, not JSON, or nested as no result is.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES} bytes")
    return parse_json(content.decode("utf-8"))


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises `ValueError`: it is none, has a number that is not finite, or is nested as no result is.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file of `path` (`.NAME.lock` beside it), so that several processes may write to it in turn."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        yield


@contextlib.contextmanager
def claimed(directory: Path, busy: str) -> Iterator[None]:
    """Hold `directory` for this process alone (its file `LOCK`); the system lets go of it when the process dies.

    Raises `BusyError` with the sentence `busy`, at once, when another process holds it.
    """
    lock = filelock.FileLock(Path(directory) / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise BusyError(busy) from error
    try:
        yield
    finally:
        lock.release()


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a readable file, else raise `UserError`; `what` names its role ("cohort")."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder, where the {what} must be a file; name the file inside it.")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: a pipe or a device, where the {what} must be a file; give a file.")
    if not path.is_file():
        raise UserError(f"{path}: no such file; the {what} must be an existing file.")
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def require_new(path: Path, *, force: bool, inputs: Iterable[str | Path | None] = (), option: str = "--out") -> None:
    """Raise `UserError` when `path`, which `option` names, cannot be a new file.

    It exists and `force` was not given, it is or belongs to one of the `inputs` (files, folders, or names of something
    else), or it cannot be written.
    """
    path = Path(path)
    for given in (Path(each) for each in inputs if each is not None):
        if path.exists() and given.exists() and path.resolve().is_relative_to(given.resolve()):
            raise UserError(f"{path}: what this command reads ({given}), which would be lost; give another {option}.")
    if path.is_dir():
        raise UserError(f"{path}: a folder, where a file is to be written; name a file in it.")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: neither a file nor a folder (a pipe or a device); give another {option}.")
    if path.exists() and not force:
        raise UserError(f"{path}: exists already; give --force to replace it, or another {option}.")
    parent = next(each for each in path.absolute().parents if each.exists())
    if not parent.is_dir():
        raise UserError(f"{path}: {parent} is a file, where a folder must be; give another {option}.")
    if not os.access(parent, os.W_OK):
        raise UserError(f"{path}: {parent} cannot be written to; give another {option}.")
