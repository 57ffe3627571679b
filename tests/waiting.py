"""Waiting in tests: for as long as a busy machine may take, and no longer."""

import time
from collections.abc import Callable

import pytest

PATIENCE_S = 120.0


def until(holds: Callable[[], object], *, every_s: float = 0.01, seconds: float = PATIENCE_S) -> None:
    """Wait until something holds; fail where it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"not so within {seconds:g} s")
        time.sleep(every_s)
