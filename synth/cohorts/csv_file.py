"""A table from a file of comma-separated values, of bounded size: its header, and its rows by column."""

import csv
from pathlib import Path

from shared.columns import MAX_TEXT_BYTES
from shared.errors import UserError

MAX_BYTES = 1 << 28
MAX_ROWS = 1_000_000
MAX_COLUMNS = 1000

Row = dict[str, str]


def read_csv(
    path: Path, said: str, *, max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS
) -> tuple[list[str], list[Row]]:
    """Return the header and the rows of an existing CSV file in UTF-8, cells stripped, empty lines passed over.

    `said` begins every refusal, such as "--csv FILE".

    Raises `UserError`: not a CSV in UTF-8, too many bytes, rows or columns, a row of another length than the header, a
    cell above `MAX_TEXT_BYTES`, or two columns of one name.
    """
    if path.stat().st_size > max_bytes:
        raise UserError(f"{said}: more than {max_bytes} bytes; give a smaller table.")
    lines: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for line in csv.reader(stream, strict=True):
                if any(line):
                    lines.append(_checked(line, lines, said))
                if len(lines) > max_rows + 1:
                    raise UserError(f"{said}: more than {max_rows} rows; give a smaller table.")
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{said}: not a CSV in UTF-8 ({error}); save it as CSV UTF-8 with commas.") from error
    header = lines[0] if lines else []
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise UserError(f"{said}: its columns are not separated by commas; save it as CSV UTF-8 with commas.")
    double = [name for name in header if header.count(name) > 1]
    if double:
        raise UserError(f"{said}: the column name {double[0]!r} is double; rename the column.")
    return header, [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _checked(line: list[str], before: list[list[str]], said: str) -> list[str]:
    """Return the cells of a line, stripped."""
    number = len(before) + 1
    if len(line) > MAX_COLUMNS:
        raise UserError(f"{said}: row {number} has more than {MAX_COLUMNS} cells; give a smaller table.")
    if before and len(line) != len(before[0]):
        raise UserError(f"{said}: row {number} has {len(line)} cells and the header {len(before[0])}; mend it.")
    cells = [cell.strip() for cell in line]
    if max(len(cell.encode()) for cell in cells) > MAX_TEXT_BYTES:
        raise UserError(f"{said}: row {number} has a cell above {MAX_TEXT_BYTES} bytes; shorten it.")
    return cells
