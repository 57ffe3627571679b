"""Train StyleGAN2-ADA on the rare class: one cell or a grid, each cell resumable, Table 1 at the end."""

import contextlib
import dataclasses
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shared.cohort import NEGATIVE, POSITIVE, STUDY, Cohort, read_cohort
from shared.console import progress, say
from shared.errors import UserError
from shared.nn.device import choose_precision, describe_precision
from shared.provenance import environment
from shared.splits import parts
from stylegan2_ada import Trainer, TrainingConfig
from synth.cells import Cell
from synth.interruption import Interruption, watching_signals
from synth.launch import Place, joined
from synth.quality import QualityMeter
from synth.run import Run
from synth.run_folder import RunFolder
from synth.starts import Start, build_start, require_whole_groups, resolve_training
from synth.table1 import write_table1
from synth.train_options import ALL_FOLDS, TrainOptions

LABELS = {"positive": (POSITIVE,), "negative": (NEGATIVE,), "both": (NEGATIVE, POSITIVE)}
MIN_IMAGES = 2


@dataclass(frozen=True)
class TrainingSet:
    """The real images that a fold's networks may see."""

    images: npt.NDArray[np.uint8]  # [N, S, S, 3]
    labels: npt.NDArray[np.int64]  # [N], index of the class among those trained
    validation: npt.NDArray[np.uint8]  # [V, S, S, 3]
    seen: npt.NDArray[np.int64]  # [N + V] rows of the cohort that training or a choice uses


def select_images(cohort: Cohort, fold: int, options: TrainOptions) -> TrainingSet:
    """Return what the protocol lets a fold's networks see.

    strict: the fold's train part, and its validation part for choices. paper: all study images of the class, which
    then include every fold's test images; choices are made on the training images.

    Raises `UserError`: too few images.
    """
    wanted = LABELS[options.label]
    if options.protocol == "paper":
        train = np.flatnonzero(cohort.role == STUDY)
        validation = train[:0]
    else:
        split = parts(cohort, fold)
        train, validation = split.train, split.validation
    train = train[np.isin(cohort.label[train], wanted)]
    validation = validation[np.isin(cohort.label[validation], wanted)]
    if len(train) < MIN_IMAGES:
        raise UserError(
            f"--label {options.label}: {len(train)} images of that class in the train part of fold {fold}, and a "
            f"network needs at least {MIN_IMAGES}; prepare a cohort with more."
        )
    labels = np.searchsorted(np.array(wanted), cohort.label[train])
    return TrainingSet(
        np.asarray(cohort.images[train]),
        labels,
        np.asarray(cohort.images[validation]),
        np.concatenate([train, validation]),
    )


def train(options: TrainOptions, cells: tuple[Cell, ...]) -> list[Path]:
    """Train every cell on every fold asked for and write Table 1 beside them; return the run folders.

    Raises:
        UserError: whatever the user can mend, before any long work where possible.
        SystemExit: a signal asked to stop (`synth.interruption`); the same call goes on.
    """
    with watching_signals() as interruption, joined(options.device) as (ranks, device):
        cohort = read_cohort(options.cohort)
        place = Place(device, choose_precision(options.precision, device), ranks)
        folds = options.folds(cohort.folds)
        if options.protocol == "paper":
            folds = [-1]  # one network for all of them
        runs: list[Path] = []
        for fold in folds:
            out = options.out / f"fold{fold}" if options.fold == ALL_FOLDS and fold >= 0 else options.out
            runs += _train_grid(cohort, fold, options, cells, out, place, interruption)
    return runs


def _train_grid(
    cohort: Cohort,
    fold: int,
    options: TrainOptions,
    cells: tuple[Cell, ...],
    out: Path,
    place: Place,
    interruption: Interruption,
) -> list[Path]:
    """Train all cells of one fold; they share real features, and the score of the networks they start from."""
    data = select_images(cohort, fold, options)
    c_dim = len(LABELS[options.label]) if options.label == "both" else 0
    start = build_start(options, cohort.size, c_dim)
    folders = [RunFolder(out if len(cells) == 1 else out / cell.name) for cell in cells]
    if len(cells) > 1 and RunFolder(out).config.exists():
        raise UserError(f"{out}: holds a single run, and a grid needs a folder of its own; give another --out.")
    for cell in cells:
        require_whole_groups(_training(options, cell, cohort.size), start, place.ranks.count)
    configs = [_describe(cohort, fold, options, cell, start, place) for cell in cells]
    meter = _LazyMeter(data, options, place)
    at_start: dict[str, Any] | None = None
    with contextlib.ExitStack() as claims:
        for folder, config in zip(folders, configs, strict=True):
            # All of them before the first hour of work.
            place.ranks.from_first(functools.partial(_take, folder, config, claims))
        say(
            f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} of {options.kimg:g} kimg on {len(data.images)} "
            f"images of {cohort.size} px, {place}"
        )
        if start.left_new:
            say(
                f"{len(start.left_new)} tensors start anew, the start network has none that fit: {start.left_new[0]} "
                "… (config.json lists them)"
            )
        for folder, cell in zip(folders, cells, strict=True):
            if place.ranks.from_first(functools.partial(folder.is_finished, options.kimg)):
                say(f"{folder.path}: complete")
                continue
            trainer = Trainer(
                build_start(options, cohort.size, c_dim).networks,  # anew for each cell: training changes them
                _training(options, cell, cohort.size),
                torch.from_numpy(data.images).permute(0, 3, 1, 2),
                torch.nn.functional.one_hot(torch.from_numpy(data.labels), c_dim).float() if c_dim else None,
                seed=options.seed,
                device=place.device,
                ranks=place.ranks,
                dtype=place.dtype,
            )
            about = _about(cohort, fold, options, cell, start, data)
            run = Run(folder, trainer, meter.get(), options, about, at_start, interruption)
            _watch(run, cell, options)
            at_start = run.quality_at_start
        if place.ranks.first:
            write_table1(out, folders, options.protocol)
    return [folder.path for folder in folders]


def _take(folder: RunFolder, config: dict[str, Any], claims: contextlib.ExitStack) -> None:
    """Make a run folder this command's own until `claims` ends."""
    claims.enter_context(folder.claim())
    folder.open(config)


def _training(options: TrainOptions, cell: Cell, size: int) -> TrainingConfig:
    """Return the full training configuration of one cell, with the bound of p."""
    config = resolve_training(options, cell, size)
    return dataclasses.replace(config, max_p=options.max_p, initial_p=min(config.initial_p, options.max_p))


class _LazyMeter:
    """Real features take seconds: computed when the first cell needs them, never when all cells are complete."""

    def __init__(self, data: TrainingSet, options: TrainOptions, place: Place) -> None:
        self._data, self._options, self._place = data, options, place
        self._meter: QualityMeter | None = None

    def get(self) -> QualityMeter:
        if self._meter is None:
            self._meter = QualityMeter.build(
                self._data.images,
                self._data.validation,
                features=self._options.features,
                fakes=self._options.quality_fakes,
                seed=self._options.seed,
                device=self._place.device,
                ranks=self._place.ranks,
                weights=self._options.weights,
                offline=self._options.offline,
            )
        return self._meter


def _watch(run: Run, cell: Cell, options: TrainOptions) -> None:
    """Drive a run to its end under a progress bar."""
    started = time.monotonic()
    with progress(cell.name.replace("_", " "), options.kimg, unit="kimg") as bar:
        for moment in run.go():
            bar.advance(moment.kimg_done)
            bar.note(moment.note)
    say(f"{run.folder.path}: {run.summary()}, {time.monotonic() - started:.0f} s")


def _describe(
    cohort: Cohort, fold: int, options: TrainOptions, cell: Cell, start: Start, place: Place
) -> dict[str, Any]:
    """Return everything resolved, as config.json keeps it."""
    training = _training(options, cell, cohort.size)
    return {
        "cohort": cohort.sha256,
        "fold": fold,
        "protocol": options.protocol,
        "label": options.label,
        "cell": dataclasses.asdict(cell),
        "kimg": options.kimg,
        "checkpoint_every": options.checkpoint_every,
        "save_every_min": options.save_every_min,
        "training": dataclasses.asdict(training),
        "generator": dataclasses.asdict(start.networks.G.config),
        "discriminator": dataclasses.asdict(start.networks.D.config),
        "start": {
            "name": start.name,
            "sha256": start.sha256,
            "licence": start.licence,
            "left_new": list(start.left_new),
        },
        "seed": options.seed,
        "precision": describe_precision(place.dtype, place.device),
        "quality": {"features": options.features, "fakes": options.quality_fakes, "noise": options.noise},
        "environment": environment(str(place)),
    }


def _about(
    cohort: Cohort, fold: int, options: TrainOptions, cell: Cell, start: Start, data: TrainingSet
) -> dict[str, Any]:
    """Return what the network file says of itself (`synth.grid.read_provenance`).

    What the start network saw, this one has seen: its photographs are listed too, under group -1 when the start's
    groups are of another cohort and cannot be named in this one.
    """
    same = start.seen_cohort == cohort.sha256
    seen = {str(cohort.image_id[row]): int(cohort.group_id[row]) for row in data.seen}
    seen = {name: group if same else -1 for name, group in start.seen} | seen
    label = NEGATIVE if options.label == "negative" else POSITIVE
    return {
        "cohort": cohort.sha256,
        "class_name": cohort.classes[label],
        "label": label,
        "classes": list(cohort.classes) if options.label == "both" else None,
        "fold": fold,
        "protocol": options.protocol,
        "seen_image_id": list(seen),
        "seen_group_id": list(seen.values()),
        "generator": {"gamma": cell.gamma, "target": cell.target, "lr": cell.lr},
        "start": {"name": start.name, "sha256": start.sha256, "licence": start.licence},
    } | ({} if start.licence is None else {"licence": start.licence})
