"""Table 1's hyper-parameters as rows of data: cells from options, from a file, or from a preset by name."""

import itertools
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from shared.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT = "rarescreen-cells"
VERSION = 1
MAX_CELLS = 10_000
MAX_BYTES = 1 << 20
MOST = 1e9  # any number of a cell


@dataclass(frozen=True)
class Cell:
    """One point of the grid; symbols as in the paper's Table 1. A grid of several seeds has a cell for each of them."""

    gamma: float
    target: float
    lr: float
    paper_fid: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("gamma", self.gamma, 0.0, 1e6),
            ("target", self.target, -1.0, 1.0),
            ("lr", self.lr, 1e-9, 1.0),
        ):
            if not math.isfinite(value) or not low <= value <= high:
                raise UserError(f"--{name} {value:g}: out of range; give a number from {low:g} to {high:g}.")

    @property
    def name(self) -> str:
        """Folder name of the cell's run."""
        seed = "" if self.seed is None else f"_seed{self.seed}"
        return f"gamma{self.gamma:g}_lr{self.lr:g}_target{self.target:g}{seed}"

    @property
    def point(self) -> tuple[float, float, float]:
        """What it has in common with the cells of other seeds."""
        return self.gamma, self.target, self.lr


@dataclass(frozen=True)
class CellFile:
    """A preset: its cells, and defaults for options of `synth train` that the user may override."""

    cells: tuple[Cell, ...]
    train: dict[str, Any] = field(default_factory=dict)


def product(gamma: Sequence[float], target: Sequence[float], lr: Sequence[float]) -> tuple[Cell, ...]:
    """Return the product of the given values, each cell once, with the paper's FID where it has one.

    Values are told apart by six digits, as the names of cells are.
    """
    published = {(cell.gamma, cell.target, cell.lr): cell.paper_fid for cell in paper_cells()}
    cells = (Cell(*point, paper_fid=published.get(point)) for point in itertools.product(gamma, target, lr))
    return tuple({cell.name: cell for cell in cells}.values())


def paper_cells() -> tuple[Cell, ...]:
    """Return the nine rows of the paper's Table 1, best first."""
    return read_cells("paper").cells


def preset_names() -> list[str]:
    """Return the names of the presets that are shipped."""
    folder = resources.files("synth") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_cells(name_or_path: str) -> CellFile:
    """Read a preset by name or a TOML file by path.

    Raises `UserError`: no such file or preset, or a file that is not as the presets are.
    """
    try:
        document = tomllib.loads(_text(name_or_path))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"--cells {name_or_path}: not a TOML file ({error}); see the presets for an example."
        ) from error
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise UserError(
            f"--cells {name_or_path}: not a list of cells; "
            f'it must begin with format = "{FORMAT}" and version = {VERSION}.'
        )
    rows, train = document.get("cell", []), document.get("train", {})
    if not isinstance(rows, list) or not isinstance(train, dict) or not 0 < len(rows) <= MAX_CELLS:
        raise UserError(f"--cells {name_or_path}: needs at least one [[cell]] with gamma, target and lr.")
    cells = tuple(_cell(row, name_or_path) for row in rows)
    for name, count in Counter(cell.name for cell in cells).items():
        if count > 1:
            raise UserError(f"--cells {name_or_path}: {name} stands there {count} times; give each cell once.")
    return CellFile(cells, train)


def _text(name_or_path: str) -> str:
    if name_or_path in preset_names():
        return (resources.files("synth") / "presets" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(preset_names())
        raise UserError(f"--cells {name_or_path}: neither a file nor a preset; the presets are {known}.")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"--cells {name_or_path}: larger than any list of cells; give the right file.")
    return path.read_text(encoding="utf-8")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


def _cell(row: Any, where: str) -> Cell:
    names = {"gamma", "target", "lr"}
    if (
        not isinstance(row, dict)
        or not names <= row.keys() <= names | {"paper_fid"}
        or not all(_is_number(value) for value in row.values())
    ):
        raise UserError(
            f"--cells {where}: each [[cell]] needs the numbers gamma, target and lr, may have paper_fid, "
            "and nothing else."
        )
    return Cell(float(row["gamma"]), float(row["target"]), float(row["lr"]), row.get("paper_fid"))
