"""What a study of Table 2 refuses before its first fit."""

from pathlib import Path

from classify.figures import FIGURES
from classify.gather import rows_of
from classify.guard import refuse_seen, seen_by_bundle, seen_by_fit
from classify.plan import Plan
from classify.study_options import StudyOptions
from classify.tested import test_set
from shared.cohort import Cohort
from shared.errors import UserError
from shared.files import require_new
from shared.records import read_records


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
    except (LookupError, TypeError, ValueError) as error:
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
