"""What each stage costs as its input grows: seconds and peak memory, and the power of n that they grow with.

    python benchmarks/cost_curves.py [--curve duplicates …] [--records records.jsonl] [--json FILE]

Each point runs in a process of its own, whose peak memory is that of the whole process; "nothing" is what the imports
alone take. The power is the slope of log seconds over log n between the last two points: 1 is proportional, 2 is
every one with every other. Images are noise, which no file format makes smaller.
"""

import argparse
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGE_PX, FILE_PX = 64, 96
REALS = 1000
GRACE_S = 120.0
SHIPPED = "phantom-skin-32"


@dataclass(frozen=True)
class Curve:
    """A stage: what is counted, the sizes that are measured, and what is done for one of them."""

    counted: str
    sizes: tuple[int, ...]
    run: Callable[[int, Path, argparse.Namespace], float]


def noise(count: int, size: int) -> np.ndarray:
    """Return uint8 [count, size, size, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def duplicates(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Look for near-duplicates among n thumbnails."""
    del folder, options
    from shared.duplicates import THUMBNAIL_PX, duplicate_pairs

    thumbnails, ids = noise(n, THUMBNAIL_PX), np.array([f"{number:064x}" for number in range(n)])
    return timed(lambda: duplicate_pairs(ids, thumbnails))


def prepare(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Make a cohort of n files."""
    del options
    from synth.cohorts.options import PrepareOptions
    from synth.prepare import prepare as stage

    for number, image in enumerate(noise(n, FILE_PX)):
        place = folder / ("rare", "other")[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.jpg", quality=90)
    asked = PrepareOptions(
        positive=(folder / "rare",), negative=(folder / "other",), size=IMAGE_PX, out=folder / "c.h5"
    )
    return timed(lambda: stage(asked))


def write_noise(path: Path, n: int, size: int = IMAGE_PX) -> None:
    """Write a cohort of n images of noise."""
    from shared.cohort import STUDY, Cohort, write_cohort

    made = Cohort(
        images=noise(n, size), label=np.arange(n) % 2, image_id=np.array([f"{number:064x}" for number in range(n)]),
        group_id=np.arange(n), fold=(np.arange(n) // 2 % 5).astype(np.int8), role=np.full(n, STUDY, np.uint8),
        source_path=np.array([f"{number}.png" for number in range(n)]), classes=("other", "rare"), folds=5, seed=0,
        source="photographs",
    )  # fmt: skip
    write_cohort(path, made)


def cohort(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Read a cohort of n images, and every image of it once."""
    del options
    from shared.cohort import read_cohort

    write_noise(folder / "c.h5", n)
    return timed(lambda: np.asarray(read_cohort(folder / "c.h5").images))


def draw(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Draw n candidates of 32 px."""
    del options
    from synth.generate import GenerateOptions, generate

    return timed(lambda: generate(GenerateOptions(SHIPPED, folder / "d.h5", count=n, device="cpu", offline=True)))


def select(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Compare n candidates of 32 px with the positives among `REALS` photographs, and select."""
    del options
    from synth.generate import GenerateOptions, generate
    from synth.select import select as stage
    from synth.selecting.options import SelectOptions
    from synth.train import train
    from synth.training.cells import product
    from synth.training.options import TrainOptions

    photographs, run, drawn = folder / "c.h5", folder / "run", folder / "d.h5"
    write_noise(photographs, REALS, 32)
    training = TrainOptions(
        cohort=photographs, out=run, method="transfer", start=SHIPPED, kimg=0.008, batch=8, checkpoint_every=0.008,
        quality_fakes=16, features="offline", device="cpu", offline=True,
    )  # fmt: skip
    train(training, product([0.1], [0.6], [0.002]))
    generate(GenerateOptions(run, drawn, count=n, device="cpu", offline=True))
    asked = SelectOptions(drawn, photographs, run, folder / "b.h5", features="offline", device="cpu", offline=True)
    return timed(lambda: stage(asked))


def pixels(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Draw 16 pictures of n x n px, by the `auto` configuration."""
    del folder, options
    from stylegan2_ada import Networks, resolve
    from synth.drawing.pictures import draw as pictures

    generator, discriminator, _ = resolve("auto", n)
    G = Networks.build(generator, discriminator, 0).G_ema.eval()
    pictures(G, range(4), noise="const")
    return timed(lambda: pictures(G, range(16), noise="const"))


def step(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Train a GAN of n x n px, by the `auto` configuration, 16 steps of 4: R1 once, path length four times."""
    del folder, options
    import torch

    from stylegan2_ada import Networks, Trainer, resolve

    generator, discriminator, training = resolve("auto", n, batch=4)
    images = torch.from_numpy(noise(32, n)).permute(0, 3, 1, 2).contiguous()
    networks = Networks.build(generator, discriminator, 0)
    trainer = Trainer(networks, training, images, None, seed=0, device=torch.device("cpu"))

    def cycle() -> None:
        for _ in range(16):
            trainer.train_step()

    return timed(cycle)


def fit(n: int, folder: Path, options: argparse.Namespace, size: int = IMAGE_PX) -> float:
    """Fit the custom CNN for two epochs to a cohort of n images, sixfold, all but a fold and a tenth of the others."""
    del options
    from classify.fit import fit as stage
    from classify.fitting.settings import FitOptions
    from classify.place import working
    from shared.cohort import read_cohort

    write_noise(folder / "c.h5", n, size)
    asked = FitOptions(epochs=2, precision="fp32")
    with working("cpu", offline=True) as place:
        read = read_cohort(folder / "c.h5")
        return timed(lambda: stage(read, options=asked, folds=[0], out=folder / "m", place=place))


def fit_pixels(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Do the same to 100 images of n x n px."""
    return fit(100, folder, options, size=n)


def study(n: int, folder: Path, options: argparse.Namespace, address: str = "sqlite:///{}/study.db") -> float:
    """Claim and end n cells of a study, one after the other, by one worker."""
    del options
    from shared.studies.storage import open_storage
    from shared.studies.study import Study
    from synth.training.cells import Cell
    from synth.training.search import Search

    cells = tuple(Cell(0.1, 0.6, 0.002, seed=seed) for seed in range(n))
    opened = Study(
        open_storage(address.format(folder), folder), "s", Search(cells), {}, amount=1.0, unit="kimg", seed=0,
        grace_s=GRACE_S,
    )  # fmt: skip

    def all_of_them() -> None:
        done = 0
        while (claim := opened.claim()) is not None:
            with claim:
                claim.finish(1.0, {"cell": claim.cell.name})
            done += 1
        assert done == n, done

    return timed(all_of_them)


def journal(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Do the same in a journal."""
    return study(n, folder, options, address="journal:{}/study.journal")


def table(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Summarize n records of Table 2: those of `--records` again and again, as of other seeds."""
    del folder
    from classify.table2.summary import summarize
    from shared.records import read_records

    found = read_records(options.records)
    records = []
    for number in range(n):
        record = found[number % len(found)]
        key = record["key"] | {"seed": number // len(found)}
        records.append(record | {"key": key, "fit": record["fit"] | {"seed": key["seed"]}})
    return timed(lambda: summarize(records))


CURVES = {
    "duplicates": Curve("images", (1000, 4000, 16_000, 64_000), duplicates),
    "prepare": Curve("files", (300, 1000, 3000, 10_000), prepare),
    "cohort": Curve("images", (1000, 4000, 16_000, 64_000), cohort),
    "draw": Curve("candidates", (64, 256, 1024, 4096), draw),
    "select": Curve("candidates", (256, 1024, 4096), select),
    "pixels": Curve("px", (32, 64, 128, 256), pixels),
    "step": Curve("px", (32, 64, 128, 256), step),
    "fit": Curve("images", (100, 400, 1600), fit),
    "fit_pixels": Curve("px", (32, 64, 128, 256), fit_pixels),
    "study": Curve("cells", (10, 100, 1000), study),
    "journal": Curve("cells", (10, 100, 1000), journal),
    "table": Curve("records", (40, 160, 640), table),
}


def nothing(n: int, folder: Path, options: argparse.Namespace) -> float:
    """Import what the stages import."""
    del n, folder, options
    for module in ("classify.table2.summary", "synth.generate", "synth.prepare"):
        importlib.import_module(module)
    return 0.0


def point(name: str, n: int, options: argparse.Namespace) -> dict[str, float]:
    """Measure one point in a new process."""
    command = [sys.executable, __file__, "--point", name, str(n)]
    command += ["--records", str(options.records)] if options.records else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, and print a row a curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--curve", choices=CURVES, action="append")
    parser.add_argument("--most", type=int, help="largest n")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        name, n = options.point[0], int(options.point[1])
        run = nothing if name == "nothing" else CURVES[name].run
        with tempfile.TemporaryDirectory() as folder:
            seconds = run(n, Path(folder), options)
        print(json.dumps({"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    base = point("nothing", 0, options)["mib"]
    print(f"imports alone: {base:.0f} MiB\n\n| stage | n | seconds (peak MiB) | power of n |\n|---|---|---|--:|")
    for name in options.curve or CURVES:
        if name == "table" and not options.records:
            continue
        curve = CURVES[name]
        sizes = [n for n in curve.sizes if not options.most or n <= options.most] or curve.sizes[:1]
        found = {n: point(name, n, options) for n in sizes}
        (n1, first), (n2, last) = ([*found.items()] * 2)[-2:]
        power = math.log(last["seconds"] / first["seconds"]) / math.log(n2 / n1) if n1 < n2 else math.nan
        told = ", ".join(f"{n}: {each['seconds']:.3g} ({each['mib']:.0f})" for n, each in found.items())
        print(f"| {name} | {curve.counted} | {told} | {power:.2f} |", flush=True)
        if options.json:
            with options.json.open("a") as stream:
                line = {"curve": name, "counted": curve.counted, "power": power, "imports_mib": base, "points": found}
                stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
