"""Table 2 as data: each file holds one row a cell, with the paper's values where there are any."""

import importlib.resources
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from classify.fitting.settings import FitOptions, as_read, fits
from shared.errors import UserError
from shared.files import require_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = "rarescreen-table2"
VERSION = 1
MAX_BYTES = 1 << 20
ALL = "all"
NAMES = ("demo", "paper", "controlled")

Published = tuple[float, ...]  # (mean,) or (mean, standard deviation) in %; of the external set (right, n)


@dataclass(frozen=True)
class Cell:
    """A model at a ratio: how it is fitted, and what the paper found."""

    options: FitOptions
    fold: int | str = 0  # or "all"
    paper: Mapping[str, Published] = field(default_factory=dict)


def read_preset(name: str) -> list[Cell]:
    """Return the cells of the preset `name` (demo, paper, controlled) or of a file NAME.toml of the same form.

    Raises `UserError`: no such preset, or a file that is not one.
    """
    if name in NAMES:
        text = (importlib.resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml"):
        path = require_file(Path(name), "preset")
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: more than {MAX_BYTES} bytes, which no preset has; give another --preset.")
        text = path.read_text(encoding="utf-8", errors="replace")
    else:
        raise UserError(f"--preset {name}: no such preset; give one of {', '.join(NAMES)}, or a file FILE.toml.")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--preset {name}: not TOML ({error}); mend the file.") from error
    cells = document.get("cells")
    stamped = (document.get("format"), document.get("version")) == (FORMAT, VERSION)
    if not stamped or not isinstance(cells, list) or not cells or not all(isinstance(row, dict) for row in cells):
        raise UserError(f"--preset {name}: not a preset of format {FORMAT}, version {VERSION}; give another.")
    return [_cell(row, f"--preset {name}, cell {number}") for number, row in enumerate(cells, start=1)]


def _cell(row: Mapping[str, Any], where: str) -> Cell:
    known = get_type_hints(FitOptions)
    unknown = row.keys() - known - {"fold", "paper"}
    if unknown:
        raise UserError(f"{where}: no such setting as {min(unknown)}; give {', '.join(sorted(known))}, fold or paper.")
    fold = row.get("fold", 0)
    if fold != ALL and not (isinstance(fold, int) and not isinstance(fold, bool) and fold >= 0):
        raise UserError(f"{where}: fold {fold} is neither a number nor all; give one of them.")
    options = {name: as_read(value) for name, value in row.items() if name in known}
    for name, value in options.items():
        if not fits(value, known[name]):
            raise UserError(f"{where}: {name} is not of the right kind ({value!r}); mend the file.")
    try:
        paper = {metric: tuple(map(float, values)) for metric, values in row.get("paper", {}).items()}
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{where}: paper is not a table of lists of numbers; mend the file.") from error
    return Cell(FitOptions(**options), fold, paper)


def paper_values() -> dict[tuple[str, str], Mapping[str, Published]]:
    """Return the paper's Table 2 by model and ratio, in its order."""
    return {(cell.options.model, cell.options.ratio): cell.paper for cell in read_preset("paper") if cell.paper}
