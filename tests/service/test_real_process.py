"""The service as a process: killed at any moment it comes to the same bytes, and no bytes from outside end it."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from served import PATIENCE_S, SERVER, Served, served
from small_service import Place, bundle_of, identity
from small_worker import SLOW

from shared.bundle import write_bundle

MALFORMED = 1000


def starts(place: Place) -> list[int]:
    """Return how often each order was begun."""
    with contextlib.closing(sqlite3.connect(place.folder / "store" / "orders.db")) as connection:
        return [row[0] for row in connection.execute("SELECT starts FROM orders")]


def is_gone(process: int) -> bool:
    """Tell whether a process has ended (a zombie has, too)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("victims", ["server", "worker", "both"])
def test_whoever_is_killed_in_mid_order_the_bytes_are_the_same(place: Place, victims: str) -> None:
    expected = place.folder / "expected.h5"
    write_bundle(expected, bundle_of(range(8), network=place.own))
    head = {"Idempotency-Key": "once"}
    with served(place) as server:
        order = server.client.post("/orders", json=place.order(sigma=SLOW), headers=head).json()["id"]
        server.wait(lambda: server.client.get(f"/orders/{order}").json()["what"] == "drawing")
        (worker,) = server.workers()
        if victims in ("worker", "both"):
            os.kill(worker, signal.SIGKILL)
        if victims == "worker":
            server.wait(lambda: server.workers() not in ([], [worker]))
        else:
            assert server.end(signal.SIGKILL) == -signal.SIGKILL
            end = time.monotonic() + PATIENCE_S
            while not is_gone(worker):  # it ends by itself: nobody would hear it
                assert time.monotonic() < end
                time.sleep(0.05)
        (place.folder / "store" / "work" / "go on").touch()
        if victims == "worker":
            server.order(order, "done")
            assert server.client.get(f"/orders/{order}/bundle").content == expected.read_bytes()
    with served(place) as server:
        told = server.order(order, "done")
        again = server.client.post("/orders", json=place.order(sigma=SLOW), headers=head)
        assert (again.status_code, again.json()["id"]) == (200, order)
        answer = server.client.get(f"/orders/{order}/bundle")
        assert answer.content == expected.read_bytes()
        assert told["bytes"] == len(answer.content)
        lines = [json.loads(line) for line in (place.folder / "store" / "audit.jsonl").read_text().splitlines()]
        assert {line["what"] for line in lines} == {"order", "download"}


def test_a_polite_end_lets_the_order_wait(place: Place) -> None:
    with served(place) as server:
        order = server.client.post("/orders", json=place.order(sigma=SLOW)).json()["id"]
        server.order(order, "running")
        assert server.end(signal.SIGTERM) == 0
        assert starts(place) == [0]  # it was not its fault
    (place.folder / "store" / "work" / "go on").touch()
    with served(place) as server:
        server.order(order, "done")
    assert "Traceback" not in server.log.read_text()


def malformed(rng: random.Random, place: Place) -> bytes:
    """Return a request with something wrong, or none at all."""
    good = (
        f"POST /orders HTTP/1.1\r\nHost: localhost\r\n{'Authorization: ' + place.heads['ada']['Authorization']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    bodies = (
        b"",
        b"{",
        b"[" * 60_000,
        b'{"network": 1e999}',
        b'{"count": ' + b"9" * 5000 + b"}",
        b"\xff" * 99,
        b"null",
    )
    body = rng.choice(bodies)
    whole = (good % rng.choice([len(body), len(body), 0, 5])).encode() + body
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 3000))
    if kind == 1:  # some bytes are others
        changed = bytearray(whole)
        for _ in range(rng.randrange(1, 9)):
            changed[rng.randrange(min(300, len(changed)))] = rng.randrange(256)
        return bytes(changed)
    if kind == 2:
        return whole[: rng.randrange(len(whole))]
    if kind == 3:
        length = rng.choice(["-1", "x", "9" * 40, "1e9", "65537", "+3", "0x9", ""])
        return whole.replace(b"Content-Length:", f"Content-Length: {length}\r\nX:".encode())
    if kind == 4:
        path = rng.choice(
            [
                "/" + "a" * 70_000,
                "/%00",
                "/%ff%fe",
                "//",
                "/bundles/%2e%2e%2f%2e%2e/etc",
                "*",
                "http://x/",
                "/?" + "a=b&" * 9000,
            ]
        )
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    if kind == 5:
        head = rng.choice(
            [
                "Range: bytes=" + "0-," * 9000,
                "X: " + "y" * 70_000,
                "\x00: 1",
                "A\x00B: c",
                "Host: b",
                "Transfer-Encoding: chunked",
            ]
        )
        token = place.heads["ada"]["Authorization"]
        path = f"/bundles/{identity(place.shared)}/file"
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n{head}\r\n\r\nzz\r\n".encode()
    if kind == 6:
        return b"\r\n".join([b"GET / HTTP/1.1", *[b"H%d: v" % n for n in range(rng.randrange(3000))], b"", b""])
    return whole


def said_to(server: Served, content: bytes, *, ended: bool) -> bytes:
    """Send bytes, as the whole or as a beginning; return the status of the answer, if any."""
    with (
        socket.create_connection((server.host, server.port), timeout=PATIENCE_S) as connection,
        contextlib.suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(content)
        if ended:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE_S if ended else 0.2)
        return connection.recv(64)[9:12]
    return b""


def test_no_bytes_from_outside_end_it(place: Place) -> None:
    rng = random.Random(0)
    statuses: dict[bytes, int] = {}
    with served(place) as server:
        for number in range(MALFORMED):
            status = said_to(server, malformed(rng, place), ended=number % 2 == 1)
            statuses[status] = statuses.get(status, 0) + 1
        assert server.client.get("/readyz").status_code == 200
        assert server.client.get("/orders").json() == {"orders": []}
        assert server.process.poll() is None
    assert b"500" not in statuses, statuses
    assert {b"400", b"422"} <= set(statuses), statuses
    assert "Traceback" not in server.log.read_text()


def test_the_example_of_the_page_works(place: Place) -> None:
    """docs/service.md, in Python, with this server's address and an order of its size."""
    page = (SERVER.parents[2] / "docs" / "service.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    with served(place) as server:
        changes = {
            '"https://synth.example"': repr(str(server.client.base_url)),
            '"count": 1000': '"count": 8',
            "time.sleep(5)": "time.sleep(0.1)",
        }
        for old, new in changes.items():
            assert code.count(old) == 1
            code = code.replace(old, new)
        token = place.heads["ada"]["Authorization"].removeprefix("Bearer ")
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code + "print(len(content))"],
            env=os.environ | {"TOKEN": token},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        (order,) = server.client.get("/orders").json()["orders"]
        assert int(run.stdout) == order["bytes"]
