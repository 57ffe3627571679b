"""A PostgreSQL server of its own for tests, from the machine's binaries."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DEBIAN = "/usr/lib/postgresql"


def binaries() -> Path | None:
    """Return the folder with the server's programs, the newest version's; None where there are none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path(DEBIAN).glob("*/bin"))
    return folders[-1] if folders else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server that listens on a socket in a folder of its own; give the start of its addresses."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's programs are not on this machine")
    user = "postgres" if os.geteuid() == 0 else None  # they refuse root
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # a socket's path is 107 bytes at most
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL
            )

        run("initdb", "--no-sync", "--auth=trust", "--username=tester", f"--pgdata={data}")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "start", "--wait", f"--pgdata={data}", f"--log={folder}/log", f"--options={options}")
        try:
            yield f"postgresql://tester@/{{database}}?host={folder}"
        finally:
            run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={data}")
