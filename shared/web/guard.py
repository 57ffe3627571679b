"""What stands around a service: names that it is called by, headers, and a log line a request without its content."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.answers import refuse

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without a referrer browsers hide the origin of our own form, too
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Answers only under the names that a service has, adds `HEADERS`, and logs each request in one JSON line.

    A page elsewhere could else reach a service on this machine through a name of its own that leads here (DNS
    rebinding), or by a form that it sends itself; so the header Host must be one of `names`, and a request that
    changes something must come from no other origin.

    Args:
        app: what answers.
        names: hosts that the service is called by; none for any.
        log: where lines go.
        clock: for tests.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Sequence[str] = LOOPBACK,
        log: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.app, self.names, self.log, self.clock = app, frozenset(map(str.lower, names)), log, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 or 403, or let the request through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, identity = self.clock(), secrets.token_hex(8)
        told: dict[str, Any] = {"status": 500, "sent": 0}

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = identity
            told["sent"] += len(message.get("body", b""))
            await send(message)

        scope.setdefault("state", {})["request_id"] = identity
        try:
            sentence = self._wrong(Headers(scope=scope), scope["method"])
            if sentence is None:
                await self.app(scope, receive, watched)
            else:
                await refuse(scope, watched, *sentence)
        finally:
            self._write(scope, told, identity, 1000 * (self.clock() - begun))

    def _wrong(self, headers: Headers, method: str) -> tuple[int, str] | None:
        place = headers.get("host", "").lower()
        if self.names and _host(place) not in self.names:
            return 421, "this service is not called by that name; start it with --name."
        origin = headers.get("origin")
        changes = method not in ("GET", "HEAD", "OPTIONS")
        if changes and origin is not None and origin.lower().partition("://")[2] != place:
            return 403, "a page of another origin cannot use this service."
        return None

    def _write(self, scope: Scope, told: dict[str, Any], identity: str, ms: float) -> None:
        route = getattr(scope.get("route"), "path", None)  # the pattern: a name in an address may tell something
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": identity,
            "method": scope["method"],
            "route": route,
            "status": told["status"],
            "ms": round(ms, 1),
            "sent": told["sent"],
            "client": scope["state"].get("client"),
        }
        print(json.dumps(line), file=self.log or sys.stderr, flush=True)


def _host(place: str) -> str:
    """Return the host of a Host header, without its port."""
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
