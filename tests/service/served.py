"""A small service in a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from small_service import Place

SERVER = Path(__file__).with_name("small_server.py")
PATIENCE_S = 60


class Served:
    """A process that serves a `Place`."""

    def __init__(self, place: Place) -> None:
        self.place, self.address = place, place.folder / "address.json"
        self.address.unlink(missing_ok=True)
        self.log = place.folder / "log.txt"
        root = SERVER.parents[2]
        paths = [SERVER.parent, root, root / "vendor" / "stylegan2-ada"]
        with self.log.open("a") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(SERVER), str(place.folder)],
                stderr=stream,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            )
        try:
            self.wait(self.address.exists)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.host, self.port = json.loads(self.address.read_text())
        self.client = httpx.Client(
            base_url=f"http://{self.host}:{self.port}", headers=place.heads["ada"], timeout=PATIENCE_S
        )

    def wait(self, holds: Any) -> None:
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def order(self, identity: str, state: str) -> dict[str, Any]:
        """Wait until an order has a state."""
        told: dict[str, Any] = {}

        def has_it() -> bool:
            told.update(self.client.get(f"/orders/{identity}").json())
            return told["state"] == state

        self.wait(has_it)
        return told

    def workers(self) -> list[int]:
        """Return all workers, of whichever thread."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(each) for thread in threads for each in (thread / "children").read_text().split()]

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the end."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def served(place: Place) -> Iterator[Served]:
    server = Served(place)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)
