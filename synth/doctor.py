"""`synth doctor`: whether `synth train` would run on this machine, and what it would take."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.cohort import Cohort, read_cohort
from shared.doctor.finding import Finding, State, bad, good, unknown
from shared.doctor.packages import examine_packages
from shared.doctor.places import examine_folder, in_gib
from shared.doctor.pretrained import examine_weights
from shared.doctor.storage import examine_storage
from shared.errors import UserError
from shared.nn.device import choose_device
from shared.nn.examined import examine_machine
from shared.nn.memory import free_bytes, is_out_of_memory
from shared.progress import progress
from shared.weights import DINOV2, DINOV2_SMALL, EFFICIENTNET_LITE, FID_INCEPTION, VGG16, WeightSource
from stylegan2_ada.averages import KEPT_WIDTHS
from synth.cohorts.options import PrepareOptions
from synth.cohorts.photographs import render
from synth.prepare import assemble
from synth.train import MAX_SMALL_PX
from synth.training.cells import Cell
from synth.training.dry_run import fakes_of_a_cell, probe, seconds_a_fake
from synth.training.estimate import state_bytes, trained_parameters
from synth.training.fold_grid import FoldGrid
from synth.training.fold_study import require_possible
from synth.training.launch import Place, joined
from synth.training.options import TrainOptions
from synth.training.run import every_nimg
from synth.training.search import plan_search
from synth.training.starts import build_start
from synth.training.training_set import classes

EXTRAS = {
    "postgresql": "--storage postgresql://",
    "dashboard": "optuna-dashboard",
    "segment": "synth blank",
    "serve": "synth serve",
}
NEEDED = {EFFICIENTNET_LITE[0]: "projected training and offline scores", EFFICIENTNET_LITE[1]: "scores of those"}
OTHER = {
    FID_INCEPTION: "the FID",
    VGG16: "the paper's similarity",
    DINOV2: "--features dinov2",
    DINOV2_SMALL: "--features dinov2-small",
}
PHANTOMS = (48, 8, 0)  # of a cohort to try with; there is a training part of each class
UNASKED = Path(".synth-doctor")  # a run's folder where none is asked about
STATES = 4  # of a run: the newest two, the best and the last good one
AVERAGE_BYTES = 2 * (1 + len(KEPT_WIDTHS))  # a parameter of the generator, in half precision


@dataclass(frozen=True)
class Job:
    """The training that is asked about.

    Attributes:
        train: its options; `cohort` is of no meaning without one.
        cells: its grid.
        cohort: the cohort file, None to try with phantoms of `size` px.
        trial: whether to take a few steps of it; None where that takes seconds.
    """

    train: TrainOptions
    cells: tuple[Cell, ...]
    cohort: Path | None
    size: int
    trial: bool | None

    def wants_trial(self, size: int) -> bool:
        """Whether a few steps are to be taken: if nothing was said, where they take seconds."""
        if self.trial is not None:
            return self.trial
        return size <= MAX_SMALL_PX or choose_device(self.train.device).type != "cpu"


def examine(job: Job) -> list[Finding]:
    """Look at the machine, and at the training, by a few steps of it; nothing is left behind, nothing is downloaded.

    Raises `UserError`: `job` itself is wrong, whatever the machine.
    """
    options = job.train
    found = [*examine_packages(EXTRAS), *examine_machine(options.device, options.precision)]
    found += examine_weights(NEEDED, OTHER, WeightSource(options.weights, options.offline))
    cohort = None if job.cohort is None else read_cohort(job.cohort)
    size = job.size if cohort is None else cohort.size
    left_bytes = 0
    if not any(each.about == "device" and each.state is State.BAD for each in found):
        training = Training(cohort, size, job)
        found += training.findings()
        left_bytes = training.left_bytes
    found += examine_folder(options.out, left_bytes)
    return found + list(examine_storage(options.storage, options.out))


def _phantoms(size: int) -> Cohort:
    options = PrepareOptions(out=Path(), phantom=True, size=size)
    positives, negatives, externals = PHANTOMS
    drawn = render(positives=positives, negatives=negatives, externals=externals, size=size, seed=options.seed)
    return assemble(drawn, options, None, ())


class Training:
    """The training that is asked about: its options, and a few steps of one cell where these are wanted.

    Attributes:
        left_bytes: what it would leave on the disk, known after `findings`.
    """

    def __init__(self, cohort: Cohort | None, size: int, job: Job) -> None:
        self._cohort, self._size, self._cells = cohort, size, job.cells
        out = UNASKED if job.train.out == Path() else job.train.out
        self._options = dataclasses.replace(job.train, out=out, offline=True)
        self._is_tried = job.wants_trial(size)
        self.left_bytes = 0

    def findings(self) -> list[Finding]:
        """Check the options, take the steps, and tell what the whole training would take."""
        found = []
        try:
            for each in self._examine():
                found.append(each)  # what was found before an error is told, too
        except UserError as error:
            found.append(bad("training", str(error)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            found.append(
                bad("memory", "a few steps do not fit into memory; give a smaller --batch or another --device.")
            )
        return found

    def _examine(self) -> Iterator[Finding]:
        options = self._options
        with joined(options.device) as (ranks, device):
            search = plan_search(options, self._cells)
            place = Place.choose(options.precision, options.compile, device, ranks)
            start = build_start(options, self._size, classes(options))
            cohort = self._cohort or _phantoms(self._size)
            folds = options.folds(cohort.folds)
            grid = FoldGrid(cohort, folds[0], options, search, start, place)
            require_possible(grid)
            yield good("scores", f"in the features of {grid.extractor.name}, of {grid.fakes} images each")
            cell, cells = search.corners()[0], len(search.corners()) * len(folds)
            trained = f"{cells} x {options.kimg:g} kimg"
            if self._is_tried:
                with progress("a few steps of the training", 2, unit="parts") as bar:
                    found = probe(grid, cell)
                    bar.advance()
                    a_fake = seconds_a_fake(grid)
                    bar.advance()
                state, parameters = found.state_bytes, found.g_parameters
                step = f"a step of {grid.training(cell).batch} images of {cohort.size} px"
                yield _memory(
                    f"{in_gib(state + found.activation_bytes)} for {step}", state + found.activation_bytes, device
                )
                seconds = cells * (1000 * options.kimg * found.seconds + fakes_of_a_cell(grid) * a_fake)
                yield good("time", f"{_in_days(seconds)} for {trained} with scores, one after another")
            else:
                trainer = grid.trainer(cell)
                state, (parameters, _) = state_bytes(trainer), trained_parameters(trainer)
                yield _memory(
                    f"at least {in_gib(state)} for the networks, and more for what a step keeps", state, device
                )
                yield unknown(
                    "training",
                    f"{trained}; not tried: --trial takes a few steps with images of {cohort.size} px, minutes here",
                )
            averages = min(options.averages, int(1000 * options.kimg / every_nimg(grid.options)))
            self.left_bytes = cells * (STATES * state + averages * AVERAGE_BYTES * parameters)


def _memory(text: str, needed: int, device: torch.device) -> Finding:
    free = free_bytes(device)
    if free is None or needed <= free:
        return good("memory", text)
    return bad("memory", f"{text}, and {in_gib(free)} are free; give a smaller --batch, or another --device.")


def _in_days(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours > 48 else f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
