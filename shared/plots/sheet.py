"""Real beside synthetic pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.errors import UserError
from shared.plots.house import DPI, INK, figure_file


def image_sheet(
    path: Path,
    rows: Sequence[tuple[str, npt.NDArray[np.uint8]]],
    *,
    columns: int = 10,
    title: str = "",
    cell_px: int = 96,
) -> None:
    """Write blocks of pictures, each under its label: (label, uint8 [N, S, S, 3]) with N of any length.

    `columns` pictures stand on a line. Pictures smaller than `cell_px` are magnified by a whole number without
    smoothing, so that every pixel is seen; larger ones are reduced. Raises `UserError` without rows or columns.
    """
    if not rows or columns < 1:
        raise UserError(f"{path}: an image sheet needs at least one row and one column; give some pictures.")
    blocks = [_block(images, columns, cell_px) for _, images in rows]
    margin, header, label_px = 18, 46 if title else 8, 30
    width = max(560, 2 * margin + max(block.shape[1] for block in blocks))
    height = header + sum(label_px + block.shape[0] + 10 for block in blocks) + margin
    with figure_file(path, width / DPI, height / DPI, chart=False) as figure:
        if title:
            figure.text(margin / width, 1 - 16 / height, title, size=14, weight="bold", va="top")
        top = height - header
        for (label, images), block in zip(rows, blocks, strict=True):
            text = label if len(images) else f"{label}: none"
            figure.text(margin / width, (top - 20) / height, text, size=10.5, color=INK, weight="bold")
            top -= label_px + block.shape[0]
            if block.size:
                figure.figimage(block, margin, top)
            top -= 10


def _block(images: npt.NDArray[np.uint8], columns: int, cell_px: int) -> npt.NDArray[np.uint8]:
    """Return the pictures tiled on white with thin gaps, [H, W, 3]; no pictures give a block without height."""
    cells = _cells(images, cell_px)
    side, gap = cells.shape[1], 4
    columns = min(columns, max(1, len(cells)))
    lines = -(-len(cells) // columns)
    block = np.full((max(0, lines * (side + gap) - gap), columns * (side + gap) - gap, 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        y, x = (position * (side + gap) for position in divmod(number, columns))
        block[y : y + side, x : x + side] = cell
    return block


def _cells(images: npt.NDArray[np.uint8], cell_px: int) -> npt.NDArray[np.uint8]:
    """Bring square pictures to about `cell_px`: whole-number magnification, or antialiased reduction."""
    size = images.shape[1] if len(images) else cell_px
    if size <= cell_px:
        factor = max(1, round(cell_px / size))
        return np.asarray(images).repeat(factor, axis=1).repeat(factor, axis=2)
    reduced = [Image.fromarray(image).resize((cell_px, cell_px), Image.Resampling.LANCZOS) for image in images]
    return np.stack([np.asarray(image) for image in reduced])
