"""Generating and selecting candidates: images a second and peak memory, beside what the networks alone take.

    python benchmarks/selection.py NETWORK --cohort cohort.h5 [--count 1000 --count 10000] [--features lite1]

Each stage runs in a process of its own, whose largest resident memory is that of the whole process: libraries,
networks and data. If memory is constant in the number of candidates the figures of all counts are the same, up to the
columns of numbers (some 100 bytes a candidate) and up to 20,000 kept features. "networks alone" draws, or looks at,
the same number of images at a time and writes nothing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from shared.bundle import read_candidates
from shared.nn.device import choose_device, describe_device
from shared.weights import WeightSource
from synth.drawing.pictures import draw
from synth.drawing.trained import open_network
from synth.generate import GenerateOptions, generate
from synth.scores.features import open_extractor
from synth.select import select
from synth.selecting.logits import choose_partners, discriminator_logits
from synth.selecting.options import SelectOptions
from synth.selecting.scoring import SCORE_AT_ONCE
from synth.training.projection import attach_backbone

ALONE = 1024  # images that the networks alone are timed over
STAGES = ("generate", "select")


def in_a_process(arguments: list[str]) -> dict[str, float]:
    """Run this script's stage in a new process, and return its seconds and its peak memory in MiB."""
    result = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def stage(options: argparse.Namespace) -> dict[str, float]:
    """Run one stage here."""
    folder, count = Path(options.folder), options.count[0]
    candidates = folder / f"candidates{count}.h5"
    started = time.monotonic()
    if options.stage == "generate":
        generate(GenerateOptions(options.network, candidates, count=count, device=options.device, force=True))
    else:
        select(
            SelectOptions(
                candidates,
                options.cohort,
                options.network,
                folder / f"bundle{count}.h5",
                features=options.features,
                device=options.device,
                offline=True,
                force=True,
            )
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.monotonic() - started, "memory": memory}


def alone(options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Return the images a second of the generator alone, and of feature network and discriminator alone."""
    device, source = choose_device(options.device), WeightSource(offline=True)
    trained = open_network(options.network, device)
    draw(trained.networks.G_ema, range(64), noise=trained.noise)
    started = time.monotonic()
    draw(trained.networks.G_ema, range(ALONE), noise=trained.noise)
    drawn = ALONE / (time.monotonic() - started)
    images = read_candidates(folder / f"candidates{options.count[0]}.h5").images[:ALONE]
    D = trained.networks.D
    attach_backbone(D, source)
    extractor = open_extractor(options.features, "similarity", source=source, device=device)
    partners = choose_partners(images, D.config.mbstd_group_size, seed=0)

    def look(part: np.ndarray) -> None:
        extractor(part)
        discriminator_logits(D, part, partners)

    look(images[:SCORE_AT_ONCE])
    started = time.monotonic()
    for start in range(0, len(images), SCORE_AT_ONCE):
        look(images[start : start + SCORE_AT_ONCE])
    return drawn, len(images) / (time.monotonic() - started)


def report(options: argparse.Namespace) -> None:
    """Run all stages for all counts, and print a table."""
    device = describe_device(choose_device(options.device))
    print(f"{device}, torch {torch.__version__}, features {options.features}, network {options.network}\n")
    print("| stage | candidates | s | images/s | peak MiB | networks alone, images/s |\n|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        common = [str(options.network), "--cohort", str(options.cohort), "--features", options.features]
        common += ["--device", options.device, "--folder", name]
        found = {
            (stage, count): in_a_process([*common, "--stage", stage, "--count", str(count)])
            for count in options.count
            for stage in STAGES
        }
        rates = dict(zip(STAGES, alone(options, Path(name)), strict=True))
        sizes = [
            f"{count}: {(Path(name) / f'candidates{count}.h5').stat().st_size >> 10} KiB" for count in options.count
        ]
    for (stage, count), took in found.items():
        rate = count / took["seconds"]
        print(f"| {stage} | {count} | {took['seconds']:.1f} | {rate:.1f} | {took['memory']:.0f} | {rates[stage]:.1f} |")
    print(
        "\nSeconds include opening networks and cohort, pictures, and once the photographs' features; "
        f"candidates files: {', '.join(sizes)}."
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--count", type=int, action="append")
    parser.add_argument("--features", default="lite1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.count = options.count or [1000, 10_000]
    if options.stage:
        print(json.dumps(stage(options)))
    else:
        report(options)


if __name__ == "__main__":
    main()
