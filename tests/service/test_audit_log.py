"""The audit log: only added to, whole after any end of the process, and a changed line shows."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.service.audit_log import FIRST, AuditError, AuditLog, first_break


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_lines_are_added_and_name_the_one_before(path: Path) -> None:
    log = AuditLog(path, clock=lambda: 12.5)
    log.write("ada", "download", sha256="ab", bytes=3)
    log.close()
    log = AuditLog(path, clock=lambda: 13.5)
    log.write("bob\n\u2028", "draw")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [{name: value for name, value in line.items() if name != "before"} for line in lines] == [
        {"time": 12.5, "who": "ada", "what": "download", "sha256": "ab", "bytes": 3},
        {"time": 13.5, "who": "bob\n\u2028", "what": "draw"},
    ]
    assert lines[0]["before"] == FIRST
    assert first_break(path) is None
    assert path.stat().st_mode & 0o777 == 0o600
    log.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_line_that_is_changed_or_taken_out_shows(path: Path, number: int) -> None:
    log = AuditLog(path)
    for bytes_ in range(4):
        log.write("ada", "download", bytes=bytes_)
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [*lines[:number], lines[number].replace(b"ada", b"bob"), *lines[number + 1 :]]
    path.write_bytes(b"".join(changed))
    assert first_break(path) == number + 2
    path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    assert first_break(path) == number + 1
    path.write_bytes(b"".join(lines[:number]) + b"[" * (3 << 20))  # which is read in pieces
    assert first_break(path) == number + 1
    log.close()


@given(cut=st.integers(1, 60), limit=st.integers(1, 5))
def test_what_a_power_cut_leaves_is_told_as_damaged(
    tmp_path_factory: pytest.TempPathFactory, cut: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    log = AuditLog(path)
    for number in range(5):
        log.write("ada", "draw", seed=number)
    log.close()
    os.truncate(path, path.stat().st_size - cut)
    log = AuditLog(path)
    log.write("bob", "draw", seed=9)
    lines, after = [], 0
    while True:
        page, following = log.page(after, limit)
        assert len(page) <= limit
        if not page:
            break
        lines += page
        after = following
    assert after == path.stat().st_size
    # of the last newline alone nothing is lost
    assert [line.get("seed") for line in lines] == [0, 1, 2, 3, 4 if cut == 1 else None, 9]
    assert lines[-1]["who"] == "bob"
    log.close()


def test_a_page_begins_where_a_line_does(path: Path) -> None:
    log = AuditLog(path)
    log.write("ada", "draw")
    size = path.stat().st_size
    assert log.page(size, 10) == ([], size)
    for after in (1, size - 1, size + 1, 10**12):
        with pytest.raises(ValueError):
            log.page(after, 10)
    log.close()


@pytest.mark.parametrize("failure", ["write", "fsync", "short"])
def test_a_line_that_fails_leaves_nothing(path: Path, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(path)
    log.write("ada", "draw")
    before = path.read_bytes()
    write = os.write

    def fail(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if failure == "short":
            patch.setattr("os.write", lambda descriptor, content: write(descriptor, content[:7]))
        else:
            patch.setattr(f"os.{failure}", fail)
        with pytest.raises(AuditError):
            log.write("ada", "draw")
    assert path.read_bytes() == before
    log.write("ada", "draw")
    assert first_break(path) is None
    log.close()


def test_a_log_that_was_moved_away_or_a_line_too_long_is_not_written(path: Path) -> None:
    log = AuditLog(path)
    with pytest.raises(AuditError):
        log.write("a" * (1 << 16), "draw")
    assert log.trouble() is None
    path.rename(path.with_suffix(".old"))
    with pytest.raises(AuditError):
        log.write("ada", "draw")
    assert "cannot be written" in str(log.trouble())
    log.close()


def test_many_threads_write_whole_lines(path: Path) -> None:
    log = AuditLog(path)

    def write(number: int) -> None:
        for count in range(20):
            log.write(f"client{number}", "draw", seed=count)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert first_break(path) is None
    lines, _ = log.page(0, 1000)
    assert sorted((line["who"], line["seed"]) for line in lines) == [
        (f"client{n}", c) for n in range(4) for c in range(20)
    ]
    log.close()
