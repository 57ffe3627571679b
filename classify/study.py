"""The stage `classify study`: all cells of a preset fitted, evaluated and laid out as Table 2.

A cell is one fit and its evaluation: model x ratio x control x fold x seed. They are a study as Table 1's are
(`shared.studies`), so the same command on several machines shares them, whatever dies. What is done is left as it is.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import rich.box
import rich.table
import torch

from classify import folder
from classify.evaluate import evaluate
from classify.fit import fit_fold
from classify.place import Place, helping, working
from classify.plan import Plan, plan, resolve_precision
from classify.presets import read_preset
from classify.settings import FitConfig
from classify.study_checks import Builder, require_testable, require_writable
from classify.study_options import CellGrid, StudyOptions, TableCell, table_cells
from classify.study_records import RecordsFile
from classify.tables import Table, write_table
from classify.tested import SETS
from shared.bundle import Bundle, read_bundle
from shared.cohort import Cohort, read_cohort
from shared.console import console, say
from shared.errors import UserError
from shared.interruption import Interruption
from shared.nn.at_once import Work, do_at_once
from shared.records import Record
from shared.splits import external_test_set
from shared.studies.claim import Claim
from shared.studies.patience import patiently
from shared.studies.storage import open_existing, open_storage, place_name
from shared.studies.study import Study, forget_other_plan, require_same_plan
from shared.studies.worker import Done, Worker

STUDY = "table2"  # name of the study in a folder of its own, which may be moved
UNIT = "fits"
FEATURES = "features"
WAY_OUT = "give --force to replace it, another --out or --study, or the same options to go on"


class TableStudy:
    """The cells of one study as one process works on them (`shared.studies.worker.Shop`)."""

    def __init__(self, options: StudyOptions, place: Place) -> None:
        """Read what the options name.

        Raises `UserError`: a file or preset that cannot be read, or a cell that cannot be fitted.
        """
        self.options = options
        if options.precision is not None:
            resolve_precision(options.precision, place.device, head_alone=False)
        self.place = replace(place, cache=options.out / FEATURES)
        self.cohort: Cohort = read_cohort(options.cohort)
        self.bundles: list[Bundle] = [read_bundle(path) for path in options.bundles]
        rows = read_preset(options.preset)
        self.has_paper = any(row.paper for row in rows)
        self.grid: CellGrid = table_cells(rows, self.cohort, options)
        self.sets = SETS if len(external_test_set(self.cohort)[0]) else SETS[:1]
        self.records = RecordsFile(options.records, self.cohort.sha256, allow_seen=options.allow_seen)

    @property
    def is_single(self) -> bool:
        """Whether there is but one cell."""
        return len(self.grid.cells) == 1

    def plan(self, cell: TableCell) -> Plan:
        """Return the fit of a cell; raise `UserError` when it cannot be made."""
        with self._naming(cell):
            return plan(self.cohort, cell.fold, bundles=self.bundles, options=cell.options, device=self.place.device)

    @contextlib.contextmanager
    def _naming(self, cell: TableCell) -> Iterator[None]:
        """Say of what is refused in the block which cell it is."""
        try:
            yield
        except UserError as error:
            raise UserError(f"--preset {self.options.preset}, {cell.name}: {error}") from error

    @cached_property
    def configs(self) -> dict[str, FitConfig]:
        """The configuration of each cell by its name; raises `UserError` when one cannot be fitted, or tested."""
        found, builder = {}, Builder(self.place.weights, dry_run=self.options.dry_run)
        for cell in self.grid.cells:
            planned, path = self.plan(cell), self.path(cell)
            require_testable(self.cohort, planned, self.sets, path, allow_seen=self.options.allow_seen)
            folder.require_free(path, planned.config, force=self.options.force)
            if not folder.is_done(path, planned.config):
                with self._naming(cell):
                    builder.require(planned.config)
            found[cell.name] = planned.config
        return found

    @cached_property
    def fits(self) -> dict[Path, FitConfig]:
        """The configuration of each cell by its model's folder."""
        return {self.path(cell): self.configs[cell.name] for cell in self.grid.cells}

    def describe(self) -> dict[str, Any]:
        """Return what all workers must agree on, besides the names of the cells."""
        fits = {name: asdict(config) for name, config in self.configs.items()}
        return {"cohort": self.cohort.sha256, "fits": fits, "allow_seen": self.options.allow_seen}

    def path(self, cell: TableCell) -> Path:
        """Return the folder of a cell's model."""
        return self.options.out / cell.folder

    def is_there(self, cell: TableCell) -> bool:
        """Tell whether a cell's model and records are still where they were."""
        return folder.is_finished(self.path(cell)) and len(self._recorded(cell)) == len(self.sets)

    def do(self, cell: TableCell, interruption: Interruption, claim: Claim[TableCell] | None) -> Done:  # noqa: ARG002
        """Fit a cell and evaluate it.

        Raises: see `classify.fit.fit` and `classify.evaluate.evaluate`.
        """
        path = self.path(cell)
        interruption.check(self.place.ranks)  # it may have come while the cell before was tested
        was_there = folder.is_finished(path)
        place = replace(self.place, interruption=interruption)
        fit_fold(self.cohort, self.plan(cell), path, place, force=self.options.force, others=self.fits)
        records = self.place.ranks.from_first(lambda: self._evaluated(cell, self._recorded(cell) if was_there else {}))
        accuracy = records[0]["metrics"]["accuracy"]
        return Done(value=1 - accuracy, row={"records": records, "seconds": records[0]["times"]["train_s"]})

    def _evaluated(self, cell: TableCell, known: dict[str, Record]) -> list[Record]:
        """Return the records of a cell by test set, those that are not `known` anew."""
        stale = [name for name in self.sets if name not in known]
        if stale:
            made = evaluate(
                self.path(cell),
                cohort=self.cohort,
                sets=stale,
                records=self.options.records,
                device=self.place.device,
                allow_seen=self.options.allow_seen,
                operating=self.options.operating,
            )
            known = known | {record["key"]["set"]: record for record in made}
        return [known[name] for name in self.sets]

    def _recorded(self, cell: TableCell) -> dict[str, Record]:
        """Return the records of the model in a cell's folder that are there already, by test set."""
        wanted = self.configs[cell.name]
        try:
            is_same = folder.is_finished(self.path(cell)) and folder.read_config(self.path(cell))[0] == wanted
        except UserError:  # damaged, or of another version: with `--force` it is fitted again
            return {}
        return self.records.of(wanted, self.sets) if is_same else {}


def study(options: StudyOptions) -> Table | None:
    """Fit and evaluate every cell under `options.out`, append to the records and write the table (.md, .json, figures).

    The external set is evaluated where the cohort has one. None when other workers still have cells: the one that ends
    last writes the table.

    Raises:
        UserError: whatever `fit`, `evaluate` or `write_table` refuses; what cannot be mixed shows before the first fit.
        SystemExit: a signal asked to stop; the same command goes on.
    """
    require_writable(options)
    with working(options.device, weights=options.weights, offline=options.offline) as place:
        shop = TableStudy(options, place)
        ranks, described = place.ranks, shop.describe()
        if options.dry_run:
            _require_same(shop, described)
            _say_plan(shop)
            return None
        _say_unused(shop)
        studies: list[Study[TableCell]] = []
        ranks.from_first(lambda: studies.append(_open(shop, described)))
        left = ranks.from_first(lambda: studies[0].left())
        say(f"{shop.grid.in_words()}, {left} to do; {options.out}")
        if options.jobs > 1 and left and ranks.count == 1:
            threads = max(torch.get_num_threads() // options.jobs, 1)
            pieces = [Work(f"worker {n}", OneWorker(options)) for n in range(1, min(options.jobs, left) + 1)]
            do_at_once(pieces, options.jobs, threads, place.interruption)
        Worker([shop], studies, place.interruption, ranks, wait=options.wait).go()
        return ranks.from_first(lambda: _conclude(shop, studies[0]))


def _say_unused(shop: TableStudy) -> None:
    used = {digest for config in shop.configs.values() for digest in config.bundles}
    for bundle in shop.bundles:
        if bundle.sha256 not in used:
            say(f"note: {bundle.path} is not used, since no cell is of its class and fold with synthetic images.")
    if shop.has_paper and shop.options.preset.endswith(".toml"):  # a file, and none of ours
        say(f"note: {shop.options.preset}: `paper` is not used, since tables print what the preset paper holds of it.")


def _study_name(options: StudyOptions) -> str:
    if options.study_name is not None:
        return options.study_name
    folds = "".join(f"-fold{fold}" for fold in sorted(set(options.folds)))  # each a study beside the others in --out
    return (STUDY if options.storage is None else options.out.resolve().name) + folds


def _require_same(shop: TableStudy, described: dict[str, Any]) -> None:
    """Check the study without making it.

    Raises `UserError`: the storage cannot be used, or has another study that `--force` is not to replace.
    """
    options = shop.options
    storage = open_existing(options.storage, options.out)
    if storage is not None and not options.force:
        require_same_plan(storage, _study_name(options), described | shop.grid.describe(), way_out=WAY_OUT)


def _open(shop: TableStudy, described: dict[str, Any], *, helps: bool = False) -> Study[TableCell]:
    options = shop.options
    storage, name = open_storage(options.storage, options.out), _study_name(options)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.force and not helps:
        forget_other_plan(storage, name, described | shop.grid.describe())
    return Study(
        storage,
        name,
        shop.grid,
        described,
        amount=1,
        unit=UNIT,
        seed=0,
        grace_s=options.grace,
        place=lambda: place_name(options.out),
        is_there=shop.is_there,
        helps=helps,
        way_out=WAY_OUT,
    )


@dataclass(frozen=True)
class OneWorker:
    """One worker of several on this machine, for a process of its own, which makes the rest anew."""

    options: StudyOptions

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Do cells on GPU `slot`, if there are GPUs to choose from, until none is left."""
        options = self.options
        with helping(options.device, slot, interruption, weights=options.weights, offline=options.offline) as place:
            shop = TableStudy(options, place)
            studies = [_open(shop, shop.describe(), helps=True)]
            Worker([shop], studies, interruption, place.ranks, wait=False, patient=options.wait).go()


def _conclude(shop: TableStudy, work: Study[TableCell]) -> Table | None:
    """Write the table of all cells.

    Raises `UserError`: a cell could not be fitted.
    """
    options = shop.options
    standing, rows = patiently(work.standing, f"{work.storage.name}:"), work.rows()
    if standing.running:
        say(f"{options.out}: other workers still have {standing.running} of the cells; the last one writes the table")
        return None
    if rows:
        shop.records.add([record for row in rows for record in row["records"]])
        table = write_table([options.records], out=options.table, operating=options.operating, force=True)
    if standing.failed:
        name, reason = next(iter(standing.failed.items()))
        more = f" ({len(standing.failed) - 1} more failed.)" if len(standing.failed) > 1 else ""
        raise UserError(f"{name}: {reason}{more}")
    return table if rows else None


def _say_plan(shop: TableStudy) -> None:
    shown = rich.table.Table(title="cells", box=rich.box.SIMPLE, pad_edge=False)
    for column in ("cell", "images an epoch", "epochs", "learning rate", "done"):
        shown.add_column(column, justify="left" if column == "cell" else "right", overflow="fold")
    for cell in shop.grid.cells:
        planned = shop.plan(cell)
        config = planned.config
        images, done = len(planned.mixture.train), "yes" if shop.is_there(cell) else ""
        shown.add_row(cell.name, str(images), str(config.epochs), f"{config.lr:g}", done)
    console().print(shown)
