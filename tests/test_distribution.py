"""What is published holds what is tracked, all of what runs, and nothing that lies beside it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("synth/", "classify/", "shared/")
ENGINE = "vendor/stylegan2-ada/"
PRIVATE = (
    "work/isic/patient.png",
    "results/report.html",
    "runs/gan/network.safetensors",
    "cohort.h5",
    "synth/cohort.h5",
)


def tracked() -> set[str]:
    run = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("not a checkout")
    return {name for name in run.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from a copy of the checkout in which photographs and results lie about."""
    pytest.importorskip("hatchling")
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    for name in PRIVATE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"a patient")
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(out)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return out


def test_the_source_archive_holds_what_is_tracked_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {each.name.partition("/")[2] for each in archive.getmembers() if each.isfile()}
    assert names - {"PKG-INFO"} == {name for name in tracked() if not name.startswith(".ci/")}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    engine = {name.removeprefix(ENGINE) for name in tracked() if name.startswith(f"{ENGINE}stylegan2_ada/")}
    assert names == {name for name in tracked() if name.startswith(PACKAGES)} | engine
