"""Photographs as arrays: found, read in any colour mode, named by their pixels, and squared."""

import hashlib
import os
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from shared.errors import UserError
from shared.files import ClampedFile

Photo = npt.NDArray[np.uint8]  # [H, W, 3] RGB
Fit = Literal["crop", "pad", "stretch"]

FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # no other decoder runs, whatever the file claims to be
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 120_000_000  # the largest sensors of telephones have 108 million
MIN_SIDE_PX = 8
WHITE = 255
CHART = (
    "Comment",
    "chart",
)  # what a PNG file says that has drawn lines alone, so that a page may show it in dark colours

_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPEN_LOCK = threading.Lock()  # warning filters belong to the process, so one thread at a time may change them


class BadPhotoError(ValueError):
    """A file that cannot be used as a photograph; the text is the reason alone, without the path."""


def find_photos(folder: Path) -> list[Path]:
    """Return the image files below `folder`, sorted by their path, each folder entered once though links may loop.

    Hidden files and folders and other suffixes than `SUFFIXES` (of either case) are passed over.

    Raises `UserError`: no such folder, or a file.
    """
    folder = Path(folder)
    if folder.is_file():
        raise UserError(f"{folder}: a file, where a folder of images is expected; name the folder that holds it.")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give an existing folder of images.")
    photos: list[Path] = []
    entered = {_identity(folder)}
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = []
        for name in visible:
            identity = _identity(Path(here, name))
            if identity not in entered:
                entered.add(identity)
                folders.append(name)
        photos += [Path(here, name) for name in files if not name.startswith(".") and name.lower().endswith(SUFFIXES)]
    return sorted(photos, key=lambda photo: photo.relative_to(folder).parts)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _raise(error: OSError) -> None:
    raise error


def read_photo(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Return the pixels of an image file, turned as its EXIF orientation says: uint8 [H, W, 3] RGB, alpha over white.

    16-bit greys are divided by 257. Of several frames or pages the first counts.

    Raises `BadPhotoError`: unreadable, truncated, more than `max_pixels` pixels, or a side below `MIN_SIDE_PX`.
    """
    try:
        with _stream(source) as stream, _open(stream) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise BadPhotoError(f"{width} x {height} is more than {max_pixels // 10**6} million pixels")
            if min(width, height) < MIN_SIDE_PX:
                raise BadPhotoError(f"{width} x {height} px is too small (at least {MIN_SIDE_PX} on each side)")
            image.load()
            turn = _TURNS.get(_orientation(image))
            rgb = _to_rgb(image)
            return np.array(rgb if turn is None else rgb.transpose(turn))
    except BadPhotoError:
        raise
    except MemoryError:  # says nothing of the photograph
        raise
    except Image.DecompressionBombError as error:
        raise BadPhotoError(f"more than {max_pixels // 10**6} million pixels") from error
    except Exception as error:  # on damaged files the decoders raise nearly anything
        raise BadPhotoError(_reason(error)) from error


def _stream(source: Path | BinaryIO) -> AbstractContextManager[BinaryIO]:
    if not isinstance(source, Path):
        return nullcontext(source)
    if source.exists() and not source.is_file():  # opening a pipe would wait for ever
        raise BadPhotoError("not a file with pixels but a folder, a pipe or a device")
    return ClampedFile(source)


def _open(stream: BinaryIO) -> Image.Image:
    with _OPEN_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own bound on pixels is lower than ours
        return Image.open(stream, formats=FORMATS)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a JPEG, PNG, WebP, TIFF or BMP image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split())[:100] or type(error).__name__
    return "truncated" if "truncated" in text.lower() else f"unreadable ({text})"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; damaged EXIF says nothing (1) and does not spoil the pixels."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # as in read_photo
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_deep_to_8_bit(np.asarray(image), image.mode)).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        assert converted is not None
        return converted
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        straight = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)).convert("RGBA")
        white = Image.new("RGBA", image.size, (WHITE,) * 4)
        return Image.alpha_composite(white, straight).convert("RGB")
    return image.convert("RGB")


def _deep_to_8_bit(grey: npt.NDArray[np.generic], mode: str) -> npt.NDArray[np.uint8]:
    """Return greys of 16 bits, or of floating point from 0 to 1, as 8 bits; of other ranges white is unknown."""
    values = grey.astype(np.float64)
    white = 1.0 if mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= white):
        raise BadPhotoError(f"grey values outside 0 to {white:g}, so that its white is unknown")
    return np.round(values * (WHITE / white)).astype(np.uint8)


def image_id(photo: Photo) -> str:
    """Return the SHA-256 of a photograph's shape and pixels, its name at every size."""
    height, width, _ = photo.shape
    return hashlib.sha256(f"{height}x{width} RGB\n".encode() + np.ascontiguousarray(photo).data).hexdigest()


def to_square(photo: Photo, size: int, fit: Fit) -> Photo:
    """Return `photo` resized to uint8 [size, size, 3].

    `crop` takes the largest square in the middle, `pad` adds white bars, `stretch` ignores the proportions. The filter
    is Pillow's Lanczos, which widens with the reduction (no aliasing) and is the one of NVIDIA's dataset tool.
    """
    height, width, _ = photo.shape
    image = Image.fromarray(photo)
    longer = max(height, width)
    bars = [_bar(size, side / longer) if fit == "pad" else 0 for side in (width, height)]
    # A box of fractions of a pixel keeps the middle the middle, so that turning and squaring commute. The filter looks
    # beyond the box: the result is the middle of the resized photograph, without a seam at the border.
    side = min(height, width)
    left, top = ((width - side) / 2, (height - side) / 2) if fit == "crop" else (0.0, 0.0)
    target = (size - 2 * bars[0], size - 2 * bars[1])
    resized = image.resize(target, Image.Resampling.LANCZOS, box=(left, top, width - left, height - top))
    square = Image.new("RGB", (size, size), (WHITE,) * 3)
    square.paste(resized, (bars[0], bars[1]))
    return np.array(square)


def _bar(size: int, proportion: float) -> int:
    """Return the width of each of two equal bars beside a picture that takes `proportion` of `size`, at least 1 px."""
    return min(round(size * (1 - proportion) / 2), (size - 1) // 2)
