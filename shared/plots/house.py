"""The look that all pictures share: colours, dashes, legends, and files of the same bytes each time."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.files import whole_file
from shared.images import CHART

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = (
    "-",
    (0, (5, 1.6)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 3)),
    (0, (1, 3)),
)
INK = "#222222"
SMALL, SMALL_LETTER_IN = 9.5, 0.086  # titles of small panels: their size in points, and the width of a bold letter
LINE_IN = 0.18  # height of a further line of a title
_GREY = "#5A5A5A"
DPI = 100
_STYLE: dict[str, Any] = {
    "axes.edgecolor": "#9A9A9A",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": _GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.9,
    "savefig.dpi": DPI,
    "text.parse_math": False,  # names from files are no formulas
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}


def look(number: int) -> tuple[str, Any]:
    """Return the colour and the dash of series `number`; 49 pass before a pair returns."""
    lap, place = divmod(number, len(OKABE_ITO))
    return OKABE_ITO[place], DASHES[(place + lap) % len(DASHES)]


def legend_below(axes: Axes, handles: Sequence[Artist]) -> None:
    """Put the legend below the axis label, where it hides nothing."""
    if handles:
        columns = 2 if len(handles) > 3 else 1
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.02, -0.17), borderaxespad=0, ncols=columns)


def folded(title: str, letters: int) -> str:
    """Return a title whose lines are no longer than so many letters."""
    return "\n".join(textwrap.fill(line, letters) for line in title.split("\n"))


def most_lines(titles: Sequence[str]) -> int:
    """Return how many lines the longest of some titles has."""
    return max(title.count("\n") + 1 for title in titles)


def label(axes: Axes, title: str, xlabel: str, ylabel: str, *, size: float | None = None) -> None:
    """Name a panel and its axes, the title in a `size` of its own if one is given."""
    axes.set_title(title, fontsize=size)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


@contextmanager
def figure_file(
    path: Path, width_in: float, height_in: float, *, title: str | None = None, chart: bool = True
) -> Iterator[Figure]:
    """Give an empty figure in the house style; when the block ends well, write it to `path` as PNG.

    `chart` is to be False for what holds photographs, whose colours are to stay as they are.
    """
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(width_in, height_in))
        if title is not None:
            figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        canvas = FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, x=0.012, ha="left", size=13.5, weight="bold")
        yield figure
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    with whole_file(path) as part:
        # Pillow writes no software and no date: the same picture is the same bytes.
        told = PngInfo()
        if chart:
            told.add_text(*CHART)
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.save(part, format="PNG", optimize=True, dpi=(DPI, DPI), pnginfo=told)
