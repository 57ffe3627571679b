"""Who a worker is, and whether it has ended."""

import multiprocessing
import time
from pathlib import Path

from shared.studies.liveness import has_ended, worker_name

SPAWN = multiprocessing.get_context("spawn")


def test_a_worker_that_ended_is_known_only_where_it_was():
    child = SPAWN.Process(target=time.sleep, args=(60,))
    child.start()
    host, place, _, started = worker_name().split()
    theirs = f"{host} {place} {child.pid} {Path(f'/proc/{child.pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    assert not has_ended(worker_name())
    assert not has_ended(theirs)
    assert has_ended(f"{host} {place} {child.pid} {int(started) - 1}")  # its number was another one's
    child.kill()
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert has_ended(theirs)
    child.join()
    assert has_ended(theirs)
    assert not has_ended(theirs.replace(place, "another/1"))
    assert not has_ended("elsewhere " + theirs.partition(" ")[2])
    for nonsense in ("", "None", "a b c d", f"{host} {place} x y"):
        assert not has_ended(nonsense)
