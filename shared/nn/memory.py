"""How the C library's memory is used by work in large tensors."""

import contextlib
import ctypes
import functools
import sys

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
