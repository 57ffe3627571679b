"""Reliability diagrams: what a probability is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from shared.errors import UserError
from shared.plots.house import INK, LINE_IN, SMALL, SMALL_LETTER_IN, figure_file, folded, label, look, most_lines

COLUMNS = 4
PANEL_IN = 3.4


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
    """Write diagrams, four in a line: on the dashed line a probability is the share that it promises.

    Raises `UserError`: none.
    """
    if not panels:
        raise UserError(f"{path}: a picture of reliability needs a panel; give some.")
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    panel_in = PANEL_IN + LINE_IN * most_lines([_folded(panel.title) for panel in panels])
    with figure_file(path, PANEL_IN * columns + 0.2, panel_in * lines + (1.0 if title else 0.6), title=title) as figure:
        handles: dict[str, Artist] = {}
        for number, panel in enumerate(panels, start=1):
            for handle in draw_reliability(figure.add_subplot(lines, columns, number), panel):
                handles.setdefault(str(handle.get_label()), handle)
        figure.legend(handles=list(handles.values()), loc="outside lower left", ncols=len(handles))


def _folded(title: str) -> str:
    return folded(title, int((PANEL_IN - 0.6) / SMALL_LETTER_IN))


def draw_reliability(axes: Axes, panel: ReliabilityPanel) -> list[Artist]:
    """Draw the curves of a panel and return them; a marker's area grows with its number of images."""
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 2)))
    handles: list[Artist] = []
    for number, curve in enumerate(panel.curves):
        colour, dash = look(number)
        handles += axes.plot(curve.probability, curve.share, color=colour, linestyle=dash, label=curve.name)
        area = [10 + 90 * n / max(curve.n) for n in curve.n]
        axes.scatter(curve.probability, curve.share, s=area, color=colour, alpha=0.6, linewidths=0)
        low, high = zip(*curve.interval, strict=True)
        axes.vlines(curve.probability, low, high, colors=colour, alpha=0.4, linewidth=1.4)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_box_aspect(1)
    label(axes, _folded(panel.title), "probability of the rare class", "share that has it", size=SMALL)
    return handles
