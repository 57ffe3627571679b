"""Reliability diagrams: what a probability is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from shared.errors import UserError
from shared.plots.house import INK, figure_file, label, legend_below, look

COLUMNS = 3


@dataclass(frozen=True)
class Reliable:
    """One classifier's bins: mean probability, share of positives, its interval, and number of images, all [B]."""

    name: str
    probability: Sequence[float]
    share: Sequence[float]
    interval: Sequence[tuple[float, float]]
    n: Sequence[int]


@dataclass(frozen=True)
class ReliabilityPanel:
    """Curves of one row: as given, and calibrated."""

    title: str
    curves: Sequence[Reliable]


def reliability_diagrams(path: Path, panels: Sequence[ReliabilityPanel], *, title: str = "") -> None:
    """Write diagrams, three in a line: on the dashed line a probability is the share that it promises.

    Raises `UserError`: none.
    """
    if not panels:
        raise UserError(f"{path}: a picture of reliability needs a panel; give some.")
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    with figure_file(path, 4.2 * columns + 0.2, 4.3 * lines + (0.5 if title else 0.1), title=title) as figure:
        for number, panel in enumerate(panels, start=1):
            draw_reliability(figure.add_subplot(lines, columns, number), panel)


def draw_reliability(axes: Axes, panel: ReliabilityPanel) -> None:
    """Draw the curves of a panel; a marker's area grows with its number of images."""
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 2)))
    handles = []
    for number, curve in enumerate(panel.curves):
        colour, dash = look(number)
        handles += axes.plot(curve.probability, curve.share, color=colour, linestyle=dash, label=curve.name)
        axes.scatter(curve.probability, curve.share, s=[10 + 90 * n / max(curve.n) for n in curve.n], color=colour)
        low, high = zip(*curve.interval, strict=True)
        axes.vlines(curve.probability, low, high, colors=colour, alpha=0.4, linewidth=1.4)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    label(axes, panel.title, "probability of the rare class", "share that has it")
    axes.title.set_fontsize(9.5)
    legend_below(axes, handles)
