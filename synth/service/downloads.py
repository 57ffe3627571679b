"""Files in ranges (RFC 9110): resumable, with the SHA-256 as ETag, and never a byte of a file that has changed.

Of several ranges at once none is taken: the whole file is the answer, which RFC 9110 (14.2) allows, and no request can
ask for more bytes than the file has.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synth.service.bundles import BundleOffer
from synth.service.checks import ChangedError, Stamp, open_checked

PIECE = 1 << 18
_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.ASCII | re.IGNORECASE)

Note = Callable[[int], None]  # is told how many bytes will be given, before the first one is


def chosen(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes [start, stop) that a Range header asks for, None for all.

    What is no range of bytes, and several of them, ask for all.

    Raises `LookupError`: there are none such.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    if match[3] is not None:
        start, stop = max(0, size - int(match[3])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None  # not a range, says RFC 9110 (14.1.1)
    if start >= stop:
        raise LookupError(header)
    return start, stop


def lists(header: str, etag: str, *, weak: bool) -> bool:
    """Tell whether a header If-Match or If-None-Match has an ETag; `weak` compares as the latter does."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag in tags or (weak and f"W/{etag}" in tags)


class Download(Response):
    """The answer to a request for a bundle.

    Args:
        offer: what was checked.
        headers: of the request.
        name: that the file is saved under.
        note: is called just before anything is given; what it raises is raised. None where only headers are asked for.
        place: is held while the file is given.

    Raises `HTTPException`, also when called: a condition does not hold, there is no such range, or the file changed.
    """

    media_type = "application/x-hdf5"

    def __init__(
        self, offer: BundleOffer, headers: Headers, *, name: str, note: Note | None, place: AbstractContextManager[None]
    ) -> None:
        size, etag = offer.stamp.size, f'"{offer.file_sha256}"'
        own = {"ETag": etag, "Accept-Ranges": "bytes", "Repr-Digest": offer.digest}
        self._offer, self._place, self._note, self._part = offer, place, note, (0, 0)
        if "if-match" in headers and not lists(headers["if-match"], etag, weak=False):
            raise HTTPException(412, "the file is another one now; begin again.", own)
        if "if-none-match" in headers and lists(headers["if-none-match"], etag, weak=True):
            super().__init__(status_code=304, headers=own)
            return
        try:
            # Of a request for headers alone there are no ranges (RFC 9110, 14.2).
            wanted = note is not None and headers.get("if-range", etag) == etag
            part = chosen(headers.get("range") if wanted else None, size)
        except LookupError as error:
            raise HTTPException(
                416, f"the file has {size} bytes.", own | {"Content-Range": f"bytes */{size}"}
            ) from error
        start, stop = part or (0, size)
        own["Content-Disposition"] = f'attachment; filename="{name}"'
        if part is not None:
            own["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        super().__init__(status_code=200 if part is None else 206, headers=own)
        self.headers["Content-Length"] = str(stop - start)
        if note is not None:
            self._part = start, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the bytes; where the file changes meanwhile end in the middle, which the client can tell."""
        del scope, receive
        if self._part[0] == self._part[1]:
            await self._begin(send)
            await send({"type": "http.response.body", "body": b""})
            return
        with self._place:
            descriptor = self._open()
            try:
                await self._give(descriptor, send)
            finally:
                os.close(descriptor)

    async def _give(self, descriptor: int, send: Send) -> None:
        place, stop = self._part
        assert self._note is not None
        await anyio.to_thread.run_sync(self._note, stop - place)
        await self._begin(send)
        while place < stop:
            end = min(stop, place + PIECE)
            piece = await anyio.to_thread.run_sync(_read, descriptor, place, end, self._offer.stamp)
            place += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": place < stop})

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    def _open(self) -> int:
        try:
            return open_checked(self._offer.path, self._offer.stamp)
        except ChangedError as error:
            raise HTTPException(404, "the bundle is no longer offered.") from error


def _read(descriptor: int, start: int, stop: int, stamp: Stamp) -> bytes:
    piece = os.pread(descriptor, stop - start, start)
    if Stamp.of(os.fstat(descriptor)) != stamp or not piece:
        raise ChangedError
    return piece


class AtOnce:
    """Counts what each client does at the same time."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """Hold one of a client's places during the block.

        Raises `HTTPException`: all are taken.
        """
        with self._lock:
            if self._busy[client] >= self._most:
                raise HTTPException(
                    429, f"{self._most} downloads at once are allowed; wait for one.", {"Retry-After": "5"}
                )
            self._busy[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[client] -= 1
                if not self._busy[client]:
                    del self._busy[client]
