"""The stage `classify fit`: from a cohort and bundles to model folders."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import torch

from classify.fitting import folder
from classify.fitting.longer import drop_ends, go_on, has_longer
from classify.fitting.making import make_classifier, make_training, train
from classify.fitting.plan import Plan, plan
from classify.fitting.ratio import NONE
from classify.fitting.score import Progress
from classify.fitting.settings import FitConfig, FitOptions
from classify.guard import count_seen, seen_by_bundle, seen_by_fit
from classify.measuring.shortcut import synthetic_probe
from classify.models import Classifier, count_parameters
from classify.place import Place
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.console import say
from shared.errors import UserError
from shared.files import claimed
from shared.nn.device import describe_device
from shared.nn.memory import forget_peak, peak_bytes
from shared.provenance import environment
from shared.splits import parts


def fit(
    cohort: Cohort,
    *,
    bundles: Sequence[Bundle] = (),
    options: FitOptions = FitOptions(),  # noqa: B008 - frozen
    folds: Sequence[int],
    out: Path,
    place: Place,
    force: bool = False,
) -> list[Path]:
    """Fit one classifier for each of `folds` and return their folders: `out`, or `out/fold0` … when there are several.

    A fit that is done with the same configuration is left as it is, one that was interrupted goes on.

    Raises:
        UserError: whatever of the request cannot be done, before anything is written.
        shared.interruption.StopAskedError: a signal came; the state is saved.
    """
    plans = {fold: plan(cohort, fold, bundles=bundles, options=options, device=place.device) for fold in folds}
    if bundles and (options.ratio == NONE or options.control != NONE):
        without = f"--control {options.control}" if options.control != NONE else f"--ratio {NONE}"
        say(f"note: {without} uses no synthetic images, so --bundle is not used.")
    if len(folds) > 1 and (out / folder.CONFIG).is_file():
        raise UserError(f"{out}: holds the model of a single fold; give another --out for the folds together.")
    folders = [out if len(folds) == 1 else out / f"fold{fold}" for fold in folds]
    for planned, path in zip(plans.values(), folders, strict=True):
        fit_fold(cohort, planned, path, place, force=force)
    return folders


def fit_fold(
    cohort: Cohort,
    planned: Plan,
    path: Path,
    place: Place,
    *,
    force: bool,
    others: Mapping[Path, FitConfig] = MappingProxyType({}),
) -> None:
    """Fit one classifier into the folder `path`, unless it is there already.

    It goes on from the end of a shorter one among `others`, configurations by folder, and keeps its own end if a longer
    one is there (`classify.fitting.longer`).

    Raises: see `fit`.
    """
    config, ranks = planned.config, place.ranks
    ranks.from_first(lambda: folder.require_free(path, config, force=force))
    classifier = None
    if not ranks.from_first(lambda: folder.is_done(path, config, force=force)):
        classifier = make_classifier(config, place)  # what cannot be made is refused before anything is written
    with contextlib.ExitStack() as claim:
        busy = f"{path}: another process is fitting this model; wait for it, or give another --out."
        ranks.from_first(lambda: claim.enter_context(claimed(path, busy)))
        if ranks.from_first(lambda: folder.take(path, config, force=force)):
            if ranks.first:
                (path / folder.MODEL).touch()  # so that make sees it is up to date
            say(f"{planned.title}: done before, in {path}")
            return
        _fit_claimed(cohort, planned, classifier or make_classifier(config, place), path, place, others)


def _fit_claimed(
    cohort: Cohort, planned: Plan, classifier: Classifier, path: Path, place: Place, others: Mapping[Path, FitConfig]
) -> None:
    config, mixture, device = planned.config, planned.mixture, place.device
    place.ranks.from_first(lambda: folder.begin(path, config, _document(cohort, planned, classifier, device)))
    place.ranks.from_first(lambda: go_on(path, others))
    _warn_of_seen(cohort, planned)
    forget_peak(device)
    training = make_training(
        planned,
        classifier,
        place,
        checkpoint=path / folder.CHECKPOINT,
        end=path / folder.END if has_longer(config, others) else None,
    )
    result = train(training, planned.title)
    validation = {"label": mixture.label[mixture.validation.index].tolist(), "score": []}
    if len(mixture.validation):
        logits = training.logits(mixture.validation).double()
        validation["score"] = (logits[:, 1] - logits[:, 0]).tolist()
    shortcut = synthetic_probe(classifier, mixture)
    history = {
        "best_epoch": result.best_epoch,
        "train_s": result.seconds,
        "frozen": None if training.inputs.frozen is None else asdict(training.inputs.frozen),
        "peak_bytes": peak_bytes(device),
        "epochs": result.history,
        "validation": validation,
        "synthetic_probe": None if shortcut is None else shortcut.as_dict(),
    }
    seen = [seen_by_fit(cohort, mixture.fitted_rows), *map(seen_by_bundle, planned.supply.all)]
    place.ranks.from_first(lambda: folder.finish(path, classifier.state_dict(), history, seen))
    place.ranks.from_first(lambda: drop_ends(others))
    _report(planned, path, classifier, result)


def _document(cohort: Cohort, planned: Plan, classifier: Classifier, device: torch.device) -> folder.Json:
    """Return what `config.json` tells beside the configuration."""
    drawn = [
        {
            "label": bundle.label,
            "protocol": bundle.protocol,
            "rule": bundle.rule,
            "sigma": bundle.sigma,
            "images": len(bundle),
            "generator": bundle.generator,
            "quality": bundle.quality,
        }
        for bundle in planned.supply.all
    ]
    return {
        "classes": list(cohort.classes),
        "cohort": {"images": len(cohort), "size": cohort.size, "source": cohort.source},
        "bundles": drawn,
        "counts": planned.mixture.counts,
        "parameters": count_parameters(classifier),
        "environment": environment(describe_device(device)),
    }


def _warn_of_seen(cohort: Cohort, planned: Plan) -> None:
    """Say early what `classify evaluate` will refuse."""
    fold = planned.config.fold
    for bundle in planned.supply.all:
        seen = count_seen([seen_by_bundle(bundle)], cohort, parts(cohort, fold).test)["any"]
        if seen:
            say(
                f"warning: {seen} test images of fold {fold} were seen by the generator or the selection behind "
                f"{bundle.path}; `classify evaluate` will want --allow-seen, and its tables will say so."
            )


def _report(planned: Plan, path: Path, classifier: Classifier, result: Progress) -> None:
    mixture, config = planned.mixture, planned.config
    counts, parameters = mixture.counts, count_parameters(classifier)
    scored = result.history[result.best_epoch - 1]["validation"] if result.best_epoch else None
    accuracy = f", validation accuracy {scored['accuracy']:.1%} (n = {len(mixture.validation)})" if scored else ""
    made = f"{counts['synthetic_positives']} synthetic positives"
    if counts["synthetic_negatives"]:
        made += f", {counts['synthetic_negatives']} synthetic negatives"
    early = f" ({len(result.history)} were trained)" if len(result.history) < config.epochs else ""
    say(
        f"{planned.title}: learnt from {counts['real_positives']} real and {made} "
        f"and {counts['negatives']} negatives ({counts['distinct_negatives']} distinct), six-fold {counts['train']}; "
        f"{parameters['trainable']:,} of {parameters['total']:,} parameters train; epoch {result.best_epoch} of "
        f"{config.epochs} kept{early}{accuracy}; {result.seconds:.0f} s; in {path}"
    )
