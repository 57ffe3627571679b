"""Memory that is kept for the next tensor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shared.nn import memory
from shared.nn.memory import free_bytes, keep_freed_memory

# Page faults of 20 blocks of 64 MiB that are written, freed and asked for again.
_COUNT_FAULTS = """
import ctypes, resource, sys
from shared.nn import memory
from shared.nn.memory import free_bytes, keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
for _ in range(20):
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(64 << 20)))
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_freed_block_is_used_again() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", _COUNT_FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("keep", "give")
    }
    # 64 MiB are 16,384 pages of 4 KiB; large pages may make fewer faults of them, in the same proportion.
    assert faults["keep"] < faults["give"] / 2


def test_it_can_be_asked_for_twice() -> None:
    keep_freed_memory()
    keep_freed_memory()


@pytest.mark.parametrize(
    ("most", "expected"),
    [("3000\n", 3000 - (2500 - 700)), ("1700\n", 0), ("max\n", None), (None, None)],
    ids=["some", "used up", "no limit", "no container"],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, most: str | None, expected: int | None) -> None:
    """Of 2500 bytes in use 700 are of files that nobody has touched lately, which the system gives back."""
    if most is not None:
        (tmp_path / "memory.max").write_text(most)
        (tmp_path / "memory.current").write_text("2500\n")
        (tmp_path / "memory.stat").write_text("anon 1500\nfile 1000\ninactive_file 700\nactive_file 300\n")
    assert memory._free_of_container(tmp_path) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell")
def test_free_memory_is_the_smaller_of_machine_and_container(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    machine = memory._free_of_machine()
    assert machine is not None
    assert 0 < machine < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(memory, "_free_of_machine", lambda: 50)
    for container, expected in ((20, 20), (90, 50), (None, 50)):
        monkeypatch.setattr(memory, "_free_of_container", lambda container=container: container)
        assert free_bytes(cpu) == expected
    monkeypatch.setattr(memory, "_free_of_machine", lambda: None)
    assert free_bytes(cpu) is None


# A process of its own, since one that keeps freed memory goes on holding it.
_MEASURE_PEAKS = """
import torch
from shared.nn.memory import forget_peak, peak_bytes
cpu = torch.device("cpu")
forget_peak(cpu)
print(peak_bytes(cpu))
block = torch.ones(300 << 20, dtype=torch.uint8)
print(peak_bytes(cpu))
del block
forget_peak(cpu)
print(peak_bytes(cpu))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems cannot forget")
def test_the_peak_is_of_what_came_after_it_was_forgotten() -> None:
    told = subprocess.run([sys.executable, "-c", _MEASURE_PEAKS], capture_output=True, check=True).stdout
    before, high, after = map(int, told.split())
    assert high - before > 0.9 * (300 << 20)
    assert high - after > 0.9 * (300 << 20)
