"""What a study of Table 2 refuses before its first fit."""

from pathlib import Path

import torch

from classify.fitting.plan import Plan
from classify.fitting.settings import FitConfig
from classify.guard import refuse_seen, seen_by_bundle, seen_by_fit
from classify.models import build_model, set_trainable
from classify.registry import TIMM_PREFIX, find_model
from classify.studying.options import StudyOptions
from classify.table2.figures import FIGURES
from classify.table2.gather import rows_of
from classify.tested import test_set
from shared.cohort import Cohort
from shared.errors import UserError
from shared.files import require_new
from shared.records import read_records
from shared.weights import WeightSource, find_weights


def require_writable(options: StudyOptions) -> None:
    """Raise `UserError` when the models, the records or the table cannot be written where they are asked for."""
    out, records, table = options.out, options.records, options.table
    preset = [options.preset] if options.preset.endswith(".toml") else []  # others are names, and no files
    inputs: list[str | Path] = [options.cohort, *options.bundles, *preset]
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file, where the folder of the models should be; give another --out.")
    if not out.exists():
        require_new(out, force=True)
    if table.suffix != ".md":
        raise UserError(f"--table {table}: not a Markdown file; give a name that ends in .md.")
    made = [table, table.with_suffix(".json"), *(table.with_name(f"{table.stem}_{name}.png") for name in FIGURES)]
    for path in made:
        require_new(path, force=True, inputs=inputs, option="--table")
    require_new(records, force=True, inputs=inputs, option="--records")
    if records.resolve() in [path.resolve() for path in made]:
        raise UserError(f"--records {records}: --table writes this file, so the records would be lost; give another.")
    if records.exists():
        _require_records(records)


def _require_records(path: Path) -> None:
    """Raise `UserError` when a file holds something else than records, or such as no table can be made of."""
    try:
        rows_of(read_records(path))
    except UserError:
        raise
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"--records {path}: a record lacks {error}; give another file, or evaluate again with this version."
        ) from error


def require_testable(cohort: Cohort, planned: Plan, sets: tuple[str, ...], path: Path, *, allow_seen: bool) -> None:
    """Raise `UserError` when the model that a plan will leave at `path` could not be tested on one of `sets`."""
    seen = [seen_by_fit(cohort, planned.mixture.fitted_rows), *map(seen_by_bundle, planned.supply.all)]
    for name in sets:
        rows = test_set(cohort, planned.config.fold, name).rows
        if not allow_seen:
            refuse_seen(seen, cohort, rows, model=path, test_set=name)


class Builder:
    """Builds each network that a study asks for once, as cheaply as shows that it can be built."""

    def __init__(self, source: WeightSource, *, dry_run: bool) -> None:
        """Take where weights come from; a dry run downloads none."""
        self._source, self._dry_run = source, dry_run
        self._built: set[tuple[object, ...]] = set()

    def require(self, config: FitConfig) -> None:
        """Raise `UserError` when the network of a fit cannot be built, or its weights cannot be had."""
        network = (config.model, config.image_size, config.depth, config.head, config.dropout, config.unfreeze)
        if network in self._built:
            return
        # Without memory, and so without arithmetic; a network that nobody tried here is tried on a blank image.
        device = "cpu" if config.model.startswith(TIMM_PREFIX) else "meta"
        with torch.random.fork_rng([]), torch.device(device):
            classifier = build_model(
                config.model, image_size=config.image_size, depth=config.depth, head=config.head, dropout=config.dropout
            )
            set_trainable(classifier, config.unfreeze, name=config.model)
        weights = find_model(config.model).pretrained
        if weights is not None and (self._source.offline or not self._dry_run):
            find_weights(weights.file(), self._source)  # where it is, and that it is whole
        self._built.add(network)
