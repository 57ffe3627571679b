import contextlib
import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.errors import UserError
from shared.images import BadPhotoError, find_photos, image_id, read_photo, to_square

EXIF_ORIENTATION = 0x0112


def picture(height: int = 9, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_come_back_exactly(suffix: str, tmp_path: Path) -> None:
    pixels = picture()
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(pixels), **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_photo(path), pixels)


def test_jpeg_comes_back_nearly(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (180, 120, 90), np.uint8)
    read = read_photo(saved(tmp_path / "a.jpg", Image.fromarray(pixels), quality=95))
    assert np.abs(read.astype(int) - pixels).max() <= 2


GREY = np.arange(108, dtype=np.uint8).reshape(9, 12) * 2


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def _over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


ALPHA = np.tile(np.array([0, 51, 102, 255], np.uint8), (9, 3))


def _palette(transparency: bytes | int) -> tuple[Image.Image, dict[str, object]]:
    image = Image.fromarray(np.tile(np.array([0, 1, 2], np.uint8), (9, 4)), "L")
    image = image.convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata(list(np.tile([0, 1, 2], 36)))
    return image, {"transparency": transparency}


def _tiled(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.tile(np.array(colours, np.uint8), (9, 4, 1))


MODES: dict[str, tuple[str, Callable[[], tuple[Image.Image, dict[str, object]]], np.ndarray, int]] = {
    "bits": ("png", lambda: (Image.fromarray(GREY > 100), {}), _grey((GREY > 100) * 255), 0),
    "grey": ("png", lambda: (Image.fromarray(GREY), {}), _grey(GREY), 0),
    "16-bit png": ("png", lambda: (Image.fromarray(GREY.astype(np.uint16) * 257), {}), _grey(GREY), 0),
    "16-bit tiff": ("tiff", lambda: (Image.fromarray(GREY.astype(np.uint16) * 257), {}), _grey(GREY), 0),
    "32-bit tiff": ("tiff", lambda: (Image.fromarray(GREY.astype(np.int32) * 257), {}), _grey(GREY), 0),
    "float tiff": ("tiff", lambda: (Image.fromarray(GREY.astype(np.float32) / 255), {}), _grey(GREY), 0),
    "grey and alpha": (
        "png",
        lambda: (Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA))), {}),
        _over_white(_grey(GREY), ALPHA),
        1,
    ),
    "colour and alpha": (
        "png",
        lambda: (Image.fromarray(np.dstack([picture(), ALPHA])), {}),
        _over_white(picture(), ALPHA),
        1,
    ),
    "palette": ("png", lambda: (_palette(0)[0], {}), _tiled((255, 0, 0), (0, 255, 0), (0, 0, 255)), 0),
    "palette with one hole": ("png", lambda: _palette(1), _tiled((255, 0, 0), (255, 255, 255), (0, 0, 255)), 0),
    "palette with alphas": (
        "png",
        lambda: _palette(bytes([255, 0, 51])),
        _tiled((255, 0, 0), (255, 255, 255), (204, 204, 255)),
        1,
    ),
    "colour with a hole": (
        "png",
        lambda: (Image.fromarray(_tiled((9, 9, 9), (0, 255, 0), (7, 7, 7))), {"transparency": (0, 255, 0)}),
        _tiled((9, 9, 9), (255, 255, 255), (7, 7, 7)),
        0,
    ),
    "cmyk": (
        "tiff",
        lambda: (Image.fromarray(np.tile(np.array([0, 255, 255, 0], np.uint8), (9, 12, 1)), "CMYK"), {}),
        np.tile(np.array([255, 0, 0], np.uint8), (9, 12, 1)),
        0,
    ),
    "cmyk jpeg": (
        "jpg",
        lambda: (Image.fromarray(np.tile(np.array([0, 0, 0, 255], np.uint8), (9, 12, 1)), "CMYK"), {}),
        np.zeros((9, 12, 3), np.uint8),
        2,
    ),
    "lab": (
        "tiff",
        lambda: (Image.fromarray(np.tile(np.array([255, 0, 0], np.uint8), (9, 12, 1)), "LAB"), {}),
        np.full((9, 12, 3), 255, np.uint8),
        2,
    ),
}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("case", MODES)
def test_any_colour_mode_becomes_rgb_over_white(case: str, tmp_path: Path) -> None:
    suffix, make, expected, tolerance = MODES[case]
    image, options = make()
    read = read_photo(saved(tmp_path / f"a.{suffix}", image, **options))
    assert read.dtype == np.uint8
    np.testing.assert_allclose(read.astype(float), expected, atol=tolerance)


def test_greys_of_unknown_white_are_refused(tmp_path: Path) -> None:
    for name, values in (("a.tiff", np.full((9, 9), 70000, np.int32)), ("b.tiff", np.full((9, 9), 2, np.float32))):
        with pytest.raises(BadPhotoError, match="its white is unknown"):
            read_photo(saved(tmp_path / name, Image.fromarray(values)))


# What a viewer does to the stored pixels, by the EXIF standard.
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photographs_are_turned_as_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(picture()), exif=exif, **options)
    np.testing.assert_array_equal(read_photo(path), UPRIGHT[orientation](picture()))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_damaged_exif_does_not_spoil_the_pixels(exif: bytes, tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), 100, np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95)
    jpeg = content.getvalue()
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - 100).max() <= 2


def test_a_picture_with_exif_orientation_99_is_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 99
    path = saved(tmp_path / "a.png", Image.fromarray(picture()), exif=exif)
    np.testing.assert_array_equal(read_photo(path), picture())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_files_are_refused(suffix: str, share: float, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(picture(64, 64)))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadPhotoError):
        read_photo(path)


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(12_001, 10_000), (60_000, 60_000), (2**31 - 1, 9), (1_000_000, 200)])
def test_decompression_bombs_are_refused_before_they_are_decoded(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png_header(width, height))
    with pytest.raises(BadPhotoError, match="more than 120 million pixels"):
        read_photo(path)


def test_a_damaged_length_allocates_no_more_than_the_file_has(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(picture()))
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    path.write_bytes(content[:at] + struct.pack(">I", 2**32 - 16) + content[at + 4 :])
    tracemalloc.start()
    try:
        with contextlib.suppress(BadPhotoError):
            np.testing.assert_array_equal(read_photo(path), picture())
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("height", "width"), [(7, 100), (100, 7), (1, 1)])
def test_too_small_photographs_are_refused(height: int, width: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(picture(height, width)))
    with pytest.raises(BadPhotoError, match=rf"{width} x {height} px is too small \(at least 8 on each side\)"):
        read_photo(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Opening one waits for somebody who writes into it."""
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "b.jpg"):
        with pytest.raises(BadPhotoError, match="not a file with pixels but a folder, a pipe or a device"):
            read_photo(path)


def test_other_files_are_refused_whatever_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    saved(tmp_path / "really.gif", Image.fromarray(picture())).rename(tmp_path / "gif.png")
    (tmp_path / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    for name in ("text.jpg", "empty.png", "gif.png", "script.jpg"):
        with pytest.raises(BadPhotoError, match="not a JPEG, PNG, WebP, TIFF or BMP image"):
            read_photo(tmp_path / name)
    with pytest.raises(BadPhotoError, match="no such file"):
        read_photo(tmp_path / "missing.jpg")


def test_photographs_are_found_in_nested_folders(tmp_path: Path) -> None:
    for name in ("b/deep/1.JPG", "b/2.Jpeg", "a.png", "c.TIF", ".hidden.png", ".git/x.png", "notes.txt", "b/._2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "b" / "self").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "broken.jpg.d").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)]
    assert found == ["a.png", "b/2.Jpeg", "b/deep/1.JPG", "c.TIF"]


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.png").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").symlink_to(outside)
    (folder / "y").symlink_to(outside)
    assert find_photos(folder) == [folder / "x" / "1.png"]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match="a file, where a folder of images is expected"):
        find_photos(tmp_path / "a.png")
    with pytest.raises(UserError, match="no such folder"):
        find_photos(tmp_path / "missing")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read all")
def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(PermissionError):
        find_photos(tmp_path)


def test_ids_are_of_the_pixels_and_their_shape() -> None:
    pixels = picture(8, 18)
    assert image_id(pixels) == image_id(pixels[::-1][::-1]) == image_id(np.asfortranarray(pixels))
    changed = pixels.copy()
    changed[3, 4, 1] ^= 1
    others = [changed, pixels.reshape(18, 8, 3), pixels.reshape(9, 16, 3), pixels[:, ::-1], pixels[..., ::-1]]
    assert len({image_id(other) for other in [pixels, *others]}) == 6
    assert all(len(image_id(other)) == 64 for other in others)


TURNS = [
    lambda p: p[::-1],
    lambda p: p[:, ::-1],
    lambda p: p.transpose(1, 0, 2),
    lambda p: np.rot90(p),
]


@given(
    height=st.integers(8, 70), width=st.integers(8, 70), size=st.integers(4, 40),
    fit=st.sampled_from(["crop", "pad", "stretch"]), turn=st.sampled_from(TURNS),
)  # fmt: skip
def test_turning_and_squaring_commute(
    height: int, width: int, size: int, fit: str, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    photo = picture(height, width) // 2 + 64  # the filter overshoots; clipping between its passes would not commute
    turned_first = to_square(np.ascontiguousarray(turn(photo)), size, fit).astype(int)
    assert turned_first.shape == (size, size, 3)
    assert np.abs(turned_first - turn(to_square(photo, size, fit)).astype(int)).max() <= 2  # two passes, each rounded


def test_crop_takes_the_middle_and_pad_keeps_all() -> None:
    photo = picture(20, 40)
    whole = np.array(Image.fromarray(photo).resize((20, 10), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(to_square(photo, 10, "crop"), whole[:, 5:15])
    np.testing.assert_array_equal(to_square(photo, 20, "pad")[5:15], whole)
    photo = np.zeros((20, 40, 3), np.uint8)
    photo[:, 10:30] = (200, 100, 50)
    padded = to_square(photo, 20, "pad")
    assert (padded[:5] == 255).all()
    assert (padded[15:] == 255).all()
    assert (padded[5:15, 8:12] == (200, 100, 50)).all()
    stretched = to_square(photo, 20, "stretch")
    assert (stretched[:, 8:12] == (200, 100, 50)).all()
    assert (stretched[:, :2] == 0).all()


def test_reduction_does_not_alias() -> None:
    """A checkerboard becomes its mean; taking every n-th pixel would give black or white."""
    checker = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = to_square(np.repeat(checker[..., None], 3, axis=2).astype(np.uint8), 8, "stretch")
    assert np.abs(small.astype(float) - 127.5).max() <= 4


def test_a_square_of_the_right_size_stays_as_it_is() -> None:
    photo = picture(16, 16)
    for fit in ("crop", "pad", "stretch"):
        np.testing.assert_array_equal(to_square(photo, 16, fit), photo)


def test_pixels_of_a_long_picture_survive_padding() -> None:
    padded = to_square(np.zeros((1000, 8, 3), np.uint8), 9, "pad")
    assert (padded[:, 4] == 0).all()
    assert (padded[:, :4] == 255).all()
