"""What a long run keeps in memory."""

import dataclasses
import gc
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import torch
from runs import OPTIONS, make_run

STEPS = 2000


def growth(path: Path) -> list[int]:
    """Return by how much a run grows: traced bytes, those of the log, tensors, resident bytes."""
    first, last = 208, 208 + STEPS  # at the same place between two lines of the log
    options = dataclasses.replace(OPTIONS, kimg=4 * (last + 2) / 1000, checkpoint_every=0.4)
    tracemalloc.start()
    run = make_run(path, options=options)
    held = before = (0, 0, 0, 0)
    for _ in run.go():
        if run.trainer.step in (first, last):
            gc.collect()
            held = tracemalloc.get_traced_memory()[0], _deep_size(run.log.lines), _count_tensors(), _resident_bytes()
            if run.trainer.step == first:
                before = held
    tracemalloc.stop()
    return [after - start for after, start in zip(held, before, strict=True)]


def _deep_size(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of `thing` and of all that it holds, each object once."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    held = [*thing.keys(), *thing.values()] if isinstance(thing, dict) else thing if isinstance(thing, list) else []
    return sys.getsizeof(thing) + sum(_deep_size(each, seen) for each in held)


def _count_tensors() -> int:
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def _resident_bytes() -> int:
    """Resident size where the system tells it, else 0."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
