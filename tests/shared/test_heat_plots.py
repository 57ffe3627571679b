"""Sheets of heat maps: the pixels of photographs and overlays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.errors import UserError
from shared.plots import HeatBlock, HeatTile, heat_sheet, overlay
from shared.plots.heat import CELL_PX, WARM

LEGEND = ("none", "strongest")


def photo(size: int, number: int = 0) -> np.ndarray:
    return np.random.default_rng([size, number]).integers(0, 250, (size, size, 3), dtype=np.uint8)


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of sRGB 0..1 (IEC 61966-2-1)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def places(sheet: np.ndarray, cell: np.ndarray) -> list[tuple[int, int]]:
    """Find every exact copy of `cell` in `sheet`."""
    height, width = cell.shape[:2]
    corner = np.argwhere((sheet == cell[0, 0]).all(axis=-1))
    return [(y, x) for y, x in corner.tolist() if np.array_equal(sheet[y : y + height, x : x + width], cell)]


def test_without_heat_it_is_the_photograph_in_grey() -> None:
    image = photo(9)
    grey = np.asarray(Image.fromarray(image).convert("L"))
    assert np.array_equal(overlay(image, np.zeros((9, 9))), np.repeat(grey[..., None], 3, 2))


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_heat_is_darker_and_the_strongest_is_the_last_colour(one: float, other: float) -> None:
    """So the order shows without seeing colours."""
    low, high = sorted((one, other))
    assert luminance(np.array(WARM(high)[:3])) <= luminance(np.array(WARM(low)[:3])) + 1e-9
    white = np.full((1, 1, 3), 255, np.uint8)
    assert np.array_equal(overlay(white, np.array([[1.5]])), overlay(white, np.array([[1.0]])))


def test_heat_colours_its_own_place_alone() -> None:
    image, heat = photo(8), np.zeros((8, 8))
    heat[1, 6] = 1
    changed = (overlay(image, heat) != overlay(image, np.zeros((8, 8)))).any(-1)
    assert np.argwhere(changed).tolist() == [[1, 6]]


@pytest.mark.parametrize("heat", [np.zeros((3, 4)), np.full((4, 4), np.nan)])
def test_heat_that_does_not_fit_is_refused(heat: np.ndarray) -> None:
    with pytest.raises(ValueError, match="overlay"):
        overlay(photo(4), heat)


@pytest.mark.parametrize("size", [32, CELL_PX])
def test_every_photograph_stands_beside_its_overlay_in_reading_order(tmp_path: Path, size: int) -> None:
    images = [photo(size, number) for number in range(6)]
    heats = [np.full((size, size), level) for level in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    tiles = [HeatTile(*each, "p 0.98\na1b2c3d4") for each in zip(images, heats, strict=True)]
    blocks = [HeatBlock("first", tiles[:4]), HeatBlock("none", []), HeatBlock("second", tiles[4:])]
    heat_sheet(tmp_path / "s.png", blocks, title="A title", subtitle="more", legend=LEGEND, columns=3)
    sheet = np.asarray(Image.open(tmp_path / "s.png").convert("RGB"))
    large = CELL_PX // size
    cells = [each.repeat(large, 0).repeat(large, 1) for each in images]
    over = [overlay(cell, np.full((CELL_PX, CELL_PX), heat[0, 0])) for cell, heat in zip(cells, heats, strict=True)]
    found, beside = ([places(sheet, cell) for cell in each] for each in (cells, over))
    assert [len(each) for each in found + beside] == [1] * 12
    order = [each[0] for each in found]
    assert order == sorted(order)
    assert len({y for y, _ in order}) == 3  # three and one, then two
    for ((y, x),), ((row, column),) in zip(found, beside, strict=True):
        assert (row, column - x) == (y, CELL_PX + 3)


def test_the_same_sheet_is_the_same_bytes_and_its_bar_holds_every_colour(tmp_path: Path) -> None:
    blocks = [HeatBlock("x", [HeatTile(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16)), "y")])]
    for name in ("a.png", "b.png"):
        heat_sheet(tmp_path / name, blocks, title="t", subtitle="", legend=LEGEND)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    bar = overlay(np.full((1, 220, 3), 160, np.uint8), np.linspace(0, 1, 220)[None])
    assert len(places(sheet, bar)) == 12


@pytest.mark.parametrize(("tiles", "columns"), [(0, 4), (1, 0), (201, 4)])
def test_too_little_or_too_much_is_refused(tmp_path: Path, tiles: int, columns: int) -> None:
    tile = HeatTile(photo(8), np.zeros((8, 8)), "")
    with pytest.raises(UserError, match="1 to 200 tiles"):
        heat_sheet(
            tmp_path / "s.png", [HeatBlock("", [tile] * tiles)], title="", subtitle="", legend=LEGEND, columns=columns
        )
