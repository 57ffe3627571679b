import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.files import (
    ClampedFile,
    claimed,
    locked,
    remove_parts,
    require_file,
    require_new,
    whole_file,
    write_json,
    write_text,
)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as part:
        part.write_text("new")
        assert part.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_result_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "ours", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "ours")}
    assert len(modes) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path: Path) -> None:
    """An owner's 600 stays, though the umask would leave more."""
    path = tmp_path / "photographs"
    write_text(path, "")
    path.chmod(0o600)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_more_is_asked_of_a_file_than_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    with (tmp_path / "a").open("rb") as plain, pytest.raises((MemoryError, OverflowError)):
        plain.read(1 << 60)
    with ClampedFile(tmp_path / "a") as file:
        assert file.read(2) == b"ab"
        assert file.read(1 << 60) == b"cdef"
        assert file.read(1) == b""
        file.seek(4)
        assert file.read() == b"ef"
        file.seek(10)
        assert file.read(1 << 60) == b""


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    value = {"β": [1, None, 0.5], "nested": {"a": "ä"}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "ä" in text
    assert text.endswith("}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"fid": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count_up(_: int) -> None:
        with locked(counter):
            counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(100)))
    assert counter.read_text() == "100"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'"):
        write()
    assert not list(tmp_path.iterdir())


def test_parts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    for name in (".a.txt.x1.part", "b.part", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / ".page.abc.part" / "inner").mkdir(parents=True)
    remove_parts(tmp_path)
    remove_parts(tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "b.part"]


def test_a_claim_is_refused_while_another_holds_it(tmp_path: Path) -> None:
    with claimed(tmp_path, "first"):
        with pytest.raises(UserError, match=r"^busy\.$"), claimed(tmp_path, "busy."):
            pass
        with pytest.raises(UserError, match=r"^busy\.$"), claimed(tmp_path, "busy."):
            pass
    with claimed(tmp_path, "again"):
        pass


def test_requirements_name_the_path_and_the_way_out(tmp_path: Path) -> None:
    existing = tmp_path / "a.h5"
    existing.touch()
    assert require_file(existing, "cohort") == existing
    require_new(tmp_path / "new", force=False)
    require_new(existing, force=True)
    for use, sentence in (
        (lambda: require_file(tmp_path, "cohort"), "a folder, where the cohort must be a file"),
        (lambda: require_file(tmp_path / "b", "cohort"), "no such file; the cohort must be an existing file"),
        (lambda: require_new(existing, force=False), "exists already; give --force to replace it"),
    ):
        with pytest.raises(UserError, match=sentence) as caught:
            use()
        assert str(caught.value).startswith(str(tmp_path))


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    require_new(tmp_path / "new" / "folder" / "out.h5", force=False)
    with pytest.raises(UserError, match=r"file is a file, where a folder must be; give another --out"):
        require_new(tmp_path / "file" / "sub" / "out.h5", force=True)
    with pytest.raises(UserError, match=r"a folder, where a file is to be written"):
        require_new(tmp_path, force=True)
    with pytest.raises(UserError, match=r"exists already; give --force"):
        require_new(tmp_path / "file", force=False)
    require_new(tmp_path / "file", force=True)


def test_a_folder_that_must_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == tmp_path and mode == os.W_OK))
    with pytest.raises(UserError, match=r"cannot be written to; give another --out"):
        require_new(tmp_path / "out.h5", force=False)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Can't write data (errno = 28, error message = 'No space left on device', buf = 0x7f)\nmore of it"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_error_whoever_finds_it(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "file"):  # errno is what matters
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^odd$"), whole_file(tmp_path / "file"):
        raise RuntimeError("odd")


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(UserError, match=r"neither a file nor a folder \(a pipe or a device\); give another --out"):
            require_new(path, force=True)
    with pytest.raises(UserError, match="a pipe or a device, where the cohort must be a file"):
        require_file(tmp_path / "pipe", "cohort")


def test_errors_of_the_system_name_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**options: object) -> None:
        raise OSError(errno.EACCES, "Permission denied", f"{tmp_path}/.a.h5.x.part")

    monkeypatch.setattr("tempfile.mkstemp", refused)
    with pytest.raises(OSError, match="Permission denied") as caught, whole_file(tmp_path / "a.h5"):
        pass
    assert caught.value.filename == str(tmp_path / "a.h5")
