"""Ways to start from few photographs, side by side under equal training time.

    synth prepare --positive PHOTOS --negative OTHERS --size 32 --out cohort.h5
    python benchmarks/fewshot.py cohort.h5 --out runs/fewshot --minutes 30 --seeds 0 1 [--methods scratch transfer ...]

Every row is a `synth train` command in a process of its own with one thread, `--at-once` of them beside each other, on
the same images and seeds. A run counts the seconds of its steps, not of its scores; the table and the curves compare
the scores at equal seconds. Stopped, the same command goes on. Give each run more kimg than it can do in the time: what
comes later is left out.

It writes `fewshot.json` (every score of every run), `fewshot.md` and `fewshot.png` into --out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

START = ("--start", "phantom-skin-32")
# name of a row -> what it adds to `synth train`
METHODS: dict[str, tuple[str, ...]] = {
    "scratch": ("--cfg", "tiny"),
    "transfer": START,
    "freeze-d": (*START, "--method", "freeze-d"),
    "svd": (*START, "--method", "svd"),
    "svd, lr 0.02": (*START, "--method", "svd", "--lr", "0.02"),
}


@dataclass(frozen=True)
class Score:
    """One scored checkpoint: training seconds until it, Frechet distance to the training part, KID to validation."""

    seconds: float
    kimg: float
    distance: float
    kid: float | None


@dataclass(frozen=True)
class Run:
    """One training and its scores, in order; `floor` is what half the reals have against the other half."""

    method: str
    seed: int
    folder: Path
    floor: float | None
    scores: list[Score]

    def until(self, seconds: float) -> list[Score]:
        """Return the scores after at most so many seconds of training."""
        return [score for score in self.scores if score.seconds <= seconds]


def folder_of(out: Path, method: str, seed: int) -> Path:
    return out / f"{method.replace(', ', '_').replace(' ', '')}_seed{seed}"


def train(options: argparse.Namespace, method: str, seed: int) -> None:
    folder = folder_of(options.out, method, seed)
    arguments = [str(options.cohort), "--out", str(folder), "--kimg", str(options.kimg), "--seed", str(seed)]
    arguments += ["--checkpoint-every", str(options.every), "--precision", options.precision, "--offline"]
    arguments += METHODS[method]
    log = folder.with_suffix(".log")
    with log.open("ab") as said:
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        done = subprocess.run(
            [sys.executable, "-m", "synth", "train", *arguments], stderr=said, env=environment, check=False
        )
    print(f"{folder.name}: exit code {done.returncode}", flush=True)


def read(options: argparse.Namespace, method: str, seed: int) -> Run:
    folder = folder_of(options.out, method, seed)
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    scored = [line for line in lines if "quality" in line]
    scores = [
        Score(line["seconds"], line["kimg"], line["quality"]["value"], line["quality"]["kid_validation"])
        for line in scored
    ]
    return Run(method, seed, folder, scored[0]["quality"]["floor"] if scored else None, scores)


def table(runs: Sequence[Run], minutes: float) -> str:
    """One row a method: distance after the given time, median and range over seeds."""
    lines = [
        "| method | seeds | kimg in the time | distance: start → end, each seed | best by KID to validation |",
        "|---|--:|--:|---|---|",
    ]
    for method in dict.fromkeys(run.method for run in runs):
        mine = [run for run in runs if run.method == method and run.until(60 * minutes)]
        if not mine:
            continue
        ends = [run.until(60 * minutes) for run in mine]
        kimg = statistics.median(scores[-1].kimg for scores in ends)
        change = "; ".join(f"{scores[0].distance:.1f} → {scores[-1].distance:.1f}" for scores in ends)
        chosen = [min(scores, key=lambda s: float("inf") if s.kid is None else s.kid) for scores in ends]
        best = "; ".join(f"{score.distance:.1f} at {score.kimg:.0f} kimg" for score in chosen)
        lines.append(f"| {method} | {len(mine)} | {kimg:.0f} | {change} | {best} |")
    return "\n".join(lines)


def draw(runs: Sequence[Run], minutes: float, path: Path) -> None:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, method in enumerate(METHODS):
        for run in (run for run in runs if run.method == method):
            scores = run.until(60 * minutes)
            first = run.seed == min(other.seed for other in runs if other.method == method)
            x, y = [s.seconds / 60 for s in scores], [s.distance for s in scores]
            axes.plot(x, y, ".-", color=f"C{number}", label=method if first else None, alpha=1 if first else 0.6)
    floors = [run.floor for run in runs if run.floor is not None]
    if floors:
        axes.axhline(floors[0], color="black", linestyle=":", label="half the reals against the other half")
    axes.set(xlabel="minutes of training", ylabel="Frechet distance to the training photographs")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, loc="lower left", ncols=2)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--minutes", type=float, default=30, help="training time that is compared")
    parser.add_argument("--kimg", type=float, default=100, help="of each run, more than the time allows")
    parser.add_argument("--every", type=float, default=4, help="kimg between scores")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each run")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--read", action="store_true", help="train nothing; write tables and curves anew")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [(method, seed) for seed in options.seeds for method in options.methods]
    if not options.read:
        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(lambda row: train(options, *row), rows))
    runs = [read(options, *row) for row in rows]
    text = table(runs, options.minutes)
    (options.out / "fewshot.md").write_text(text + "\n")
    found = [
        {"method": r.method, "seed": r.seed, "floor": r.floor, "scores": [vars(s) for s in r.scores]} for r in runs
    ]
    (options.out / "fewshot.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(runs, options.minutes, options.out / "fewshot.png")
    print(text)


if __name__ == "__main__":
    main()
