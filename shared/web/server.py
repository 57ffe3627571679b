"""A server that is bounded, says where it listens, and ends well when asked to."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from shared.console import say
from shared.errors import UserError
from shared.web.guard import LOOPBACK
from shared.web.patience import PatientProtocol

KEEP_ALIVE_S = 5
GRACE_S = 30  # in which requests that have begun may end
BACKLOG = 128
WILDCARDS = ("", "0.0.0.0", "::")  # listen at every address of the machine
MAX_CONNECTIONS = 256
STALL_S = 60  # after which a client that takes nothing of its answer is given up


@dataclass(frozen=True)
class Address:
    """Where a service listens; port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 8000

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK

    @property
    def names(self) -> tuple[str, ...]:
        """The host that requests may call it by, besides this machine's own; an address of all addresses is none."""
        return () if self.host in WILDCARDS else (self.host,)


def require_safe(address: Address, tokens: Path | None) -> None:
    """Raise `UserError` where others could reach a service that asks for no token."""
    if not address.is_local and tokens is None:
        raise UserError(
            f"--host {address.host}: others can reach that, so they need a token; give --tokens FILE, or no --host."
        )


def reserve(address: Address) -> socket.socket:
    """Return a socket that has an address; who connects before `serve` is refused.

    Raises `UserError`: the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Named TCP, else asyncio leaves Nagle's algorithm on: an answer in two pieces then waits 40 ms for the client.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; those that it accepts inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * STALL_S)
    try:
        listener.bind((address.host, address.port))
    except (OSError, OverflowError, UnicodeError) as error:  # the last of a name that is none
        listener.close()
        raise _taken(address.host, address.port, error) from error
    return listener


def require_free(address: Address, tokens: Path | None) -> None:
    """Raise `UserError` where a service could not have an address, or may not: before it loads what takes a while."""
    require_safe(address, tokens)
    reserve(address).close()


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises `UserError`: as `reserve`.
    """
    listener = reserve(address)
    listener.listen(BACKLOG)
    return listener


def _taken(host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or str(error)
    way_out = "end what listens there, or give another one" if getattr(error, "errno", 0) == errno.EADDRINUSE else ""
    return UserError(f"--host {host} --port {port}: {reason}; {way_out or 'give another one'}.")


def serve(app: ASGIApp, listener: socket.socket, *, what: str) -> None:
    """Answer requests until SIGINT or SIGTERM, then those that have begun, and return; `what` names the service.

    Raises `UserError`: somebody else has begun to listen at the address meanwhile.
    """
    host, port = listener.getsockname()[:2]
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _taken(host, port, error) from error
    shown = f"[{host}]" if ":" in host else host
    say(f"{what}: http://{shown}:{port}  (Ctrl-C ends it)")
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        proxy_headers=False,
    )
    with _ended_by_signals():
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the signals that end a server end nothing else: uvicorn raises them again when it has answered all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
