"""The process that decodes (`shared.decoding`): `python -m shared.decoding_worker SIZE FIT`, bytes in, squares out."""

import contextlib
import io
import resource
import signal
import sys

from shared.decoding import ANSWER, BAD, GOOD, MAX_REASON, REQUEST
from shared.images import BadPhotoError, read_photo, to_square

MAX_BYTES = 1 << 26  # of a file
MAX_PIXELS = 50_000_000
LAST_SECONDS = 60  # for one photograph: who asked ends this process long before, unless it was ended itself
MEMORY_BYTES = 2 << 30  # of addresses: a picture of so many pixels, twice, and Pillow and NumPy themselves


def bound() -> None:
    """Take from this process what it does not need: more memory, files to write, and a copy of it on the disk."""
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def answer(content: bytes, size: int, fit: str) -> tuple[int, bytes, int]:
    """Return the state, the square's bytes or the reason against it, and the shorter side in px."""
    try:
        photo = read_photo(io.BytesIO(content), max_pixels=MAX_PIXELS)
        return GOOD, to_square(photo, size, fit).tobytes(), min(photo.shape[:2])  # type: ignore[arg-type]
    except BadPhotoError as error:
        return BAD, str(error)[:MAX_REASON].encode(), 0
    except MemoryError:
        return BAD, b"takes too much memory", 0


def _end_after(seconds: int) -> None:
    """Let the system end this process, whatever it is doing then; 0 calls that off."""
    signal.alarm(seconds)


def main() -> None:
    """Answer until there is nothing more to read."""
    size, fit = int(sys.argv[1]), sys.argv[2]
    bound()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        if length > MAX_BYTES or len(content := source.read(length)) != length:
            return
        _end_after(LAST_SECONDS)
        state, body, side_px = answer(content, size, fit)
        _end_after(0)
        sink.write(ANSWER.pack(state, len(body), side_px) + body)
        sink.flush()


if __name__ == "__main__":
    main()
