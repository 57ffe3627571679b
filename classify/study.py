"""The stage `classify study`: all cells of a preset fitted, evaluated and laid out as Table 2.

A cell is one fit and its evaluation: model x ratio x control x fold x seed. They are a study as Table 1's are
(`shared.studies`), so the same command on several machines shares them, whatever dies. What is done is left as it is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rich.box
import rich.table
import torch

from classify import folder
from classify.evaluate import SETS, evaluate
from classify.fit import Plan, fit_fold, plan
from classify.place import Place, working
from classify.presets import read_preset
from classify.study_options import CellGrid, StudyOptions, TableCell, table_cells
from classify.tables import Table, write_table
from shared.bundle import Bundle, read_bundle
from shared.cohort import EXTERNAL, Cohort, read_cohort
from shared.console import console, say
from shared.errors import UserError
from shared.files import require_new
from shared.interruption import Interruption
from shared.nn.at_once import Work, do_at_once
from shared.records import Record, append_record, read_records
from shared.studies.claim import Claim
from shared.studies.patience import patiently
from shared.studies.storage import Storage, open_storage, place_name
from shared.studies.study import Study, forget_other_plan
from shared.studies.worker import Done, Worker

STUDY = "table2"  # name of the study in a folder of its own, which may be moved
UNIT = "fits"
FEATURES = "features"


class TableStudy:
    """The cells of one study as one process works on them (`shared.studies.worker.Shop`)."""

    def __init__(self, options: StudyOptions, place: Place, *, force: bool | None = None) -> None:
        """Read what the options name.

        Raises `UserError`: a file or preset that cannot be read, or a cell that cannot be fitted.
        """
        self.options = options
        self.place = replace(place, cache=options.out / FEATURES)
        self.force = options.force if force is None else force
        self.cohort: Cohort = read_cohort(options.cohort)
        self.bundles: list[Bundle] = [read_bundle(path) for path in options.bundles]
        self.grid: CellGrid = table_cells(read_preset(options.preset), self.cohort, options)
        self.sets = SETS if (self.cohort.role == EXTERNAL).any() else SETS[:1]

    @property
    def is_single(self) -> bool:
        """Whether there is but one cell."""
        return len(self.grid.cells) == 1

    def plan(self, cell: TableCell) -> Plan:
        """Return the fit of a cell; raise `UserError` when it cannot be made."""
        return plan(self.cohort, cell.fold, bundles=self.bundles, options=cell.options, device=self.place.device)

    def describe(self) -> dict[str, Any]:
        """Return what all workers must agree on, besides the names of the cells."""
        configs = {cell.name: asdict(self.plan(cell).config) for cell in self.grid.cells}
        return {"cohort": self.cohort.sha256, "fits": configs, "allow_seen": self.options.allow_seen}

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
        fit_fold(self.cohort, self.plan(cell), path, replace(self.place, interruption=interruption), force=self.force)
        records = self.place.ranks.from_first(lambda: self._evaluated(cell, path))
        accuracy = records[0]["metrics"]["accuracy"]
        return Done(value=1 - accuracy, row={"records": records, "seconds": records[0]["times"]["train_s"]})

    def _evaluated(self, cell: TableCell, path: Path) -> list[Record]:
        found = self._recorded(cell)
        stale = [name for name in self.sets if name not in found]
        if stale:
            made = evaluate(
                path,
                cohort=self.cohort,
                sets=stale,
                records=self.options.records,
                device=self.place.device,
                allow_seen=self.options.allow_seen,
                operating=self.options.operating,
            )
            found |= {record["key"]["set"]: record for record in made}
        return [found[name] for name in self.sets]

    def _recorded(self, cell: TableCell) -> dict[str, Record]:
        """Return the records of the model in a cell's folder that are there already, by test set."""
        path = self.path(cell)
        if not self.options.records.is_file() or not folder.is_finished(path):
            return {}
        wanted = folder.as_plain(folder.read_config(path)[0])
        return {
            record["key"]["set"]: record
            for record in read_records(self.options.records)
            if record.get("fit") == wanted
            and record["key"].get("set") in self.sets
            and record.get("cohort", {}).get("sha256") == self.cohort.sha256
            and record.get("allow_seen") == self.options.allow_seen
        }


def study(options: StudyOptions) -> Table | None:
    """Fit and evaluate every cell under `options.out`, append to the records and write the table (.md, .json, figures).

    The external set is evaluated where the cohort has one. None when other workers still have cells: the one that ends
    last writes the table.

    Raises:
        UserError: whatever `fit`, `evaluate` or `write_table` refuses; what cannot be mixed shows before the first fit.
        SystemExit: a signal asked to stop; the same command goes on.
    """
    require_new(options.table, force=True)
    with working(options.device, weights=options.weights, offline=options.offline) as place:
        shop = TableStudy(options, place)
        ranks, described = place.ranks, shop.describe()
        if options.dry_run:
            _say_plan(shop)
            return None
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


def _open(shop: TableStudy, described: dict[str, Any], *, helps: bool = False) -> Study[TableCell]:
    options = shop.options
    if options.study_name is not None and (options.storage is None or not options.study_name):
        raise UserError(f"--study {options.study_name}: names a study in --storage; give both, or leave it out.")
    options.out.mkdir(parents=True, exist_ok=True)
    storage: Storage = open_storage(options.storage, options.out)
    name = STUDY if options.storage is None else options.study_name or options.out.resolve().name
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
    )


@dataclass(frozen=True)
class OneWorker:
    """One worker of several on this machine, for a process of its own, which makes the rest anew."""

    options: StudyOptions

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Do cells on GPU `slot`, if there are GPUs to choose from, until none is left."""
        device = self.options.device
        if device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{slot % torch.cuda.device_count()}"
        with working(device, weights=self.options.weights, offline=self.options.offline) as place:
            shop = TableStudy(self.options, replace(place, interruption=interruption))
            Worker([shop], [_open(shop, shop.describe(), helps=True)], interruption, place.ranks, wait=False).go()


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
        _record_all(options.records, [record for row in rows for record in row["records"]])
        table = write_table([options.records], out=options.table, operating=options.operating, force=True)
    if standing.failed:
        name, reason = next(iter(standing.failed.items()))
        more = f" ({len(standing.failed) - 1} more failed.)" if len(standing.failed) > 1 else ""
        raise UserError(f"{name}: {reason}{more}")
    return table if rows else None


def _record_all(path: Path, records: Sequence[Record]) -> None:
    """Add what was evaluated in other places."""
    known = {str(record["key"]) for record in read_records(path)} if path.exists() else set()
    for record in records:
        if str(record["key"]) not in known:
            append_record(path, record)


def _say_plan(shop: TableStudy) -> None:
    shown = rich.table.Table(title="cells", box=rich.box.SIMPLE, pad_edge=False)
    for column in ("cell", "images an epoch", "epochs", "learning rate", "done"):
        shown.add_column(column, justify="left" if column == "cell" else "right")
    for cell in shop.grid.cells:
        planned = shop.plan(cell)
        config = planned.config
        images, done = len(planned.mixture.train), "yes" if shop.is_there(cell) else ""
        shown.add_row(cell.name, str(images), str(config.epochs), f"{config.lr:g}", done)
    console().print(shown)
