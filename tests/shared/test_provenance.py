import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

import shared.provenance
from shared.provenance import commit, environment, hardware


def git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=clean | identity, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that holds the package, with one commit."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "provenance.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(shared.provenance, "__file__", str(tmp_path / "shared" / "provenance.py"))
    return tmp_path


def test_the_environment_names_versions_and_no_place() -> None:
    found = environment("cuda:0 (H200)")
    assert found["python"] == platform.python_version()
    assert found["device"] == "cuda:0 (H200)"
    for name in ("numpy", "torch", "h5py", "pillow"):
        assert found["versions"][name] == importlib.metadata.version(name)
    text = json.dumps(found)
    for place in (str(Path.cwd()), str(Path.home()) + "/", platform.node()):
        assert place not in text


def test_the_hardware_is_that_of_the_machine_and_names_no_place() -> None:
    found = hardware()
    assert found["threads"] == os.cpu_count()
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        total = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemTotal"))
        assert found["memory_gib"] == pytest.approx(int(total.split()[1]) / 2**20, abs=0.1)
    assert found["memory_gib"] is None or 0.1 < found["memory_gib"] < 100_000
    assert found["processor"] == found["processor"].strip() != ""
    text = json.dumps(found, allow_nan=False)
    assert not set("/\\") & set(found["processor"])
    for place in (str(Path.cwd()), str(Path.home()) + "/", platform.node()):
        assert place not in text


def test_a_machine_that_tells_little_has_hardware_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\n")
    monkeypatch.setattr(os, "sysconf_names", {})
    found = hardware()
    assert found["memory_gib"] is None
    assert found["processor"] == (platform.processor() or platform.machine()) != ""


def test_the_commit_is_that_of_the_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert commit() == head
    (checkout / "untracked").touch()
    assert commit() == head
    (checkout / "shared" / "provenance.py").write_text("changed")
    assert commit() == f"{head}-dirty"


def test_a_package_inside_somebody_elses_checkout_has_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "shared"
    installed.mkdir(parents=True)
    monkeypatch.setattr(shared.provenance, "__file__", str(installed / "provenance.py"))
    assert commit() is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / "empty"))
    assert commit() is None


def test_libraries_that_are_missing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.provenance, "LIBRARIES", ("numpy", "no-such-library"))
    assert environment("cpu")["versions"].keys() == {"numpy"}
