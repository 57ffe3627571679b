"""The stage `classify tune`: settings searched on the training part of one fold.

Trials are cells of a study (`shared.studies`), on one machine or many. Each is fitted on four fifths of the train part
and judged on the fifth; neither the fold nor its validation images are touched.
"""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from classify.fitting import folder
from classify.fitting.making import make_classifier, make_training, train
from classify.fitting.plan import Plan, plan
from classify.fitting.score import Progress, Score, Watcher
from classify.fitting.settings import FitConfig
from classify.place import Place, working
from classify.studying.workers import work
from classify.tested import test_set
from classify.tuning.options import UNIT, TuneOptions, plan_trials
from classify.tuning.report import DOCUMENT, PICTURE, PRESET, TABLE, Found, write_findings
from classify.tuning.search import Trial
from shared.cohort import Cohort, read_cohort
from shared.console import say
from shared.errors import UserError
from shared.files import claimed, require_new
from shared.interruption import Interruption
from shared.nn.device import describe_device
from shared.provenance import environment
from shared.studies.claim import Claim
from shared.studies.patience import patiently
from shared.studies.storage import PLACE, open_storage, place_name
from shared.studies.study import Study
from shared.studies.worker import Done

STUDY = "tune"
FEATURES = "features"

Row = dict[str, Any]


class TuneStudy:
    """The trials of one search as one process works on them (`shared.studies.worker.Shop`)."""

    is_single = False

    def __init__(self, options: TuneOptions, place: Place) -> None:
        """Read the cohort.

        Raises `UserError`: it cannot be read, a trial at the end of a range cannot be built, or the fold lacks a class.
        """
        self.options, self.place = options, place
        self.rows: Callable[[], list[Row]] = list  # of the study, when it is open
        self.cohort: Cohort = read_cohort(options.cohort)
        self.search = plan_trials(options, self.cohort.size if options.image_size is None else options.image_size)
        for trial in self.search.corners():
            make_classifier(self.config(trial), place)
        test_set(self.cohort, options.fold, "balanced")  # for which the settings are: it is not looked at

    def config(self, trial: Trial) -> FitConfig:
        """Return the configuration of a trial; raise `UserError` when it is out of range."""
        return self._plan(trial).config

    def _plan(self, trial: Trial) -> Plan:
        options, device = self.options.of(trial), self.place.device
        return plan(self.cohort, self.options.fold, options=options, device=device, inner=True)

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
        ranks = self.place.ranks
        interruption.check(ranks)
        row = ranks.from_first(lambda: self._known(trial))
        if row is None:
            path, planned = self.options.out / trial.name, self._plan(trial)
            busy = f"{path}: another process works on this trial; wait for it."
            with contextlib.ExitStack() as own:
                ranks.from_first(lambda: own.enter_context(claimed(path, busy)))
                ranks.from_first(lambda: _begin(path, planned.config))
                result = self._fit(trial, planned, path / folder.CHECKPOINT, interruption, claim)
                ranks.from_first(lambda: (path / folder.CHECKPOINT).unlink(missing_ok=True))
            row = self._row(trial, result, len(planned.mixture.validation))
        return Done(value=1 - row["balanced_accuracy"], row=row, pruned=row["pruned"])

    def _known(self, trial: Trial) -> Row | None:
        """Return what was told of a trial that a sampler has chosen before, and that need not be done again."""
        try:
            rows = self.rows()
        except UserError:  # the storage does not answer, so it is done again
            return None
        return next((row for row in rows if row["name"] == trial.name and row["of"] == self.options.epochs), None)

    def _fit(
        self, trial: Trial, planned: Plan, checkpoint: Path, interruption: Interruption, claim: Claim[Trial] | None
    ) -> Progress:
        """Fit a trial, from the checkpoint on if there is one."""
        place = replace(self.place, cache=self.options.out / FEATURES, interruption=interruption)
        watcher = None if claim is None or place.ranks.count > 1 else _watcher(claim)
        classifier = make_classifier(planned.config, place)
        training = make_training(planned, classifier, place, checkpoint=checkpoint, watcher=watcher)
        if claim is not None:
            for done in training.progress.history:  # by whoever had the trial before: it counts for this one
                claim.report(done["epoch"], 1 - done["validation"]["balanced_accuracy"])
        return train(training, trial.name.replace("_", " "))

    def _row(self, trial: Trial, result: Progress, judged: int) -> Row:
        return asdict(trial) | {
            "name": trial.name,
            "head": list(trial.head),
            "balanced_accuracy": result.best_rank[0],
            "balanced_loss": -result.best_rank[1],
            "best_epoch": result.best_epoch,
            "epochs": len(result.history),
            "of": self.options.epochs,
            "seconds": result.seconds,
            "pruned": result.ended,
            "curve": [each["validation"]["balanced_accuracy"] for each in result.history],
            "n": judged,
        }


def _begin(path: Path, config: FitConfig) -> None:
    """Say in a trial's folder what it is of; a state that another configuration has left there is removed."""
    folder.take(path, config)
    folder.begin(path, config, {})


def _watcher(claim: Claim[Trial]) -> Watcher:
    """Return what tells of each epoch, and whether the trial is so far behind that it ends."""

    def watch(epoch: int, score: Score) -> bool:
        claim.check()
        claim.report(epoch, 1 - score.balanced_accuracy)
        return claim.should_prune()

    return watch


def tune(options: TuneOptions) -> None:
    """Search, and write the ranking (.md, .json, .png) and a preset of the best (`tuned.toml`) into `options.out`.

    Raises:
        UserError: whatever the user can mend, before the first trial where possible.
        SystemExit: a signal asked to stop; the same command goes on.
    """
    _require_own(options.out)
    with working(options.device, weights=options.weights, offline=options.offline) as place:
        shop = TuneStudy(options, place)
        ranks = place.ranks
        studies: list[Study[Trial]] = []
        ranks.from_first(lambda: studies.append(_open(shop)))
        left = ranks.from_first(lambda: studies[0].left())
        say(f"{shop.search.in_words()}, {options.epochs} epochs each, {describe_device(place.device)}; {options.out}")
        work(shop, studies, left, options, place, _join)
        ranks.from_first(lambda: _conclude(shop, studies[0]))


def _require_own(out: Path) -> None:
    """Raise `UserError` when `out` cannot be a search's folder, or holds files of its names that no search wrote."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file, where the folder of the search should be; give another --out.")
    if not out.exists():
        require_new(out, force=False)
    for path in (out / name for name in (TABLE, DOCUMENT, PICTURE, PRESET)):
        if path.exists() and not (out / PLACE).exists():
            raise UserError(f"{path}: exists already, and no search has left it; give another --out.")


def _join(options: TuneOptions, place: Place) -> tuple[TuneStudy, Study[Trial]]:
    """Return what a worker in a process of its own works on."""
    shop = TuneStudy(options, place)
    return shop, _open(shop, helps=True)


def _open(shop: TuneStudy, *, helps: bool = False) -> Study[Trial]:
    options = shop.options
    storage = open_storage(options.storage, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    study = Study(
        storage,
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
    shop.rows = study.rows
    return study


def _conclude(shop: TuneStudy, done: Study[Trial]) -> None:
    standing, rows = patiently(done.standing, f"{done.storage.name}:"), done.rows()
    out = shop.options.out
    if standing.running:
        say(f"{out}: other workers still have {standing.running} trials; the last one writes {TABLE}")
        return
    if not rows:
        reason = next(iter(standing.failed.values()), "no trial was done; give a larger --budget.")
        raise UserError(f"{out}: {reason}")
    plan = shop.describe() | shop.search.describe()
    about = environment(describe_device(shop.place.device))
    write_findings(Found(shop.options, rows, standing.failed, plan, about), out)
