"""Table 1 of a small cohort: its rows and their order, and what it says of them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from runs import assert_same, trained

from shared.errors import UserError
from synth.networks.provenance import find_network
from synth.scores.certainty import Compared
from synth.scores.kernels import squared_mmd
from synth.table1.markdown import render
from synth.table1.rows import labels, row_of, write_table1
from synth.train import train
from synth.training.cells import product
from synth.training.options import TrainOptions, resolve_cells
from synth.training.run_folder import RunFolder

CELL = product([0.1], [0.6], [0.002])


def test_a_grid_ranks_its_cells(options: TrainOptions) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(dataclasses.replace(options, kimg=0.016, checkpoint_every=0.016), cells)
    table = json.loads((options.out / "table1.json").read_text())
    assert {row["run"] for row in table["rows"]} == {cell.name for cell in cells}
    criteria = [row["criterion"] for row in table["rows"]]
    assert criteria == sorted(criteria)
    assert find_network(options.out) == options.out / table["best"] / "network.safetensors"
    starts = [row["quality_at_start"] for row in table["rows"]]
    assert starts[0] == starts[1]  # the same networks to begin with
    text = (options.out / "table1.md").read_text()
    assert text == render(table)
    assert "| 0.1 | 0.002 | 0.6 | 81 |" in text
    assert "collapsed" not in text
    (lead,) = table["leads"]
    told = {
        True: "All compared cells can be told from the first (KID in pairs",
        False: "The cell of rank 2 cannot be told from the first (KID in pairs",
    }
    clear = lead["p"] < 0.05 and lead["kid"] > 0
    assert told[clear] in text
    assert told[not clear] not in text
    assert "there is one a cell" in text  # seed
    for row in table["rows"]:
        quality, sure = row["quality"], row["certainty"]
        assert (
            f"{quality['value']:.1f} ± {sure['standard_error']:.1f} | – |" in text
        )  # too few fakes for infinitely many
        assert f"{quality['equal_n']:.1f} ± {quality['equal_n_sd']:.1f} | {quality['precision']:.2f} ±" in text
        assert quality["kid_validation"] is None  # two photographs of one patient
        assert (options.out / row["run"] / "best.png").read_bytes().startswith(b"\x89PNG")
    row = table["rows"][0]["quality"]
    row |= {"kid_validation": 0.25, "kid_low": 0.125, "kid_high": 0.5}
    assert "| 0.2500 (0.1250 to 0.5000) |" in render(table)
    row |= {"kid_validation": None}
    assert "The cell of rank 2 cannot be compared" in render(table | {"leads": [None]})
    table["rows"][1]["collapsed_at_kimg"] = [0.016]
    assert f"Diversity collapsed at some checkpoint of {table['rows'][1]['run']}." in render(table)
    assert (options.out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_cells_of_different_spaces_are_not_ranked(options: TrainOptions) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(dataclasses.replace(options, kimg=0.008), cells)
    folder = RunFolder(options.out / cells[0].name)
    lines = folder.read_log()
    for line in lines:
        if "quality" in line:
            line["quality"]["extractor"] = "Inception"
    folder.write_log(lines)
    with pytest.raises(UserError, match=r"different feature spaces .EfficientNet-Lite0, Inception."):
        write_table1(options.out, [row_of(options.out, RunFolder(options.out / cell.name)) for cell in cells], "strict")


def test_a_table_of_runs_that_are_elsewhere_compares_no_pairs(options: TrainOptions) -> None:
    cells = product([0.1, 0.5], [0.6], [0.002])
    train(dataclasses.replace(options, kimg=0.008), cells)
    rows = [row_of(options.out, RunFolder(options.out / cell.name)) for cell in cells]
    RunFolder(options.out / cells[1].name).compared.unlink()
    write_table1(options.out, rows, "strict")
    assert json.loads((options.out / "table1.json").read_text())["leads"] == [None]


def test_each_cell_is_trained_with_each_seed(options: TrainOptions, tmp_path: Path) -> None:
    """A run of a grid of seeds is the run of that seed alone; the table has means, deviations and their order."""
    asked = {"cohort": options.cohort, "cfg": "tiny", "batch": 8, "quality_fakes": 16, "features": "offline"}
    asked |= {"device": "cpu", "offline": True, "kimg": 0.008, "gamma": (0.1, 0.5)}
    both, cells = resolve_cells(asked | {"out": tmp_path / "both", "seeds": (3, 1, 3)})
    assert [(cell.gamma, cell.seed) for cell in cells] == [(0.1, 3), (0.1, 1), (0.5, 3), (0.5, 1)]
    runs = train(both, cells)
    assert sorted(run.name for run in runs) == sorted(cell.name for cell in cells)
    for seed in (1, 3):
        alone, cell = resolve_cells(asked | {"out": tmp_path / f"alone{seed}", "seeds": (seed,), "gamma": (0.5,)})
        train(alone, cell)
        assert_same(trained(alone.out), trained(both.out / f"gamma0.5_lr0.002_target0.6_seed{seed}"))
    table = json.loads((both.out / "table1.json").read_text())
    values = {gamma: [r["criterion"] for r in table["rows"] if r["gamma"] == gamma] for gamma in (0.1, 0.5)}
    best = min(values, key=lambda gamma: np.mean(values[gamma]))
    assert table["rows"][0]["gamma"] == table["rows"][1]["gamma"] == best
    assert table["rows"][0]["criterion"] == min(values[best])
    assert table["best"] == table["rows"][0]["run"]
    distances = [row["quality"]["value"] for row in table["rows"][:2]]
    text = (both.out / "table1.md").read_text()
    errors = [row["certainty"]["standard_error"] for row in table["rows"][:2]]
    seeds = f"(seeds ± {np.std(distances, ddof=1):.1f})"
    assert f"| {np.mean(distances):.1f} ± {np.mean(errors):.1f} {seeds} |" in text
    precisions = [[row["quality"][name] for row in table["rows"][:2]] for name in ("precision", "precision_sd")]
    assert (
        f"| {np.mean(precisions[0]):.2f} ± {np.mean(precisions[1]):.2f} (seeds ± {np.std(precisions[0], ddof=1):.2f}) |"
        in text
    )
    assert "Seeds 1, 3, fold 0" in text
    for row, kid in zip(table["rows"][:2], (0.25, 0.75), strict=True):
        row["quality"] |= {"kid_validation": kid, "kid_low": kid - 0.25, "kid_high": kid + 0.5}
    assert "| 0.5000 (0.2500 to 1.0000; seeds ± 0.3536) |" in render(table)


def test_curves_are_named_by_what_differs() -> None:
    """One colour a cell, and of a single one all that its method has."""
    rows = [{"gamma": gamma, "lr": 0.002, "target": 0.6, "seed": seed} for gamma in (0.1, 1.0) for seed in (0, 1)]
    assert labels(rows) == [
        ("gamma 0.1", ", seed 0"),
        ("gamma 0.1", ", seed 1"),
        ("gamma 1", ", seed 0"),
        ("gamma 1", ", seed 1"),
    ]
    assert labels(rows[:1]) == [("gamma 0.1, lr 0.002, target 0.6", "")]
    assert labels([{"gamma": None, "lr": 0.003, "target": None, "seed": 1}]) == [("lr 0.003", "")]


def test_the_papers_protocol_with_several_seeds(options: TrainOptions) -> None:
    """Nothing is held out, so the distance to what was trained on chooses, and the table says so."""
    asked = {"cohort": options.cohort, "out": options.out, "cfg": "tiny", "batch": 8, "quality_fakes": 16}
    asked |= {"features": "offline", "device": "cpu", "offline": True, "kimg": 0.008, "gamma": (0.1, 0.5)}
    train(*resolve_cells(asked | {"protocol": "paper", "fold": "all", "seeds": (0, 1)}))
    table = json.loads((options.out / "table1.json").read_text())
    rows = table["rows"]
    assert [(row["gamma"], row["fold"]) for row in rows[::2]] in ([(0.1, -1), (0.5, -1)], [(0.5, -1), (0.1, -1)])
    for row in rows:
        quality = row["quality"]
        assert row["criterion"] == quality["value"]
        assert (quality["n_real"], quality["kid_validation"], quality["held_out"]) == (30, None, None)
    means = [np.mean([row["criterion"] for row in rows[start : start + 2]]) for start in (0, 2)]
    assert means == sorted(means)
    text = (options.out / "table1.md").read_text()
    assert text == render(table)
    assert "Seeds 0, 1, all folds together" in text
    assert "chosen by the distance itself" in text
    (lead,) = table["leads"]  # by the KID to what was trained on
    compared = [Compared.read(RunFolder(options.out / row["run"]).compared) for row in rows]
    kids = [squared_mmd(each.fakes, each.reals) for each in compared]
    assert lead["kid"] == pytest.approx(np.mean(kids[2:]) - np.mean(kids[:2]), abs=1e-6)
    assert all(len(each.reals) == 30 for each in compared)
