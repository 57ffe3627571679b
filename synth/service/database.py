"""The database of orders: SQLite in the store, or PostgreSQL."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from shared.errors import UserError, with_extra
from synth.service.table import METADATA

WAIT_S = 30
DATABASE = "orders.db"


def address_of(store: Path, asked: str | None) -> str:
    """Return the address that `--database` names, or that of the file in a store."""
    return URL.create("sqlite", database=str(store / DATABASE)).render_as_string() if asked is None else asked


def open_database(address: str) -> Engine:
    """Open a database, and make its table if it has none.

    Raises `UserError`: no such kind, or it cannot be reached.
    """
    try:
        url = sa.make_url(address)
    except ArgumentError as error:
        raise UserError("--database: not an address; give postgresql://USER@HOST/DATABASE.") from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"--database {url.get_backend_name()}: not supported; give postgresql://USER@HOST/DATABASE.")
    engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
    try:
        METADATA.create_all(engine)
    except SQLAlchemyError as error:
        name = url.render_as_string(hide_password=True)
        raise UserError(f"{name}: cannot be used as the database of orders; give another one.") from error
    return engine


def _postgresql(url: URL) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise UserError(f"--database postgresql: needs the package psycopg; {with_extra('postgresql')}.")
    connect = {"connect_timeout": WAIT_S}
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=connect)


def _sqlite(url: URL) -> Engine:
    """Open a file: each transaction takes the lock when it begins, since two that read first could both change."""
    if url.database not in (None, "", ":memory:"):
        with contextlib.suppress(OSError):  # which the connection will say better
            Path(str(url.database)).touch(mode=0o600)  # for its owner alone, whoever may look into the folder
    engine = sa.create_engine(url, connect_args={"timeout": WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins none by itself
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was answered lasts through a power cut

    @sa.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
