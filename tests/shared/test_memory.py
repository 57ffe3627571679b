"""Memory that is kept for the next tensor."""

import subprocess
import sys

import pytest

from shared.nn.memory import keep_freed_memory

# Page faults of 20 blocks of 64 MiB that are written, freed and asked for again.
_COUNT_FAULTS = """
import ctypes, resource, sys
from shared.nn.memory import keep_freed_memory
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
