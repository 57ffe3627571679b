"""HDF5 files that are whole or refused.

A sealed file is an HDF5 file behind a 512-byte user block of one line, `FORMAT/VERSION sha256:DIGEST bytes:LENGTH`,
padded with zero bytes. DIGEST and LENGTH speak of everything behind the block and are verified before HDF5 opens the
file, so that neither the HDF5 library nor a user meets a damaged byte. Nothing in a file tells when it was written:
the same content gives the same bytes, and DIGEST is the file's identity.
"""

import hashlib
import io
import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from shared.errors import UserError
from shared.files import READ_BYTES, require_file, whole_file

BLOCK_BYTES = 512
LIBVER = ("v110", "v110")  # fixed, since another HDF5 feature set gives other bytes for the same content
H5PY_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError)  # what it raises on strange content

_BLOCK = re.compile(rb"(rarescreen-[a-z]{1,40})/([1-9][0-9]{0,8}) sha256:([0-9a-f]{64}) bytes:([0-9]{1,18})\n\0*")
_MAGIC = b"rarescreen-"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP = re.compile(rb"GCOL\x01")
_HEAP_OBJECT = struct.Struct("<H6xQ")  # number, which is 0 for what is free, and length


@dataclass(frozen=True)
class Seal:
    """What a user block says of the bytes behind it."""

    format: str
    version: int
    sha256: str
    length: int

    def block(self) -> bytes:
        """Return the user block, 512 bytes."""
        line = f"{self.format}/{self.version} sha256:{self.sha256} bytes:{self.length}\n".encode("ascii")
        assert len(line) <= BLOCK_BYTES
        return line.ljust(BLOCK_BYTES, b"\0")


def write_sealed(path: Path, build: Callable[[h5py.File], None]) -> str:
    """Let `build` fill a new HDF5 file, seal it and put it at `path`, whole or not at all; return its SHA-256.

    `build` sets the root attributes `format` (text) and `version` (whole number), which the seal repeats.
    """
    with whole_file(Path(path)) as part:
        with part.open("wb+", buffering=0) as raw:
            name, version = _fill(_Sink(raw), build)
        digest, length = _hash_body(part)
        seal = Seal(name, version, digest, length)
        assert _BLOCK.fullmatch(seal.block()), f"not a format name: {name}"
        with part.open("rb+") as stream:
            stream.write(seal.block())
    return digest


def _fill(sink: "_Sink", build: Callable[[h5py.File], None]) -> tuple[str, int]:
    """Let `build` fill a new HDF5 file that is written to `sink`; return name and version of its format."""
    try:
        with h5py.File(sink, "w", libver=LIBVER, userblock_size=BLOCK_BYTES) as file:
            build(file)
            told = str(file.attrs["format"]), int(file.attrs["version"])
    except Exception as error:
        if sink.failure is not None:
            raise sink.failure from error
        raise
    if sink.failure is not None:
        raise sink.failure
    return told


class _Sink(io.RawIOBase):
    """A file that takes everything, and keeps the first error of the system in `failure`.

    HDF5 must not learn that a disk is full: it cannot close a file then, and ends the process.
    """

    def __init__(self, raw: io.RawIOBase | io.FileIO) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self._raw = raw

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while self.failure is None and written < len(view):
            try:
                written += self._raw.write(view[written:]) or 0
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def readinto(self, buffer: Any, /) -> int | None:
        return self._raw.readinto(buffer)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def open_sealed(path: Path, *, format: str, version: int, what: str, made_by: str = "Rarescreen") -> h5py.File:  # noqa: A002
    """Open the sealed file at `path` for reading, once its hash is verified.

    `format` and `version` are what the caller can read, `what` names the file's role ("cohort") and `made_by` the
    command that writes such a file.

    Raises `UserError`: no such file, not one of our files, truncated, damaged, of another format or of a newer version.
    """
    path = require_file(path, what)
    seal = read_seal(path, what=what, made_by=made_by)
    if seal.format != format:
        raise UserError(
            f"{path}: of format {seal.format}, where the {what} is expected ({format}); "
            f"give the one that {made_by} wrote."
        )
    if seal.version > version:
        raise UserError(
            f"{path}: written in version {seal.version} of the {what} format, of which this program knows versions "
            f"up to {version}; update Rarescreen, or make the {what} again with {made_by}."
        )
    _verify(path, seal, what, made_by)
    if not _heaps_end(path):
        raise UserError(
            f"{path}: not readable as HDF5 (a heap of texts has no end); make the {what} again with {made_by}."
        )
    try:
        return h5py.File(path, "r", locking=False)
    except H5PY_ERRORS as error:
        raise UserError(f"{path}: not readable as HDF5 ({error}); make the {what} again with {made_by}.") from error


def read_seal(path: Path, *, what: str, made_by: str) -> Seal:
    """Return what the user block of `path` says, unverified; raise `UserError` when it has none."""
    with Path(path).open("rb") as stream:
        block = stream.read(BLOCK_BYTES)
    match = _BLOCK.fullmatch(block)
    if match and len(block) == BLOCK_BYTES:
        name, version, digest, length = match.groups()
        return Seal(name.decode(), int(version), digest.decode(), int(length))
    way_out = f"give the {what} that {made_by} wrote."
    if not block:
        raise UserError(f"{path}: an empty file, where the {what} is expected; {way_out}")
    if block.startswith(_MAGIC):
        state = "truncated" if len(block) < BLOCK_BYTES else "damaged"
        raise UserError(f"{path}: {state} in its first {BLOCK_BYTES} bytes; copy it again, or {way_out}")
    if block.startswith(_HDF5_SIGNATURE):
        raise UserError(f"{path}: an HDF5 file, but not one of Rarescreen's (its seal is missing); {way_out}")
    raise UserError(f"{path}: not one of Rarescreen's files; {way_out}")


def _verify(path: Path, seal: Seal, what: str, made_by: str) -> None:
    length = path.stat().st_size - BLOCK_BYTES
    way_out = f"copy it again, or make the {what} again with {made_by}."
    if length < seal.length:
        missing = seal.length - length
        raise UserError(f"{path}: truncated ({missing} of {seal.length + BLOCK_BYTES} bytes are missing); {way_out}")
    if length > seal.length or _hash_body(path)[0] != seal.sha256:
        raise UserError(f"{path}: damaged (its bytes are not those that its SHA-256 speaks of); {way_out}")


def _heaps_end(path: Path) -> bool:
    """Tell whether libhdf5 comes to the end of each heap of texts (HDF5 File Format Specification, III.E).

    Heaps have no checksum, and where an object's length is wrong it goes in circles for ever.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        steps = len(content) // _HEAP_OBJECT.size  # more there are only where heaps lie within each other
        for start in [found.start() for found in _HEAP.finditer(content)]:
            place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
            while place + _HEAP_OBJECT.size <= end <= len(content):  # a longer one libhdf5 refuses
                number, length = _HEAP_OBJECT.unpack_from(content, place)
                taken = _HEAP_OBJECT.size + -(-length // 8) * 8 if number else length
                steps -= 1
                if steps < 0 or not _HEAP_OBJECT.size <= taken <= end - place:
                    return False
                place += taken
    return True


def _hash_body(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the number of the bytes behind the user block."""
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as stream:
        stream.seek(BLOCK_BYTES)
        while piece := stream.read(READ_BYTES):
            digest.update(piece)
            length += len(piece)
    return digest.hexdigest(), length
