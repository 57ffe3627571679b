"""Orders in a database: what is to be done, by whom it was asked, and how far it is. All that lasts is here.

    queued -> running -> done | withheld | failed          cancelled: from the first two; expired: from the third

Every change is one transaction that looks at the state it changes, so that no moment is one at which a process must not
be killed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from synth.service.database import open_database
from synth.service.options import Bounds
from synth.service.table import ORDERS

DAY_S = 86400.0
ACTIVE = ("queued", "running")
NONE_KEPT = "none of the candidates was kept; order more of them, or by another rule."  # says nothing of copies


class RefusedOrderError(Exception):
    """An order that is not taken: the status of the answer, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Order:
    """A row of the table; times are seconds since 1970."""

    number: int
    id: str
    client: str
    key: str | None
    network: str
    request: str
    images: int
    state: str
    starts: int
    what: str
    progress: float
    created: float
    ended: float | None
    reason: str | None
    sha256: str | None
    file_sha256: str | None
    bytes: int | None


class OrderStore:
    """The orders of a service.

    Args:
        address: of the database, as SQLAlchemy reads it.
        bounds: how much is taken.
        clock: for tests.
    """

    def __init__(self, address: str, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._bounds, self._clock = open_database(address), bounds, clock

    def place(self, client: str, network: str, request: str, images: int, key: str | None) -> tuple[Order, bool]:
        """Take an order; return it, and whether it is new: the same key stands for the same order.

        Raises `RefusedOrderError`: the key stands for another one, or a bound is reached.
        """
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.text("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE"))
            if key is not None and (known := _one(connection, ORDERS.c.client == client, ORDERS.c.key == key)):
                if known.request != request:
                    raise RefusedOrderError(409, "this Idempotency-Key stands for another order; give a new one.")
                return known, False
            self._require_room(connection, client, network, images)
            values = {
                "id": secrets.token_hex(16),
                "client": client,
                "key": key,
                "network": network,
                "request": request,
                "images": images,
                "state": "queued",
                "starts": 0,
                "what": "waiting",
                "progress": 0.0,
                "created": self._clock(),
            }
            connection.execute(sa.insert(ORDERS).values(values))
            order = _one(connection, ORDERS.c.id == values["id"])
        assert order is not None
        return order, True

    def _require_room(self, connection: Connection, client: str, network: str, images: int) -> None:
        bounds, own = self._bounds, ORDERS.c.client == client
        active = ORDERS.c.state.in_(ACTIVE)
        if _count(connection, ORDERS.c.state == "queued") >= bounds.waiting:
            raise RefusedOrderError(503, "too many orders wait; try again later.")
        if _count(connection, own, active) >= bounds.active:
            raise RefusedOrderError(429, f"{bounds.active} of your orders are not done yet; wait, or cancel one.")
        today = own & (ORDERS.c.created > self._clock() - DAY_S) & (ORDERS.c.state != "failed")
        ordered = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(ORDERS.c.images), 0)).where(today)).scalar()
        if int(ordered or 0) + images > bounds.images_a_day:
            raise RefusedOrderError(429, f"{bounds.images_a_day} images a day are allowed; try again tomorrow.")
        of_it = own & (ORDERS.c.network == network)
        withheld = _count(connection, of_it, ORDERS.c.state == "withheld", ORDERS.c.reason != NONE_KEPT)
        if withheld and withheld + _count(connection, of_it, active) >= bounds.withheld:
            raise RefusedOrderError(
                409,
                f"{withheld} of your orders of this network were not shareable, and those under way may follow; wait "
                "for these, or ask the operator.",
            )

    def find(self, identity: str, client: str | None = None) -> Order | None:
        """Return an order, of one client or of all."""
        where = [ORDERS.c.id == identity] + ([] if client is None else [ORDERS.c.client == client])
        with self._engine.connect() as connection:
            return _one(connection, *where)

    def of(self, client: str, limit: int) -> list[Order]:
        """Return the newest orders of a client."""
        query = sa.select(ORDERS).where(ORDERS.c.client == client).order_by(ORDERS.c.number.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_order(row) for row in connection.execute(query)]

    def ahead(self, order: Order) -> int:
        """Return how many orders come before one that waits, 0 of others."""
        if order.state != "queued":
            return 0
        with self._engine.connect() as connection:
            return _count(connection, ORDERS.c.state.in_(ACTIVE), ORDERS.c.number < order.number)

    def take_up(self) -> None:
        """Let orders wait again that a process, now dead, was working on."""
        self._change(ORDERS.c.state == "running", state="queued", what="waiting", progress=0.0)

    def begin(self) -> Order | None:
        """Begin the order that has waited longest, and return it; one that was begun too often is given up."""
        oldest = sa.select(ORDERS).where(ORDERS.c.state == "queued").order_by(ORDERS.c.number).limit(1)
        with self._engine.begin() as connection:
            row = connection.execute(oldest).first()
            if row is None:
                return None
            given_up = row.starts >= self._bounds.starts
            change: dict[str, Any] = {"state": "running", "starts": row.starts + 1, "what": "starting", "progress": 0.0}
            if given_up:
                change = {
                    "state": "failed",
                    "reason": "it was begun too often; ask the operator.",
                    "ended": self._clock(),
                }
            connection.execute(sa.update(ORDERS).where(ORDERS.c.number == row.number).values(change))
            order = _one(connection, ORDERS.c.number == row.number)
        return None if given_up else order

    def tell(self, order: Order, what: str, progress: float) -> bool:
        """Write down how far an order is; return whether it is still wanted."""
        return self._change(_running(order), what=what[:80], progress=min(1.0, max(0.0, progress)))

    def is_running(self, order: Order) -> bool:
        """Return whether an order is still worked on, and so wanted."""
        with self._engine.connect() as connection:
            return _one(connection, _running(order)) is not None

    def give_back(self, order: Order) -> bool:
        """Let an order wait again whose work was stopped for no fault of its own."""
        return self._change(_running(order), state="queued", what="waiting", progress=0.0, starts=order.starts - 1)

    def retry(self, order: Order) -> bool:
        """Let an order wait again whose work has failed."""
        return self._change(_running(order), state="queued", what="waiting", progress=0.0)

    def end(self, order: Order, state: str, reason: str, **result: Any) -> bool:
        """End an order as done, withheld or failed; return False of one that was cancelled meanwhile."""
        return self._change(
            _running(order), state=state, reason=reason, what=state, progress=1.0, ended=self._clock(), **result
        )

    def cancel(self, order: Order) -> bool:
        """Cancel an order; return False of one that has ended."""
        wanted = (ORDERS.c.number == order.number) & ORDERS.c.state.in_(ACTIVE)
        return self._change(wanted, state="cancelled", reason="cancelled", what="cancelled", ended=self._clock())

    def expire(self) -> list[Order]:
        """Let what is older than the bound expire, and return it."""
        old = ORDERS.c.ended < self._clock() - DAY_S * self._bounds.days
        with self._engine.begin() as connection:
            query = sa.select(ORDERS).where(ORDERS.c.state.in_(("done", "withheld", "failed")), old)
            expired = [_order(row) for row in connection.execute(query)]
            for order in expired:
                change = sa.update(ORDERS).where(ORDERS.c.number == order.number)
                connection.execute(change.values(state="expired", what="expired", reason="it was kept long enough"))
        return expired

    def trouble(self) -> str | None:
        """Return a sentence where the database cannot be reached, None where all is well."""
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.select(ORDERS.c.number).limit(1)).first()
        except SQLAlchemyError:
            return "the database of orders cannot be reached."
        return None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _change(self, where: sa.ColumnElement[bool], **values: Any) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(sa.update(ORDERS).where(where).values(values)).rowcount > 0


def _running(order: Order) -> sa.ColumnElement[bool]:
    return (ORDERS.c.number == order.number) & (ORDERS.c.state == "running")


def _order(row: Row[Any]) -> Order:
    return Order(**row._mapping)


def _one(connection: Connection, *where: sa.ColumnElement[bool]) -> Order | None:
    row = connection.execute(sa.select(ORDERS).where(*where)).first()
    return None if row is None else _order(row)


def _count(connection: Connection, *where: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(ORDERS).where(*where)).scalar_one())
