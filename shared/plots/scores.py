"""Scores of reals and candidates with the thresholds between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from shared.errors import UserError
from shared.plots.house import DASHES, INK, figure_file, label, legend_below, look


@dataclass(frozen=True, eq=False)
class ScorePanel:
    """One panel of scores: reals [R] and candidates [C], of which those at or above `threshold` pass.

    `rule` says in words where the threshold comes from ("mean - 2 sigma of the reals"). With `upper` those above that
    do not pass.
    """

    title: str
    xlabel: str
    reals: npt.ArrayLike
    candidates: npt.ArrayLike
    threshold: float
    rule: str
    upper: float | None = None


def score_histograms(path: Path, panels: Sequence[ScorePanel], *, title: str = "") -> None:
    """Write the scores of reals and candidates side by side with the thresholds, as shares of each group in percent.

    Scores that are not finite are left out and counted in the legend. Raises `UserError` without panels.
    """
    if not panels:
        raise UserError(f"{path}: a picture of scores needs at least one panel; give some scores.")
    with figure_file(path, 5.8 * len(panels) + 0.3, 4.3 + (0.5 if title else 0), title=title) as figure:
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            draw_scores(axes, panel)
            label(axes, panel.title, panel.xlabel, "share of the group (%)")


def draw_scores(axes: Axes, panel: ScorePanel) -> None:
    """Draw one panel of scores with its threshold and legend into `axes`."""
    reals, candidates = (np.asarray(scores, np.float64).ravel() for scores in (panel.reals, panel.candidates))
    limits = [panel.threshold] if panel.upper is None else [panel.threshold, panel.upper]
    edges = score_bins(np.concatenate([reals, candidates, limits]))
    for number, (name, scores) in enumerate((("real", reals), ("candidates", candidates))):
        colour, dash = look(number)
        finite = scores[np.isfinite(scores)]
        lost = f", {len(scores) - len(finite)} not finite" if len(finite) < len(scores) else ""
        share = 100 * np.histogram(finite, edges)[0] / max(1, len(finite))
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.16)
        axes.stairs(
            share, edges, color=colour, linewidth=1.9, linestyle=dash, label=f"{name} (n = {len(scores)}{lost})"
        )
    passing = candidates >= panel.threshold
    if panel.upper is not None:
        passing &= candidates <= panel.upper
    named = " to ".join(f"{limit:.3g}" for limit in limits)
    words = f"threshold {named}: {panel.rule}\n{int(passing.sum())} of {len(candidates)} candidates pass"
    for limit, end in zip(limits, (edges[0], edges[-1]), strict=False):
        drawn = limit if np.isfinite(limit) else np.nan  # a threshold of nothing is named, not drawn
        axes.axvline(drawn, color=INK, linewidth=1.5, linestyle=DASHES[2], label=words)
        axes.axvspan(end, drawn, color="#000000", alpha=0.045, linewidth=0)
        words = "_"  # no second line in the legend
    axes.set_xlim(edges[0], edges[-1])
    legend_below(axes, axes.get_legend_handles_labels()[0])


def score_bins(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the edges of 40 equal bins that hold every finite score, [41]; without scores they are around 0."""
    finite = scores[np.isfinite(scores)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    room = max(0.03 * (high - low), 1e-6 * max(1.0, abs(low), abs(high)))
    return np.linspace(low - room, high + room, 41)
