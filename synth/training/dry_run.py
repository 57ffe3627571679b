"""`synth train --dry-run`: the plan of a grid, and what it will take, before anything is trained."""

import copy
import json
import math
import time
from collections.abc import Sequence

from rich.table import Table

from shared.console import say, tabulate
from synth.drawing.pictures import draw
from synth.training.cells import Cell
from synth.training.estimate import Estimate, estimate
from synth.training.fold_grid import FoldGrid
from synth.training.run import every_nimg

PROBE_IMAGES = 4  # a step on a processor, where a larger batch takes as long for every image
FEW, FEW_ON_GPU = 8, 256  # whole batches of the feature networks


def dry_run(grids: Sequence[FoldGrid], jobs: int) -> None:
    """Print the resolved configuration of the first cell, and a row a cell: networks, operations, memory, time."""
    first = grids[0]
    table = Table("cell", "G", "D", "GFLOP/image", "memory", "time", box=None, padding=(0, 2, 0, 0))
    known: dict[bool, Estimate] = {}
    total = scoring = 0.0
    a_fake = seconds_a_fake(first)
    for grid in grids:
        for cell in grid.search.corners():
            with_r1 = cell.gamma > 0
            if with_r1 not in known:
                known[with_r1] = probe(grid, cell)
            found = known[with_r1]
            hours = found.seconds * 1000 * grid.options.kimg / 3600
            total += hours
            scoring += a_fake * fakes_of_a_cell(grid) / 3600
            name = f"fold {grid.fold}: {cell.name}" if len(grids) > 1 else cell.name
            table.add_row(
                name,
                f"{found.g_parameters / 1e6:.2f} M",
                f"{found.d_parameters / 1e6:.2f} M",
                f"{found.flops / 1e9:.2f}",
                _memory(found.state_bytes + found.activation_bytes),
                _hours(hours),
            )
    if not first.place.ranks.first:
        return
    print(json.dumps(first.describe(first.search.corners()[0]), indent=2))
    tabulate(table)
    if first.search.axes is None:
        both = total + scoring
        at_once = f", {_hours(both / jobs)} with {jobs} cells at once if each is as fast as alone" if jobs > 1 else ""
        say(
            f"{_hours(both)} of {first.place} in all, {_hours(scoring)} of them for scores with {first.fakes} images "
            f"each{at_once}"
        )
    else:
        say(f"the ends of the ranges; {first.search.in_words()}")


def probe(grid: FoldGrid, cell: Cell) -> Estimate:
    """Take a few steps of a cell."""
    batch = grid.training(cell).batch
    few = batch if grid.place.device.type == "cuda" else min(PROBE_IMAGES * grid.place.ranks.count, batch)
    few = few if batch % few == 0 else batch
    return estimate(grid.trainer(cell, batch=few), batch)


def fakes_of_a_cell(grid: FoldGrid) -> int:
    """Return how many images a cell's scores draw: at the start, at each checkpoint, and once more of the best."""
    scores = 2 + math.ceil(1000 * grid.options.kimg / every_nimg(grid.options))
    return scores * grid.fakes


def seconds_a_fake(grid: FoldGrid) -> float:
    """Draw a few images of the start's network and look at them, after once for nothing."""
    G = copy.deepcopy(grid.start.networks.G_ema).to(grid.place.device).eval()
    count = FEW_ON_GPU if grid.place.device.type == "cuda" else FEW
    for _ in range(2):
        started = time.monotonic()
        grid.extractor(draw(G, range(count), noise=grid.options.noise or "const"))
        seconds = time.monotonic() - started
    return seconds / count


def _memory(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
