"""The paper's tables as the project's design quotes them, read from text, against the preset's rows."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from classify.fitting.ratio import CONTROLS
from classify.fitting.settings import FitOptions
from classify.presets import read_preset
from classify.registry import MODELS
from shared.errors import UserError

METRICS = ("precision", "sensitivity", "f1", "accuracy")
TABLE_2 = {
    "custom_cnn": "94.8±3 92.3±0.9 93.6±1 93.6±2 / 98.5±1 94.7±1 96.5±0.3 96.6±0.3 / 99.1±0.9 96.2±1 97.6±0.7 97.7±0.6",
    "inception_v3": "98.1±1 98.1±0.9 98.1±0.5 98.1±1 / 96.8±0.8 90.2±2 93.4±1 93.6±1 / 94.4±1 92.1±2 93.2±1 93.4±1",
    "vgg16": "94.5 90.5 92.5 92.6 / 94.9 89.5 92.1 92.1 / 92.5 90.5 91.5 91.5",
    "mobilenet": "92.5 90.5 91.5 91.5 / 92.5 90.5 91.5 91.5 / 80.6 83.2 81.9 81.3",
    "resnet50": "88.4 85.7 87.0 87.0 / 73.6 70.5 72.0 72.5 / 71.1 72.6 71.8 71.7",
}


def test_the_preset_paper_is_table_2() -> None:
    cells = read_preset("paper")
    expected = {
        (model, ratio): dict(zip(METRICS, (tuple(map(float, value.split("±"))) for value in text.split()), strict=True))
        for model, row in TABLE_2.items()
        for ratio, text in zip(("none", "1:5", "1:2"), row.split(" / "), strict=True)
    }
    found = {(cell.options.model, cell.options.ratio): {m: cell.paper[m] for m in METRICS} for cell in cells}
    assert found == expected
    assert list(found) == list(expected)
    external = {(c.options.model, c.options.ratio): c.paper["external"] for c in cells if "external" in c.paper}
    assert external == {("custom_cnn", "1:2"): (183, 188), ("inception_v3", "none"): (184, 188)}


def test_the_papers_settings() -> None:
    for cell in read_preset("paper"):
        options = cell.options
        five_folds = all(len(cell.paper[metric]) == 2 for metric in METRICS)
        assert cell.fold == ("all" if five_folds else 0)
        if options.model == "custom_cnn":
            assert (options.optimizer, options.lr, options.epochs) == ("rmsprop", 1.15e-4, 300)
        if options.model == "inception_v3":
            assert (options.unfreeze, options.lr, options.epochs) == (34, 1e-3, 20)


def test_the_demo_runs_two_models_at_the_three_ratios_on_fold_0() -> None:
    cells = read_preset("demo")
    assert [(c.options.model, c.options.ratio, c.fold) for c in cells] == [
        (model, ratio, 0) for model in ("custom_cnn", "efficientnet_lite0") for ratio in ("none", "1:5", "1:2")
    ]
    assert {cell.options.model for cell in cells} <= MODELS.keys()


def test_each_row_of_the_preset_controlled_has_what_it_is_compared_with() -> None:
    """Real images alone for every model, and for every control the synthetic images in whose place it stands."""
    cells = read_preset("controlled")
    rows = {
        (c.options.model, c.options.ratio, c.options.control): replace(c.options, ratio="none", control="none")
        for c in cells
    }
    assert len(rows) == len(cells)
    assert {cell.fold for cell in cells} == {"all"}
    for (model, ratio, control), others in rows.items():
        assert rows[model, "none", "none"] == others  # no other setting differs
        assert (model, ratio, "none") in rows
        assert control in CONTROLS
    assert {control for _, _, control in rows} == set(CONTROLS)


HEAD = 'format = "rarescreen-table2"\nversion = 1\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("format = ", "not TOML"),
        (HEAD, "not a preset of format"),
        (HEAD.replace("1\n", "2\n") + "cells = [{}]", "not a preset of format"),
        (HEAD + "cells = [{ layers = 3 }]", "cell 1: no such setting as layers"),
        (HEAD + "cells = [{}, { fold = -1 }]", "cell 2: fold -1"),
        (HEAD + 'cells = [{ epochs = "many" }]', "cell 1: epochs is not"),
        (HEAD + 'cells = [{ head = ["wide"] }]', "cell 1: head is not"),
        (HEAD + "cells = [{ head = 512 }]", "cell 1: head is not"),
        (HEAD + "cells = [{ patience = 1.5 }]", "cell 1: patience is not"),
        (HEAD + 'cells = [{ paper = { f1 = "x" } }]', "cell 1: paper"),
        (HEAD + f"cells = [{{ paper = {{ f1 = [{10**400}] }} }}]", "cell 1: paper"),
        (HEAD + "cells = 5", "not a preset of format"),
    ],
)
def test_a_file_that_is_no_preset_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(problem)):
        read_preset(str(path))


def test_every_setting_of_a_fit_may_stand_in_a_file(tmp_path: Path) -> None:
    row = """cells = [{ model = "custom_cnn", ratio = "1:5", control = "epochs", synthetic = "positive", depth = 3,
    head = [7, 5], dropout = 0, patience = 4, lr = 1, fold = "all" }, { head = [] }]""".replace("\n", " ")
    (tmp_path / "mine.toml").write_text(HEAD + row)
    first, second = read_preset(str(tmp_path / "mine.toml"))
    assert first.fold == "all"
    assert first.options == FitOptions(
        model="custom_cnn",
        ratio="1:5",
        control="epochs",
        synthetic="positive",
        depth=3,
        head=(7, 5),
        dropout=0,
        patience=4,
        lr=1,
    )
    assert (second.fold, second.options) == (0, FitOptions(head=()))


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UserError, match=r"^--preset best: no such preset; give one of demo, paper"):
        read_preset("best")
