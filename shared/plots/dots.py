"""Values with intervals, a line each: what can be told apart shows at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes

from shared.errors import UserError
from shared.plots.house import INK, figure_file, look

LINE_IN = 0.3  # height of a line
LETTER_IN, PANEL_IN = 0.085, 4.4  # width of a letter of a name, and of a panel without names
POINTS_ALPHA = 0.45


@dataclass(frozen=True)
class Dot:
    """A value with its interval; those of one `group` share a colour. `points` are drawn small beside it (folds).

    `hollow` ones are drawn as rings. Without a value the line stays empty.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    group: str = ""
    points: Sequence[float] = ()
    hollow: bool = False


@dataclass(frozen=True)
class DotPanel:
    """Values below each other, and a named vertical line to compare them with."""

    title: str
    xlabel: str
    dots: Sequence[Dot]
    level: float | None = None
    level_name: str = ""


def dot_plot(path: Path, panels: Sequence[DotPanel], *, title: str = "") -> None:
    """Write panels of values side by side, the first line on top.

    Names stand at the left of each panel, and of the first alone where the next has the same.

    Raises `UserError`: no panel, or one without values.
    """
    if not panels or not all(panel.dots for panel in panels):
        raise UserError(f"{path}: a picture of values needs a panel, and values in each; give some.")
    names = [[dot.name for dot in panel.dots] for panel in panels]
    named = [number == 0 or names[number] != names[number - 1] for number in range(len(panels))]
    lines = max(map(len, names))
    letters = sum(max(map(len, each)) for each, shown in zip(names, named, strict=True) if shown)
    width, height = PANEL_IN * len(panels) + LETTER_IN * letters, 1.2 + LINE_IN * lines
    with figure_file(path, width, height, title=title) as figure:
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            draw_dots(axes, panel)
            axes.tick_params(axis="y", length=0, labelleft=named[number])


def draw_dots(axes: Axes, panel: DotPanel) -> None:
    """Draw a panel's values from top to bottom."""
    groups = [key for key, _ in groupby(panel.dots, key=lambda dot: dot.group)]
    for place, dot in enumerate(panel.dots):
        if dot.value is None:
            continue
        colour, _ = look(list(dict.fromkeys(groups)).index(dot.group))
        if dot.interval is not None:
            axes.hlines(place, *dot.interval, colors=colour, linewidth=2.2)
        axes.plot(dot.points, [place + 0.22] * len(dot.points), "|", color=colour, alpha=POINTS_ALPHA, markersize=7)
        inside = axes.get_facecolor() if dot.hollow else colour
        axes.plot([dot.value], [place], "o", color=colour, markersize=6.5, markerfacecolor=inside, markeredgewidth=1.6)
    if panel.level is not None:
        axes.axvline(panel.level, color=INK, linewidth=1, linestyle=(0, (4, 2)))
    axes.set_yticks(range(len(panel.dots)), [dot.name for dot in panel.dots])
    axes.set_ylim(len(panel.dots) - 0.5, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_title(panel.title)
    axes.set_xlabel(panel.xlabel if not panel.level_name else f"{panel.xlabel}; dashed: {panel.level_name}")
