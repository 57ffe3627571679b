"""What `classify explain` is asked for, and what it finds out about one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classify.explaining.deletion import Deletion
from classify.explaining.heatmap import AUTO, METHODS
from classify.explaining.mask_share import MaskShare
from classify.explaining.randomized import Randomized
from classify.measuring.operating import Operating
from shared.errors import UserError
from shared.images import FITS, Fit

MAX_COUNT = 50  # images of a kind, and photographs
MAX_CHECKS = 200
PLACES = (("upper left", "top", "upper right"), ("left", "centre", "right"), ("lower left", "bottom", "lower right"))


@dataclass(frozen=True)
class ExplainOptions:
    """What a user asks for.

    Attributes:
        method: of `classify.explaining.heatmap.METHODS`, or "auto": the one that fits the network.
        count: images of each kind that are shown, at most.
        sensitivity: share of the validation positives that the threshold finds.
        threshold: probability above which an image is called positive, instead of that one.
        checks: images that each check looks at, at most; 0 checks nothing.
        seed: of the random weights, the random orders, and which images are checked.
        fit: how a photograph of another shape is made square.

    Raises `UserError`: one out of range.
    """

    method: str = AUTO
    count: int = 8
    sensitivity: float = Operating.sensitivity
    threshold: float | None = None
    checks: int = 32
    seed: int = 0
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if self.method not in (AUTO, *METHODS):
            raise UserError(f"--method {self.method}: not known; give one of {', '.join((AUTO, *METHODS))}.")
        if self.fit not in FITS:
            raise UserError(f"--fit {self.fit}: unknown; give one of {', '.join(FITS)}.")
        for name, value, low, high in (
            ("count", self.count, 1, MAX_COUNT),
            ("checks", self.checks, 0, MAX_CHECKS),
            ("seed", self.seed, 0, 2**32 - 1),
        ):
            if not low <= value <= high:
                raise UserError(f"--{name} {value}: out of range; give {low} to {high}.")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UserError(f"--threshold {self.threshold:g}: not a threshold; give a probability, 0 or more, below 1.")
        Operating(self.sensitivity)


@dataclass(frozen=True)
class Judge:
    """How a model's log-odds become verdicts.

    Attributes:
        threshold: probability, as the network gives it, above which an image is called positive.
        reason: where the threshold is from, in words.
        temperature: that its log-odds are divided by for calibrated probabilities.
    """

    threshold: float
    reason: str
    temperature: float


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture that is shown.

    Attributes:
        name: the image's id, or the photograph's file.
        photo: uint8 [S, S, 3].
        heat: evidence for the positive class, float32 [S, S], 0 where there is none.
        score: log-odds of the positive class.
        label: the truth, 0 or 1; None where it is not known.
    """

    name: str
    photo: npt.NDArray[np.uint8]
    heat: npt.NDArray[np.float32]
    score: float
    label: int | None

    @property
    def place(self) -> str:
        """Where the heat is strongest, in words."""
        if not self.heat.max() > 0:
            return "nowhere"
        row, column = np.unravel_index(np.argmax(self.heat), self.heat.shape)
        return PLACES[3 * int(row) // len(self.heat)][3 * int(column) // len(self.heat)]

    @property
    def half(self) -> float | None:
        """The smallest share of the picture that holds half of the heat; None where there is none."""
        ordered = np.sort(self.heat, axis=None)[::-1].astype(np.float64)
        total = ordered.sum()
        if not total > 0:
            return None
        return float((np.searchsorted(np.cumsum(ordered), total / 2) + 1) / ordered.size)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture of tiles in blocks, by their labels; `name` is its file's."""

    name: str
    title: str
    blocks: Mapping[str, Sequence[Tile]]

    @property
    def tiles(self) -> list[Tile]:
        """All of them, in order."""
        return [tile for tiles in self.blocks.values() for tile in tiles]


@dataclass(frozen=True, eq=False)
class Checks:
    """Whether the maps can be believed."""

    randomized: Randomized
    deletion: Deletion
    mask: MaskShare | None = None  # where the user gave a segmenter
    masked: npt.NDArray[np.uint8] | None = None  # images [N, S, S, 3], white beside the mask

    @property
    def sentences(self) -> list[str]:
        """What they come to in plain words."""
        found = [self.randomized.sentence, self.deletion.sentence]
        return found if self.mask is None else [*found, self.mask.sentence]


@dataclass(frozen=True, eq=False)
class Explained:
    """What was found out about one model.

    Attributes:
        title: the model in words.
        classes: names of the negative and the positive class.
        judge: its threshold and temperature.
        options: what was asked for.
        sheets: pictures; one without tiles tells that there is nothing to show.
        checks: None where nothing was checked.
        facts: what else the document tells.
        notes: warnings, a sentence each.
    """

    title: str
    classes: tuple[str, str]
    judge: Judge
    options: ExplainOptions
    sheets: Sequence[Sheet]
    checks: Checks | None
    facts: Mapping[str, Any]
    notes: Sequence[str] = ()

    @property
    def scale(self) -> float:
        """The strongest heat of all tiles, which has the darkest colour in all of them; 1 where there is none."""
        return max((float(tile.heat.max()) for sheet in self.sheets for tile in sheet.tiles), default=0.0) or 1.0

    @property
    def sentences(self) -> list[str]:
        """What a console says of it."""
        checks = [] if self.checks is None else self.checks.sentences
        counts = [f"{sheet.title} ({len(sheet.tiles)} shown)" for sheet in self.sheets]
        return [f"{self.title}:", *counts, *checks, *self.notes]
