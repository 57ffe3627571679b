"""What is offered, and that nothing else leaves: whatever address is asked, whatever the file says later."""

import os
import re
import time
from pathlib import Path

import pytest
from small_service import Place, bundle_of, identity, make_bundle, make_network
from waiting import until

from shared.bundle import write_bundle, write_candidates
from shared.drawn import Candidates
from shared.errors import UserError
from synth.service import checks
from synth.service.app import application
from synth.service.bundles import Bundles


def age(path: Path) -> None:
    """Let a file be one that was not changed just now, so that what was found in it is remembered."""
    end = path.stat().st_ctime_ns + checks.SETTLED_NS
    until(lambda: time.time_ns() > end)


def test_only_the_shareable_bundle_is_listed_and_given(place: Place) -> None:
    make_bundle(place.folder / "bundles" / "deep" / "er" / "more.h5", first=50)
    (place.folder / "bundles" / "notes.h5").write_text("no bundle")
    with place.opened() as (client, _):
        told = client.get("/bundles").json()["bundles"]
        more = place.folder / "bundles" / "deep" / "er" / "more.h5"
        assert {each["id"] for each in told} == {identity(place.shared), identity(more)}
        one = client.get(f"/bundles/{identity(place.shared)}").json()
        assert one == next(each for each in told if each["id"] == identity(place.shared))
        assert one["about"]["images"] == 6
        assert one["bytes"] == place.shared.stat().st_size
        answer = client.get(f"/bundles/{one['id']}/file")
        assert answer.content == place.shared.read_bytes()
        assert str(place.folder) not in client.get("/bundles").text + client.get("/networks").text


def test_no_address_gives_what_is_not_shareable(place: Place) -> None:
    """Every address of the application, with the secret bundle in the place of every parameter."""
    secret = place.secret.read_bytes()
    with place.opened() as (client, parts):
        names = [
            identity(place.secret),
            "secret",
            "secret.h5",
            "..%2fsecret.h5",
            "%2e%2e/bundles/secret.h5",
            str(place.secret),
        ]
        paths = set(application(parts).openapi()["paths"]) | {"/docs"}
        assert len(paths) > 10
        for path in sorted(paths):
            for name in names:
                address = re.sub(r"\{\w+\}", name.replace("\\", ""), path)
                for method in ("GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"):
                    answer = client.request(method, address)
                    assert secret[512:600] not in answer.content
                    assert identity(place.secret) not in answer.text
                    assert "{" not in path or answer.status_code >= 400 or method == "OPTIONS", (method, address)


@pytest.mark.parametrize("change", ["withdrawn", "no longer shareable", "damaged", "a link", "a link's folder", "cut"])
def test_what_changes_is_given_no_more(place: Place, change: str, tmp_path: Path) -> None:
    age(place.shared)
    name = identity(place.shared)
    with place.opened() as (client, _):
        assert client.get(f"/bundles/{name}/file").status_code == 200
        if change == "withdrawn":
            place.shared.unlink()
        elif change == "no longer shareable":
            make_bundle(place.shared, shareable=False)
        elif change == "damaged":
            content = bytearray(place.shared.read_bytes())
            content[-100] ^= 1
            with place.shared.open("rb+") as stream:
                stream.write(content)
        elif change == "cut":
            os.truncate(place.shared, 1000)
        elif change == "a link":
            elsewhere = make_bundle(tmp_path / "elsewhere.h5")
            place.shared.unlink()
            place.shared.symlink_to(elsewhere)
        else:
            elsewhere = make_bundle(tmp_path / "elsewhere" / "shared.h5").parent
            place.shared.unlink()
            (place.folder / "bundles" / "linked").symlink_to(elsewhere)
        for path in (f"/bundles/{name}", f"/bundles/{name}/file"):
            assert client.get(path).status_code == 404, change
        assert client.get("/bundles").json()["bundles"] == []


def test_a_file_that_only_says_it_is_the_same_is_looked_into_again(place: Place) -> None:
    """Same size, same time of change: the time at which the system saw the change tells."""
    age(place.shared)
    about = place.shared.stat()
    with place.opened() as (client, _):
        name = identity(place.shared)
        assert client.get(f"/bundles/{name}").status_code == 200
        content = bytearray(place.shared.read_bytes())
        content[-100] ^= 1
        place.shared.write_bytes(content)
        os.utime(place.shared, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert client.get(f"/bundles/{name}").status_code == 404


def test_a_bundle_added_meanwhile_is_offered(place: Place) -> None:
    with place.opened() as (client, _):
        added = make_bundle(place.folder / "bundles" / "added.h5", first=70)
        assert client.get(f"/bundles/{identity(added)}").status_code == 200


def test_candidates_are_no_bundle(tmp_path: Path) -> None:
    bundle = bundle_of(range(3))
    fields = {name: getattr(bundle, name) for name in Candidates.__dataclass_fields__ if name not in ("path", "sha256")}
    write_candidates(tmp_path / "candidates.h5", Candidates(**fields))
    assert Bundles([tmp_path]).all() == []
    write_bundle(tmp_path / "bundle.h5", bundle)
    assert [offer.path.name for offer in Bundles([tmp_path]).all()] == ["bundle.h5"]


def test_networks_are_told_without_their_photographs(place: Place) -> None:
    with place.opened() as (client, _):
        told = {each["name"]: each for each in client.get("/networks").json()["networks"]}
        assert (told["free"]["draws"], told["free"]["orders"], told["free"]["photographs"]) == (True, False, 0)
        assert (told["own"]["draws"], told["own"]["orders"], told["own"]["photographs"]) == (False, True, 2)
        assert client.get(f"/networks/{place.own}").json() == told["own"]
        assert client.get(f"/networks/{'0' * 64}").status_code == 404


def test_pictures_come_only_of_networks_that_the_operator_named(place: Place) -> None:
    with place.opened() as (client, parts):
        answer = client.get(f"/networks/{place.free}/images/7.png", params={"truncation": 0.5})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert "seed=7, truncation=0.5" in answer.text
        refused = client.get(f"/networks/{place.own}/images/7.png")
        assert (refused.status_code, refused.json()["error"]) == (
            403,
            "single pictures of this network are not given away; order a bundle.",
        )
        for wrong in ("-1", str(2**32), "x", "1.5"):
            assert client.get(f"/networks/{place.free}/images/{wrong}.png").status_code == 422
        for wrong in ("2.5", "nan", "inf", "x"):
            assert client.get(f"/networks/{place.free}/images/1.png?truncation={wrong}").status_code == 422
        assert client.get(f"/networks/{place.free}/images/1.png?class_index=0").status_code == 404
        assert client.get(f"/networks/{place.free}/images/1.png?truncaton=0.5").status_code == 422
        lines, _ = parts.audit.page(0, 100)
        assert [(line["who"], line["what"], line["seed"]) for line in lines] == [("ada", "draw", 7)]
        # the file that stands in its place later was never offered for drawing
        other = make_network(place.folder / "networks" / "free.safetensors", name="other")
        assert client.get(f"/networks/{place.free}/images/7.png").status_code == 404
        assert client.get(f"/networks/{other}/images/7.png").status_code == 403


@pytest.mark.parametrize(
    ("about", "unfiltered", "sentence"),
    [
        ({"licence": "NVIDIA Source Code License (non-commercial)"}, True, "does not let pictures be given"),
        ({"licence": "not stated"}, True, "does not let pictures be given"),
        ({"size": 1024}, True, "512 are the most"),
        ({"cohort": "e" * 64, "licence": "your own"}, False, "nobody looks for copies"),
        ({"photographs": 3}, False, "nobody looks for copies"),
    ],
)
def test_what_may_not_be_drawn_is_refused_at_the_start(
    place: Place, about: dict[str, object], unfiltered: bool, sentence: str
) -> None:
    path = place.folder / "networks" / "odd.safetensors"
    make_network(path, **about)
    with pytest.raises(UserError, match=sentence), place.opened(draw=(str(path),), unfiltered=unfiltered):
        pass


def test_who_draws_unfiltered_gives_no_bundle_that_says_which_seeds_are_copies(place: Place) -> None:
    own = place.folder / "networks" / "own.safetensors"
    mine = make_bundle(place.folder / "bundles" / "mine.h5", first=30, network=place.own)
    with place.opened() as (client, _):
        assert client.get(f"/bundles/{identity(mine)}").status_code == 200
    with place.opened(draw=(str(own),), unfiltered=True) as (client, _):
        assert client.get(f"/networks/{place.own}/images/7.png").status_code == 200
        assert client.get(f"/networks/{place.own}").json()["orders"] is False
        assert client.post("/orders", json=place.order()).status_code == 404
        assert client.get(f"/bundles/{identity(mine)}/file").status_code == 404
        assert client.get(f"/bundles/{identity(place.shared)}/file").status_code == 200


def test_mistakes_of_the_operator_are_one_sentence(place: Place) -> None:
    with pytest.raises(UserError, match="no such folder"):
        place.opened(folders=(place.folder / "none",)).__enter__()
    with pytest.raises(UserError, match=r"lies in .* which is offered"):
        place.opened(store=place.folder / "bundles" / "store").__enter__()
    with pytest.raises(UserError, match="no such network"):
        place.opened(networks=("none",)).__enter__()
    with place.opened(), pytest.raises(UserError, match="another service uses it"), place.opened():
        pass
