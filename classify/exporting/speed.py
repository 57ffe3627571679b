"""How long an answer takes: the same photographs asked of several runtimes in turn."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import rich.box
import rich.table

from classify.exporting.check import Answer

REPEATS = 20
WARM = 3  # answers before the first that counts
BATCHES = (1, 8)


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `n` answers to a batch: their median, and the quarters below and above which the ends lie."""

    runtime: str
    batch: int
    n: int
    median_ms: float
    quartiles_ms: tuple[float, float]


def latencies(
    answers: Mapping[str, Answer],
    size: int,
    *,
    batches: Sequence[int] = BATCHES,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Latency]:
    """Return how long each of `answers` takes for random images of `size` px; they take turns, to share noise."""
    found = []
    for batch in batches:
        images = np.random.default_rng(batch).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
        times: dict[str, list[float]] = {name: [] for name in answers}
        for turn in range(WARM + repeats):
            for name, answer in answers.items():
                start = clock()
                answer(images)
                if turn >= WARM:
                    times[name].append(1000 * (clock() - start))
        for name, ms in times.items():
            low, middle, high = statistics.quantiles(ms, n=4, method="inclusive")
            found.append(Latency(name, batch, len(ms), middle, (low, high)))
    return found


def table(found: Sequence[Latency], threads: int) -> rich.table.Table:
    """Return latencies as a table for the console."""
    title = f"ms for a batch, median of {found[0].n} (quartiles), {threads} thread{'s' if threads > 1 else ''}"
    made = rich.table.Table(title=title, box=rich.box.SIMPLE, pad_edge=False, collapse_padding=True)
    batches = sorted({each.batch for each in found})
    made.add_column("runtime")
    for batch in batches:
        made.add_column(f"batch {batch}", justify="right")
    for runtime in dict.fromkeys(each.runtime for each in found):
        own = {each.batch: each for each in found if each.runtime == runtime}
        made.add_row(runtime, *(words(own[batch]) for batch in batches))
    return made


def words(each: Latency) -> str:
    """Return a latency as a cell: "12.3 (11.9 to 13.0)"."""
    low, high = each.quartiles_ms
    return f"{each.median_ms:.1f} ({low:.1f} to {high:.1f})"
