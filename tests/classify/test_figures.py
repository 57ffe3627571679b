"""The figures of Table 2: what they are given to draw, and their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from recorded import record

import shared.plots
from classify.table2.figures import CAPTIONS, draw_figures
from classify.table2.summary import Table, summarize
from shared.plots.curves import draw_curves

MANY = [
    record((80 + number, 90), model=model, ratio=ratio, control=control, fold=fold, epochs=4)
    for number, (ratio, control) in enumerate(
        (("none", "none"), ("1:5", "none"), ("1:2", "none"), ("1:2", "epochs"), ("1:2", "oversampling"))
    )
    for model in ("custom_cnn", "inception_v3", "timm:vit_base_patch16_clip_224.openai_ft_in12k_in1k")
    for fold in range(2)
]


@pytest.fixture(scope="module")
def many() -> Table:
    return summarize(MANY)


def drawn(table: Table, records: list[dict[str, Any]], folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.png" for name in CAPTIONS}
    names = draw_figures(table, records, paths)
    assert set(folder.iterdir()) == {paths[name] for name in names}
    return {name: paths[name] for name in names}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What each figure is given to draw, in place of drawing it."""
    found: dict[str, list[Any]] = {}
    for name in ("dot_plot", "confusion_matrices", "curves", "reliability_diagrams"):
        monkeypatch.setattr(shared.plots, name, lambda _, panels, name=name, **__: found.update({name: list(panels)}))
    return found


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = [record(), record((85, 94), ratio="1:2")]
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        made = drawn(summarize(records), records, tmp_path / name)
        assert made.keys() == set(CAPTIONS)
    for path in made.values():
        assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes()


def test_fifteen_rows_with_long_names_fit_into_every_picture(many: Table, tmp_path: Path) -> None:
    for name, path in drawn(many, MANY, tmp_path).items():
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all(), name  # nothing is cut off
        assert (pixels < 255).any()


def test_accuracies_and_gains_stand_on_the_same_lines(many: Table, asked: dict[str, list[Any]]) -> None:
    draw_figures(many, MANY, dict.fromkeys(CAPTIONS, Path()))
    accuracy, gain = asked["dot_plot"]
    assert [dot.name for dot in accuracy.dots] == [dot.name for dot in gain.dots]
    assert len(accuracy.dots) == len(many.rows) == 15
    for dot, row in zip(accuracy.dots, many.rows, strict=True):
        assert row.balanced is not None
        measured = row.balanced.measured["accuracy"]
        assert measured.interval is not None
        assert dot.value == pytest.approx(100 * measured.value)
        assert dot.interval == pytest.approx([100 * end for end in measured.interval])
        assert dot.points == pytest.approx([100 * value for value in row.by_fold])
        assert dot.group == row.key.model
    against = {(each.row.model, each.row.ratio, each.row.control): each for each in many.contrasts.against_none}
    for dot, row in zip(gain.dots, many.rows, strict=True):
        found = against.get((row.key.model, row.key.ratio, row.key.control))
        assert (dot.value is None) == (found is None) == row.key.is_baseline
        if found is not None:
            assert dot.value == pytest.approx(100 * found.gain)
            assert dot.interval == pytest.approx([100 * end for end in found.gain_interval])
            assert dot.hollow == (not found.is_better and not found.is_worse)
    assert gain.level == 0


def test_without_comparisons_there_is_no_panel_of_gains(asked: dict[str, list[Any]]) -> None:
    records = [record(), record(model="vgg16")]
    draw_figures(summarize(records), records, dict.fromkeys(CAPTIONS, Path()))
    (accuracy,) = asked["dot_plot"]
    assert [list(dot.points) for dot in accuracy.dots] == [[], []]  # one fold is no spread


def test_matrices_count_all_verdicts_and_external_images_are_of_no_class_of_the_study(
    asked: dict[str, list[Any]],
) -> None:
    records = [record((90, 85)), record((80, 95), fold=1)]
    records += [record((0, 180 + f), (0, 188), set_name="external", fold=f) for f in range(2)]
    draw_figures(summarize(records), records, dict.fromkeys(CAPTIONS, Path()))
    balanced, external = asked["confusion_matrices"]
    assert balanced.counts == ((180, 10), (20, 170))
    assert balanced.classes == ("rash", "herpeticum")
    assert external.counts == ((361, 15), (0, 0))
    assert external.classes == ("not herpeticum", "herpeticum")
    assert (balanced.title, external.title) == ("Custom CNN\nnone", "Custom CNN, external\nnone")


def test_curves_are_means_over_folds_and_seeds_as_far_as_all_went(asked: dict[str, list[Any]]) -> None:
    rows = [record(fold=0, epochs=4), record(fold=1, epochs=3), record(fold=1, epochs=3, set_name="external")]
    for row in rows[1:]:
        row["epochs"] = [
            each | {"validation": each["validation"] | {"loss": each["validation"]["loss"] + 1}}
            for each in row["epochs"]
        ]
    draw_figures(summarize(rows), rows, dict.fromkeys(CAPTIONS, Path()))
    loss, accuracy = asked["curves"]
    assert (loss.title, accuracy.title) == ("Custom CNN\nnone: loss", "Custom CNN\nnone: accuracy")
    validation, training = loss.series
    assert (validation.name, training.name) == ("validation", "training")
    assert list(validation.x) == [1, 2, 3]
    assert list(validation.y) == pytest.approx([0.6 + 0.5, 0.5 + 0.5, 0.6 + 0.5])  # the external record is the same fit
    assert np.array(validation.band) == pytest.approx(np.array([[0.6, 0.5, 0.6], [1.6, 1.5, 1.6]]))
    assert list(training.y) == pytest.approx([1, 1 / 2, 1 / 3])
    assert list(accuracy.series[0].y) == pytest.approx([85, 90, 85])


def test_two_panels_a_row_with_axes_that_may_be_compared(many: Table, asked: dict[str, list[Any]]) -> None:
    others = [replace_loss(each) if each["key"]["ratio"] == "1:5" else each for each in MANY]
    draw_figures(many, others, dict.fromkeys(CAPTIONS, Path()))
    panels = asked["curves"]
    assert len(panels) == 2 * 15
    figure = Figure()
    limits: dict[str, set[tuple[float, float]]] = {}
    for panel in panels:
        axes = figure.add_subplot()
        colours = [line.get_color() for line in draw_curves(axes, panel)]
        assert len(set(colours)) == 2
        kind = f"{panel.title.split(chr(10))[0]} {panel.ylabel}"
        limits.setdefault(kind, set()).add(tuple(np.round(axes.get_ylim(), 6)))
    assert len(limits) == 6
    assert all(len(found) == 1 for found in limits.values())


def replace_loss(each: dict[str, Any]) -> dict[str, Any]:
    return each | {"epochs": [row | {"train": row["train"] | {"loss": 5.0}} for row in each["epochs"]]}


def test_a_training_without_validation_has_its_own_curve_alone(asked: dict[str, list[Any]]) -> None:
    row = record()
    row["epochs"] = [each | {"validation": None} for each in row["epochs"]]
    row["best_epoch"] = 0
    draw_figures(summarize([row]), [row], dict.fromkeys(CAPTIONS, Path()))
    assert [[series.name for series in panel.series] for panel in asked["curves"]] == [["training"]] * 2
    assert all(panel.series[0].band is None for panel in asked["curves"])  # one fit has no range


def test_reliability_is_that_of_the_rows_bins(many: Table, asked: dict[str, list[Any]]) -> None:
    draw_figures(many, MANY, dict.fromkeys(CAPTIONS, Path()))
    for panel, row in zip(asked["reliability_diagrams"], many.rows, strict=True):
        assert row.balanced is not None
        assert [curve.name for curve in panel.curves] == ["as given", "calibrated"]
        for curve, bins in zip(panel.curves, row.balanced.reliability.values(), strict=True):
            assert list(curve.n) == [each.n for each in bins]
            assert sum(curve.n) == 380
            assert list(curve.share) == [each.share_positive for each in bins]


def test_only_what_there_is_data_for_is_drawn(tmp_path: Path) -> None:
    external = record((0, 9), (0, 9), set_name="external")
    assert drawn(summarize([external]), [external], tmp_path).keys() == {"curves"}
    for path in tmp_path.iterdir():
        path.unlink()
    silent = external | {"epochs": [], "best_epoch": 0}
    assert drawn(summarize([silent]), [silent], tmp_path) == {}
