"""A stranger's Python file in the folder where a user works is never run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.decoding import Decoders
from shared.own_processes import module_command

HOSTILE = "import pathlib\npathlib.Path({mark!r}).touch()\n"
WORKERS = ("shared.decoding_worker", "synth.service.drawing_process", "synth.service.worker")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a folder with modules that leave a mark, by names that every process imports; return the mark's path."""
    hostile, mark = tmp_path / "photographs", tmp_path / "mark"
    hostile.mkdir()
    for name in ("resource", "runpy", "contextlib", "multiprocessing", "pickle", "shared", "synth"):
        (hostile / f"{name}.py").write_text(HOSTILE.format(mark=str(mark)))
    monkeypatch.chdir(hostile)
    return mark


def test_the_marks_are_left_by_python_s_own_way(mark: Path) -> None:
    subprocess.run([sys.executable, "-m", "shared.decoding_worker"], check=False, capture_output=True)
    assert mark.exists()


def test_a_decoder_runs_no_file_of_the_folder_where_it_is_started(mark: Path) -> None:
    decoders = Decoders(1, size=16, fit="crop")
    process = decoders._idle.get()
    assert process is not None
    assert process.ask(b"no photograph") is not None  # it works
    process.end()
    assert not mark.exists()


@pytest.mark.parametrize("module", WORKERS)
def test_no_process_runs_a_file_of_the_folder_where_it_is_started(mark: Path, module: str) -> None:
    subprocess.run(module_command(module), check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=100)
    assert not mark.exists()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 knows no safe path")
def test_processes_that_a_command_starts_keep_out_of_it_too(mark: Path) -> None:
    """Those of `--jobs` are started by multiprocessing, which asks for its own modules by name."""
    program = (
        "import sys; sys.path[:] = [place for place in sys.path if place]\n"
        "import multiprocessing, click\n"
        "from shared.command_line import Commands\n"
        "try: Commands(name='x', folder='x', names=()).main(['--help'])\n"
        "except SystemExit: pass\n"
        "process = multiprocessing.get_context('spawn').Process(target=print)\n"
        "process.start(); process.join(); assert process.exitcode == 0\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, mark.exists()) == (0, False), done.stderr
