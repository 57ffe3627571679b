"""Ways to start from few photographs, side by side under equal device time.

    synth prepare --positive PHOTOS --negative OTHERS --size 32 --out cohort.h5
    python benchmarks/fewshot.py train cohort.h5 --out runs/fewshot --seeds 0 1 --minutes 60
    python benchmarks/fewshot.py score cohort.h5 --out runs/fewshot
    python benchmarks/fewshot.py report --out runs/fewshot

on a GPU, with photographs of 256 px, two rows and a quarter of an hour each:

    python benchmarks/fewshot.py train cohort256.h5 --out runs/gpu --clock wall --cfg auto --minutes 15 \
      --methods scratch "projected from a start"
    python benchmarks/fewshot.py score cohort256.h5 --out runs/gpu --clock wall --at 5 15
    python benchmarks/fewshot.py report --out runs/gpu --clock wall --at 5 15 --to runs/gpu --tables runs/gpu

`train`: every row is a `synth train` command in a process of its own with one thread, `--at-once` of them beside each
other, on the same images. Its clock is the time of its steps, not of its scores: by default the processor's, of which
what else the machine does changes little; on a GPU, where the processor waits, the wall's (and the runs at once share
the GPU, so all rows want as many beside them). Stopped, the same command goes on.

`score`: the averaged generator of each run at the given minutes, in feature spaces of which at most the first was
trained with. It writes `RUN.scores.json` beside each run, and goes on where it stopped.

`report`: tables into benchmarks/results, curves and sheets into docs, of all that is scored by this clock.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.cohort import POSITIVE, read_cohort
from shared.files import write_json, write_text
from shared.nn.backbone import OfflineBackbone
from shared.nn.device import choose_device
from shared.plots import image_sheet
from shared.plots.curves import Panel, Series, curves
from shared.splits import parts
from stylegan2_ada import Generator, GeneratorConfig
from stylegan2_ada.config import NoiseMode
from synth.drawing.pictures import draw
from synth.scores.moments import Features
from synth.scores.quality import Images, to_features
from synth.selecting.comparison import Comparison, compare, turned
from synth.training.averages import AverageFolder
from synth.training.run_folder import RunFolder

START = "START"  # stands for the network of --start
# name of a row -> what it adds to `synth train`
METHODS: dict[str, tuple[str, ...]] = {
    "scratch": ("--method", "scratch"),
    "transfer": ("--start", START, "--method", "transfer"),
    "freeze-d": ("--start", START, "--method", "freeze-d"),
    "svd": ("--start", START, "--method", "svd"),
    "svd, lr 0.01": ("--start", START, "--method", "svd", "--lr", "0.01"),
    "projected": ("--method", "projected"),
    "projected from a start": ("--start", START, "--method", "projected"),
}
FIRST_SEED = 3 << 30  # of the fakes that are scored here: no other command draws them
NOISE: NoiseMode = (
    "random"  # of all pictures, as in training: of another kind a start wants other ones than a new network
)
SPACES = (0, 1, 2)  # EfficientNet-Lite of this index; the projected discriminator looks through 0
SHEET_IMAGES = 20
POLL_S = 5.0


@dataclasses.dataclass(frozen=True)
class Clock:
    """What the time of a run is measured by."""

    seconds: str  # name in a line of the log
    minutes: str  # name in a score
    axis: str


CLOCKS = {
    "processor": Clock("processor_seconds", "minutes", "minutes of one core"),
    "wall": Clock("seconds", "wall_minutes", "minutes"),
}


def folder_of(out: Path, method: str, seed: int) -> Path:
    """Return where a run is."""
    return out / f"{method.replace(', ', '_').replace(' ', '-')}_seed{seed}"


def train(options: argparse.Namespace) -> int:
    """Train all rows; return what the first that failed ended with, else 0."""
    rows = [(method, seed) for seed in options.seeds for method in options.methods]
    with ThreadPoolExecutor(options.at_once) as pool:
        codes = list(pool.map(lambda row: train_one(options, *row), rows))
    return next((abs(code) for code in codes if code != 0), 0)


def train_one(options: argparse.Namespace, method: str, seed: int) -> int:
    """Train one row until a scored checkpoint lies behind the time; return 0 or what it failed with."""
    folder = folder_of(options.out, method, seed)
    clock = CLOCKS[options.clock]
    if reached(folder, clock) >= 60 * options.minutes:
        return 0
    arguments = [str(options.cohort), "--out", str(folder), "--kimg", str(options.kimg), "--seed", str(seed)]
    arguments += [
        "--cfg",
        options.cfg,
        "--device",
        options.device,
        "--checkpoint-every",
        str(options.every),
        "--precision",
        options.precision,
    ]
    arguments += ["--features", "offline", "--offline", "--jobs", "1"]
    arguments += [options.start if each is START else each for each in METHODS[method]]
    with folder.with_name(folder.name + ".log").open("ab") as said:  # a name may hold a dot
        environ = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        process = subprocess.Popen([sys.executable, "-m", "synth", "train", *arguments], stderr=said, env=environ)
        while process.poll() is None:
            time.sleep(POLL_S)
            if reached(folder, clock) >= 60 * options.minutes:
                process.send_signal(signal.SIGTERM)
                process.wait()
    done = reached(folder, clock) >= 60 * options.minutes or process.returncode == 0
    print(f"{folder.name}: {reached(folder, clock) / 60:.1f} min, exit code {process.returncode}", flush=True)
    return 0 if done else int(process.returncode)


def scored(folder: Path) -> list[dict[str, Any]]:
    """Return the log's lines that have a score."""
    return [line for line in RunFolder(folder).read_log() if "quality" in line]


def reached(folder: Path, clock: Clock) -> float:
    """Return the seconds until the last scored checkpoint."""
    lines = scored(folder)
    return float(lines[-1][clock.seconds]) if lines else 0.0


class Judge:
    """Compares fakes with the photographs of the training part, in one feature space."""

    def __init__(self, index: int, photographs: Images, device: torch.device) -> None:
        self.extractor = OfflineBackbone(index, device=device)
        self.real = to_features(photographs, self.extractor)
        self.real_turned = np.stack([to_features(form, self.extractor) for form in turned(photographs)])

    @property
    def name(self) -> str:
        """The feature space."""
        return self.extractor.name

    def __call__(self, fakes: Images) -> Comparison:
        """Compare uint8 [M, S, S, 3]."""
        features: Features = to_features(fakes, self.extractor)
        return compare(self.real, self.real_turned, features, seed=0)


def score(options: argparse.Namespace) -> int:
    """Score all runs at the times asked for."""
    cohort = read_cohort(options.cohort)
    train_part = parts(cohort, 0).train
    photographs = np.asarray(cohort.images[train_part[cohort.label[train_part] == POSITIVE]])
    judges: list[Judge] = []
    clock, device = CLOCKS[options.clock], choose_device(options.device)
    for folder in sorted(path.parent for path in options.out.glob("*/config.json")):
        path = folder.with_name(folder.name + ".scores.json")
        known = json.loads(path.read_text()) if path.exists() else []
        known = still_true(folder, known, options)
        for line, at in moments(folder, options.at, clock):
            judged = judged_of(folder, line, options.fakes, cohort.sha256, clock)
            same = [row for row in known if row["kimg"] == line["kimg"]]
            if same:
                same[0]["at"] = sorted({*same[0]["at"], *at})
                write_json(path, known)
                continue
            judges = judges or [Judge(index, photographs, device) for index in SPACES]
            fakes = drawn(folder, round(line["kimg"] * 1000), options.fakes, device)
            found = {judge.name: dataclasses.asdict(judge(fakes)) for judge in judges}
            known = sorted([*known, judged | {"at": at, "spaces": found}], key=lambda row: float(row["kimg"]))
            write_json(path, known)
            first = found[judges[1].name]["distance"]
            print(f"{folder.name} {line['kimg']:g} kimg: {first['mean']:.1f} +- {first['sd']:.1f}", flush=True)
    return 0


def judged_of(folder: Path, line: dict[str, Any], fakes: int, cohort: str, clock: Clock) -> dict[str, Any]:
    """Return all that a score follows from: it holds as long as this is the same."""
    averages = AverageFolder(RunFolder(folder).averages).path(round(line["kimg"] * 1000))
    return {
        "kimg": line["kimg"],
        clock.minutes: line[clock.seconds] / 60,
        "averages": hashlib.sha256(averages.read_bytes()).hexdigest(),
        "fakes": fakes,
        "cohort": cohort,
    }


def still_true(folder: Path, rows: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the scores of what the run has still, without the times that are asked for: they are given anew."""
    cohort = read_cohort(options.cohort).sha256
    have = set(AverageFolder(RunFolder(folder).averages).nimgs())
    lines = {line["kimg"]: line for line in scored(folder) if round(line["kimg"] * 1000) in have}
    clock = CLOCKS[options.clock]
    judged = {kimg: judged_of(folder, line, options.fakes, cohort, clock) for kimg, line in lines.items()}
    return [
        dict(row, at=[time for time in row["at"] if time not in options.at])
        for row in rows
        if row["kimg"] in judged and judged[row["kimg"]].items() <= row.items()
    ]


def moments(folder: Path, minutes: list[float], clock: Clock) -> list[tuple[dict[str, Any], list[float]]]:
    """Return the last scored line at or before each of the times that the run has come to, with these times."""
    lines, end = scored(folder), reached(folder, clock)
    found: dict[float, list[float]] = {}
    for at in minutes:
        if lines and 60 * at <= 1.02 * end:  # the last checkpoint may lie just before the time
            until = [line["kimg"] for line in lines if line[clock.seconds] <= 60 * at]
            found.setdefault(max(until), []).append(at)
    return [(line, found[line["kimg"]]) for line in lines if line["kimg"] in found]


def drawn(folder: Path, nimg: int, count: int, device: torch.device) -> Images:
    """Draw with the usual average of a run after `nimg` images."""
    config = RunFolder(folder).read_config()
    like = Generator(GeneratorConfig(**config["generator"])).eval().requires_grad_(False)
    G = AverageFolder(RunFolder(folder).averages).usual(nimg, like)
    return draw(G.to(device), range(FIRST_SEED, FIRST_SEED + count), noise=NOISE)


def runs(out: Path, clock: Clock) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """Return the scores by this clock, by method and seed, methods in the order of `METHODS`."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for method in METHODS:
        for path in sorted(out.glob(f"{folder_of(out, method, 0).name[:-1]}*.scores.json")):
            seed = int(path.name.removesuffix(".scores.json").rpartition("seed")[2])
            if folder_of(out, method, seed).name == path.name.removesuffix(".scores.json"):
                rows = [row for row in json.loads(path.read_text()) if clock.minutes in row]
                if rows:
                    found.setdefault(method, {})[seed] = rows
    return found


def table(found: dict[str, dict[int, list[dict[str, Any]]]], minutes: float, space: str, clock: Clock) -> str:
    """Return one row a method and seed: its last scores at or before the time, and the floors."""
    lines = [
        f"| {space}, {minutes:g} min | seed | min | kimg | distance | KID x 1000 | precision | recall | copies |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    last: dict[str, Any] | None = None
    for method, seeds in found.items():
        for seed, rows in seeds.items():
            row = next((row for row in rows if minutes in row["at"]), None)
            if row is None:  # it has not come so far
                continue
            last = row["spaces"][space]
            lines.append(
                f"| {method} | {seed} | {row[clock.minutes]:.1f} | {row['kimg']:.0f} | {_shown(last['distance'], 1)} | "
                f"{1000 * last['kid']:.1f} ± {1000 * last['kid_sd']:.1f} | {_shown(last['precision'], 2)} | "
                f"{_shown(last['recall'], 2)} | {100 * last['copies']:.1f} % |"
            )
    if last is not None:
        floor = {name: f"{last[name]['floor']:.2f} ± {last[name]['floor_sd']:.2f}" for name in ("precision", "recall")}
        lines.append(
            f"| *photographs* | | | | {last['distance']['floor']:.1f} ± {last['distance']['floor_sd']:.1f} | 0 | "
            f"{floor['precision']} | {floor['recall']} | {100 * last['copies_floor']:.1f} % |"
        )
    return "\n".join(lines)


def _shown(spread: dict[str, float], digits: int) -> str:
    return f"{spread['mean']:.{digits}f} ± {spread['sd']:.{digits}f}"


def report(options: argparse.Namespace) -> int:
    """Write tables, curves and sheets of all that is scored."""
    clock = CLOCKS[options.clock]
    found = runs(options.out, clock)
    if not found:
        print(f"{options.out}: nothing is scored yet by the {options.clock}'s clock")
        return 2
    spaces = list(next(iter(next(iter(found.values())).values()))[0]["spaces"])
    text = "\n\n".join(table(found, minutes, space, clock) for minutes in options.at for space in spaces)
    write_text(options.tables / "fewshot.md", text + "\n")
    configs = {
        folder_of(options.out, method, seed).name: RunFolder(folder_of(options.out, method, seed)).read_config()
        for method, seeds in found.items()
        for seed in seeds
        if folder_of(options.out, method, seed).is_dir()
    }
    commits = sorted({str(config["environment"].get("commit")) for config in configs.values()})
    write_json(options.tables / "fewshot.json", {"scores": found, "configs": configs})
    if len(commits) > 1:
        print(f"runs of {len(commits)} states of the code are compared: {', '.join(commits)}")
    panels = []
    for space in spaces:
        series = [
            Series(
                f"{method}, seed {seed}",
                [row[clock.minutes] for row in rows],
                [row["spaces"][space]["distance"]["mean"] for row in rows],
                family=method,
            )
            for method, seeds in found.items()
            for seed, rows in seeds.items()
        ]
        floor = next(iter(next(iter(found.values())).values()))[0]["spaces"][space]["distance"]["floor"]
        levels = {"photographs against photographs": floor}
        panels.append(Panel(space, clock.axis, "Frechet distance", series, levels, shows=[0.0]))
    curves(options.to / "few_shot_curves.png", panels, columns=len(panels))
    sheets(options, found)
    print(text)
    return 0


def sheets(options: argparse.Namespace, found: dict[str, dict[int, list[dict[str, Any]]]]) -> None:
    """Draw images of every method's first seed, at the latest time that all of them have come to."""
    times = [{at for row in seeds[min(seeds)] for at in row["at"]} for seeds in found.values()]
    common = max(set.intersection(*times), default=None)
    if common is None:
        print("no pictures: the methods have no scored time in common")
        return
    blocks = []
    for method, seeds in found.items():
        seed = min(seeds)
        folder = folder_of(options.out, method, seed)
        row = next(row for row in seeds[seed] if common in row["at"])
        if folder.is_dir():
            label = f"{method}, {row[CLOCKS[options.clock].minutes]:.0f} min, {row['kimg']:.0f} kimg"
            pictures = drawn(folder, round(row["kimg"] * 1000), SHEET_IMAGES, choose_device(options.device))
            blocks.append((label, pictures))
    if blocks:
        image_sheet(options.to / "few_shot_samples.png", blocks, columns=SHEET_IMAGES, cell_px=64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = parser.add_subparsers(required=True)
    training = stages.add_parser("train")
    training.add_argument("cohort", type=Path)
    training.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    training.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    training.add_argument("--minutes", type=float, default=60, help="of each run's steps, by the clock")
    training.add_argument("--kimg", type=float, default=1000, help="of each run, more than the time allows")
    training.add_argument("--every", type=float, default=16, help="kimg between checkpoints")
    training.add_argument("--at-once", type=int, default=2)
    training.add_argument("--threads", type=int, default=1, help="of each run")
    training.add_argument("--precision", default="bf16")
    training.add_argument("--cfg", default="tiny", help="of the networks")
    training.add_argument("--start", default="phantom-skin-32", help="network of the rows that have a start")
    training.set_defaults(run=train)
    scoring = stages.add_parser("score")
    scoring.add_argument("cohort", type=Path)
    scoring.add_argument("--fakes", type=int, default=500)
    scoring.set_defaults(run=score)
    reporting = stages.add_parser("report")
    reporting.add_argument("--to", type=Path, default=Path("docs"), help="folder of the pictures")
    reporting.add_argument("--tables", type=Path, default=Path("benchmarks/results"), help="folder of the tables")
    reporting.set_defaults(run=report)
    for stage in (training, scoring, reporting):
        stage.add_argument("--out", type=Path, default=Path("runs/fewshot"))
        stage.add_argument("--clock", choices=CLOCKS, default="processor", help="wall on a GPU")
        stage.add_argument("--device", default="auto", help="cpu, cuda")
    for stage, times in ((scoring, [5, 10, 20, 40, 60]), (reporting, [20, 60])):
        stage.add_argument("--at", nargs="+", type=float, default=times, help="minutes")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sys.exit(options.run(options))


if __name__ == "__main__":
    main()
