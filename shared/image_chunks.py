"""Writing images to an HDF5 file in one pass, however many they are."""

import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import h5py
import numpy as np

from shared.columns import IMAGES
from shared.stored import AnyImages, Images, pieces_of

CHUNK_BYTES = 1 << 16
GZIP_LEVEL = 4
MAX_THREADS = 8  # that compress
CHUNKS_AHEAD = 4  # for each of them


def write_images(file: h5py.File, images: AnyImages) -> None:
    """Write images, uint8 [N, S, S, 3], in one pass: what is in memory are some chunks, whatever N is.

    Chunks are compressed in several threads, which gives the bytes that one thread would give.
    """
    shape = tuple(images.shape)
    if not shape[0]:
        file.create_dataset(IMAGES, shape=shape, dtype="|u1", track_times=False)
        return
    rows = min(max(1, CHUNK_BYTES // int(np.prod(shape[1:]))), shape[0])
    dataset = file.create_dataset(
        IMAGES,
        shape=shape,
        dtype="|u1",
        chunks=(rows, *shape[1:]),
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        track_times=False,
    )
    workers = min(os.cpu_count() or 1, MAX_THREADS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[bytes]] = deque()
        written = 0

        def write_first() -> None:
            nonlocal written
            dataset.id.write_direct_chunk((written, 0, 0, 0), waiting.popleft().result())
            written += rows

        for chunk in _chunks(pieces_of(images), rows):
            whole = np.zeros((rows, *shape[1:]), np.uint8)  # the last one is filled up, as HDF5 does
            whole[: len(chunk)] = chunk
            waiting.append(pool.submit(zlib.compress, whole.tobytes(), GZIP_LEVEL))
            if len(waiting) > CHUNKS_AHEAD * workers:
                write_first()
        while waiting:
            write_first()


def _chunks(pieces: Iterable[Images], rows: int) -> Iterator[Images]:
    """Give the images of all pieces again, `rows` at a time, and what is left at the end."""
    kept: list[Images] = []
    held = 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            part = piece[start : start + rows - held]
            kept.append(part)
            held, start = held + len(part), start + len(part)
            if held == rows:
                yield np.concatenate(kept)
                kept, held = [], 0
    if held:
        yield np.concatenate(kept)
