"""Pictures of results: sheets, curves, histograms, values with intervals, confusion matrices, reliability; PNG files.

Each function writes one file, whole or not at all, and the same arguments and versions give the same bytes. The colours
are those of Okabe and Ito (2008), which people with any colour vision can tell apart; lines differ in dash as well.
"""

from shared.plots.curves import Panel, Series, curves
from shared.plots.dots import Dot, DotPanel, dot_plot
from shared.plots.heat import HeatBlock, HeatTile, heat_sheet, overlay
from shared.plots.matrices import Matrix, confusion_matrices
from shared.plots.reliability import ReliabilityPanel, Reliable, reliability_diagrams
from shared.plots.scores import ScorePanel, score_histograms
from shared.plots.sheet import image_sheet

__all__ = [
    "Dot",
    "DotPanel",
    "HeatBlock",
    "HeatTile",
    "Matrix",
    "Panel",
    "ReliabilityPanel",
    "Reliable",
    "ScorePanel",
    "Series",
    "confusion_matrices",
    "curves",
    "dot_plot",
    "heat_sheet",
    "image_sheet",
    "overlay",
    "reliability_diagrams",
    "score_histograms",
]
