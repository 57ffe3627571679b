"""The grid of one fold: the cells that one process trains share images, start, real features and score of the start."""

import contextlib
import copy
import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.console import say
from shared.errors import UserError
from shared.interruption import Interruption
from shared.nn.device import describe_precision
from shared.nn.memory import is_out_of_memory
from shared.progress import progress
from shared.provenance import environment
from shared.splits import partners
from shared.studies.worker import Done
from shared.weights import WeightSource
from stylegan2_ada import Trainer, TrainingConfig
from synth.scores.features import Extractor, open_extractor, resolve_choice
from synth.scores.quality import FEATURES, QualityMeter, draw_at_once
from synth.table1.rows import row_of
from synth.training.cells import Cell
from synth.training.configuration import resolve_training
from synth.training.launch import Place
from synth.training.methods import choose_method
from synth.training.options import TrainOptions
from synth.training.run import Run, Watcher
from synth.training.run_folder import RunFolder
from synth.training.search import Search
from synth.training.starts import Start, build_start, require_whole_groups
from synth.training.training_set import TrainingSet, classes

FAKES = 1000
FID_FAKES = 50_000  # as its authors have it


class FoldGrid:
    """The grid of one fold: each cell in a folder of its own below `out` (a single one in `out` itself)."""

    def __init__(
        self,
        cohort: Cohort,
        fold: int,
        options: TrainOptions,
        search: Search,
        start: Start,
        place: Place,
        features: str | None = None,
    ) -> None:
        """Take the fold's part of the cohort; `fold` -1 stands for all of it (paper protocol).

        `features` is the space to score in, when `options` leave it open and it is known already.

        Raises `UserError`: too few images, or a batch that cannot be dealt out.
        """
        self.cohort, self.fold, self.search, self.start, self.place = cohort, fold, search, start, place
        self.options = dataclasses.replace(options, noise=options.noise or start.noise)
        self.features = features
        self.out = fold_folder(options, fold)
        self.data = TrainingSet.of(cohort, fold, options)
        self._other_start: tuple[int, Start] | None = None  # of the last seed but the first
        self._scores_of_starts: dict[int, dict[str, Any]] = {}  # by seed
        for cell in search.corners():
            require_whole_groups(self.training(cell), start, place.ranks.count)

    def folder(self, cell: Cell) -> RunFolder:
        """Return where a cell is trained."""
        return RunFolder(self.out if self.search.is_single else self.out / cell.name)

    @property
    def ema_kimg(self) -> float:
        """Half-life of the average of the weights."""
        return self.training(self.search.corners()[0]).ema_kimg

    @property
    def is_single(self) -> bool:
        """Whether there is but one cell."""
        return self.search.is_single

    def do(self, cell: Cell, interruption: Interruption, claim: Watcher | None = None) -> Done:
        """Train one cell to its end, under a progress bar; of several ranks the first holds the folder.

        Raises: see `Run.go`, and `BusyError` when another process works in the folder.
        """
        folder, ranks = self.folder(cell), self.place.ranks
        if not ranks.from_first(lambda: folder.is_finished(self.options.kimg)):
            self._train(cell, folder, interruption, claim)
        else:
            say(f"{folder.path}: complete, at {folder.read_log()[-1]['kimg']:g} kimg")
        return ranks.from_first(lambda: self._result(folder))

    def _result(self, folder: RunFolder) -> Done:
        row = row_of(self.out, folder)
        return Done(row["criterion"], row, pruned=folder.read_log()[-1]["kimg"] < self.options.kimg)

    def _train(self, cell: Cell, folder: RunFolder, interruption: Interruption, watcher: Watcher | None) -> None:
        ranks = self.place.ranks
        with contextlib.ExitStack() as claims, self._memory_errors():
            ranks.from_first(lambda: claims.enter_context(folder.claim()))
            ranks.from_first(lambda: folder.open(self.describe(cell)))
            options = self._options(cell)
            run = Run(
                folder,
                self.trainer(cell),
                self._meter,
                options,
                self._about(cell),
                self._scores_of_starts.get(options.seed),
                interruption,
                watcher,
            )
            started = time.monotonic()
            with progress(cell.name.replace("_", " "), self.options.kimg, unit="kimg") as bar:
                bar.skip(run.trainer.cur_nimg / 1000)
                for moment in run.go():
                    bar.advance(moment.kimg_done)
                    bar.note(moment.note)
            if run.quality_at_start is not None:
                self._scores_of_starts[options.seed] = run.quality_at_start
            say(f"{folder.path}: {run.summary()}, {time.monotonic() - started:.0f} s")

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        """Say in one sentence what to do when the device's memory is too small; the newest state is as it was."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            batch = self.training(self.search.corners()[0]).batch
            raise UserError(
                f"{self.place.device}: its memory does not hold a training step of {batch} images of "
                f"{self.cohort.size} px; give a smaller --batch, --precision bf16, fewer --jobs or more --gpus."
            ) from error

    def _options(self, cell: Cell) -> TrainOptions:
        return self.options if cell.seed is None else dataclasses.replace(self.options, seed=cell.seed, seeds=())

    def _start(self, cell: Cell) -> Start:
        """Return what a cell begins with: new tensors are drawn by its seed."""
        options = self._options(cell)
        if options.seed == self.options.seed:
            return self.start
        if self._other_start is None or self._other_start[0] != options.seed:
            self._other_start = options.seed, build_start(options, self.cohort.size, classes(options))
        return self._other_start[1]

    def trainer(self, cell: Cell, batch: int | None = None) -> Trainer:
        """Return what trains a cell, with steps of `batch` images if not of the usual number."""
        data, config = self.data, self.training(cell)
        return Trainer(
            copy.deepcopy(self._start(cell).networks),  # training changes them
            config if batch is None else dataclasses.replace(config, batch=batch),
            torch.from_numpy(data.images).permute(0, 3, 1, 2),
            torch.nn.functional.one_hot(torch.from_numpy(data.labels), data.classes).float() if data.classes else None,
            seed=self._options(cell).seed,
            device=self.place.device,
            ranks=self.place.ranks,
            dtype=self.place.dtype,
            compiled=self.place.compiled,
        )

    @functools.cached_property
    def space(self) -> str:
        """The feature space of the scores."""
        return self.features or resolve_space(self.options, self.start)

    @property
    def fakes(self) -> int:
        """How many generated images a score is computed from."""
        if self.options.quality_fakes is not None:
            return self.options.quality_fakes
        return FID_FAKES if self.space == "inception" else FAKES

    @functools.cached_property
    def extractor(self) -> Extractor:
        """The network whose features the scores compare."""
        source = WeightSource(folder=self.options.weights, offline=self.options.offline)
        return open_extractor(self.space, "quality", source=source, device=self.place.device)

    @functools.cached_property
    def _meter(self) -> QualityMeter:
        return QualityMeter(
            self.data.images,
            self.data.validation,
            self.extractor,
            fakes=self.fakes,
            kid_subset=self.options.kid_subset,
            groups=self.data.groups,
            seed=self.options.seed,
            at_once=draw_at_once(self.place.device),
            ranks=self.place.ranks,
            cache=self.out / FEATURES,
        )

    def training(self, cell: Cell) -> TrainingConfig:
        """Return the full training configuration of a cell."""
        start = self.start
        return resolve_training(self.options, cell, self.cohort.size, start.networks.D, start.training)

    def describe(self, cell: Cell) -> dict[str, Any]:
        """Return everything resolved, as config.json keeps it."""
        options, start = self.options, self.start
        return {
            "cohort": self.cohort.sha256,
            "fold": self.fold,
            "protocol": options.protocol,
            "label": options.label,
            "method": choose_method(options)[0],
            "cell": dataclasses.asdict(cell),
            "kimg": options.kimg,
            "checkpoint_every": options.checkpoint_every,
            "save_every_min": options.save_every_min,
            "training": dataclasses.asdict(self.training(cell)),
            "generator": dataclasses.asdict(start.networks.G.config),
            "discriminator": dataclasses.asdict(start.networks.D.config),
            "start": {
                "name": start.name,
                "sha256": start.sha256,
                "licence": start.licence,
                "left_new": list(start.left_new),
            },
            "seed": self._options(cell).seed,
            "precision": describe_precision(self.place.dtype, self.place.device),
            "quality": {"features": options.features, "fakes": self.fakes, "noise": options.noise}
            | ({} if options.kid_subset is None else {"kid_subset": options.kid_subset}),
            "environment": environment(str(self.place)),
        }

    def _about(self, cell: Cell) -> dict[str, Any]:
        """Return what the network file says of itself (`synth.networks.provenance.read_provenance`).

        Seen are whole groups. What the start network saw, this one has seen: its photographs are listed too, under
        group -1 when the start's groups are of another cohort and cannot be named in this one.
        """
        cohort, start, options = self.cohort, self.start, self.options
        same = start.seen_cohort == cohort.sha256
        rows = np.concatenate([self.data.seen, partners(cohort, self.data.seen)])
        seen = {str(cohort.image_id[row]): int(cohort.group_id[row]) for row in rows}
        seen = {name: group if same else -1 for name, group in start.seen} | seen
        label = NEGATIVE if options.label == "negative" else POSITIVE
        return {
            "cohort": cohort.sha256,
            "class_name": cohort.classes[label],
            "label": label,
            "classes": list(cohort.classes) if options.label == "both" else None,
            "fold": self.fold,
            "protocol": options.protocol,
            "seen_image_id": list(seen),
            "seen_group_id": list(seen.values()),
            "noise": options.noise,
            "generator": {"gamma": cell.gamma, "target": cell.target, "lr": cell.lr},
            "start": {"name": start.name, "sha256": start.sha256, "licence": start.licence},
            "looked_through": _looks_through(options, start),
        } | ({} if start.licence is None else {"licence": start.licence})


def resolve_space(options: TrainOptions, start: Start) -> str:
    """Return the feature space of a training's scores: one that neither it nor its start has looked through."""
    source = WeightSource(folder=options.weights, offline=options.offline)
    return resolve_choice(options.features, "quality", source, looked_through=_looks_through(options, start))


def _looks_through(options: TrainOptions, start: Start) -> bool:
    return choose_method(options)[1].projected or start.looked_through


def fold_folder(options: TrainOptions, fold: int) -> Path:
    """Return where the grid of a fold is: of several folds, each has a folder of its own."""
    return options.out / f"fold{fold}" if options.several_folds and fold >= 0 else options.out
