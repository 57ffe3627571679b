"""The store of orders: beside a model that counts by itself, and with many who order at once."""

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.service.options import Bounds
from synth.service.orders import Order, OrderStore, RefusedOrderError


class Model:
    """Counts by itself what a store must take, begin, end and cancel."""

    def __init__(self, store: OrderStore) -> None:
        self.store, self.states = store, dict[str, tuple[str, str]]()  # id: client, state
        self.running: Order | None = None

    def place(self, client: str) -> None:
        mine = [state for who, state in self.states.values() if who == client]
        room = (
            sum(state == "queued" for _, state in self.states.values()) < 4
            and sum(state in ("queued", "running") for state in mine) < 2
            and 10 * len(mine) + 10 <= 50
        )
        if not room:
            with pytest.raises(RefusedOrderError):
                self.store.place(client, "n", "{}", 10, None)
            return
        order, is_new = self.store.place(client, "n", "{}", 10, None)
        assert is_new
        self.states[order.id] = client, "queued"

    def begin(self, _: str) -> None:
        if self.running is not None:
            return
        oldest = next((each for each, (_, state) in self.states.items() if state == "queued"), None)
        self.running = self.store.begin()
        assert (self.running.id if self.running else None) == oldest
        self._set(oldest, "running")

    def end(self, _: str) -> None:
        if self.running is None:
            return
        wanted = self.states[self.running.id][1] == "running"
        assert self.store.end(self.running, "done", "well") is wanted
        if wanted:
            self._set(self.running.id, "done")
        self.running = None

    def cancel(self, client: str) -> None:
        for each, (_, state) in [item for item in self.states.items() if item[1][0] == client][:2]:
            order, active = self.store.find(each, client), state in ("queued", "running")
            assert order is not None
            assert self.store.cancel(order) is active
            if active:
                self._set(each, "cancelled")

    def check(self) -> None:
        for each, (client, state) in self.states.items():
            found = self.store.find(each, client)
            assert found is not None
            assert found.state == state

    def _set(self, identity: str | None, state: str) -> None:
        if identity is not None:
            self.states[identity] = self.states[identity][0], state


@given(st.lists(st.tuples(st.sampled_from(["place", "begin", "end", "cancel"]), st.sampled_from("abc")), max_size=40))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bounds_hold_whatever_happens(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]) -> None:
    bounds = Bounds(waiting=4, active=2, images_a_day=50, withheld=99)
    store = OrderStore(f"sqlite:///{tmp_path_factory.mktemp('s')}/o.db", bounds, clock=lambda: 1e9)
    model = Model(store)
    for step, client in steps:
        getattr(model, step)(client)
    model.check()
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/o.db" if request.param == "sqlite" else request.getfixturevalue("postgresql")()


def test_many_at_once_are_bounded_and_the_same_key_is_one(database: str) -> None:
    store = OrderStore(database, Bounds(active=3))
    gate = threading.Barrier(12)
    outcomes: list[object] = []

    def place(number: int) -> None:
        gate.wait()
        try:
            order, is_new = store.place("a", "n", "{}", 10, "same" if number % 2 else None)
            outcomes.append((order.id, is_new))
        except RefusedOrderError as error:
            outcomes.append(error.status)

    threads = [threading.Thread(target=place, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(isinstance(each, tuple) and each[1] for each in outcomes) == 3
    assert len(outcomes) == 12
    first, second = store.begin(), store.begin()
    assert first is not None
    assert second is not None
    assert store.tell(first, "drawing", 0.5)
    assert store.give_back(first)
    store.take_up()
    again = store.begin()
    assert again is not None
    assert (again.id, again.starts) == (first.id, 1)
    assert store.end(again, "done", "well", sha256="a" * 64, file_sha256="b" * 64, bytes=1 << 40)
    found = store.find(again.id, "a")
    assert found is not None
    assert (found.state, found.bytes) == ("done", 1 << 40)
    assert store.expire() == []
    assert store.trouble() is None
    store.close()
