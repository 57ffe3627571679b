"""Pictures of results: image sheets, curves and score histograms, as PNG files.

Each function writes one file, whole or not at all, and the same arguments and versions give the same bytes. The colours
are those of Okabe and Ito (2008), which people with any colour vision can tell apart; lines differ in dash as well.
"""

from shared.plots.curves import Panel, Series, curves
from shared.plots.scores import ScorePanel, score_histograms
from shared.plots.sheet import image_sheet

__all__ = ["Panel", "ScorePanel", "Series", "curves", "image_sheet", "score_histograms"]
