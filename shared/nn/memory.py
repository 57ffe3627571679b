"""How the C library's memory is used by work in large tensors."""

import contextlib
import ctypes
import functools
import sys

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


@functools.cache
def keep_freed_memory() -> None:
    """Let the process keep what it frees, for its next large tensor; on other C libraries than glibc do nothing.

    glibc hands blocks above 32 MB back to the system when they are freed, and gets the next one page by page, each
    cleared first: on a CPU that is a third of the time of a feature network, whose activations are as large.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
