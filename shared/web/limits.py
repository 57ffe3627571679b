"""Bounds of what clients may ask: bytes and seconds of a request, and requests a minute."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.answers import refuse

TOO_SLOW, TOO_LARGE = 408, 413
MOST_PER_MINUTE = 1e9
MOST_CLIENTS = 10_000  # whose rates are remembered; the one that was silent longest is forgotten first


class _CutShortError(Exception):
    """A request's body is larger than allowed, or did not arrive in time."""


class BodyLimit:
    """Ends requests whose body is too large, said or not, or does not arrive in time.

    Args:
        app: what answers.
        max_bytes: of a body.
        seconds: in which it must have arrived.
        larger: bytes of a body at the addresses (paths) that take more.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, seconds: float, larger: Mapping[str, int] | None = None
    ) -> None:
        self.app, self.max_bytes, self.seconds, self.larger = app, max_bytes, seconds, dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 or 408, or let the request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        most = self.larger.get(scope.get("path", ""), self.max_bytes)
        if not stated.isdigit() or len(stated) > 18 or int(stated) > most:
            await _too_large(scope, send, most)
            return
        bounded = _Bounded(receive, most, time.monotonic() + self.seconds)
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if bounded.refusal is None or begun:  # else what the application makes of it is not the reason
                begun = True
                await send(message)

        with contextlib.suppress(_CutShortError):
            await self.app(scope, bounded, watched)
        if bounded.refusal == TOO_LARGE and not begun:
            await _too_large(scope, send, most)
        elif bounded.refusal == TOO_SLOW and not begun:
            await refuse(scope, send, TOO_SLOW, f"the request did not arrive within {self.seconds:g} s; send it again.")


async def _too_large(scope: Scope, send: Send, most: int) -> None:
    await refuse(scope, send, TOO_LARGE, f"the request is larger than {most // 1024} KiB; send a smaller one.")


class _Bounded:
    """A request's messages, counted; `refusal` is why they end early."""

    def __init__(self, receive: Receive, max_bytes: int, deadline: float) -> None:
        self.receive, self.left, self.deadline = receive, max_bytes, deadline
        self.whole = False
        self.refusal: int | None = None

    async def __call__(self) -> Message:
        if self.whole:  # what follows is the client's going away, for which there is no time limit
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.deadline - time.monotonic())
        except asyncio.TimeoutError as error:
            self.refusal = TOO_SLOW
            raise _CutShortError from error
        self.left -= len(message.get("body", b""))
        self.whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self.left < 0:
            self.refusal = TOO_LARGE
            raise _CutShortError
        return message


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """A token bucket a client: so many requests at once, and so many a minute after that.

    Args:
        per_minute: requests.
        burst: how many at once.
        clock: seconds, for tests.
    """

    def __init__(
        self, per_minute: float, burst: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clock = per_minute / 60, float(burst or max(1, round(per_minute))), clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._turn = threading.Lock()  # requests of one client come in several threads

    def wait_s(self, client: str) -> float:
        """Count a request of `client`; return 0 if it may be answered, else in how many seconds the next one may."""
        with self._turn:
            return self._wait_s(client, self.clock())

    def _wait_s(self, client: str, now: float) -> float:
        bucket = self._buckets.pop(client, None) or _Bucket(self.burst, now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.rate)
        bucket.at = now
        self._buckets[client] = bucket  # the last to be forgotten
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self.rate
        bucket.tokens -= 1
        return 0.0
