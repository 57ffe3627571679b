"""Orders: one for each key, bounded, cancelled, and given only to who ordered, if shareable."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from small_service import BOUNDS, Place, bundle_of
from small_worker import DIES, EMPTY, FAILS, FLOODS, SLOW, WITHHELD
from waiting import until as wait_until

from shared.bundle import write_bundle
from shared.errors import UserError


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
            assert told["reason"] == "the images may not be passed on: the operator's audit says why."
            assert client.get(f"/orders/{orders[-1]}/bundle").status_code == 409
            assert not list(parts.places.ready.iterdir())
        answer = client.post("/orders", json=place.order(seed=99))
        assert answer.status_code == 409
        assert answer.json()["error"] == (
            "3 of your orders of this network were not shareable, and those under way may follow; wait for these, or "
            "ask the operator."
        )
        assert client.post("/orders", json=place.order(seed=99), headers=place.heads["bob"]).status_code == 202


def test_an_order_of_which_nothing_is_kept_says_so(place: Place, until: Callable) -> None:
    with place.opened() as (client, parts):
        for seed in range(BOUNDS.withheld + 1):  # it says nothing of copies, and does not count against the client
            placed = client.post("/orders", json=place.order(sigma=EMPTY, seed=seed))
            assert placed.status_code == 202
            told = until(client, placed.json()["id"], "withheld")
            assert told["reason"] == "none of the candidates was kept; order more of them, or by another rule."
            assert not list(parts.places.ready.iterdir())


def test_a_bundle_is_no_cohort_to_compare_orders_with(place: Place) -> None:
    bundle = place.folder / "bundles" / "shared.h5"
    refused = pytest.raises(UserError, match=r"--cohort .*of format rarescreen-bundle; give a cohort")
    with refused, place.opened(cohorts=(bundle,)):
        pass


def test_a_file_that_is_named_as_a_network_must_be_one(place: Place) -> None:
    bundle = place.folder / "bundles" / "shared.h5"
    with pytest.raises(UserError, match="no network"), place.opened(networks=(str(bundle),)):
        pass


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
        wait_until(lambda: client.get(f"/orders/{identity}").json()["what"] == "drawing")
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
        wait_until(lambda: not list(parts.places.ready.iterdir()))


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
        for network in (place.own, place.free):
            answer = client.post("/orders", json=place.order(network=network))
            assert answer.status_code == 404
            assert "there are no photographs to compare with" in answer.json()["error"]
        answer = client.post("/orders", json=place.order(network="0" * 64))
        assert answer.json() == {"error": "no network that is offered has this id; see /networks."}


def test_a_body_that_is_no_json_is_told_where(place: Place) -> None:
    with place.opened() as (client, _):
        answer = client.post("/orders", content=b'{"count" 8}', headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        sentence = answer.json()["error"]
        assert sentence == "the body is not JSON: at character 9, expecting ':' delimiter; see /docs."
        answer = client.post("/orders", json=place.order(network="x"))
        assert answer.json() == {"error": "network: give 64 hexadecimal digits (0-9, a-f); see /docs."}
