"""Train StyleGAN2-ADA on the rare class: one cell or a grid, each cell resumable, Table 1 at the end."""

import contextlib
import dataclasses
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.cohort import read_cohort
from shared.console import say
from shared.errors import UserError
from synth.at_once import Work, do_at_once
from synth.cells import Cell
from synth.fold_grid import FoldGrid, resolve_space
from synth.interruption import Interruption, watching_signals
from synth.launch import Place, joined
from synth.methods import cells_of, choose_method
from synth.starts import Start, build_start, say_licence
from synth.table1 import write_table1
from synth.train_options import TrainOptions
from synth.training_set import classes

GIB_A_JOB = 2  # a small training with its feature network takes less than one
MAX_SMALL_PX = 64  # above, one training keeps all cores of a processor busy
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


def train(options: TrainOptions, cells: tuple[Cell, ...]) -> list[Path]:
    """Train every cell on every fold asked for and write Table 1 beside them; return the run folders.

    Raises:
        UserError: whatever the user can mend, before any long work where possible.
        SystemExit: a signal asked to stop (`synth.interruption`); the same call goes on.
    """
    with (
        watching_signals() as interruption,
        joined(options.device) as (ranks, device),
        contextlib.ExitStack() as claims,
    ):
        cells = cells_of(options, choose_method(options)[1], cells)
        place = Place.choose(options.precision, options.compile, device, ranks)
        cohort = read_cohort(options.cohort)
        start = build_start(options, cohort.size, classes(options))
        say_licence(start)
        folds = options.folds(cohort.folds)
        if options.protocol == "paper":
            folds = [-1]  # one network for all of them
        grids = [FoldGrid(cohort, fold, options, cells, start, place) for fold in folds]
        jobs = count_jobs(options.jobs, len(grids) * len(cells), cohort.size, place)
        for grid in grids:
            ranks.from_first(functools.partial(grid.open, claims))
        _say_what_comes(grids, place, start, jobs)
        todo = [(grid, index) for grid in grids for index in range(len(cells)) if not _is_finished(grid, index)]
        if jobs == 1:
            for grid, index in todo:
                grid.train(index, interruption)
        else:
            _train_at_once(todo, jobs, interruption)
        if ranks.first:
            for grid in grids:
                best = write_table1(grid.out, grid.folders, options.protocol)
                which = f"the best cell is {best}, " if len(cells) > 1 else ""
                say(f"{grid.out}: {which}see table1.md and curves.png")
    return [folder.path for grid in grids for folder in grid.folders]


def count_jobs(asked: str, cells: int, size: int, place: Place) -> int:
    """Return how many of `cells` cells with images of `size` px to train at once.

    "auto" takes a cell for every GPU; of small images one for every thread of the processor, as far as memory goes. It
    follows from the grid and the machine alone, so that a grid that goes on does so with as many threads a cell, and
    the same bits.

    Raises `UserError`: not a number, or several jobs where several processes already train one cell.
    """
    if asked != "auto" and not (asked.isdecimal() and 1 <= int(asked) <= 1024):
        raise UserError(f"--jobs {asked}: not a number of cells at once; give 1 to 1024, or auto.")
    if place.ranks.count > 1:
        if asked not in ("auto", "1"):
            raise UserError(
                f"--jobs {asked}: {place.ranks.count} processes train one cell together; leave the option out."
            )
        return 1
    if asked != "auto":
        return min(int(asked), cells)
    if place.device.type == "cpu":
        most = max(min(cells, torch.get_num_threads(), _memory_gib() // GIB_A_JOB), 1) if size <= MAX_SMALL_PX else 1
        return math.ceil(cells / math.ceil(cells / most))  # as many in the last round as in the others
    every_gpu = place.device.type == "cuda" and place.device.index is None
    return min(cells, torch.cuda.device_count()) if every_gpu else 1


def _memory_gib() -> int:
    """Return the memory that this process may use: of the machine, or of its container."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 4 << 30
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        have = min(have, int(CGROUP_MEMORY.read_text()))
    return have >> 30


def _say_what_comes(grids: list[FoldGrid], place: Place, start: Start, jobs: int) -> None:
    first = grids[0]
    method, _ = choose_method(first.options)
    count = len(first.cells)
    at_once = f", {jobs} at once" if jobs > 1 else ""
    for grid in grids:
        of_fold = f"fold {grid.fold}: " if len(grids) > 1 else ""
        say(
            f"{of_fold}{count} {'cell' if count == 1 else 'cells'} of {first.options.kimg:g} kimg on "
            f"{len(grid.data.images)} images of {first.cohort.size} px, {method}, {place}{at_once}"
        )
    if start.size is not None and start.size != first.cohort.size:
        change = "grown" if start.size < first.cohort.size else "cut"
        say(f"{start.name} draws {start.size} px pictures: {change} to {first.cohort.size} px")
    if start.left_new:
        say(
            f"{len(start.left_new)} tensors start anew, the start network has none that fit: {start.left_new[0]} "
            "… (config.json lists them)"
        )


def _is_finished(grid: FoldGrid, index: int) -> bool:
    finished = grid.place.ranks.from_first(lambda: grid.is_finished(index))
    if finished:
        say(f"{grid.folders[index].path}: complete")
    return finished


def _train_at_once(todo: list[tuple[FoldGrid, int]], jobs: int, interruption: Interruption) -> None:
    if not todo:
        return
    threads = max(torch.get_num_threads() // jobs, 1)
    features = resolve_space(todo[0][0].options, todo[0][0].start)  # once: all cells must be scored in the same space
    pieces = [
        Work(str(grid.folders[index].path), OneCell(grid.options, grid.cells, grid.fold, index, features))
        for grid, index in todo
    ]
    do_at_once(pieces, jobs, threads, interruption)


@dataclass(frozen=True)
class OneCell:
    """One cell of a grid, for a process of its own, which makes the rest anew."""

    options: TrainOptions
    cells: tuple[Cell, ...]
    fold: int
    index: int
    features: str

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Train it on GPU `slot`, if there are GPUs to choose from."""
        options = self.options
        if options.device in ("auto", "cuda") and torch.cuda.is_available():
            options = dataclasses.replace(options, device=f"cuda:{slot % torch.cuda.device_count()}")
        with joined(options.device) as (ranks, device):
            place = Place.choose(options.precision, options.compile, device, ranks)
            cohort = read_cohort(options.cohort)
            start = build_start(options, cohort.size, classes(options))
            grid = FoldGrid(cohort, self.fold, options, self.cells, start, place, self.features)
            grid.train(self.index, interruption)
