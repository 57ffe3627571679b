"""Sample grids: many small pictures as one PNG."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.files import whole_file

MIN_TILE_PX = 64  # smaller pictures are enlarged by a whole factor, so that a person can see them


def tile(images: npt.NDArray[np.uint8], columns: int) -> npt.NDArray[np.uint8]:
    """Lay images [N, S, S, 3] out row by row on one sheet, black where there is none."""
    count, size = images.shape[:2]
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, size, size, 3), np.uint8)
    sheet[:count] = images
    return sheet.reshape(rows, columns, size, size, 3).swapaxes(1, 2).reshape(rows * size, columns * size, 3)


def save_grid(path: Path, images: npt.NDArray[np.uint8], *, columns: int = 8) -> None:
    """Write images [N, S, S, 3] as one PNG, whole or not at all."""
    factor = max(1, -(-MIN_TILE_PX // images.shape[1]))
    sheet = tile(images, columns).repeat(factor, axis=0).repeat(factor, axis=1)
    with whole_file(path) as part:
        Image.fromarray(sheet).save(part, format="PNG")
