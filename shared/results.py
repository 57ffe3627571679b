"""The last screen of a study, `python -m shared.results results`: what was made, where, what its numbers mean."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shared.console import console, user_errors
from shared.errors import UserError
from shared.files import read_json, require_file

MADE = {
    "report.html": "all of it on one page, from the photographs to the answer: open it in a browser",
    "table1.md": "GAN settings, ranked by how near their images are to the real ones",
    "table2.md": "classifiers with and without synthetic images: intervals, tests, figures",
    "table2_accuracy.png": "their accuracy and what changed it, with intervals",
    "real_vs_synthetic.png": "real images beside selected synthetic ones",
    "curves.png": "losses, augmentation strength and quality over training",
    "audit.md": "the selection: what each rule keeps, copies of photographs, who is left out; with pictures",
    "scores.png": "scores of reals and candidates, with the thresholds",
    "bundle.h5": "the selected synthetic images, with where each came from",
}


def summarize(folder: Path) -> None:
    """Print what a results folder holds.

    Raises `UserError`: a file is missing or damaged.
    """
    files = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, meaning in MADE.items():
        files.add_row(Text(str(require_file(folder / name, "result")), style="bold"), meaning)
    out = console()
    out.print(Panel(files, title="what was made", title_align="left"))
    out.print(Panel(Text("\n".join(_meaning(folder))), title="what the numbers mean", title_align="left"))


def _meaning(folder: Path) -> list[str]:
    table1, table2 = folder / "table1.json", folder / "table2.json"
    with _damaged(table1):
        best = best_cell(_read(table1))
    with _damaged(table2):
        told = _read(table2)
        return [*best, told["headline"], *told["sentences"]]


def best_cell(table1: dict[str, Any]) -> list[str]:
    """Return what Table 1 says of the best cell, and how far its training went towards the reals."""
    best = table1["rows"][0]
    quality, start = best["quality"], best["quality_at_start"]
    point = ", ".join(f"{name} {best[name]:g}" for name in ("gamma", "lr", "target") if best[name] is not None)
    lines = [
        f"Best GAN cell: {best['method']}, {point}; "
        f"{quality['name']} {quality['value']:.1f} (n = {quality['n_fake']} against {quality['n_real']})."
    ]
    if quality["floor"] is not None:
        before, after = start["equal_n"] - start["floor"], quality["equal_n"] - quality["floor"]
        lines.append(
            f"At equal n = {quality['n_equal']} it lies {after:.1f} above what real images have against each other, "
            f"{before:.1f} before training: {_change(before, after)}."
        )
    return lines


def _change(before: float, after: float) -> str:
    return f"{100 * (1 - after / before):.0f} % of the excess is gone" if 0 < after < before else "no improvement"


def _read(path: Path) -> Any:
    return read_json(require_file(path, "table"))


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Say of whatever cannot be read, or is not there, that the table at `path` is damaged."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: damaged; make it again.") from error


if __name__ == "__main__":
    with user_errors():
        summarize(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
