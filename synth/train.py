"""Train StyleGAN2-ADA on the rare class: one cell or a grid, each cell resumable, Table 1 at the end."""

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.cohort import read_cohort
from shared.console import say
from shared.errors import UserError
from shared.files import claimed, remove_parts
from shared.interruption import Interruption, watching_signals
from shared.nn.at_once import Work, do_at_once
from shared.nn.device import device_of_slot
from shared.provenance import memory_bytes
from shared.studies.patience import patiently
from shared.studies.study import Study
from shared.studies.worker import Worker
from stylegan2_ada import ProjectedDiscriminator
from synth.table1.rows import write_table1
from synth.training.cells import Cell
from synth.training.dry_run import dry_run
from synth.training.fold_grid import FoldGrid
from synth.training.fold_study import open_study, require_possible, require_same_study
from synth.training.launch import Place, joined
from synth.training.methods import choose_method
from synth.training.options import TrainOptions
from synth.training.run_folder import busy
from synth.training.search import Search, plan_search
from synth.training.starts import Start, build_start, say_licence
from synth.training.training_set import classes

FEW_IMAGES = 50
HALF_LIVES = 2  # of the weights' average, after which less than a quarter of the start is left in it
GIB_A_JOB = 2  # a small training with its feature network takes less than one
MAX_SMALL_PX = 64  # above, one training keeps all cores of a processor busy
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


def train(options: TrainOptions, cells: tuple[Cell, ...]) -> list[Path]:
    """Train every cell on every fold asked for and write Table 1 beside them; return the run folders.

    Other commands may share the work (`shared.studies.study`); the one that ends last writes the table.

    Raises:
        UserError: whatever the user can mend, before any long work where possible.
        SystemExit: a signal asked to stop (`shared.interruption`); the same call goes on.
    """
    with watching_signals() as interruption, joined(options.device) as (ranks, device):
        search = plan_search(options, cells)
        place = Place.choose(options.precision, options.compile, device, ranks)
        cohort = read_cohort(options.cohort)
        start = build_start(options, cohort.size, classes(options))
        say_licence(start)
        grids = [FoldGrid(cohort, fold, options, search, start, place) for fold in options.folds(cohort.folds)]
        jobs = count_jobs(options.jobs, len(grids) * search.most_cells, cohort.size, place)
        ranks.from_first(lambda: _require_possible(grids, dry=options.dry_run))
        if options.dry_run:
            dry_run(grids, jobs)
            return []
        studies: list[Study[Cell]] = []
        ranks.from_first(lambda: studies.extend(open_study(grid) for grid in grids))
        _say_what_comes(grids, place, start, jobs)
        if jobs > 1:
            _work_at_once(grids, sum(study.left() for study in studies), jobs, interruption)
        Worker(grids, studies, interruption, ranks, wait=options.wait).go()
        return ranks.from_first(lambda: _conclude(grids, studies))


def _require_possible(grids: list[FoldGrid], *, dry: bool) -> None:
    for grid in grids:
        require_possible(grid)
        if dry:  # which never opens the study
            require_same_study(grid)


def _conclude(grids: list[FoldGrid], studies: list[Study[Cell]]) -> list[Path]:
    """Write Table 1 of all grids; return the run folders.

    Raises `UserError`: a cell could not be trained.
    """
    failed: dict[tuple[Path, str], str] = {}
    for grid, study in zip(grids, studies, strict=True):
        standing, rows = patiently(study.standing, f"{study.storage.name}:"), study.rows()
        failed |= {(grid.out, name): reason for name, reason in standing.failed.items()}
        if standing.running:
            say(f"{grid.out}: other workers still have {standing.running} of the cells; the last one writes table1.md")
        elif rows:
            with contextlib.ExitStack() as claim:
                try:
                    claim.enter_context(claimed(grid.out, busy(grid.out)))
                except UserError:  # of all that wait for the last cell one writes the same table
                    continue
                remove_parts(grid.out)
                best = write_table1(grid.out, rows, grid.options.protocol, grid.options.kimg)
            which = f"the best cell is {best}, " if len(rows) > 1 else ""
            say(f"{grid.out}: {which}see table1.md and curves.png")
    if failed:
        more = f" ({len(failed) - 1} more failed.)" if len(failed) > 1 else ""
        raise UserError(f"{next(iter(failed.values()))}{more}")
    return [grid.out / row["run"] for grid, study in zip(grids, studies, strict=True) for row in study.rows()]


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
    have = memory_bytes() or 4 << 30
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        have = min(have, int(CGROUP_MEMORY.read_text()))
    return have >> 30


def _say_what_comes(grids: list[FoldGrid], place: Place, start: Start, jobs: int) -> None:
    first = grids[0]
    method, _ = choose_method(first.options)
    cells = first.search.in_words()
    at_once = f", {jobs} at once" if jobs > 1 else ""
    for grid in grids:
        of_fold = f"fold {grid.fold}: " if len(grids) > 1 else ""
        say(
            f"{of_fold}{cells} of {first.options.kimg:g} kimg on "
            f"{len(grid.data.images)} images of {first.cohort.size} px, {method}, {_sizes(start)}, {place}{at_once}"
        )
        _warn(grid)
    if start.size is not None and start.size != first.cohort.size:
        change = "grown" if start.size < first.cohort.size else "cut"
        say(f"{start.name} draws {start.size} px pictures: {change} to {first.cohort.size} px")
    projected = isinstance(start.networks.D, ProjectedDiscriminator)
    new = [name for name in start.left_new if not (projected and name.startswith("D/"))]  # which starts anew by design
    if new:
        say(f"{len(new)} tensors start anew, the start network has none that fit: {new[0]} … (config.json lists them)")


def _warn(grid: FoldGrid) -> None:
    """Say what will probably disappoint."""
    images, kimg, half_life = len(grid.data.images), grid.options.kimg, grid.ema_kimg
    if images < FEW_IMAGES:
        say(f"warning: {images} images to train on are few, and so few cannot show how good what comes of them is.")
    if grid.start.name is not None and kimg < HALF_LIVES * half_life:
        say(
            f"warning: after {kimg:g} kimg the average of the weights, with its half-life of {half_life:g} kimg, is "
            f"still much of the start; train longer, or give --ema-kimg {kimg / (2 * HALF_LIVES):.2g}."
        )


def _sizes(start: Start) -> str:
    """Return how large the networks are, and how wide at most."""
    G, D = (sum(p.numel() for p in part.parameters()) / 1e6 for part in (start.networks.G, start.networks.D))
    config = start.networks.G.config
    widest = min(config.channel_base // 4, config.channel_max)  # at 4 px
    return f"up to {widest} channels, {G:.1f} M parameters in G and {D:.1f} M in D"


def _work_at_once(grids: list[FoldGrid], left: int, jobs: int, interruption: Interruption) -> None:
    if not left:
        return
    threads = max(torch.get_num_threads() // jobs, 1)
    first = grids[0]
    # All cells must be scored in the same space.
    worker = OneWorker(first.options, first.search, tuple(grid.fold for grid in grids), first.space)
    do_at_once(
        [Work(f"worker {number}", worker) for number in range(1, min(jobs, left) + 1)], jobs, threads, interruption
    )


@dataclass(frozen=True)
class OneWorker:
    """One worker of several on this machine, for a process of its own, which makes the rest anew."""

    options: TrainOptions
    search: Search
    folds: tuple[int, ...]
    features: str

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Train cells on GPU `slot`, if there are GPUs to choose from, until none is left."""
        options = dataclasses.replace(self.options, device=device_of_slot(self.options.device, slot))
        with joined(options.device) as (ranks, device):
            place = Place.choose(options.precision, options.compile, device, ranks)
            cohort = read_cohort(options.cohort)
            start = build_start(options, cohort.size, classes(options))
            grids = [FoldGrid(cohort, fold, options, self.search, start, place, self.features) for fold in self.folds]
            studies = [open_study(grid, helps=True) for grid in grids]
            Worker(grids, studies, interruption, ranks, wait=False, patient=options.wait).go()
