"""Pretrain the small network that `synth train --start phantom-skin-32` adapts from.

    python -m synth.networks.pretrain_phantom_skin --kimg 100 --work runs/phantom_skin_32

It sees phantom skin with other lesions than the demo's rare class, from seeds that no cohort uses. It goes on where it
stopped when the same command runs again. The network, in half precision, and its log go beside this file.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shared.files import whole_file, write_text
from shared.phantom import render_other_lesions
from stylegan2_ada import Networks, Trainer, network_bytes, resolve
from stylegan2_ada.config import replace_training

SIZE = 32
IMAGES = 6000
SEED = 20_000
BATCH = 16
LATER_KIMG, LATER_LR = 70, 0.002  # large steps while the pictures are coarse, then the published rate
LOG_EVERY_KIMG = 4
SAVE_EVERY_KIMG = 10


def build_trainer() -> Trainer:
    """Return the trainer at its first step.

    Small batches, since it is the number of steps that counts for a young network.
    """
    images = torch.from_numpy(render_other_lesions(IMAGES, size=SIZE, seed=SEED)).permute(0, 3, 1, 2)
    generator, discriminator, config = resolve("tiny", SIZE, batch=BATCH)
    config = replace_training(config, gamma=0.01, ema_kimg=4.0)
    networks = Networks.build(generator, discriminator, seed=SEED)
    return Trainer(networks, config, images, None, seed=SEED, device=torch.device("cpu"), dtype=torch.bfloat16)


def main() -> None:
    """Train, log and write the shipped files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kimg", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs/phantom_skin_32"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    state_path, log_path = options.work / "state.pt", options.work / "log.jsonl"
    trainer = build_trainer()
    lines: list[str] = []
    seconds = 0.0
    if state_path.exists():
        saved = torch.load(state_path, weights_only=True)
        trainer.load_state_dict(saved["trainer"])
        seconds, lines = saved["seconds"], saved["lines"]

    last = time.monotonic()
    while trainer.cur_nimg < options.kimg * 1000:
        if trainer.cur_nimg >= LATER_KIMG * 1000:
            trainer.set_lr(LATER_LR)
        stats = trainer.train_step()
        now = time.monotonic()
        seconds, last = seconds + now - last, now
        if _passed(trainer, LOG_EVERY_KIMG):
            lines.append(_log_line(trainer, stats, seconds))
            write_text(log_path, "\n".join(lines) + "\n")
            print(lines[-1], flush=True)
        if _passed(trainer, SAVE_EVERY_KIMG) or trainer.cur_nimg >= options.kimg * 1000:
            with whole_file(state_path) as part:
                torch.save({"trainer": trainer.state_dict(), "seconds": seconds, "lines": lines}, part)

    networks = Networks(trainer.G_ema, trainer.G, trainer.D)
    about = describe(trainer)
    with whole_file(options.out / "phantom_skin_32.safetensors") as part:
        part.write_bytes(network_bytes(networks, about, half=True))
    write_text(options.out / "phantom_skin_32.jsonl", "\n".join(lines) + "\n")


def describe(trainer: Trainer) -> dict[str, Any]:
    """Return what the network file says of its making."""
    return {
        "name": "phantom-skin-32",
        "licence": "Apache-2.0",
        "images": f"{IMAGES} phantoms: render_other_lesions({IMAGES}, size={SIZE}, seed={SEED})",
        "noise": "random",  # its small structures come from the noise inputs
        "kimg": trainer.cur_nimg / 1000,
        "training": dataclasses.asdict(trainer.config) | {"lr_after": {"kimg": LATER_KIMG, "lr": LATER_LR}},
    }


def _passed(trainer: Trainer, every_kimg: int) -> bool:
    """Tell whether the last step passed a multiple of `every_kimg`."""
    every = every_kimg * 1000
    return trainer.cur_nimg // every > (trainer.cur_nimg - trainer.config.batch) // every


def _log_line(trainer: Trainer, stats: dict[str, Tensor], seconds: float) -> str:
    numbers = {name: round(float(value), 4) for name, value in stats.items()}
    place = {"kimg": round(trainer.cur_nimg / 1000, 1), "seconds": round(seconds), "p": round(trainer.ada.p, 4)}
    return json.dumps(place | numbers)


if __name__ == "__main__":
    main()
