"""The stage `classify fit`: from a cohort and bundles to model folders."""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from classify import folder
from classify.guard import count_seen, seen_by_bundle, seen_by_fit
from classify.inputs import FeatureStore, choose_inputs
from classify.longer import go_on, has_longer
from classify.mixing import PROTOCOLS, Mixture, mix, more_epochs
from classify.models import (
    Classifier,
    build_model,
    count_parameters,
    resolve_depth,
    resolve_head,
    resolve_image_size,
    set_trainable,
)
from classify.place import Place
from classify.ratio import NONE, Ratio, require_control
from classify.registry import find_model, model_label
from classify.settings import FitConfig, FitOptions
from classify.shortcut import synthetic_probe
from classify.supply import Supply, find_supply
from classify.training import (
    FROZEN_VARIATIONS,
    OPTIMIZERS,
    Progress,
    Training,
    TrainSettings,
    all_shown,
    seeded,
)
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.console import say
from shared.errors import UserError
from shared.files import claimed
from shared.nn.device import choose_precision, describe_device, fastest_precision
from shared.nn.memory import forget_peak, peak_bytes
from shared.progress import progress
from shared.provenance import environment
from shared.splits import parts, require_fold


@dataclass(frozen=True, eq=False)
class Plan:
    """One fit before it begins: its configuration, its bundles and its images."""

    config: FitConfig
    supply: Supply
    mixture: Mixture

    @property
    def title(self) -> str:
        """How messages call the fit."""
        config = self.config
        instead = "" if config.control == NONE else f" ({config.control})"
        both = " in both classes" if config.synthetic == "both" else ""
        seed = f", seed {config.seed}" if config.seed else ""
        return f"{model_label(config.model)}, {config.ratio}{instead}{both}, fold {config.fold}{seed}"


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
    if options.ratio == NONE and bundles:
        say("note: --ratio none uses no synthetic images, so --bundle is not used.")
    if len(folds) > 1 and (out / folder.CONFIG).is_file():
        raise UserError(f"{out}: holds the model of a single fold; give another --out for the folds together.")
    folders = [out if len(folds) == 1 else out / f"fold{fold}" for fold in folds]
    for planned, path in zip(plans.values(), folders, strict=True):
        fit_fold(cohort, planned, path, place, force=force)
    return folders


def plan(
    cohort: Cohort,
    fold: int,
    *,
    bundles: Sequence[Bundle] = (),
    options: FitOptions,
    device: torch.device,
    inner: bool = False,
) -> Plan:
    """Return what one fit comes to: the user's options, then the model's own settings.

    With `inner` it is a trial of a search, which has the train part alone (`shared.splits.inner_parts`).

    Raises `UserError`: a setting out of range, or no bundle that fits or holds enough.
    """
    require_fold(cohort, fold)
    ratio = Ratio.parse(options.ratio)
    require_control(options.control, ratio)
    _require_known("protocol", options.protocol, PROTOCOLS)
    supply = Supply()
    if ratio.synthetic and options.control == NONE:
        supply = find_supply(bundles, cohort, fold, options.protocol, options.synthetic)
    mixture = mix(cohort, fold, ratio, supply, options.protocol, options.control, inner=inner)
    return Plan(_resolve(options, cohort, fold, supply, mixture, device), supply, mixture)


def _resolve(
    options: FitOptions, cohort: Cohort, fold: int, supply: Supply, mixture: Mixture, device: torch.device
) -> FitConfig:
    spec, ratio = find_model(options.model), Ratio.parse(options.ratio)
    depth = resolve_depth(spec, options.depth)
    head, dropout = resolve_head(spec, options.head, options.dropout)
    epochs = spec.epochs if options.epochs is None else options.epochs
    if options.control == "epochs":
        real = mixture.counts["real_positives"]
        epochs = more_epochs(epochs, real, ratio.count(real))
    unfreeze = spec.unfreeze if options.unfreeze is None else options.unfreeze
    config = FitConfig(
        model=spec.name,
        ratio=str(ratio),
        protocol=options.protocol,
        control=options.control,
        synthetic=supply.synthetic,
        fold=fold,
        seed=options.seed,
        image_size=resolve_image_size(spec, _first(options.image_size, spec.image_size, cohort.size), depth),
        unfreeze=unfreeze,
        depth=depth,
        head=head,
        dropout=float(dropout),
        epochs=epochs,
        patience=spec.patience if options.patience is None else options.patience,
        lr=float(spec.lr if options.lr is None else options.lr),
        batch=spec.batch if options.batch is None else options.batch,
        optimizer=options.optimizer or spec.optimizer,
        precision=resolve_precision(options.precision, device, head_alone=unfreeze == 0),
        cohort=cohort.sha256,
        bundles=tuple(bundle.sha256 for bundle in supply.all),
    )
    for name in ("epochs", "batch", "patience"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: too few; give 1 or more.")
    if not 0 < config.lr < math.inf:
        raise UserError(f"--lr {config.lr:g}: not a positive number; give one such as {spec.lr:g}.")
    if config.seed < 0:
        raise UserError(f"--seed {config.seed}: negative; give 0 or more.")
    _require_known("optimizer", config.optimizer, OPTIMIZERS)
    return config


def _first(*sizes: int | None) -> int | None:
    return next((size for size in sizes if size is not None), None)


def _require_known(option: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise UserError(f"--{option} {value}: not known; give one of {', '.join(known)}.")


def resolve_precision(name: str | None, device: torch.device, *, head_alone: bool) -> str:
    """Return fp32, tf32 or bf16; "auto", or none asked for, is the fastest, and fp32 where the head alone trains.

    Raises `UserError`: unknown, or the device does not have it.
    """
    if name in (None, "auto"):
        return "fp32" if head_alone else fastest_precision(device)
    choose_precision(str(name), device)
    return str(name)


def train_settings(config: FitConfig, device: torch.device) -> TrainSettings:
    """Return how a configuration trains on a device."""
    variations = 0
    if config.control == "augmentation":
        variations = config.epochs if config.unfreeze is None else FROZEN_VARIATIONS
    return TrainSettings(
        epochs=config.epochs,
        lr=config.lr,
        batch=config.batch,
        optimizer=config.optimizer,
        seed=config.seed,
        patience=config.patience,
        dtype=choose_precision(config.precision, device),
        variations=variations,
    )


def make_classifier(config: FitConfig, place: Place) -> Classifier:
    """Return the classifier of a configuration as it begins, on its device.

    Raises `UserError`: no such weights, or fewer modules than are to train.
    """
    with seeded(place.device, config.seed, "weights"):
        classifier = build_model(
            config.model,
            image_size=config.image_size,
            weights=place.weights,
            depth=config.depth,
            head=config.head,
            dropout=config.dropout,
        )
    set_trainable(classifier, config.unfreeze, name=config.model)
    return classifier.to(place.device)


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
    one is there (`classify.longer`).

    Raises: see `fit`.
    """
    config, ranks = planned.config, place.ranks
    ranks.from_first(lambda: folder.require_free(path, config, force=force))
    classifier = None
    if not ranks.from_first(lambda: folder.is_done(path, config)):
        classifier = make_classifier(config, place)  # what cannot be made is refused before anything is written
    with contextlib.ExitStack() as claim:
        busy = f"{path}: another process is fitting this model; wait for it, or give another --out."
        ranks.from_first(lambda: claim.enter_context(claimed(path, busy)))
        if ranks.from_first(lambda: folder.take(path, config)):
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
    settings = train_settings(config, device)
    store = FeatureStore(place.cache)
    inputs = choose_inputs(classifier, mixture, all_shown(mixture, settings), store, config.seed)
    training = Training(
        classifier,
        inputs,
        mixture,
        settings,
        checkpoint=path / folder.CHECKPOINT,
        end=path / folder.END if has_longer(config, others) else None,
        ranks=place.ranks,
        interruption=place.interruption,
    )
    with progress(planned.title, config.epochs * len(mixture.train), unit="images") as bar, _reproducible():
        result = training.run(bar)
    validation = {"label": mixture.label[mixture.validation.index].tolist(), "score": []}
    if len(mixture.validation):
        logits = training.logits(mixture.validation).double()
        validation["score"] = (logits[:, 1] - logits[:, 0]).tolist()
    shortcut = synthetic_probe(classifier, mixture)
    history = {
        "best_epoch": result.best_epoch,
        "train_s": result.seconds,
        "peak_bytes": peak_bytes(device),
        "epochs": result.history,
        "validation": validation,
        "synthetic_probe": None if shortcut is None else shortcut.as_dict(),
    }
    seen = [seen_by_fit(cohort, mixture.fitted_rows), *map(seen_by_bundle, planned.supply.all)]
    place.ranks.from_first(lambda: folder.finish(path, classifier.state_dict(), history, seen))
    _report(planned, path, classifier, result)


@contextlib.contextmanager
def _reproducible() -> Iterator[None]:
    """Keep cuDNN to algorithms that give the same bits twice (without cuDNN, nothing changes)."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


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
