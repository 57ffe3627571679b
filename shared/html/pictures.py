"""Pictures inside a page: as WebP, smaller where a page would grow too large."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from shared.errors import UserError
from shared.files import ClampedFile, require_file
from shared.images import CHART

MAX_PX = 1 << 26  # of a figure; ours have a tenth of that
CHART_COLOURS = 4096  # what has fewer is drawn, and stays as it is


@dataclass(frozen=True)
class Density:
    """How densely a picture is stored: its longest side in px at most, and the quality of photographs."""

    side_px: int
    quality: int


DENSITIES = (Density(2600, 90), Density(1800, 80), Density(1200, 60))


@dataclass(frozen=True)
class Embedded:
    """A picture as a data URI, its width and height in px, and whether it is a chart, whose colours may be turned."""

    uri: str
    width: int
    height: int
    is_chart: bool


def embed(path: Path, density: Density = DENSITIES[0]) -> Embedded:
    """Return the picture at `path` as a data URI: charts without loss, photographs as WebP's lossy kind.

    Raises `UserError`: no such file, or none that can be read.
    """
    require_file(path, "picture")
    try:
        with ClampedFile(path) as file, Image.open(file, formats=("PNG", "JPEG", "WEBP")) as opened:
            if opened.width * opened.height > MAX_PX:
                raise UserError(
                    f"{path}: {opened.width} x {opened.height} px are too many for a page; make it smaller."
                )
            picture, told = opened.convert("RGB"), opened.info
    except UserError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a picture that can be read; make it again.") from error
    picture.thumbnail((density.side_px, density.side_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    drawn = picture.getcolors(CHART_COLOURS) is not None
    picture.save(stream, "WEBP", lossless=drawn, quality=100 if drawn else density.quality, method=4)
    data = base64.b64encode(stream.getvalue()).decode()
    return Embedded(f"data:image/webp;base64,{data}", picture.width, picture.height, told.get(CHART[0]) == CHART[1])
