"""Pictures of tables: values with intervals, confusion matrices, reliability: what is drawn, and that it has room."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from shared.errors import UserError
from shared.plots import (
    Dot,
    DotPanel,
    Matrix,
    Panel,
    ReliabilityPanel,
    Reliable,
    Series,
    confusion_matrices,
    curves,
    dot_plot,
    reliability_diagrams,
)
from shared.plots.curves import draw_curves
from shared.plots.dots import draw_dots
from shared.plots.house import OKABE_ITO, figure_file
from shared.plots.matrices import draw_matrix
from shared.plots.reliability import draw_reliability

LONG = "timm:vit_base_patch16_clip_224.openai_ft_in12k_in1k"
DISEASES = ("atopic_dermatitis_without_infection", "disseminated_herpes_simplex_virus_infection")
DOTS = [Dot("a", 90.0, (85.0, 94.0), "one", [88.0, 92.0]), Dot("b", None, group="one"), Dot("c", 95.0, None, "two")]
MATRIX = Matrix("Custom CNN\n1:2", ((90, 5), (8, 87)), ("eczema", "herpeticum"))
CURVE = Reliable("as given", [0.1, 0.5, 0.9], [0.0, 0.4, 1.0], [(0.0, 0.2), (0.2, 0.7), (0.8, 1.0)], [40, 10, 45])


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written."""
    found: list[Figure] = []

    @contextmanager
    def kept(*arguments: Any, **options: Any) -> Iterator[Figure]:
        with figure_file(*arguments, **options) as figure:
            found.append(figure)
            yield figure

    for name in ("curves", "dots", "matrices", "reliability"):
        monkeypatch.setattr(sys.modules[f"shared.plots.{name}"], "figure_file", kept)
    return found


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """The words that are drawn: ticks may have others, out of sight."""
    found: list[Text] = []
    draw = Text.draw

    def noted(self: Text, renderer: Any, *arguments: Any, **options: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append(self)
        draw(self, renderer, *arguments, **options)

    monkeypatch.setattr(Text, "draw", noted)
    return found


def require_room(figure: Figure, words: list[Text]) -> None:
    """Fail when a word is cut off, or covers another."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    places = [(text.get_text(), text.get_window_extent(renderer)) for text in words]
    assert len(places) > 5
    width, height = figure.canvas.get_width_height()
    for name, box in places:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name
    for (name, one), (other, two) in itertools.combinations(places, 2):
        apart = one.x1 <= two.x0 + 1 or two.x1 <= one.x0 + 1 or one.y1 <= two.y0 + 1 or two.y1 <= one.y0 + 1
        assert apart, (name, other)


def write_dots(path: Path, rows: int = 3) -> None:
    names = [f"{LONG}, 1:{number}, oversampling" for number in range(rows)]
    accuracy = [Dot(name, 90 + i / rows, (85.0, 97.0), name[:9], [88.0, 92.0]) for i, name in enumerate(names)]
    gain = [Dot(name, i - 3.5 if i else None, (i - 6.0, i - 1.0) if i else None) for i, name in enumerate(names)]
    level = DotPanel("Gain over none", "points of accuracy", gain, 0.0, "no difference")
    dot_plot(path, [DotPanel("Accuracy", "% of the balanced test sets", accuracy), level])


def write_matrices(path: Path, rows: int = 3) -> None:
    confusion_matrices(
        path, [Matrix(f"{LONG}, external\n1:{i}, both", ((9, 1), (0, 0)), DISEASES) for i in range(rows)]
    )


def write_reliability(path: Path, rows: int = 3) -> None:
    panels = [ReliabilityPanel(f"{LONG}\n1:{i}, oversampling", [CURVE, CURVE]) for i in range(rows)]
    reliability_diagrams(path, panels)


def write_curves(path: Path, rows: int = 3) -> None:
    series = [Series(name, range(1, 21), np.linspace(y, 1, 20)) for name, y in (("validation", 0), ("training", 0.5))]
    panels = [
        Panel(f"{LONG}\n1:{row}, oversampling: {name}", "epoch", name, series)
        for row in range(rows)
        for name in ("loss", "accuracy")
    ]
    curves(path, panels, columns=4, panel_in=(3.4, 2.5))


WRITERS = (write_dots, write_matrices, write_reliability, write_curves)


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize("write", WRITERS)
def test_names_that_are_long_and_many_neither_collide_nor_are_cut_off(
    tmp_path: Path, write: Callable[[Path, int], None], rows: int, figures: list[Figure], words: list[Text]
) -> None:
    write(tmp_path / "x.png", rows)
    (figure,) = figures
    require_room(figure, words)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("write", WRITERS)
def test_same_arguments_same_bytes(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "first.png")
    write(tmp_path / "second.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as picture:
        assert (np.asarray(picture.convert("RGB")) < 255).any()


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for empty in ([], [DotPanel("p", "x", [])], [DotPanel("p", "x", DOTS), DotPanel("q", "x", [])]):
        with pytest.raises(UserError, match=r"x.png: a picture of values needs .* give some\.$"):
            dot_plot(path, empty)
    with pytest.raises(UserError, match=r"x.png: a picture of confusion matrices needs one; give some\.$"):
        confusion_matrices(path, [])
    with pytest.raises(UserError, match=r"x.png: a picture of reliability needs a panel; give some\.$"):
        reliability_diagrams(path, [])
    assert not list(tmp_path.iterdir())


def test_values_stand_where_they_are_from_top_to_bottom() -> None:
    axes = Figure().add_subplot()
    draw_dots(axes, DotPanel("p", "%", DOTS, 91.0, "a level"))
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [tuple(line.get_xydata()[0]) for line in dots] == [(90.0, 0.0), (95.0, 2.0)]
    (interval,) = axes.collections
    assert [segment.tolist() for segment in interval.get_segments()] == [[[85.0, 0.0], [94.0, 0.0]]]
    ticks = [line for line in axes.lines if line.get_marker() == "|"]
    assert [list(line.get_xdata()) for line in ticks] == [[88.0, 92.0], []]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    low, high = axes.get_ylim()
    assert low > 2 > 0 > high  # the first on top
    assert [line.get_color() for line in dots] == list(OKABE_ITO[:2])  # a colour for each group
    (level,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert set(level.get_xdata()) == {91.0}
    assert axes.get_xlabel() == "%; dashed: a level"


def test_names_that_two_panels_share_stand_once(tmp_path: Path, words: list[Text]) -> None:
    dot_plot(tmp_path / "x.png", [DotPanel("p", "%", DOTS), DotPanel("q", "%", DOTS), DotPanel("r", "%", DOTS[:1])])
    drawn = [text.get_text() for text in words]
    assert [drawn.count(name) for name in ("a", "b", "c")] == [2, 1, 1]


def test_a_matrix_holds_counts_shares_of_the_truth_and_classes() -> None:
    axes = Figure().add_subplot()
    draw_matrix(axes, MATRIX)
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(0, 0): "90\n94.7 %", (1, 0): "5\n5.3 %", (0, 1): "8\n8.4 %", (1, 1): "87\n91.6 %"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["eczema", "herpeticum"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["eczema", "herpeticum"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("verdict", "truth")
    np.testing.assert_allclose(axes.images[0].get_array(), [[90 / 95, 5 / 95], [8 / 95, 87 / 95]])


def test_numbers_can_be_read_on_their_shade() -> None:
    """Contrast of letters and ground as WCAG 2 has it, at least 4.5 to 1, for shares from 0 to 100 %."""

    def luminance(colour: Any) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    for right in range(101):
        axes = Figure().add_subplot()
        draw_matrix(axes, Matrix("m", ((right, 100 - right), (50, 50)), ("a", "b")))
        (picture,) = axes.images
        for text in axes.texts:
            column, row = text.get_position()
            ground = picture.to_rgba(picture.get_array()[int(row), int(column)])[:3]
            light, dark = sorted((luminance(ground), luminance(text.get_color())), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, right


def test_a_class_without_images_has_no_shares() -> None:
    axes = Figure().add_subplot()
    draw_matrix(axes, Matrix("external", ((9, 1), (0, 0)), ("not herpeticum", "herpeticum")))
    assert [text.get_text() for text in axes.texts] == ["9\n90.0 %", "1\n10.0 %", "no such image"]


def test_reliability_draws_its_bins_with_intervals_and_areas() -> None:
    axes = Figure().add_subplot()
    other = Reliable("calibrated", [0.2], [0.3], [(0.1, 0.6)], [95])
    handles = draw_reliability(axes, ReliabilityPanel("p", [CURVE, other]))
    assert [handle.get_label() for handle in handles] == ["as given", "calibrated"]
    diagonal, *lines = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert lines[0].get_xydata().tolist() == [[0.1, 0.0], [0.5, 0.4], [0.9, 1.0]]
    points, bars, *_ = axes.collections
    assert points.get_offsets().tolist() == lines[0].get_xydata().tolist()
    areas = points.get_sizes()
    assert (areas[0] - areas[1]) / (areas[2] - areas[1]) == pytest.approx((40 - 10) / (45 - 10))
    assert [segment.tolist() for segment in bars.get_segments()] == [
        [[0.1, 0.0], [0.1, 0.2]], [[0.5, 0.2], [0.5, 0.7]], [[0.9, 0.8], [0.9, 1.0]],
    ]  # fmt: skip
    assert lines[0].get_color() != lines[1].get_color()


def test_one_legend_serves_all_reliability_diagrams(tmp_path: Path, figures: list[Figure]) -> None:
    write_reliability(tmp_path / "x.png", 5)
    (figure,) = figures
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["as given"]
    assert all(axes.get_legend() is None for axes in figure.axes)


@pytest.mark.parametrize("epochs", [1, 3, 8, 20, 119])
def test_epochs_have_no_halves(epochs: int) -> None:
    axes = Figure().add_subplot()
    draw_curves(axes, Panel("p", "epoch", "loss", [Series("a", range(1, epochs + 1), np.ones(epochs))]))
    assert all(tick == round(tick) for tick in axes.get_xticks())
