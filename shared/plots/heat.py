"""Heat maps over photographs: where a network found evidence.

The photograph stands in colour at the left and in grey, under the heat, at the right: on skin, red is a finding, and
must not be confused with warm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from shared.errors import UserError
from shared.plots.house import DPI, INK, figure_file

Photo = npt.NDArray[np.uint8]  # [S, S, 3] RGB
Heat = npt.NDArray[np.floating]  # [S, S], 0 none to 1 strongest

# From little to much: each step darker and redder, so that the order shows without colours as well.
WARM = LinearSegmentedColormap.from_list("warm", ["#FFF3B0", "#FFC53D", "#F2711C", "#C2185B", "#6A0F49"])
OPAQUE = 0.85  # of the strongest heat; none is clear
FULL_AT = 0.35  # heat from which on it is so opaque
MAX_TILES = 200
COLUMNS = 4
CELL_PX, GAP_PX, BETWEEN_PX, MARGIN_PX = 128, 3, 20, 20
TILE_PX, LINE_PX = 2 * CELL_PX + GAP_PX, CELL_PX + 46  # a tile's width, and its height with its caption
HEADER_PX, LABEL_PX = 120, 30
TITLE_LETTER_PX, LETTER_PX = 12, 7.2  # width of a letter of the title, and of other text


@dataclass(frozen=True, eq=False)
class HeatTile:
    """A photograph, its heat, and one or two lines about it."""

    photo: Photo
    heat: Heat
    caption: str


@dataclass(frozen=True, eq=False)
class HeatBlock:
    """Tiles under one label."""

    label: str
    tiles: Sequence[HeatTile]


def overlay(photo: Photo, heat: Heat) -> Photo:
    """Return `photo` [S, S, 3] uint8 in grey with `heat` [S, S] over it: clear at 0, and from 1 on of the darkest red.

    Raises `ValueError`: heat of another shape, or one that is no number.
    """
    if heat.shape != photo.shape[:2] or not np.isfinite(heat).all():
        raise ValueError("overlay: heat and photograph have different shapes, or some heat is no number.")
    strength = np.clip(np.asarray(heat, np.float64), 0, 1)
    grey = np.asarray(Image.fromarray(photo).convert("L"), np.float64)[..., None]
    colour = WARM(strength)[..., :3] * 255
    alpha = (np.minimum(strength / FULL_AT, 1) * OPAQUE)[..., None]
    return np.asarray(np.round(grey * (1 - alpha) + colour * alpha), np.uint8)


def heat_sheet(
    path: Path,
    blocks: Sequence[HeatBlock],
    *,
    title: str,
    subtitle: str,
    legend: tuple[str, str],
    columns: int = COLUMNS,
) -> None:
    """Write tiles in blocks, `columns` side by side, with a bar that tells what the colours mean.

    `legend` names its two ends. Raises `UserError`: no tile, no column, or more than `MAX_TILES` tiles.
    """
    count = sum(len(block.tiles) for block in blocks)
    if not 1 <= count <= MAX_TILES or columns < 1:
        raise UserError(f"{path}: a sheet of heat maps needs 1 to {MAX_TILES} tiles and a column; give as many.")
    shown = [block for block in blocks if block.tiles]
    most = min(columns, max(len(block.tiles) for block in shown))
    texts = int(max(TITLE_LETTER_PX * len(title), LETTER_PX * max(len(subtitle), len("".join(legend)) + 40)))
    width = 2 * MARGIN_PX + max(texts, most * (TILE_PX + BETWEEN_PX) - BETWEEN_PX)
    height = HEADER_PX + sum(LABEL_PX + LINE_PX * -(-len(block.tiles) // columns) for block in shown)
    with figure_file(path, width / DPI, height / DPI, chart=False) as figure:
        canvas = _Canvas(figure, width, height)
        canvas.text(MARGIN_PX, 24, title, size=14, weight="bold")
        canvas.text(MARGIN_PX, 50, subtitle, size=9.5)
        _draw_legend(canvas, legend)
        top = HEADER_PX
        for block in shown:
            top = _draw_block(canvas, block, top, columns)


class _Canvas:
    """A figure whose places are pixels from the upper left corner."""

    def __init__(self, figure: Figure, width: int, height: int) -> None:
        self._figure, self._width, self._height = figure, width, height

    def text(self, x: float, y: float, text: str, *, size: float = 9, weight: str = "normal") -> None:
        """Write text whose middle is at height `y`."""
        self._figure.text(
            x / self._width, 1 - y / self._height, text, size=size, weight=weight, color=INK, va="center_baseline"
        )

    def picture(self, x: int, y: int, pixels: Photo) -> None:
        """Put a picture with its upper left corner there."""
        self._figure.figimage(pixels, x, self._height - y - len(pixels))


def _draw_legend(canvas: _Canvas, legend: tuple[str, str]) -> None:
    """Draw the colours from none to strongest, over grey as in the tiles."""
    bar = overlay(np.full((12, 220, 3), 160, np.uint8), np.tile(np.linspace(0, 1, 220), (12, 1)))
    low, high = legend
    start = MARGIN_PX + int(LETTER_PX * len(low)) + 12
    canvas.text(MARGIN_PX, 86, low)
    canvas.picture(start, 80, bar)
    canvas.text(start + 220 + 10, 86, high)


def _draw_block(canvas: _Canvas, block: HeatBlock, top: int, columns: int) -> int:
    """Draw a block from the height `top` on, and return where it ends."""
    canvas.text(MARGIN_PX, top + 10, block.label, size=10.5, weight="bold")
    top += LABEL_PX
    for number, tile in enumerate(block.tiles):
        line, column = divmod(number, columns)
        _draw_tile(canvas, tile, MARGIN_PX + column * (TILE_PX + BETWEEN_PX), top + line * LINE_PX)
    return top + LINE_PX * -(-len(block.tiles) // columns)


def _draw_tile(canvas: _Canvas, tile: HeatTile, x: int, y: int) -> None:
    photo, heat = _photo_of_cell(tile.photo), _heat_of_cell(tile.heat)
    side = len(photo)
    canvas.picture(x, y, photo)
    canvas.picture(x + side + GAP_PX, y, overlay(photo, heat))
    for number, line in enumerate(tile.caption.split("\n")):
        canvas.text(x, y + side + 11 + 14 * number, line)


def _photo_of_cell(photo: Photo) -> Photo:
    """Return a photograph at `CELL_PX`: reduced without aliasing, or magnified so that its pixels are seen."""
    how = Image.Resampling.NEAREST if len(photo) < CELL_PX else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(photo).resize((CELL_PX, CELL_PX), how))


def _heat_of_cell(heat: Heat) -> Heat:
    """Return heat at `CELL_PX`, smooth."""
    image = Image.fromarray(np.asarray(heat, np.float32))
    return np.asarray(image.resize((CELL_PX, CELL_PX), Image.Resampling.BILINEAR))
