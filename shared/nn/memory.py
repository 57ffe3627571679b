"""How memory is used by work in large tensors, and how much of it."""

import contextlib
import ctypes
import functools
import resource
import sys
from pathlib import Path

import torch

from shared.console import tells_of_memory

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1  # that its int arguments take: 2 GiB
_ALLOWED = 32 * 2**20  # the documented maximum of the mmap threshold; newer versions take more


@functools.cache
def keep_freed_memory() -> None:
    """Let the process keep what it frees, for its next large tensor; on other C libraries than glibc do nothing.

    glibc hands blocks above 32 MB back to the system when they are freed, and gets the next one page by page, each
    cleared first: on a CPU that is a third of the time of a feature network, whose activations are as large.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
        # Any of these calls ends glibc's own adaptation of the thresholds: so nothing else unless this one is taken.
        if mallopt(_M_MMAP_THRESHOLD, 2**30) or mallopt(_M_MMAP_THRESHOLD, _ALLOWED):
            mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory new tensors may take on a GPU, or beside all processes on a CPU; None when unknown.

    What the system keeps of files counts as free, and a container has what its limit (cgroup v2) leaves.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # the allocator's own
        return torch.cuda.mem_get_info(device)[0] + unused
    known = [each for each in (_free_of_machine(), _free_of_container()) if each is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next((line for line in lines if line.startswith("MemAvailable:")), "").split()[1])
    return None


def _free_of_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        most, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
        about = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
        return max(most - used + int(about["inactive_file"]), 0)
    return None  # no container, or one without a limit ("max")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that memory was too small; of the processor's torch has no kind of its own."""
    return isinstance(error, torch.OutOfMemoryError) or tells_of_memory(error)


def forget_peak(device: torch.device) -> None:
    """Let `peak_bytes` begin anew, where the system can (Linux: clear_refs in proc(5))."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Return the most memory held since `forget_peak`: of the GPU by tensors, or on a CPU by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next((line for line in lines if line.startswith("VmHWM:")), "").split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
