"""Curves over training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from shared.errors import UserError
from shared.plots.house import (
    DASHES,
    INK,
    LINE_IN,
    SMALL,
    SMALL_LETTER_IN,
    figure_file,
    folded,
    label,
    legend_below,
    look,
    most_lines,
)

HANDLE_IN, LETTER_IN = 0.75, 0.075  # width of a legend's entry: its line, and each letter
TITLE_LETTER_IN = 0.11
NARROW_IN = 4.5  # a panel's width below which its title is small
FEW = 2  # curves in a panel, whose intervals are drawn as areas
_MOST_POINTS = 120  # a longer series is drawn as means over equal stretches, with its range as a band


@dataclass(frozen=True, eq=False)
class Series:
    """One named curve, y over x, both [n]; those of one `family` share a colour and differ in their dashes.

    `band` is an interval around y, from low to high [2, n]: a bar at each point, or an area where few curves share the
    panel; it is left out where a curve is thinned.
    """

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    family: str | None = None
    band: npt.ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of curves, and named horizontal lines to compare them with.

    `shows` are values of y that the axis reaches at least, so that what is next to nothing looks like it.
    """

    title: str
    xlabel: str
    ylabel: str
    series: Sequence[Series]
    levels: Mapping[str, float] = field(default_factory=dict)
    shows: Sequence[float] = ()


def curves(
    path: Path,
    panels: Sequence[Panel],
    *,
    title: str = "",
    columns: int = 2,
    panel_in: tuple[float, float] = (5.6, 3.5),
) -> None:
    """Write panels of curves, `columns` side by side, each of width and height `panel_in` with its labels.

    A series longer than 120 points is drawn as means over equal stretches, with its range as a band where few series
    share the panel; values that are not finite are left out. When all panels hold series of the same names, one legend
    serves them all. Raises `UserError` without panels.
    """
    if not panels or columns < 1:
        raise UserError(f"{path}: a picture of curves needs at least one panel and one column; give some series.")
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    shared = len(panels) > 1 and len({tuple(series.name for series in panel.series) for panel in panels}) == 1
    entries = max(len(panel.levels) + (0 if shared else len(panel.series)) for panel in panels)
    titles, size = _titles(panels, panel_in[0])
    panel_height = panel_in[1] + 0.13 * entries + LINE_IN * (most_lines(titles) - 1)
    height = lines * panel_height + (0.5 if title else 0) + (0.16 * len(panels[0].series) if shared else 0)
    with figure_file(path, panel_in[0] * columns + 0.3, height, title=title) as figure:
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(lines, columns, number + 1)
            drawn = draw_curves(axes, panel)
            levels = _draw_levels(axes, panel)
            legend_below(axes, levels if shared else drawn + levels)
            label(axes, titles[number], panel.xlabel, panel.ylabel, size=size)
        if shared and drawn:
            longest = max(len(series.name) for series in panels[0].series)
            fit = int(figure.get_figwidth() / (HANDLE_IN + LETTER_IN * longest))
            figure.legend(handles=drawn, loc="outside lower left", ncols=max(min(len(drawn), fit, 2 * columns), 1))


def _titles(panels: Sequence[Panel], width_in: float) -> tuple[list[str], float | None]:
    """Return titles that fit panels of a width, and their size where it is not the usual one."""
    narrow = width_in < NARROW_IN
    letters = int((width_in - 0.6) / (SMALL_LETTER_IN if narrow else TITLE_LETTER_IN))
    return [folded(panel.title, letters) for panel in panels], SMALL if narrow else None


def draw_curves(axes: Axes, panel: Panel) -> list[Line2D]:
    """Draw a panel's series, and return their lines in order."""
    drawn = []
    for series, (place, nth) in zip(panel.series, _families(panel.series), strict=True):
        colour, dash = look(place)
        dash = DASHES[(DASHES.index(dash) + nth) % len(DASHES)]
        at, middle, low, high = thinned(np.asarray(series.x, np.float64), np.asarray(series.y, np.float64))
        marker = "o" if len(at) <= 24 else None
        drawn += axes.plot(at, middle, color=colour, linestyle=dash, marker=marker, markersize=4.5, label=series.name)
        if series.band is not None and len(at) == np.size(series.x):
            low, high = np.asarray(series.band, np.float64).reshape(2, -1)
            if len(panel.series) > FEW:
                axes.vlines(at, low, high, colors=colour, alpha=0.45, linewidth=1)
        if len(panel.series) <= FEW and (high > low).any():
            axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
    if all((np.asarray(line.get_xdata()) % 1 == 0).all() for line in drawn):  # epochs have no halves
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
    if panel.shows:
        axes.update_datalim([(axes.dataLim.x0, y) for y in panel.shows], updatex=False)
        axes.autoscale_view()
    return drawn


def _families(series: Sequence[Series]) -> list[tuple[int, int]]:
    """Return which family each series is of, in the order of their first ones, and which one of it."""
    members: dict[str, int] = {}
    places = []
    for each in series:
        family = each.name if each.family is None else each.family
        members[family] = members.get(family, -1) + 1
        places.append((list(members).index(family), members[family]))
    return places


def _draw_levels(axes: Axes, panel: Panel) -> list[Line2D]:
    return [
        axes.axhline(level, color=INK, linestyle=DASHES[2 + number % 3], linewidth=1.2, label=f"{name}: {level:.3g}")
        for number, (name, level) in enumerate(panel.levels.items())
    ]


def thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return x, mean, lowest and highest over at most 120 stretches of equal length."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= _MOST_POINTS:
        return x, y, y, y
    stretches = list(zip(np.array_split(x, _MOST_POINTS), np.array_split(y, _MOST_POINTS), strict=True))
    rows = np.array([(a.mean(), b.mean(), b.min(), b.max()) for a, b in stretches])
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
