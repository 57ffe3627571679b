"""Where a study is kept, and the lock under which its workers decide who does what.

| `--storage` | for | the lock |
|---|---|---|
| nothing: SQLite in `OUT/study.db` | one machine | the system's; it ends with its process |
| `postgresql://USER@HOST/DATABASE` | many machines | the database's; it ends with its connection |
| `journal` (`OUT/study.journal`), `journal:FILE` | a file system in common | a link (`shared.studies.link_lock`) |

Optuna claims a waiting trial by a row that the database locks. SQLite has no such lock, and two processes get the same
trial there; and nothing keeps two processes from enqueueing the same grid. Hence a lock of our own, of all three.
"""

import contextlib
import hashlib
import importlib.util
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import filelock
import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, Engine

from shared.errors import UserError, with_extra
from shared.files import write_text
from shared.studies.link_lock import LinkLock

DATABASE, JOURNAL, PLACE = "study.db", "study.journal", ".study.place"
MOST_NAME = 64
JOURNAL_START = b'{"op_code":'  # of every line that Optuna writes
LOCK_TIMEOUT_S = 120  # what is done under the lock takes a moment
LINK_GRACE_S = 30.0  # after which a link of another machine's process is taken for a dead one's
CONNECT_TIMEOUT_S = 10
MOUNTS = Path("/proc/self/mounts")
# File systems of several machines, on which SQLite's locks do not hold (sqlite.org/lockingv3.html, section 6).
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    }
)
# What Optuna's readers raise on contents that Optuna never wrote.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, AssertionError)
HOW = "give postgresql://USER@HOST/DATABASE, journal (a file in --out) or journal:FILE, or sqlite:///FILE"


@dataclass(frozen=True, eq=False)
class Storage:
    """An opened storage.

    Attributes:
        name: what messages call it; never with a password.
        optuna: where Optuna keeps its studies.
        lock: what a worker holds while it decides; other workers wait for `LOCK_TIMEOUT_S`. What a database answers it
            passes on as it is (`reached` makes sentences of it).
    """

    name: str
    optuna: BaseStorage
    lock: Callable[[], AbstractContextManager[None]]


def open_storage(asked: str | None, out: Path) -> Storage:
    """Open the storage that `--storage` names, or the usual one in the folder `out`.

    Raises `UserError`: no such kind, it cannot be reached, or it is none of Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if asked is None:
        shared = network_file_system(out)
        return _sqlite(out / DATABASE) if shared is None else _journal(out / JOURNAL)
    path = storage_file(asked, out)
    if path is None:
        return _postgresql(_parsed(asked))
    return _journal(path) if asked.startswith("journal") else _sqlite(path)


def storage_file(asked: str | None, out: Path) -> Path | None:
    """Return the file that `--storage` names, or the usual one in the folder `out`; None of a database server.

    Raises `UserError`: no such kind of storage, or no file can be there.
    """
    if asked is None:
        return out / (DATABASE if network_file_system(out) is None else JOURNAL)
    if asked == "journal":
        return out / JOURNAL
    if asked.startswith("journal:"):
        name = asked.removeprefix("journal:").removeprefix("//")
    else:
        url = _parsed(asked)
        if url.get_backend_name() != "sqlite":
            return None
        name = url.database or ""
    path = Path(name)
    if not name or path.is_dir():
        raise UserError(f"--storage {asked}: names no file; {HOW}.")
    if not path.parent.is_dir() and path.parent.resolve() != out.resolve():
        raise UserError(f"--storage {asked}: there is no folder {path.parent}; make it, or correct the name.")
    return path


def open_existing(asked: str | None, out: Path) -> Storage | None:
    """Open the storage if it holds studies; None when it has yet to be made, which is left to `open_storage`.

    Raises `UserError`: as `open_storage`.
    """
    path = storage_file(asked, out)
    if path is not None:
        return open_storage(asked, out) if path.exists() else None
    url = _parsed(str(asked))
    with reached(_shown(url)), _engine(url).connect() as connection:
        has_studies = sqlalchemy.inspect(connection).has_table("studies")
    return open_storage(asked, out) if has_studies else None


def _parsed(asked: str) -> URL:
    """Return the address of a database.

    Raises `UserError`: it is none that can hold a study.
    """
    try:
        url = sqlalchemy.make_url(asked)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        shown = re.sub(r"(//[^:/@]*):.*@", r"\1:***@", asked)  # a password
        raise UserError(f"--storage {shown}: not a storage; {HOW}.") from None
    kind = url.get_backend_name()
    named = url.database and Path(url.database).name
    if not named or kind not in ("sqlite", "postgresql", "postgres"):
        raise UserError(f"--storage {url.render_as_string(hide_password=True)}: not a storage for studies; {HOW}.")
    return url


def place_name(out: Path) -> str:
    """Return a name of the folder `out`, the same for all who see it; the first makes it, under the storage's lock."""
    path = out / PLACE
    if not path.exists():
        write_text(path, uuid.uuid4().hex)
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(MOST_NAME)


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of file system that `path` is on when several machines may share it, None otherwise.

    Systems without a table of mounts like Linux's have the benefit of the doubt.
    """
    path = Path(path).resolve()
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return None
    kinds = {Path(row[1].replace("\\040", " ")): row[2] for row in rows if len(row) > 2}  # the last mount hides others
    kind = next((kinds[place] for place in (path, *path.parents) if place in kinds), None)
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def _sqlite(path: Path) -> Storage:
    shared = network_file_system(path.parent)
    if shared is not None:
        raise UserError(
            f"--storage {path}: SQLite on a network file system ({shared}) loses what two machines write at once; "
            "give --storage journal, or postgresql://…."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT_S)

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise UserError(_held(str(path))) from error
        try:
            yield
        finally:
            lock.release()

    with locked(), undamaged(str(path)), reached(str(path)):
        address = URL.create("sqlite", database=str(path)).render_as_string()  # ? and % are signs of an address
        engine = {"poolclass": sqlalchemy.NullPool, "connect_args": {"timeout": LOCK_TIMEOUT_S}}
        return Storage(str(path), RDBStorage(address, engine_kwargs=engine), locked)


def _postgresql(url: URL) -> Storage:
    name, engine = _shown(url), _engine(url)
    key = int.from_bytes(hashlib.sha256(b"rarescreen study").digest()[:8], "big", signed=True)

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with engine.begin() as connection:  # poolers keep a connection for the time of a transaction
            connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            yield

    with reached(name), locked():
        storage = RDBStorage(
            engine.url.render_as_string(hide_password=False), engine_kwargs={"poolclass": sqlalchemy.NullPool}
        )
        return Storage(name, storage, locked)


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise UserError(f"--storage postgresql://…: needs the package psycopg; {with_extra('postgresql')}.")
    url = url.set(drivername="postgresql+psycopg")
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(CONNECT_TIMEOUT_S)})
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)


def _held(name: str) -> str:
    return f"--storage {name}: another process has held its lock for {LOCK_TIMEOUT_S} s; end it, or try again later."


@contextlib.contextmanager
def reached(name: str) -> Iterator[None]:
    """Turn what a database answers into a sentence."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "55P03":  # lock_not_available
            raise UserError(_held(name)) from error
        reason = " ".join(str(error.orig).split())
        raise UserError(f"--storage {name}: cannot be used ({reason}); check the address and the database.") from error
    except (RuntimeError, optuna.exceptions.StorageInternalError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--storage {name}: not a study of this Optuna ({reason}); give another one.") from error


@contextlib.contextmanager
def undamaged(name: str) -> Iterator[None]:
    """Turn what Optuna's readers raise on a damaged storage into a sentence; nothing of ours belongs in the block."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise _damaged(name) from error


def _damaged(name: str) -> UserError:
    return UserError(f"--storage {name}: no studies of Optuna's, or damaged; give another one.")


def _journal(path: Path) -> Storage:
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(len(JOURNAL_START))
        if not JOURNAL_START.startswith(start):  # a shorter one was cut off; of others no byte may be taken away
            raise _damaged(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with undamaged(str(path)):
        backend = JournalFileBackend(str(path), lock_obj=WholeLines(path))  # type: ignore[arg-type]  # all that it calls
        storage = JournalStorage(backend)
    claims = LinkLock(path.with_name(f".{path.name}.claims"), grace_s=LINK_GRACE_S, timeout_s=LOCK_TIMEOUT_S)

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        try:
            claims.acquire()
        except TimeoutError as error:
            raise UserError(_held(str(path))) from error
        try:
            yield
        finally:
            claims.release()

    return Storage(str(path), storage, locked)


class WholeLines(LinkLock):
    """The lock of a journal, which takes away what a process left half-written that was killed in the middle of a line.

    Otherwise the next line would be joined to it, and nobody could read the journal any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.with_name(f"{path.name}.lock"), grace_s=LINK_GRACE_S, timeout_s=LOCK_TIMEOUT_S)
        self._journal = path

    def acquire(self) -> bool:
        """Wait for the lock, and leave the journal with whole lines."""
        held = super().acquire()
        try:
            with self._journal.open("rb+") as journal:
                end = journal.seek(0, 2)
                journal.seek(max(end - 1, 0))
                if journal.read(1) not in (b"\n", b""):
                    journal.truncate(_end_of_lines(journal, end))
        except BaseException:
            self.release()
            raise
        return held


def _end_of_lines(journal: BinaryIO, end: int) -> int:
    """Return how many bytes of the `end` first are whole lines."""
    while end > 0:
        start = max(end - (1 << 16), 0)
        journal.seek(start)
        found = journal.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
