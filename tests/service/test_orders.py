"""Orders: one for each key, bounded, cancelled, and given only to who ordered, if shareable."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_service import BOUNDS, Place, bundle_of
from small_worker import DIES, FAILS, FLOODS, SLOW, WITHHELD

from shared.bundle import write_bundle
from synth.service.options import Bounds
from synth.service.orders import Order, OrderStore, RefusedOrderError


def test_an_order_is_filled_and_given_to_its_client_alone(place: Place, until: Callable) -> None:
    with place.opened() as (client, parts):
        answer = client.post("/orders", json=place.order(seed=40, count=5))
        assert answer.status_code == 202
        told = answer.json()
        assert answer.headers["Location"] == f"/orders/{told['id']}"
        assert told["request"] == {
            "network": place.own,
            "count": 5,
            "seed": 40,
            "truncation": None,
            "class_index": None,
            "rule": "union",
            "sigma": 2.0,
            "keep": None,
        }
        done = until(client, told["id"], "done")
        assert (done["progress"], done["ahead"], done["reason"]) == (1.0, 0, "because it is a test")
        expected = place.folder / "expected.h5"
        write_bundle(expected, bundle_of(range(40, 45), network=place.own))
        got = client.get(f"/orders/{told['id']}/bundle")
        assert got.content == expected.read_bytes()
        assert got.headers["ETag"] == f'"{done["file_sha256"]}"'
        assert len(got.content) == done["bytes"]
        for path, method in (("", "GET"), ("/bundle", "GET"), ("/bundle", "HEAD"), ("", "DELETE")):
            assert client.request(method, f"/orders/{told['id']}{path}", headers=place.heads["bob"]).status_code == 404
        assert client.get("/orders", headers=place.heads["bob"]).json() == {"orders": []}
        assert [each["id"] for each in client.get("/orders").json()["orders"]] == [told["id"]]
        assert client.delete(f"/orders/{told['id']}").status_code == 409
        # photographs stay in the operator's folder, and nothing but the audit is left there
        assert {path.name for path in parts.places.work.iterdir()} == {f"{told['id']}_copies.png", "begun.txt"}


def test_what_is_not_shareable_is_withheld_and_not_tried_for_ever(place: Place, until: Callable) -> None:
    with place.opened() as (client, parts):
        orders = []
        for seed in range(3):
            answer = client.post("/orders", json=place.order(sigma=WITHHELD, seed=seed))
            assert answer.status_code == 202
            orders.append(answer.json()["id"])
            told = until(client, orders[-1], "withheld", "done")
            assert told["state"] == "withheld"
            assert (told["sha256"], told["bytes"]) == (None, None)
            assert client.get(f"/orders/{orders[-1]}/bundle").status_code == 409
            assert not list(parts.places.ready.iterdir())
        answer = client.post("/orders", json=place.order(seed=99))
        assert answer.status_code == 409
        assert answer.json()["error"] == "of 3 orders of this network none was shareable yet; ask the operator."
        assert client.post("/orders", json=place.order(seed=99), headers=place.heads["bob"]).status_code == 202


def test_what_failed_is_told_without_the_operators_words(
    place: Place, until: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    with place.opened() as (client, _):
        told = until(client, client.post("/orders", json=place.order(sigma=FAILS)).json()["id"], "failed")
        assert told["reason"] == "it failed, and the operator's log says how."
    assert "something about a patient" in capfd.readouterr().err


def test_a_worker_that_dies_is_started_again_but_not_for_ever(place: Place, until: Callable) -> None:
    with place.opened(bounds=replace(BOUNDS, starts=3)) as (client, parts):
        identity = client.post("/orders", json=place.order(sigma=DIES)).json()["id"]
        assert until(client, identity, "failed")["reason"] == "it was begun too often; ask the operator."
        assert (parts.places.work / "begun.txt").read_text().count(identity) == 3


def test_a_worker_that_talks_without_end_is_heard(place: Place, until: Callable) -> None:
    with place.opened() as (client, _):
        until(client, client.post("/orders", json=place.order(sigma=FLOODS)).json()["id"], "done")


def test_an_order_that_takes_too_long_is_ended(place: Place, until: Callable) -> None:
    with place.opened(bounds=replace(BOUNDS, hours=0.5 / 3600)) as (client, _):
        told = until(client, client.post("/orders", json=place.order(sigma=SLOW)).json()["id"], "failed")
        assert told["reason"] == "it took longer than is allowed; order less."


def test_orders_are_cancelled_while_they_wait_and_while_they_are_worked_on(place: Place, until: Callable) -> None:
    with place.opened() as (client, parts):
        first, second = (client.post("/orders", json=place.order(sigma=SLOW, seed=n)).json()["id"] for n in range(2))
        running = until(client, first, "running")
        waiting = client.get(f"/orders/{second}").json()
        assert (waiting["state"], waiting["ahead"], running["ahead"]) == ("queued", 1, 0)
        assert client.delete(f"/orders/{second}").json()["state"] == "cancelled"
        assert client.delete(f"/orders/{first}").json()["state"] == "cancelled"
        assert client.delete(f"/orders/{first}").status_code == 409
        third = client.post("/orders", json=place.order(seed=5)).json()["id"]
        until(client, third, "done")
        assert {path.name for path in parts.places.work.iterdir()} == {f"{third}_copies.png", "begun.txt"}
        assert client.get(f"/orders/{first}").json()["state"] == "cancelled"


def test_a_server_that_stops_and_starts_goes_on(place: Place, until: Callable) -> None:
    with place.opened() as (client, _):
        identity = client.post("/orders", json=place.order(sigma=SLOW)).json()["id"]
        while client.get(f"/orders/{identity}").json()["what"] != "drawing":
            time.sleep(0.05)
        begun = time.monotonic()
    assert time.monotonic() - begun < 30
    (place.folder / "store" / "work" / "go on").touch()
    with place.opened() as (client, parts):
        until(client, identity, "done")
        assert (parts.places.work / "begun.txt").read_text().count(identity) == 2


def test_a_result_that_is_exchanged_or_withdrawn_is_not_given(place: Place, until: Callable) -> None:
    with place.opened() as (client, parts):
        identity = client.post("/orders", json=place.order()).json()["id"]
        until(client, identity, "done")
        result = parts.places.ready / f"{identity}.h5"
        write_bundle(result, bundle_of(range(60, 66), network=place.own))  # shareable, but not what was ordered
        assert client.get(f"/orders/{identity}/bundle").status_code == 404
        result.unlink()
        assert client.get(f"/orders/{identity}/bundle").status_code == 404


def test_what_was_kept_long_enough_expires(place: Place, until: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.service.supervisor.EXPIRE_EVERY_S", 0.0)
    with place.opened(bounds=replace(BOUNDS, days=2 / 86400)) as (client, parts):
        identity = client.post("/orders", json=place.order()).json()["id"]
        until(client, identity, "expired")
        assert client.get(f"/orders/{identity}/bundle").status_code == 409
        until_empty = time.monotonic() + 10
        while list(parts.places.ready.iterdir()) and time.monotonic() < until_empty:
            time.sleep(0.05)
        assert not list(parts.places.ready.iterdir())


def test_the_same_key_is_one_order(place: Place) -> None:
    with place.opened() as (client, _):
        head = {"Idempotency-Key": "k1"}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.post("/orders", json=place.order(), headers=head), range(8)))
        assert len({each.json()["id"] for each in answers}) == 1
        assert sorted(each.status_code for each in answers) == [200] * 7 + [202]
        assert client.post("/orders", json=place.order(sigma=1.0), headers=head).status_code == 409
        others = client.post("/orders", json=place.order(), headers=head | place.heads["bob"])
        assert others.status_code == 202
        assert client.post("/orders", json=place.order(), headers={"Idempotency-Key": "a b"}).status_code == 422


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"network": "0" * 64}, 404),
        ({"network": "x"}, 422),
        ({"network": "../own"}, 422),
        ({"count": 3}, 409),
        ({"count": 65}, 409),
        ({"count": "8"}, 422),
        ({"count": True}, 422),
        ({"count": 8.5}, 422),
        ({"count": 1e308}, 422),
        ({"seed": -1}, 422),
        ({"seed": 2**32 - 7}, 409),
        ({"truncation": 3}, 422),
        ({"sigma": -1}, 422),
        ({"rule": "none"}, 422),
        ({"keep": 2}, 409),
        ({"class_index": 0}, 409),
        ({"gate": 0.0}, 422),
        ({"features": "timm:x"}, 422),
    ],
)
def test_an_order_that_cannot_be_is_one_sentence(place: Place, change: dict[str, object], status: int) -> None:
    """Neither the gate nor the feature space is the client's to choose."""
    with place.opened() as (client, _):
        answer = client.post("/orders", json=place.order(**change))
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}
        assert client.get("/orders").json() == {"orders": []}


def test_a_network_without_its_cohort_takes_no_order(place: Place) -> None:
    with place.opened(cohorts=()) as (client, _):
        assert client.post("/orders", json=place.order()).status_code == 404
        assert client.post("/orders", json=place.order(network=place.free)).status_code == 404


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
