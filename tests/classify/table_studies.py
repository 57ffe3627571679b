"""Studies of Table 2 that take seconds, what must be the same of two, and workers in processes of their own.

(These processes import this module by name.)
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from classify.fitting import training
from classify.fitting.training import Training
from classify.study import STUDY, study
from classify.studying import cells as table_study
from classify.studying.options import StudyOptions
from shared.bundle import Bundle, write_bundle
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.records import read_records

SPAWN = multiprocessing.get_context("spawn")
HEAD = 'format = "rarescreen-table2"\nversion = 1\n'
QUICK = 'model = "custom_cnn", depth = 1, head = [2], epochs = 1, lr = 1e-3'
# Layer upon layer, steps that are too large multiply until the loss is no number any more.
BURSTS = (
    'model = "custom_cnn", depth = 1, head = [8, 8, 8, 8], dropout = 0.0, batch = 4, epochs = 1, lr = 1e6, '
    'optimizer = "sgd"'
)
ROWS = (
    f'{QUICK}, ratio = "none", fold = "all"',
    f'{QUICK}, ratio = "1:2", fold = "all"',
    f'{QUICK}, ratio = "1:2", control = "oversampling", fold = 0',
)
NAMES = [
    "custom_cnn/none/fold0",
    "custom_cnn/none/fold1",
    "custom_cnn/1to2/fold0",
    "custom_cnn/1to2/fold1",
    "custom_cnn/1to2-oversampling/fold0",
]


def write_preset(place: Path, *rows: str) -> Path:
    path = place / "p.toml"
    path.write_text(HEAD + "cells = [\n" + "".join(f"    {{ {row} }},\n" for row in rows) + "]\n")
    return path


def write_files(place: Path, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]) -> StudyOptions:
    """Write a cohort of two folds, a bundle of each, and a preset of five cells, a moment each; return their study."""
    place.mkdir()
    write_cohort(place / "cohort.h5", make_cohort(positives=10, negatives=12, externals=2, folds=2))
    cohort = read_cohort(place / "cohort.h5")
    for fold in range(2):
        write_bundle(place / f"bundle{fold}.h5", make_bundle(cohort, fold=fold))
    write_preset(place, *ROWS)
    return options_in(place)


def options_in(place: Path, **changes: Any) -> StudyOptions:
    """Return a study of the cohort, the preset and the bundles in a folder, which writes there, too."""
    usual = {"cohort": place / "cohort.h5", "preset": str(place / "p.toml"), "device": "cpu", "offline": True}
    usual |= {"bundles": tuple(sorted(place.glob("bundle*.h5"))), "out": place / "m"}
    return StudyOptions(**usual | {"records": place / "r.jsonl", "table": place / "t.md"} | changes)


def command_line(options: StudyOptions, *more: str) -> list[str]:
    bundles = [argument for path in options.bundles for argument in ("--bundle", str(path))]
    written = ["--out", options.out, "--records", options.records, "--table", options.table]
    where = ["--preset", options.preset, *bundles, "--device", "cpu", "--offline"]
    return ["study", str(options.cohort), *map(str, written), *where, *more]


def fits(out: Path) -> dict[str, int]:
    """Return when each cell below a study's folder was fitted."""
    found = sorted(out.rglob("history.json"))
    return {path.parent.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in found}


def verdicts(records: Path) -> dict[str, Any]:
    """Return what two studies of the same cells must agree on in their records, bit by bit."""
    same = ("n", "left_out", "confusion", "metrics", "verdicts", "validation", "epochs", "counts", "best_epoch", "fit")
    found = read_records(records)
    return {json.dumps(record["key"], sort_keys=True): {name: record[name] for name in same} for record in found}


def figures(table: Path) -> dict[str, Any]:
    """Return a table but for the times and machines in it."""
    document = json.loads(table.with_suffix(".json").read_text())
    for row in document["rows"]:
        for name in ("train_s", "image_s", "peak_bytes"):
            del row[name]
    return {name: document[name] for name in ("rows", "against_none", "against_controls", "sentences", "not_run")}


def begin(target: Any, *arguments: Any) -> Any:
    """Start a process that ends with this one."""
    process = SPAWN.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def share(options: StudyOptions, barrier: Any) -> None:
    """Be a worker that waits in its first cell until all others are in one."""
    torch.set_num_threads(1)
    fit_fold, waited = table_study.fit_fold, []

    def fit(*arguments: Any, **named: Any) -> None:
        if not waited:
            waited.append(barrier.wait(timeout=300))
        fit_fold(*arguments, **named)

    table_study.fit_fold = fit
    study(options)


def die(options: StudyOptions, reached: Any, go: Any) -> None:
    """Be a worker that saves its state after each step, and is killed before the second step of its first cell."""
    torch.set_num_threads(1)
    training.CHECKPOINT_EVERY_S = 0.0
    step, steps = Training.step, []

    def last_step(own: Training, entries: Any) -> Any:
        steps.append(entries)
        if len(steps) == 2:
            reached.set()
            go.wait(300)
            os.kill(os.getpid(), signal.SIGKILL)
        return step(own, entries)

    Training.step = last_step
    study(options)


def trials(options: StudyOptions) -> list[Any]:
    """Return the trials of a study as Optuna, and so its dashboard, loads them."""
    import optuna

    from shared.studies.storage import open_storage

    storage = open_storage(options.storage, options.out).optuna
    name = STUDY if options.storage is None else options.study_name or options.out.name
    return optuna.load_study(study_name=name, storage=storage).trials
