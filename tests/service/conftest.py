"""A small service, without torch."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_service import Place
from starlette.testclient import TestClient

PATIENCE_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def until() -> Callable[..., dict[str, Any]]:
    """Ask for an order until it has a state."""

    def wait(client: TestClient, order: str, *states: str) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            told: dict[str, Any] = client.get(f"/orders/{order}").json()
            if told["state"] in states:
                return told
            time.sleep(0.05)
        raise AssertionError(told)

    return wait
