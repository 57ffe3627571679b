"""Who a worker is, and whether one that was on this machine has certainly ended."""

import contextlib
import os
import socket
import uuid
from pathlib import Path

PROC = Path("/proc")


def worker_name() -> str:
    """Return a name of this process that no other one ever has: host, machine's start, process and its start."""
    return " ".join((socket.gethostname(), _place(), str(os.getpid()), _started(os.getpid()) or uuid.uuid4().hex))


def is_here(name: str) -> bool:
    """Tell whether a worker is, or was, a process of this machine since it was started, and visible from here."""
    return name.split()[:2] == [socket.gethostname(), _place()]


def has_ended(name: str) -> bool:
    """Tell whether a worker of this machine has ended; False where that cannot be known from here.

    A container may have the host's name and processes of its own: then the numbers mean something else there.
    """
    parts = name.split()
    if len(parts) != 4 or not is_here(name) or not parts[2].isdecimal():
        return False
    return _started(int(parts[2])) != parts[3]


def _place() -> str:
    """Return what distinguishes this start of this machine, and which processes are visible; "-" where unknown."""
    with contextlib.suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').stat().st_ino}"
    return uuid.uuid4().hex  # equal to nobody's


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since the machine did; None when there is none (or it is a zombie)."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
