"""The stage `classify table`: Table 2 of records, the paper's values beside ours, as a page, as JSON and as figures."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.box
import rich.table

from classify.measuring.operating import LEAST, Operating
from classify.table2.figures import FIGURES, draw_figures
from classify.table2.page import page
from classify.table2.page.rows import CONSOLE, console_cells
from classify.table2.summary import Table, summarize
from shared.console import console, say
from shared.document import to_markdown
from shared.errors import UserError
from shared.files import require_new, write_json, write_text
from shared.records import read_records

FORMAT = "rarescreen-table"
VERSION = 2


def write_table(
    records: Sequence[Path],
    *,
    out: Path,
    operating: Operating = Operating(),  # noqa: B008 - frozen
    least: int = LEAST,
    force: bool = False,
) -> Table:
    """Write Table 2 of all `records` files to `out` (.md), the same as JSON, and its figures beside it.

    Raises `UserError`: no record, a damaged file, an `out` that is no .md file, one that exists without `force`, or one
    beside which the records themselves would be lost.
    """
    if out.suffix != ".md":
        raise UserError(f"--out {out}: not a Markdown file; give a name that ends in .md.")
    document = out.with_suffix(".json")
    pictures = {name: out.with_name(f"{out.stem}_{name}.png") for name in FIGURES}
    for path in (out, document, *pictures.values()):
        require_new(path, force=force, inputs=records)
    command = command_line("table", records, [*operating.arguments, *least_argument(least), "--out", out.name])
    table, drawn = read_table(records, pictures, operating=operating, least=least, command=command)
    for name in pictures.keys() - drawn:
        pictures[name].unlink(missing_ok=True)  # of an earlier table
    write_text(out, to_markdown(page(table, {name: pictures[name].name for name in drawn})))
    write_json(document, {"format": FORMAT, "version": VERSION} | _as_json(table))  # last: who finds it finds both
    return table


def read_table(
    records: Sequence[Path], pictures: Mapping[str, Path], *, operating: Operating, least: int, command: str
) -> tuple[Table, list[str]]:
    """Return Table 2 of all `records` files, and draw its figures to `pictures`: which there are, in their order.

    Raises `UserError`: no record, a damaged file, or a record that lacks something.
    """
    by_key = {json.dumps(record["key"], sort_keys=True): record for path in records for record in read_records(path)}
    found = list(by_key.values())  # one evaluation may stand in several files
    if not found:
        raise UserError(f"{', '.join(map(str, records))}: no record of an evaluation; run `classify evaluate` first.")
    names = " ".join(path.name for path in records)
    try:
        table = summarize(found, operating=operating, least=least, command=command)
        drawn = draw_figures(table, found, pictures)
    except KeyError as error:
        raise UserError(f"{names}: a record lacks {error}; evaluate again with this version.") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        problem = str(error).rstrip(".")
        raise UserError(f"{names}: a record cannot be used ({problem}); evaluate again with this version.") from error
    return table, [name for name in pictures if name in drawn]


def command_line(command: str, records: Sequence[Path], arguments: Sequence[str]) -> str:
    """Return the command that prints a table of `records`, by the names of files alone."""
    return shlex.join(["classify", command, *(path.name for path in records), *arguments])


def least_argument(least: int) -> list[str]:
    """Return the option that asks for `least`, none where it is the usual."""
    return [] if least == LEAST else ["--least", str(least)]


def _as_json(table: Table) -> dict[str, Any]:
    missing = [{"model": m, "ratio": ratio, "paper": dict(values)} for (m, ratio), values in table.missing.items()]
    return {
        "rows": [asdict(row) for row in table.rows],
        **asdict(table.contrasts),
        "headline": table.headline,
        "sentences": table.conclusion,
        "not_run": missing,
        "warnings": list(table.warnings),
        "environments": [dict(each) for each in table.environments],
        "hardware": [dict(each) for each in table.hardware],
        "cohorts": [dict(each) for each in table.cohorts],
        "operating": asdict(table.operating),
        "command": table.command,
    }


def report(table: Table, out: Path) -> None:
    """Show the table on the console, and say in plain words what it shows and where it is."""
    shown = rich.table.Table(
        title="Table 2 in %, mean ± standard deviation over folds",
        box=rich.box.SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in CONSOLE:
        shown.add_column(column, justify="left" if column in ("model", "ratio") else "right")
    for row in table.rows:
        shown.add_row(*console_cells(row))
    console().print(shown)
    written = f"written: {out} and {out.with_suffix('.json').name}"
    for line in (table.headline, *table.conclusion, *table.warnings, written):
        say(line)
