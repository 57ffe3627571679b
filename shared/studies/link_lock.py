"""A lock that is a symbolic link: it works on file systems that several machines share, and outlives no dead holder.

Making a link fails when there is one, on NFS too, and reading it tells who holds it. (Optuna's own lock of this kind
asks for the age of what the link points at. Where that is no file it waits for ever, without a pause.)
"""

import contextlib
import threading
import time
import uuid
from pathlib import Path

from shared.studies.liveness import has_ended, worker_name

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.2
SEPARATOR = " - "


class LinkLock:
    """A lock at `path`, of the thread that acquired it.

    One whose holder was a process of this machine that has ended is broken at once, any other when the same holder has
    been seen for `grace_s`. So what is done under it must take less than that.
    """

    def __init__(self, path: Path, *, grace_s: float, timeout_s: float) -> None:
        """Make a lock that a waiting thread gives up after `timeout_s`."""
        self._path, self._grace_s, self._timeout_s = path, grace_s, timeout_s
        self._own_threads = threading.Lock()
        self._token = ""

    def acquire(self) -> bool:
        """Wait for the lock.

        Raises TimeoutError: others have held it, in turn or not, for all of the time.
        """
        end = time.monotonic() + self._timeout_s
        if not self._own_threads.acquire(timeout=self._timeout_s):
            raise TimeoutError(str(self._path))
        try:
            self._take(SEPARATOR.join((worker_name(), uuid.uuid4().hex)), end)
        except BaseException:
            self._own_threads.release()
            raise
        return True

    def _take(self, token: str, end: float) -> None:
        seen, since, pause = "", 0.0, FIRST_PAUSE_S
        while True:
            with contextlib.suppress(FileExistsError):
                self._path.symlink_to(token)
                self._token = token
                return
            holder = self._holder()
            if holder == token:  # the answer of a file server was lost, and the link was asked for twice
                self._token = token
                return
            now = time.monotonic()
            if holder != seen:
                seen, since = holder, now
            if holder and (has_ended(holder.partition(SEPARATOR)[0]) or now - since > self._grace_s):
                self._break(holder)
                continue
            if now > end:
                raise TimeoutError(str(self._path))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def release(self) -> None:
        """Let go of the lock, if nobody has broken it meanwhile."""
        try:
            if self._holder() == self._token:
                self._path.unlink(missing_ok=True)
        finally:
            self._own_threads.release()

    def _holder(self) -> str:
        """Return the token of who holds it, "" for nobody."""
        try:
            return str(self._path.readlink())
        except FileNotFoundError:
            return ""

    def _break(self, holder: str) -> None:
        """Take the link of a dead holder away.

        Of several that try it one at a time does, under a link of its own: who looked long ago would otherwise take
        the link of the next holder. The link of one that died at that is taken away in turn.
        """
        breaking = self._path.with_name(f"{self._path.name}.breaking")
        try:
            breaking.symlink_to(worker_name())
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if has_ended(str(breaking.readlink())) or time.time() - breaking.lstat().st_mtime > self._grace_s:
                    breaking.unlink()
            return
        try:
            if self._holder() == holder:
                self._path.unlink(missing_ok=True)
        finally:
            breaking.unlink(missing_ok=True)
