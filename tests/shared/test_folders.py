"""Folders that appear whole or not at all, and what is never replaced."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.folders import require_new_folder, whole_folder

MARK = "page.json"


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a" / "b") as part:
        (part / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert content(tmp_path) == {"a/b/x": "1"}


def test_it_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with whole_folder(tmp_path / "b") as part:
            (part / text).write_text(text)
    assert content(tmp_path) == {"b/new": "new"}


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "b") as part:
        (part / "x").write_text("1")
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "b") as part:
        (part / "y").rename(part / "z")
    assert content(tmp_path) == {"b/x": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_new_and_empty_folders_pass(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new" / "deep", tmp_path / "empty"):
        require_new_folder(path, mark=MARK, force=False)


@pytest.mark.parametrize(
    ("force", "marked", "problem"),
    [(False, True, "exists already; give --force"), (True, False, f"holds no {MARK}"), (True, True, None)],
)
def test_what_is_there_is_replaced_only_when_it_is_of_the_kind_and_asked_for(
    tmp_path: Path, force: bool, marked: bool, problem: str | None
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / (MARK if marked else "photo.jpg")).write_text("")
    if problem is None:
        require_new_folder(tmp_path / "out", mark=MARK, force=force)
    else:
        with pytest.raises(UserError, match=problem):
            require_new_folder(tmp_path / "out", mark=MARK, force=force)


def test_a_file_and_what_a_command_reads_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"a file|cannot be written"):
            require_new_folder(path, mark=MARK, force=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MARK).write_text("")
    (tmp_path / "out" / "cohort.h5").write_text("")
    with pytest.raises(UserError, match="holds what this command reads"):
        require_new_folder(tmp_path / "out", mark=MARK, force=True, inputs=[tmp_path / "out" / "cohort.h5"])


def test_a_files_name_is_no_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"e2\.txt: a file's name, and a folder is to be written; give another --out"):
        require_new_folder(tmp_path / "e2.txt", mark=MARK, force=False)
    require_new_folder(tmp_path / "run.v2", mark=MARK, force=False)


def test_what_cannot_take_its_place_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with whole_folder(tmp_path / "b") as part:
        (part / "x").write_text("1")
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise PermissionError(1, "Operation not permitted")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError), whole_folder(tmp_path / "b") as part:
        (part / "y").write_text("2")
    assert content(tmp_path) == {"b/x": "1"}


@pytest.mark.parametrize("again", ["required", "written"])
def test_a_process_that_was_killed_between_two_renames_loses_nothing(tmp_path: Path, again: str) -> None:
    """SIGKILL just before the new folder takes its place."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom shared.folders import whole_folder\n"
        "path, replace = Path(sys.argv[1]), Path.replace\n"
        "with whole_folder(path) as part:\n    (part / 'x').write_text('1')\n"
        "def killed(self, target):\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if self.suffix == '.part' else replace(self, target)\n"
        "Path.replace = killed\n"
        "with whole_folder(path) as part:\n    (part / 'y').write_text('2')\n"
    )
    path = tmp_path / "a [1]"
    ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    if again == "required":
        with pytest.raises(UserError, match="exists already"):
            require_new_folder(path, mark=MARK, force=False)
    else:
        with pytest.raises(FileNotFoundError), whole_folder(path) as part:
            (part / "y").rename(part / "z")
    assert content(path) == {"x": "1"}
