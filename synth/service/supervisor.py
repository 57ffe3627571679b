"""Has orders filled, one after the other, each by a process that can be ended; and puts away what came of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from shared.console import say
from shared.own_processes import module_command
from synth.service.bundles import BundleOffer, Bundles, is_empty
from synth.service.child import Child, Message
from synth.service.networks import NetworkOffer
from synth.service.options import ServeOptions
from synth.service.orders import NONE_KEPT, Order, OrderStore
from synth.service.requests import OrderRequest

COMMAND = module_command("synth.service.worker")
LOOK_EVERY_S = 0.2
ASK_EVERY_S = 1.0  # whether an order is still wanted
PAUSE_S = 5.0
EXPIRE_EVERY_S = 600.0
GONE = "the network, or its cohort, is no longer offered."
FAILED = "it failed, and the operator's log says how."
ID_CHARS = 32  # of an order, with which the names of its files begin
NOT_SHAREABLE = "the images may not be passed on: the operator's audit says why."
LATE = "it took longer than is allowed; order less."


@dataclass(frozen=True)
class Places:
    """Folders of the store: `work` is nobody's but the operator's, `ready` holds what may be given away."""

    work: Path
    ready: Path

    @classmethod
    def inside(cls, store: Path) -> Places:
        """Make them, for this user alone."""
        places = cls(store / "work", store / "ready")
        for folder in (places.work, places.ready):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return places

    def result(self, order: Order) -> Path:
        """Where the bundle of a finished order lies."""
        return self.ready / f"{order.id}.h5"

    def leftovers(self, order: Order) -> list[Path]:
        """Return what its work left, audit and pictures included."""
        return [path for path in self.work.glob(f"{order.id}*") if path.is_file()]


class Supervisor(threading.Thread):
    """Works until it is told to stop; then the order at hand waits for the next start.

    Args:
        orders: what is to be done.
        network: finds what is offered.
        ready: looks into finished bundles.
        places: where they are.
        options: of the service.
        command: of the worker.
    """

    def __init__(
        self,
        orders: OrderStore,
        network: Callable[[str], NetworkOffer | None],
        ready: Bundles,
        places: Places,
        options: ServeOptions,
        command: Sequence[str] = COMMAND,
    ) -> None:
        super().__init__(name="supervisor", daemon=True)
        self._orders, self._network, self._ready, self._places = orders, network, ready, places
        self._options, self._command = options, command
        self._stopping = threading.Event()

    def run(self) -> None:
        """Fill orders."""
        taken_up, expired = False, -EXPIRE_EVERY_S
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                if not taken_up:
                    self._orders.take_up()
                    taken_up = True
                if time.monotonic() - expired > EXPIRE_EVERY_S:
                    expired = time.monotonic()
                    self._expire()
                order = self._orders.begin()
                if order is not None:
                    self._fill(order)
            except Exception as error:  # noqa: BLE001 - a full disk, or a database that is away for a while
                say(f"orders: {type(error).__name__}: {error}; going on in a few seconds.")
                self._stopping.wait(PAUSE_S)
                taken_up = False

    def stop(self) -> None:
        """Stop, and wait until the worker has ended."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def _fill(self, order: Order) -> None:
        job = self._job(order)
        if job is None:
            self._end(order, "failed", GONE)
            return
        child = Child(self._command)
        try:
            child.tell(job)
            last = self._watch(order, child)
        finally:
            child.kill()
        if last is None:  # stopped, or cancelled
            self._put_away(order, everything=self._is_cancelled(order))
        elif last.get("done"):
            self._take(order)
        elif "error" in last:
            say(f"order {order.id}: {last['error']}")
            self._end(order, "failed", str(last.get("told", FAILED)))
        else:
            say(f"order {order.id}: its process ended without a word; it is begun again.")
            self._orders.retry(order)

    def _job(self, order: Order) -> Message | None:
        offer = self._network(order.network)
        if offer is None or offer.cohort is None or offer.no_orders is not None:
            return None
        options = self._options
        return {
            "name": order.id,
            "folder": str(self._places.work),
            "network": str(offer.path),
            "sha256": order.network,
            "cohort": str(offer.cohort),
            "request": OrderRequest.model_validate_json(order.request).model_dump(),
            "features": options.features,
            "device": options.device,
            "weights": None if options.weights is None else str(options.weights),
            "offline": options.offline,
            "memory_gib": options.memory_gib,
        }

    def _watch(self, order: Order, child: Child) -> Message | None:
        """Write down how far a worker is; return its last word, {} if it died, None if it is no longer wanted."""
        deadline, asked = time.monotonic() + 3600 * self._options.bounds.hours, -ASK_EVERY_S
        what, progress = "starting", 0.0
        while child.is_alive:
            said = child.hear(LOOK_EVERY_S)
            if said is not None and ("done" in said or "error" in said):
                return said
            if said is not None:
                what, progress = str(said.get("what", what)), float(said.get("progress", progress))
            if self._stopping.is_set():
                self._orders.give_back(order)
                return None
            if time.monotonic() > deadline:
                return {"error": LATE, "told": LATE}
            if said is not None or time.monotonic() - asked >= ASK_EVERY_S:
                asked = time.monotonic()
                if not self._is_wanted(order, None if said is None else (what, progress)):
                    return None
        return {}

    def _is_wanted(self, order: Order, news: tuple[str, float] | None) -> bool:
        """Write down what is new of an order, and tell whether it is still wanted.

        A database that is away for a while ends no work of hours: who cancelled it meanwhile waits.
        """
        try:
            return self._orders.tell(order, *news) if news else self._orders.is_running(order)
        except SQLAlchemyError as error:
            say(f"order {order.id}: {type(error).__name__}: its state cannot be written down; the work goes on.")
            self._stopping.wait(PAUSE_S)
            return True

    def _take(self, order: Order) -> None:
        """Look at the bundle as it lies where it will be given away from; only what is shareable stays there."""
        result = self._places.result(order)
        made = self._places.work / f"{order.id}.h5"
        made.replace(result)
        offer = self._ready.at(result)
        if offer is None:
            self._withhold(order, result)
            return
        if self._end(order, "done", str(offer.about["shareable_reason"]), **_result(offer)):
            say(f"order {order.id}: done, for {order.client}")

    def _withhold(self, order: Order, result: Path) -> None:
        empty = is_empty(result)
        reason, why = (NONE_KEPT, "nothing was kept") if empty else (NOT_SHAREABLE, "not shareable")
        result.unlink()
        say(f"order {order.id}: {why}; {order.id}_audit.md in {self._places.work} says more")
        self._end(order, "withheld", reason)

    def _end(self, order: Order, state: str, reason: str, **result: str | int) -> bool:
        ended = self._orders.end(order, state, reason, **result)
        self._put_away(order, everything=not ended)
        return ended

    def _is_cancelled(self, order: Order) -> bool:
        now = self._orders.find(order.id)
        return now is None or now.state == "cancelled"

    def _put_away(self, order: Order, *, everything: bool) -> None:
        """Remove what nobody needs again; with `everything` also the audit, and what an order would go on with."""
        ended = self._orders.find(order.id)
        going_on = not everything and ended is not None and ended.ended is None
        kept = ("_audit.md", "_borders.png", "_copies.png", "_scores.png", "_sheet.png")
        for path in self._places.leftovers(order):
            audit = path.name.removeprefix(order.id) in kept
            if not going_on and (everything or not audit):
                path.unlink(missing_ok=True)
        if everything:
            self._places.result(order).unlink(missing_ok=True)

    def _expire(self) -> None:
        """Let what was kept long enough expire, and remove its files, and those that a sudden end has left."""
        self._orders.expire()
        paths = [path for place in (self._places.work, self._places.ready) for path in place.iterdir()]
        for name in {path.name[:ID_CHARS] for path in paths}:
            order = self._orders.find(name)
            if order is not None and order.ended is not None:
                self._put_away(order, everything=order.state in ("cancelled", "expired"))


def _result(offer: BundleOffer) -> dict[str, str | int]:
    return {"sha256": offer.sha256, "file_sha256": offer.file_sha256, "bytes": offer.stamp.size}
