"""What is left in the store, of whom, and who can read it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from waiting import until

from synth.service import supervisor
from synth.service.bundles import Bundles
from synth.service.options import Bounds, ServeOptions
from synth.service.orders import Order, OrderStore
from synth.service.supervisor import Places, Supervisor


def ended(orders: OrderStore, state: str) -> Order:
    """Return an order that ended so."""
    orders.place("ada", "n", "{}", 10, None)
    order = orders.begin()
    assert order is not None
    assert orders.cancel(order) if state == "cancelled" else orders.end(order, state, "a test")
    return order


def test_what_a_sudden_end_has_left_of_an_order_is_removed(tmp_path: Path) -> None:
    """Killed between the word in the database and the removal: photographs of a cancelled order would stay for ever."""
    orders, places = OrderStore(f"sqlite:///{tmp_path}/o.db", Bounds()), Places.inside(tmp_path / "store")
    done, cancelled, withheld = (ended(orders, state) for state in ("done", "cancelled", "withheld"))
    waiting, _ = orders.place("ada", "n", "{}", 10, None)
    for order in (done, cancelled, withheld, waiting):
        for end in ("_copies.png", "_candidates.h5", ".h5"):
            (places.work / f"{order.id}{end}").write_text("left")
        places.result(order).write_text("left")
    (places.work / "of nobody.txt").write_text("left")
    options = ServeOptions((), tmp_path / "store")
    Supervisor(orders, lambda _: None, Bundles([places.ready]), places, options)._expire()
    assert {path.name for path in places.work.iterdir()} == {
        f"{done.id}_copies.png",  # the audit of what was given, until that expires
        f"{withheld.id}_copies.png",  # and of what was not
        *(f"{waiting.id}{end}" for end in ("_copies.png", "_candidates.h5", ".h5")),
        "of nobody.txt",
    }
    assert not places.result(cancelled).exists()
    assert places.result(done).exists()
    orders.close()


def test_what_expires_is_removed_with_its_audit(tmp_path: Path) -> None:
    now = 1e9
    orders = OrderStore(f"sqlite:///{tmp_path}/o.db", Bounds(days=2), clock=lambda: now)
    places = Places.inside(tmp_path / "store")
    order = ended(orders, "done")
    paths = [places.result(order), places.work / f"{order.id}_copies.png"]
    for path in paths:
        path.write_text("left")
    working = Supervisor(orders, lambda _: None, Bundles([places.ready]), places, ServeOptions((), tmp_path / "store"))
    now += 2 * 86400 - 1
    working._expire()
    assert all(path.exists() for path in paths)
    now += 2
    working._expire()
    assert not any(path.exists() for path in paths)
    orders.close()


def test_what_was_not_given_expires_too(tmp_path: Path) -> None:
    now = 1e9
    orders = OrderStore(f"sqlite:///{tmp_path}/o.db", Bounds(days=2), clock=lambda: now)
    places = Places.inside(tmp_path / "store")
    for state in ("withheld", "failed"):
        (places.work / f"{ended(orders, state).id}_copies.png").write_text("photographs of patients")
    working = Supervisor(orders, lambda _: None, Bundles([places.ready]), places, ServeOptions((), tmp_path / "store"))
    now += 2 * 86400 + 1
    working._expire()
    assert list(places.work.iterdir()) == []
    orders.close()


def test_a_database_that_is_away_for_longer_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(supervisor, "PAUSE_S", 0.01)
    orders, places = OrderStore(f"sqlite:///{tmp_path}/o.db", Bounds()), Places.inside(tmp_path / "store")
    waiting, _ = orders.place("ada", "n", "{}", 10, None)
    away, asked = threading.Event(), []

    def answer(name: str) -> Callable[..., object]:
        original = getattr(orders, name)

        def call(*given: object) -> object:
            asked.append(name)
            if away.is_set():
                raise OperationalError("", {}, Exception("the database system is starting up"))
            return original(*given)

        return call

    for name in ("take_up", "begin", "expire"):
        monkeypatch.setattr(orders, name, answer(name))
    away.set()
    thread = Supervisor(orders, lambda _: None, Bundles([places.ready]), places, ServeOptions((), tmp_path / "store"))
    thread.start()
    until(lambda: asked.count("take_up") >= 5)
    assert thread.is_alive()
    away.clear()
    until(lambda: (found := orders.find(waiting.id)) is not None and found.state == "failed")  # no such network
    thread.stop()
    orders.close()


def test_the_orders_are_their_owners(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    OrderStore(f"sqlite:///{tmp_path}/o.db", Bounds()).close()
    assert (tmp_path / "o.db").stat().st_mode & 0o077 == 0
