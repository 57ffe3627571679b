"""Pictures of results: the pixels of image sheets, the numbers behind curves and histograms, and stable bytes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from shared.errors import UserError
from shared.images import CHART
from shared.plots import Panel, ScorePanel, Series, curves, image_sheet, score_histograms
from shared.plots.curves import draw_curves, thinned
from shared.plots.house import OKABE_ITO, figure_file, look
from shared.plots.scores import draw_scores, score_bins

SCORES = ScorePanel("Similarity", "cosine", [0.8, 0.9], [0.1, 0.7, 0.75, 0.9], 0.75, "mean - 2 sigma of the reals")
TRAINING = Panel("Loss", "kimg", "nats", [Series("a", range(9), range(9)), Series("b", [0, 8], [4, 4])], {"floor": 2.0})


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng([count, size]).integers(0, 250, (count, size, size, 3), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def places(sheet: np.ndarray, cell: np.ndarray) -> list[tuple[int, int]]:
    """Find every exact copy of `cell` in `sheet`."""
    side = len(cell)
    corner = np.argwhere((sheet == cell[0, 0]).all(axis=-1))
    return [(y, x) for y, x in corner.tolist() if np.array_equal(sheet[y : y + side, x : x + side], cell)]


def write_sheet(path: Path) -> None:
    image_sheet(path, [("real", np.zeros((3, 8, 8, 3), np.uint8)), ("synthetic", noise(0, 8))], title="A title")


def write_curves(path: Path) -> None:
    curves(path, [TRAINING, TRAINING, Panel("p", "kimg", "probability", [])], title="A title")


def write_scores(path: Path) -> None:
    score_histograms(path, [SCORES, SCORES], title="A title")


WRITERS = (write_sheet, write_curves, write_scores)


@pytest.mark.parametrize(("size", "magnified"), [(32, 3), (64, 2), (96, 1), (7, 14)])
def test_every_picture_stands_in_the_sheet_pixel_for_pixel(tmp_path: Path, size: int, magnified: int) -> None:
    real, synthetic = noise(5, size), noise(2, size)
    image_sheet(tmp_path / "sheet.png", [("real", real), ("synthetic", synthetic)], columns=2, title="sheet")
    sheet = read(tmp_path / "sheet.png")
    cells = np.concatenate([real, synthetic]).repeat(magnified, axis=1).repeat(magnified, axis=2)
    found = [places(sheet, cell) for cell in cells]
    assert [len(hits) for hits in found] == [1] * 7
    order = [hits[0] for hits in found]
    assert order == sorted(order)  # reading order: left to right, top to bottom, reals first
    assert len({x for _, x in order}) == 2
    assert len({y for y, _ in order}) == 4  # five reals on three lines of two, two synthetics on one


def test_large_pictures_are_reduced_with_antialiasing(tmp_path: Path) -> None:
    board = np.indices((384, 384)).sum(axis=0) % 2 * 200
    image_sheet(tmp_path / "sheet.png", [("board", np.repeat(board[None, ..., None], 3, axis=-1).astype(np.uint8))])
    sheet = read(tmp_path / "sheet.png")
    assert (sheet == 100).all(axis=-1).sum() > 0.8 * 96 * 96  # a fine chessboard is an even grey from afar


@pytest.mark.parametrize("write", WRITERS)
def test_same_arguments_same_bytes_whatever_the_users_style(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "first.png")
    monkeypatch.setitem(mpl.rcParams, "font.size", 31.0)
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    before = dict(mpl.rcParams)
    write(tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert dict(mpl.rcParams) == before
    with Image.open(tmp_path / "first.png") as picture:
        assert set(picture.info) <= {"dpi", CHART[0]}  # neither software nor date
        assert picture.info.get(*CHART) == CHART[1]  # and what it says beside that is nothing of the moment
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["first.png", "second.png"]


def test_curves_carry_their_colours(tmp_path: Path) -> None:
    curves(tmp_path / "curves.png", [TRAINING])
    pixels = {tuple(pixel) for pixel in read(tmp_path / "curves.png").reshape(-1, 3).tolist()}
    colours = [tuple(round(255 * part) for part in to_rgb(colour)) for colour in OKABE_ITO]
    assert [colour in pixels for colour in colours[:3]] == [True, True, False]


def test_curves_of_one_family_share_a_colour_and_differ_in_dashes(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 200)
    lines = [Series(f"{name} {seed}", x, x + seed, name) for name in "ab" for seed in range(3)]
    with figure_file(tmp_path / "drawn.png", 4, 3) as figure:
        drawn = draw_curves(figure.add_subplot(), Panel("p", "x", "y", lines))
        assert [line.get_color() for line in drawn] == [OKABE_ITO[0]] * 3 + [OKABE_ITO[1]] * 3
        assert len({str(line._dash_pattern) for line in drawn[:3]}) == 3


def test_a_grid_of_24_cells_fits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = [Series(f"gamma 0.1 lr 0.001 target 0.{number}", range(5), rng.normal(size=5)) for number in range(24)]
    curves(tmp_path / "curves.png", [Panel("distance", "kimg", "distance", cells)] * 4)
    image = read(tmp_path / "curves.png")
    assert (image[0] == 255).all()
    assert (image[-1] == 255).all()
    assert (image[:, -1] == 255).all()  # nothing is cut off


def test_looks_are_distinct_and_colour_blind_safe() -> None:
    # The eight colours of Okabe and Ito's palette, yellow left out, which is too pale on white.
    assert set(OKABE_ITO) == {"#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"}
    assert len({look(number) for number in range(49)}) == 49


@given(npst.arrays(np.float64, st.integers(0, 700), elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(np.inf)))
def test_thinning_keeps_mean_and_range(y: np.ndarray) -> None:
    x = np.arange(len(y), dtype=np.float64)
    at, middle, low, high = thinned(x, y)
    finite = np.isfinite(y)
    n = int(finite.sum())
    assert len(at) == min(n, 120)
    assert (np.diff(at) > 0).all()
    if n <= 120:
        np.testing.assert_array_equal(middle, y[finite])
        return
    # The naive loop: the first n % 120 stretches hold one point more.
    values, start = y[finite].tolist(), 0
    for stretch in range(120):
        stop = start + n // 120 + (stretch < n % 120)
        part = values[start:stop]
        assert (low[stretch], high[stretch]) == (min(part), max(part))
        assert middle[stretch] == pytest.approx(sum(part) / len(part), rel=1e-9, abs=1e-6)
        start = stop


@given(npst.arrays(np.float64, st.integers(0, 50), elements=st.floats(-1e9, 1e9) | st.just(np.nan) | st.just(-np.inf)))
def test_bins_hold_every_finite_score(scores: np.ndarray) -> None:
    edges = score_bins(scores)
    assert edges.shape == (41,)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(scores[np.isfinite(scores)], edges)[0].sum() == np.isfinite(scores).sum()


def test_histograms_are_shares_and_count_what_passes() -> None:
    axes = Figure().add_subplot()
    draw_scores(axes, SCORES)
    legend = axes.get_legend()
    assert legend is not None
    real, candidates, threshold = (text.get_text() for text in legend.get_texts())
    assert real == "real (n = 2)"
    assert candidates == "candidates (n = 4)"
    assert "0.75: mean - 2 sigma of the reals" in threshold
    assert "2 of 4 candidates pass" in threshold  # 0.75 itself passes
    shares = [patch.get_data().values.sum() for patch in axes.patches if hasattr(patch, "get_data")]
    np.testing.assert_allclose(shares, 100)


@pytest.mark.parametrize("threshold", [0.5, np.nan, np.inf, -np.inf])
def test_scores_that_are_missing_or_not_finite_are_counted(threshold: float) -> None:
    axes = Figure().add_subplot()
    draw_scores(axes, ScorePanel("logit", "logit", [], [0.7, np.nan, 0.1], threshold, "rule"))
    legend = axes.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    passing = {0.5: 1, -np.inf: 2}.get(threshold, 0)
    assert words[:2] == ["real (n = 0)", "candidates (n = 3, 1 not finite)"]
    assert f"{passing} of 3 candidates pass" in words[2]


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        image_sheet(tmp_path / "x.png", [])
    with pytest.raises(UserError, match="at least one"):
        image_sheet(tmp_path / "x.png", [("real", noise(1, 8))], columns=0)
    with pytest.raises(UserError, match="at least one"):
        curves(tmp_path / "x.png", [])
    with pytest.raises(UserError, match="at least one"):
        score_histograms(tmp_path / "x.png", [])
    assert not list(tmp_path.iterdir())


def test_no_window_system_and_no_torch() -> None:
    script = (
        "import sys, shared.plots; print(*[m for m in ('matplotlib.pyplot', 'torch', 'click') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
