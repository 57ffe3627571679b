"""Runs of seconds: tiny networks, a score that needs no feature network, and how two runs are compared."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.interruption import Interruption
from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, Trainer, TrainingConfig
from synth.cli import cli
from synth.scores.certainty import Compared
from synth.scores.features import NetworkExtractor
from synth.scores.quality import QualityMeter
from synth.training.checkpoints import Checkpoints
from synth.training.options import TrainOptions
from synth.training.run import Run
from synth.training.run_folder import RunFolder

CONFIG = TrainingConfig(batch=4, gamma=0.1, lr=0.002, ema_kimg=0.1, initial_p=0.5, ada_kimg=1.0)
OPTIONS = TrainOptions(cohort=Path("cohort.h5"), out=Path("run"), kimg=0.08, checkpoint_every=0.032, quality_fakes=16)


class Pixels:
    """A feature space for tests: the picture itself, its side divided by two."""

    name, layer, resizer, weights_sha256, width = "pixels", "none", "none", "", 48

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images[:, ::2, ::2].reshape(len(images), self.width).astype(np.float32))


def colours(images: torch.Tensor) -> torch.Tensor:
    """Return mean and deviation of each colour, [N, 6]."""
    return torch.cat([images.float().mean((1, 2)), images.float().std((1, 2))], dim=1)


def colours_extractor() -> NetworkExtractor:
    """Return a feature space of colours instead of a network's, which takes seconds."""
    return NetworkExtractor("colours", "moments", "none", 6, "0" * 64, torch.device("cpu"), colours)


def make_trainer(config: TrainingConfig = CONFIG) -> Trainer:
    G = GeneratorConfig(img_resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)
    D = DiscriminatorConfig(img_resolution=8, channel_base=64, channel_max=8)
    images = torch.from_numpy(_reals()).permute(0, 3, 1, 2)
    return Trainer(Networks.build(G, D, seed=0), config, images, None, seed=1, device=torch.device("cpu"))


def _reals() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)


def make_run(
    path: Path,
    *,
    config: TrainingConfig = CONFIG,
    options: TrainOptions = OPTIONS,
    interruption: Interruption | None = None,
    spoil: Callable[[Trainer], None] | None = None,
) -> Run:
    """Make or take up a run in `path`; `spoil` changes its trainer first."""
    trainer = make_trainer(config)
    if spoil is not None:
        spoil(trainer)
    meter = QualityMeter(_reals(), _reals()[:4], Pixels(), fakes=options.quality_fakes)
    about = {"generator": {"gamma": config.gamma}}
    return Run(RunFolder(path), trainer, meter, options, about, interruption=interruption)


def train_to_the_end(path: Path, **how: Any) -> None:
    """Train in `path` as one process does: claim the folder, take up what is there, go on to the end."""
    train_until(path, None, **how)


def train_until(path: Path, nimg: int | None, **how: Any) -> None:
    """Train in `path` and vanish, without any farewell, once `nimg` images were shown."""
    with RunFolder(path).claim():
        RunFolder(path).open({"kimg": how.get("options", OPTIONS).kimg})
        run = make_run(path, **how)
        for _ in run.go():
            if run.trainer.cur_nimg == nimg:
                return
    assert nimg is None, "never got there"


def trained(path: Path) -> dict[str, Any]:
    """Return the state of a run's trainer at its newest checkpoint."""
    state = Checkpoints(RunFolder(path).checkpoints).load_newest()
    assert state is not None
    trainer: dict[str, Any] = state["trainer"]
    return trainer


def outcome(path: Path) -> dict[str, Any]:
    """Return all that a run leaves and that must not depend on its interruptions."""
    folder = RunFolder(path)
    state = Checkpoints(folder.checkpoints).load_newest()
    assert state is not None
    del state["seconds"], state["processor_seconds"]
    state["log"]["lines"] = [_timeless(line) for line in state["log"]["lines"]]
    return {
        "state": state,
        "log": [_timeless(line) for line in folder.read_log()],
        "network": folder.network.read_bytes(),
        "certainty": folder.certainty.read_text(),
        "compared": Compared.read(folder.compared).fakes.tobytes(),
        "pictures": folder.pictures.read_bytes(),
        "samples": {path.name: path.read_bytes() for path in folder.samples.iterdir()},
        "averages": {path.name: path.read_bytes() for path in folder.averages.iterdir()},
    }


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("seconds", "processor_seconds")}


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Compare tensors bit by bit, anywhere in dictionaries and lists."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for name in a:
            assert_same(a[name], b[name], f"{where}/{name}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert a.shape == b.shape, where
        assert a.numpy().tobytes() == b.numpy().tobytes(), where
    else:
        assert a == b or (a != a and b != b), where  # NaN too


def saving_every_step(options: TrainOptions = OPTIONS) -> TrainOptions:
    """Save the state as often as the clock allows."""
    return dataclasses.replace(options, save_every_min=1e-3)


def command_line(cohort: Path, out: Path) -> list[str]:
    """Return a `synth train` of seconds, which saves its state after nearly every step."""
    options = (
        "--gamma 0.1 --cfg tiny --batch 8 --kimg 0.16 --quality-fakes 16 --features offline --device cpu --offline"
    )
    intervals = "--checkpoint-every 0.064kimg --checkpoint-every 0.002min"
    return ["train", str(cohort), "--out", str(out), *options.split(), *intervals.split()]


def run_command(arguments: list[str], told: Path) -> None:
    """Be `synth` with these arguments, in a process of its own that appends what it says to `told`."""
    torch.set_num_threads(1)
    with told.open("a") as stream:
        os.dup2(stream.fileno(), 2)
    cli(arguments)
