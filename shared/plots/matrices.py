"""Confusion matrices, as the paper's Figures 6 and 7 have them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from shared.errors import UserError
from shared.plots.house import INK, LINE_IN, SMALL, figure_file, folded, most_lines

COLUMNS = 4
LETTERS, LINES, TITLE_LETTERS = 14, 3, 28  # of a class's name, and of a title's line
NAMES = 8.5  # size of classes' names in points
DARK = 0.815  # share above which white letters are easier to read than black ones


@dataclass(frozen=True)
class Matrix:
    """Counts by truth (rows) and verdict (columns), in the order of `classes`."""

    title: str
    counts: tuple[tuple[int, int], tuple[int, int]]
    classes: tuple[str, str]


def confusion_matrices(path: Path, matrices: Sequence[Matrix], *, title: str = "") -> None:
    """Write matrices, four in a line; the shade is the share of its row, the truth.

    Raises `UserError`: none.
    """
    if not matrices:
        raise UserError(f"{path}: a picture of confusion matrices needs one; give some.")
    columns = min(COLUMNS, len(matrices))
    lines = -(-len(matrices) // columns)
    panel_in = 2.9 + LINE_IN * most_lines([folded(matrix.title, TITLE_LETTERS) for matrix in matrices])
    with figure_file(path, 3.6 * columns + 0.2, panel_in * lines + (0.5 if title else 0.1), title=title) as figure:
        for number, matrix in enumerate(matrices, start=1):
            draw_matrix(figure.add_subplot(lines, columns, number), matrix)


def draw_matrix(axes: Axes, matrix: Matrix) -> None:
    """Draw one matrix: counts, and below each its share of the truth's images; a class without images says so."""
    counts = np.array(matrix.counts)
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        shown = f"{count}\n{100 * share[row, column]:.1f} %"
        colour = "white" if share[row, column] > DARK else "black"
        if totals[row, 0]:
            axes.text(column, row, shown, ha="center", va="center", color=colour, fontsize=10.5)
    for row in np.flatnonzero(totals == 0).tolist():
        axes.text(0.5, row, "no such image", ha="center", va="center", color=INK, fontsize=10.5)
    names = [
        textwrap.fill(name.replace("_", " "), LETTERS, max_lines=LINES, placeholder="…") for name in matrix.classes
    ]
    axes.set_xticks((0, 1), names, fontsize=NAMES)
    axes.set_yticks((0, 1), names, fontsize=NAMES)
    axes.set_xlabel("verdict")
    axes.set_ylabel("truth")
    axes.set_title(folded(matrix.title, TITLE_LETTERS), fontsize=SMALL)
    axes.grid(visible=False)
    axes.tick_params(length=0)
