"""Where results go: two processes at once, a link, a disk that takes no more. A file is whole, or not there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded import record

from shared.bundle import read_candidates
from shared.cohort import read_cohort
from shared.records import append_record

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, links and limits are POSIX")


def photographs(folder: Path) -> list[str]:
    for side, seed in (("rare", 0), ("other", 1)):
        (folder / side).mkdir()
        pixels = np.random.default_rng(seed).integers(0, 256, (10, 40, 40, 3), dtype=np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / side / f"{number}.png")
    return ["-m", "synth", "prepare", "--positive", "rare", "--negative", "other", "--size", "32", "--out", "out.h5"]


def candidates(folder: Path) -> list[str]:
    return ["-m", "synth", "generate", "phantom-skin-32", "--count", "4", "--device", "cpu", "--out", "out.h5"]


def table(folder: Path) -> list[str]:
    append_record(folder / "r.jsonl", record())
    return ["-m", "classify", "table", "r.jsonl", "--out", "out.md"]


COMMANDS = {"prepare": photographs, "generate": candidates, "table": table}
READ: dict[str, Callable[[Path], object]] = {
    "prepare": read_cohort,
    "generate": lambda path: np.asarray(read_candidates(path).images),
    "table": lambda path: path.read_text().index("Table 2"),
}


def started(folder: Path, arguments: list[str], limit: str = "") -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    paths = os.pathsep.join(map(str, (root, root / "vendor" / "stylegan2-ada")))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    if limit:
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):  # whose own file would be too large
            environment.pop(name, None)
        command = ["bash", "-c", f'ulimit -f {limit} && exec "$@"', "bash", *command]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def out_of(name: str) -> str:
    return "out.md" if name == "table" else "out.h5"


@pytest.mark.parametrize("name", COMMANDS)
def test_two_processes_on_one_output_leave_one_whole_result(tmp_path: Path, name: str) -> None:
    arguments = [*COMMANDS[name](tmp_path), "--force"]
    both = [started(tmp_path, arguments) for _ in range(2)]
    ended = [(process.communicate(timeout=300), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    READ[name](tmp_path / out_of(name))
    assert not list(tmp_path.rglob(".*.part"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path, name: str) -> None:
    arguments = [*COMMANDS[name](tmp_path), "--force"]
    (tmp_path / "precious").write_text("somebody else's")
    (tmp_path / out_of(name)).symlink_to("precious")
    process = started(tmp_path, arguments)
    told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert (tmp_path / "precious").read_text() == "somebody else's"
    assert not (tmp_path / out_of(name)).is_symlink()
    READ[name](tmp_path / out_of(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    arguments = COMMANDS[name](tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    process = started(tmp_path, arguments, limit="2")  # blocks of 1024 bytes
    _, told = process.communicate(timeout=300)
    assert process.returncode == 2, told
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("error: ")
    assert "File too large; check the path" in told.splitlines()[-1]
    left = {path.name for path in tmp_path.iterdir()} - before
    assert left <= {".r.jsonl.lock"}
