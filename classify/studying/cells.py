"""The cells of Table 2 as one process works on them: each is a fit and its evaluation."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from classify.evaluate import evaluate
from classify.fit import fit_fold
from classify.fitting import folder
from classify.fitting.plan import Plan, plan, resolve_precision
from classify.fitting.settings import FitConfig
from classify.place import Place
from classify.presets import read_preset
from classify.studying.checks import Builder, require_testable
from classify.studying.options import CellGrid, StudyOptions, TableCell, table_cells
from classify.studying.records import RecordsFile
from classify.tested import SETS
from shared.bundle import Bundle, read_bundle
from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.interruption import Interruption
from shared.records import Record
from shared.splits import external_test_set
from shared.studies.claim import Claim
from shared.studies.worker import Done

FEATURES = "features"


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
            if not folder.is_done(path, planned.config, force=self.options.force):
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
