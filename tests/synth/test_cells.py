"""Cells from options, presets and files; the paper's numbers as numbers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from synth.training.cells import Cell, paper_cells, preset_names, product, read_cells
from synth.training.options import TrainOptions, read_intervals, resolve_cells

ASKED = {"cohort": Path("cohort.h5"), "out": Path("run")}

# gamma, lr, target, FID: the paper's Table 1
TABLE_1 = [
    (0.1, 0.002, 0.6, 81),
    (0.1, 0.001, 0.5, 85),
    (0.5, 0.002, 0.7, 89),
    (0.1, 0.002, 0.7, 90),
    (0.1, 0.003, 0.6, 91),
    (0.5, 0.001, 0.7, 93),
    (0.1, 0.003, 0.4, 95),
    (0.1, 0.001, 0.4, 98),
    (0.5, 0.001, 0.4, 103),
]


def test_paper_presets_are_table_1() -> None:
    assert [(c.gamma, c.lr, c.target, c.paper_fid) for c in paper_cells()] == TABLE_1
    full = read_cells("paper-full").cells
    assert len({(c.gamma, c.lr, c.target) for c in full}) == 2 * 3 * 4
    assert sorted((c.gamma, c.lr, c.target, c.paper_fid) for c in full if c.paper_fid) == sorted(TABLE_1)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_resolves(name: str) -> None:
    options, cells = resolve_cells(ASKED | {"cells": name})
    assert cells == read_cells(name).cells
    assert options.kimg == read_cells(name).train["kimg"]


def test_options_beat_presets_beat_defaults() -> None:
    defaults = TrainOptions(**ASKED)
    options, _ = resolve_cells(ASKED | {"cells": "demo", "kimg": 2.5, "seed": None})
    assert options.kimg == 2.5
    assert options.cfg == read_cells("demo").train["cfg"] != defaults.cfg
    assert options.seed == defaults.seed


@given(
    st.lists(st.sampled_from([0.1, 0.5, 1.0]), min_size=1),
    st.lists(st.sampled_from([0.5, 0.6]), min_size=1),
    st.lists(st.sampled_from([0.001, 0.002]), min_size=1),
)
def test_product_holds_each_point_once(gamma: list[float], target: list[float], lr: list[float]) -> None:
    cells = product(gamma, target, lr)
    points = {(g, t, rate) for g in gamma for t in target for rate in lr}
    assert {(c.gamma, c.target, c.lr) for c in cells} <= points
    names = {Cell(*point).name for point in points}  # of six digits
    assert sorted(c.name for c in cells) == sorted(names)


def test_single_values_and_cells_exclude_each_other() -> None:
    with pytest.raises(UserError, match="--gamma"):
        resolve_cells(ASKED | {"cells": "demo", "gamma": (0.1,)})


HEADER = 'format = "rarescreen-cells"\nversion = 1\n'
CELL = "[[cell]]\ngamma = 0.1\ntarget = 0.6\nlr = 0.002\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("not toml [", "not a TOML file"),
        (CELL, "must begin with"),
        (HEADER, "at least one"),
        (HEADER + "[[cell]]\ngamma = 0.1\n", "gamma, target and lr"),
        (HEADER + CELL + "surprise = 1\n", "gamma, target and lr"),
        (HEADER + CELL.replace("0.1", '"0.1"'), "numbers"),
        (HEADER + CELL.replace("0.1", "-0.1"), "--gamma -0.1"),
        (HEADER + CELL.replace("0.1", "nan"), "numbers"),
        (HEADER + CELL.replace("0.1", "1" + 400 * "0"), "numbers"),
        (HEADER + CELL + "paper_fid = inf\n", "numbers"),
        (HEADER + CELL + CELL, r"gamma0\.1_lr0\.002_target0\.6 stands there 2 times"),
        (HEADER + "[train]\nout = 'x'\n" + CELL, "unknown option 'out'"),
        (HEADER + "[train]\nkimg = 'many'\n" + CELL, "wrong type"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "cells.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=named) as caught:
        resolve_cells(ASKED | {"cells": str(path)})
    assert "\n" not in str(caught.value)


def test_unknown_preset_names_the_known() -> None:
    with pytest.raises(UserError, match="demo, paper, paper-full"):
        read_cells("papre")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kimg": 0.0}, "--kimg 0"),
        ({"kimg": float("nan")}, "--kimg nan"),
        ({"batch": 0}, "--batch 0"),
        ({"fold": "7"}, "--fold 7"),
        ({"fold": "first"}, "--fold first"),
        ({"checkpoint_every": -1.0}, "--checkpoint-every -1"),
        ({"save_every_min": 0.0}, "--checkpoint-every 0min"),
        ({"max_p": 8.5}, "--max-p 8.5"),
        ({"max_p": float("nan")}, "--max-p nan"),
        ({"protocol": "lax"}, "--protocol lax"),
    ],
)
def test_options_out_of_range(options: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        resolve_cells(ASKED | options)[0].folds(5)


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        ((), {}),
        (("4",), {"checkpoint_every": 4.0}),
        (("0.5kimg",), {"checkpoint_every": 0.5}),
        (("15min",), {"save_every_min": 15.0}),
        (("15min", "2"), {"save_every_min": 15.0, "checkpoint_every": 2.0}),
    ],
)
def test_intervals(texts: tuple[str, ...], fields: dict[str, float]) -> None:
    assert read_intervals(texts) == fields


@pytest.mark.parametrize("texts", [("often",), ("-1",), ("1h",), ("1e3",), ("",), ("4", "5kimg"), ("1min", "2min")])
def test_other_intervals_are_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"--checkpoint-every {texts[-1]}: ") as caught:
        read_intervals(texts)
    assert str(caught.value).endswith(".")


def test_cell_names_are_folder_names() -> None:
    assert Cell(0.1, 0.6, 0.002).name == "gamma0.1_lr0.002_target0.6"
