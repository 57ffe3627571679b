"""What a training is said to take, against torch's own counter, the tensors that there are, and larger batches."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from runs import CONFIG, make_trainer
from torch.utils.flop_counter import FlopCounterMode

from shared.studies.values import Range
from synth.train import train
from synth.training.cells import product
from synth.training.dry_run import fakes_of_a_cell
from synth.training.estimate import estimate
from synth.training.options import TrainOptions, resolve_cells
from synth.training.run_folder import RunFolder


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for each in values for tensor in _tensors(each)]


def test_operations_without_regularisers_are_torchs() -> None:
    config = dataclasses.replace(CONFIG, gamma=0.0, pl_weight=0.0)
    make_trainer(config).train_step()  # the first of all makes what later ones find
    trainer = make_trainer(config)
    with FlopCounterMode(display=False) as counter:
        trainer.train_step()
    found = estimate(make_trainer(config), batch=4)
    assert found.flops == pytest.approx(counter.get_total_flops() / config.batch)


def test_regularisers_count_as_often_as_they_run() -> None:
    """R1 every 16 steps, and path lengths every 4: the cost of each is known from a training that has it always."""

    def flops(**changes: Any) -> float:
        return estimate(make_trainer(dataclasses.replace(CONFIG, **changes)), batch=4).flops

    plain = flops(gamma=0.0, pl_weight=0.0)
    r1, lengths = flops(pl_weight=0.0) - plain, flops(gamma=0.0) - plain
    assert r1 > 0
    assert lengths > 0
    assert flops() == pytest.approx(plain + r1 + lengths, rel=0.01)  # other dice, after the path lengths
    often = flops(pl_weight=0.0, d_reg_interval=4) - plain
    assert often == pytest.approx(r1 * CONFIG.d_reg_interval / 4, rel=0.01)


def test_a_larger_batch_takes_the_same_an_image_and_more_memory_at_once() -> None:
    small = estimate(make_trainer(CONFIG), batch=16)
    large = estimate(make_trainer(dataclasses.replace(CONFIG, batch=8)), batch=16)
    assert small.flops == pytest.approx(large.flops, rel=0.02)
    assert small.activation_bytes == pytest.approx(large.activation_bytes, rel=0.1)
    assert small.seconds > 0


def test_the_state_is_what_a_checkpoint_and_the_gradients_hold() -> None:
    trainer = make_trainer(CONFIG)
    trainer.train_step()
    state = trainer.state_dict()
    kept = sum(t.numel() * 4 for name in state for t in _tensors(state[name]) if t.is_floating_point())
    gradients = sum(p.numel() * 4 for p in (*trainer.G_parameters, *trainer.D_parameters))
    found = estimate(make_trainer(CONFIG), batch=4)
    assert found.state_bytes == pytest.approx(kept + gradients, rel=0.1)  # buffers are not counted
    assert found.g_parameters == sum(p.numel() for p in trainer.G.parameters())
    assert found.d_parameters == sum(p.numel() for p in trainer.D.parameters())


def test_a_dry_run_shows_every_cell_and_makes_nothing(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = product([0.1, 0.0], [0.6], [0.002])
    assert train(dataclasses.replace(options, dry_run=True), cells) == []
    assert not options.out.exists()
    shown = capsys.readouterr()
    config = json.loads(shown.out[: shown.out.rindex("}") + 1])
    assert config["training"]["batch"] == 8
    rows = [line.split() for line in shown.out.splitlines() if line.startswith("gamma")]
    assert [row[0] for row in rows] == [cell.name for cell in cells]
    assert float(rows[0][5]) > float(rows[1][5])  # GFLOP an image: R1 or not
    assert "for scores with 16 images each" in shown.err


def test_scores_that_a_cell_takes_are_those_of_its_log(options: TrainOptions) -> None:
    """And one more, of the best network."""
    train(options, product([0.1], [0.6], [0.002]))
    scored = sum("quality" in line for line in RunFolder(options.out).read_log())
    assert fakes_of_a_cell(SimpleNamespace(options=options, fakes=16)) == 16 * (scored + 1)  # type: ignore[arg-type]


def test_a_search_shows_the_ends_of_its_ranges(options: TrainOptions, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"cohort": options.cohort, "out": Path("nowhere"), "cfg": "tiny", "batch": 8, "device": "cpu"}
    asked |= {
        "gamma": (Range(0.1, 1.0, log=True),),
        "offline": True,
        "features": "offline",
        "sampler": "tpe",
        "budget": "9cells",
    }
    train(*resolve_cells(asked | {"dry_run": True}))
    shown = capsys.readouterr()
    assert sum(line.startswith("gamma") for line in shown.out.splitlines()) == 2
    assert "cells chosen by tpe until 9 cells" in shown.err
