"""The lock that is a link: one holder at a time, none that is dead, no processor used by those who wait."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from small_study import hold_link

from shared.studies.link_lock import LinkLock

SPAWN = multiprocessing.get_context("spawn")


def _lock(path: Path, grace_s: float = 30.0, timeout_s: float = 60.0) -> LinkLock:
    return LinkLock(path / "lock", grace_s=grace_s, timeout_s=timeout_s)


@pytest.mark.parametrize("known", [True, False])
def test_a_killed_holders_lock_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool) -> None:
    """At once where it is known that it has ended, else after the grace; who waits sleeps meanwhile."""
    held = SPAWN.Event()
    holder = SPAWN.Process(target=hold_link, args=(tmp_path / "lock", held))
    holder.start()
    assert held.wait(60)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    if not known:
        monkeypatch.setattr("shared.studies.link_lock.has_ended", lambda _: False)
    lock = _lock(tmp_path, grace_s=600.0 if known else 1.0)  # a known end is not waited for
    started, processor = time.monotonic(), time.process_time()
    assert lock.acquire()
    waited, used = time.monotonic() - started, time.process_time() - processor
    assert known or waited > 1.0
    assert used < 0.5
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_living_holders_lock_is_waited_for(tmp_path: Path) -> None:
    first, second = _lock(tmp_path), _lock(tmp_path, timeout_s=0.5)
    first.acquire()
    with pytest.raises(TimeoutError):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_threads_and_locks_take_turns(tmp_path: Path) -> None:
    """Eight threads over two objects: nobody is ever inside beside another."""
    locks, inside, most = [_lock(tmp_path), _lock(tmp_path)], [], []

    def work(index: int) -> None:
        for _ in range(20):
            lock = locks[index % 2]
            lock.acquire()
            inside.append(index)
            most.append(len(inside))
            time.sleep(0.0005)
            inside.remove(index)
            lock.release()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 160


def test_a_sleeper_does_not_release_the_lock_of_who_broke_its_own(tmp_path: Path) -> None:
    asleep, other, third = _lock(tmp_path), _lock(tmp_path, grace_s=0.1), _lock(tmp_path, timeout_s=0.3)
    asleep.acquire()
    other.acquire()
    asleep.release()
    with pytest.raises(TimeoutError):
        third.acquire()
    other.release()


def test_who_looked_long_ago_takes_no_lock_of_the_next_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two see that a holder has died; the one breaks its lock and has it, before the other begins to break it."""
    (tmp_path / "lock").symlink_to("dead")
    first, late, third = (_lock(tmp_path, timeout_s=0.3) for _ in range(3))
    monkeypatch.setattr("shared.studies.link_lock.has_ended", lambda name: name == "dead")
    assert first.acquire()
    late._break("dead")
    with pytest.raises(TimeoutError):
        third.acquire()
    first.release()
    assert list(tmp_path.iterdir()) == []


def test_one_that_died_while_it_broke_a_lock_is_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lock", "lock.breaking"):
        (tmp_path / name).symlink_to("dead")
    monkeypatch.setattr("shared.studies.link_lock.has_ended", lambda name: name == "dead")
    lock = _lock(tmp_path)
    assert lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []
