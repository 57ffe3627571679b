"""The stage `classify tune`: settings searched on the training part of one fold.

Trials are cells of a study (`shared.studies`), on one machine or many. Each is fitted on four fifths of the train part
and judged on the fifth; neither the fold nor its validation images are touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rich.box
import rich.table
import torch

from classify.fit import Plan, make_classifier, plan, train_settings
from classify.inputs import FeatureStore, choose_inputs
from classify.place import Place, working
from classify.presets import FORMAT as PRESET_FORMAT
from classify.presets import VERSION as PRESET_VERSION
from classify.settings import FitConfig
from classify.training import Score, Training, all_shown
from classify.tune_options import UNIT, Trial, TuneOptions, plan_trials
from classify.wording import percent
from shared.cohort import Cohort, read_cohort
from shared.console import console, say
from shared.errors import UserError
from shared.files import claimed, write_json, write_text
from shared.interruption import Interruption
from shared.nn.at_once import Work, do_at_once
from shared.nn.device import describe_device
from shared.plots import Panel, Series, curves
from shared.progress import progress
from shared.provenance import environment
from shared.studies.claim import Claim
from shared.studies.patience import patiently
from shared.studies.storage import open_storage, place_name
from shared.studies.study import Study
from shared.studies.worker import Done, Worker

STUDY = "tune"
FORMAT, VERSION = "rarescreen-tune", 1
TABLE, DOCUMENT, PRESET, PICTURE = "tune.md", "tune.json", "tuned.toml", "tune.png"
RATIOS = ("none", "1:5", "1:2")  # of the preset that is written


class TuneStudy:
    """The trials of one search as one process works on them (`shared.studies.worker.Shop`)."""

    is_single = False

    def __init__(self, options: TuneOptions, place: Place) -> None:
        """Read the cohort.

        Raises `UserError`: it cannot be read, or the smallest or largest trial cannot be built.
        """
        self.options, self.place = options, place
        self.cohort: Cohort = read_cohort(options.cohort)
        self.search = plan_trials(options, options.image_size or self.cohort.size)
        for trial in self.search.corners():
            make_classifier(self.config(trial), place)

    def config(self, trial: Trial) -> FitConfig:
        """Return the configuration of a trial; raise `UserError` when it is out of range."""
        return self._plan(trial).config

    def _plan(self, trial: Trial) -> Plan:
        options = trial.options(self.options)
        return plan(self.cohort, self.options.fold, options=options, device=self.place.device, inner=True)

    def describe(self) -> dict[str, Any]:
        """Return what all workers must agree on, besides the ranges."""
        searched = {"lr", "depth", "head", "optimizer", "epochs"}
        config = asdict(self.config(self.search.corners()[0]))
        return {name: value for name, value in config.items() if name not in searched}

    def is_there(self, trial: Trial) -> bool:  # noqa: ARG002
        """Tell whether a trial's result is still there: it is in the study."""
        return True

    def do(self, trial: Trial, interruption: Interruption, claim: Claim[Trial] | None) -> Done:
        """Fit a trial and judge it; it may be ended early when it is far behind others.

        Raises:
            UserError: its loss is no longer finite.
            shared.interruption.StopAskedError: a signal came; its state is saved.
        """
        folder = self.options.out / trial.name
        busy = f"{folder}: another process works on this trial; wait for it."
        pruned = False

        def watch(epoch: int, score: Score) -> bool:
            nonlocal pruned
            if claim is not None:
                claim.check()
                claim.report(epoch, 1 - score.balanced_accuracy)
                pruned = claim.should_prune()
            return pruned

        planned = self._plan(trial)
        with claimed(folder, busy):
            classifier = make_classifier(planned.config, self.place)
            settings = train_settings(planned.config, self.place.device)
            shown = all_shown(planned.mixture, settings)
            store = FeatureStore(self.options.out / "features")
            training = Training(
                classifier,
                choose_inputs(classifier, planned.mixture, shown, store, planned.config.seed),
                planned.mixture,
                settings,
                checkpoint=folder / "checkpoint.pt",
                ranks=self.place.ranks,
                interruption=interruption,
                watcher=watch if self.place.ranks.count == 1 else None,
            )
            total = planned.config.epochs * len(planned.mixture.train)
            with progress(trial.name.replace("_", " "), total, unit="images") as bar:
                result = training.run(bar)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        accuracy, loss = result.best_rank[0], -result.best_rank[1]
        row = asdict(trial) | {
            "name": trial.name,
            "head": list(trial.head),
            "balanced_accuracy": accuracy,
            "balanced_loss": loss,
            "best_epoch": result.best_epoch,
            "epochs": len(result.history),
            "seconds": result.seconds,
            "pruned": pruned,
            "curve": [each["validation"]["balanced_accuracy"] for each in result.history],
            "n": len(planned.mixture.validation),
        }
        return Done(value=1 - accuracy, row=row, pruned=pruned)


def tune(options: TuneOptions) -> None:
    """Search, and write the ranking (.md, .json, .png) and a preset of the best (`tuned.toml`) into `options.out`.

    Raises:
        UserError: whatever the user can mend, before the first trial where possible.
        SystemExit: a signal asked to stop; the same command goes on.
    """
    with working(options.device, weights=options.weights, offline=options.offline) as place:
        shop = TuneStudy(options, place)
        ranks = place.ranks
        studies: list[Study[Trial]] = []
        ranks.from_first(lambda: studies.append(_open(shop)))
        say(f"{shop.search.in_words()}, {options.epochs} epochs each, {describe_device(place.device)}; {options.out}")
        if options.jobs > 1 and ranks.count == 1:
            threads = max(torch.get_num_threads() // options.jobs, 1)
            pieces = [Work(f"worker {n}", OneWorker(options)) for n in range(1, options.jobs + 1)]
            do_at_once(pieces, options.jobs, threads, place.interruption)
        Worker([shop], studies, place.interruption, ranks, wait=options.wait).go()
        ranks.from_first(lambda: _conclude(shop, studies[0]))


@dataclass(frozen=True)
class OneWorker:
    """One worker of several on this machine, for a process of its own, which makes the rest anew."""

    options: TuneOptions

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Do trials on GPU `slot`, if there are GPUs to choose from, until the budget is used up."""
        device = self.options.device
        if device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{slot % torch.cuda.device_count()}"
        with working(device, weights=self.options.weights, offline=self.options.offline) as place:
            shop = TuneStudy(self.options, replace(place, interruption=interruption))
            Worker([shop], [_open(shop, helps=True)], interruption, place.ranks, wait=False).go()


def _open(shop: TuneStudy, *, helps: bool = False) -> Study[Trial]:
    options = shop.options
    if options.study_name is not None and (options.storage is None or not options.study_name):
        raise UserError(f"--study {options.study_name}: names a study in --storage; give both, or leave it out.")
    options.out.mkdir(parents=True, exist_ok=True)
    return Study(
        open_storage(options.storage, options.out),
        STUDY if options.storage is None else options.study_name or options.out.resolve().name,
        shop.search,
        shop.describe(),
        amount=options.epochs,
        unit=UNIT,
        seed=options.seed,
        grace_s=options.grace,
        place=lambda: place_name(options.out),
        is_there=shop.is_there,
        helps=helps,
    )


def _conclude(shop: TuneStudy, work: Study[Trial]) -> None:
    standing, rows = patiently(work.standing, f"{work.storage.name}:"), work.rows()
    out = shop.options.out
    if standing.running:
        say(f"{out}: other workers still have {standing.running} trials; the last one writes {TABLE}")
        return
    if not rows:
        reason = next(iter(standing.failed.values()), "no trial was done")
        raise UserError(f"{out}: {reason}")
    ranked = sorted(rows, key=lambda row: (row["pruned"], -row["balanced_accuracy"], row["balanced_loss"]))
    best = ranked[0]
    write_text(out / PRESET, _preset(shop, best))
    series = [
        Series(row["name"].replace("_", " "), range(1, len(row["curve"]) + 1), [100 * v for v in row["curve"]])
        for row in ranked[:6]
    ]
    curves(out / PICTURE, [Panel("Balanced accuracy of the best trials", "epoch", "% of the inner validation", series)])
    write_text(out / TABLE, _markdown(shop, ranked, standing.failed))
    document = {"format": FORMAT, "version": VERSION, "trials": ranked, "failed": standing.failed}
    write_json(out / DOCUMENT, document | {"environment": environment(describe_device(shop.place.device))})
    _report(ranked, out)


def _preset(shop: TuneStudy, best: Mapping[str, Any]) -> str:
    """Return cells of Table 2 with the settings of the best trial, all folds."""
    options = shop.options
    settings = [f'model = "{options.model}"', 'fold = "all"', f"lr = {best['lr']:.6g}", f"epochs = {options.epochs}"]
    settings += [f"head = {list(best['head'])}", f'optimizer = "{best["optimizer"]}"']
    settings += [
        f"{name} = {value}"
        for name, value in (("depth", best["depth"]), ("batch", options.batch), ("image_size", options.image_size))
        if value is not None
    ]
    cells = ",\n".join(f'    {{ ratio = "{ratio}", {", ".join(settings)} }}' for ratio in RATIOS)
    return (
        f"# Found on the training part of fold {options.fold}: {best['name']}.\n"
        f'format = "{PRESET_FORMAT}"\nversion = {PRESET_VERSION}\ncells = [\n{cells},\n]\n'
    )


def _markdown(shop: TuneStudy, ranked: Sequence[Mapping[str, Any]], failed: Mapping[str, str]) -> str:
    best, n = ranked[0], ranked[0]["n"]
    header = "| rank | lr | convolutions | head | optimizer | balanced accuracy | loss | epoch | of | s |"
    lines = [header, "|--:|--:|--:|---|---|--:|--:|--:|--:|--:|"]
    for rank, row in enumerate(ranked, start=1):
        depth, head = row["depth"] or "–", "+".join(map(str, row["head"])) or "none"
        ended = f"{row['epochs']}{' (ended)' if row['pruned'] else ''}"
        lines.append(
            f"| {rank} | {row['lr']:.3g} | {depth} | {head} | {row['optimizer']} | "
            f"{percent(row['balanced_accuracy'])} | {row['balanced_loss']:.3f} | {row['best_epoch']} | {ended} | "
            f"{row['seconds']:.0f} |"
        )
    lost = [f"- {name}: {reason}" for name, reason in failed.items()]
    blocks = [
        f"# Settings of {shop.options.model}, searched on the training part of fold {shop.options.fold}",
        f"{len(ranked)} trials, judged on {n} images that they were not fitted on. With {n} images two accuracies that "
        f"differ by less than {200 * (0.25 / n) ** 0.5:.0f} points may be chance, so the best is one of several; and "
        f"the {percent(best['balanced_accuracy'])} % of the best is too good, since it was chosen by them.",
        "\n".join(lines),
        *(["Trials that could not be done:\n\n" + "\n".join(lost)] if lost else []),
        f"![Balanced accuracy over epochs]({PICTURE})",
        f"`{PRESET}` is a preset with the first one's settings: `classify study COHORT --preset {PRESET} …`.",
    ]
    return "\n\n".join(blocks) + "\n"


def _report(ranked: Sequence[Mapping[str, Any]], out: Path) -> None:
    shown = rich.table.Table(title="best trials", box=rich.box.SIMPLE, pad_edge=False)
    for column in ("trial", "balanced acc.", "loss", "epoch"):
        shown.add_column(column, justify="left" if column == "trial" else "right")
    for row in ranked[:10]:
        accuracy, loss = percent(row["balanced_accuracy"]), f"{row['balanced_loss']:.3f}"
        shown.add_row(row["name"], accuracy, loss, f"{row['best_epoch']}/{row['epochs']}")
    console().print(shown)
    say(f"written: {out / TABLE}, {DOCUMENT}, {PICTURE} and {PRESET}")
