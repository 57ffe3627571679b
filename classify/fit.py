"""The stage `classify fit`: from a cohort and bundles to model folders."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from classify import folder
from classify.guard import count_seen, seen_by_bundle, seen_by_fit
from classify.inputs import FeatureInputs, FeatureStore, Inputs, PixelInputs
from classify.mixing import NONE, PROTOCOLS, Mixture, Ratio, mix
from classify.models import Classifier, build_model, count_parameters, resolve_image_size, set_trainable
from classify.registry import ModelSpec, find_model, model_label
from classify.settings import FitConfig, FitOptions
from classify.training import OPTIMIZERS, Progress, TrainSettings, seeded, train
from shared.bundle import ALL_FOLDS, Bundle
from shared.cohort import POSITIVE, Cohort
from shared.console import say
from shared.errors import UserError
from shared.nn.device import describe_device
from shared.progress import progress
from shared.provenance import environment
from shared.splits import parts, require_fold
from shared.weights import WeightSource


def fit(
    cohort: Cohort,
    *,
    bundles: Sequence[Bundle] = (),
    options: FitOptions = FitOptions(),  # noqa: B008 - frozen
    folds: Sequence[int],
    out: Path,
    device: torch.device,
    weights: WeightSource = WeightSource(),  # noqa: B008 - frozen
    cache: Path | None = None,
    force: bool = False,
) -> list[Path]:
    """Fit one classifier for each of `folds` and return their folders: `out`, or `out/fold0` … when there are several.

    A fit that is done with the same configuration is left as it is, one that was interrupted goes on. `cache` is a
    folder for the features of frozen backbones.

    Raises `UserError`: whatever of the request cannot be done, before anything is written.
    """
    planned = plan(cohort, bundles=bundles, options=options, folds=folds)
    if options.ratio == NONE and bundles:
        say("note: --ratio none uses no synthetic images, so --bundle is not used.")
    if len(folds) > 1 and (out / folder.CONFIG).is_file():
        raise UserError(f"{out}: holds the model of a single fold; give another --out for the folds together.")
    places = {fold: out if len(folds) == 1 else out / f"fold{fold}" for fold in folds}
    for fold, place in places.items():
        config, bundle = planned[fold]
        _fit_fold(cohort, bundle, config, place, device, weights, FeatureStore(cache), force=force)
    return list(places.values())


def plan(
    cohort: Cohort, *, bundles: Sequence[Bundle], options: FitOptions, folds: Sequence[int]
) -> dict[int, tuple[FitConfig, Bundle | None]]:
    """Return the configuration and the bundle of each fold, once it is sure that they can be mixed.

    Raises `UserError`: a setting out of range, or no bundle that fits or holds enough.
    """
    ratio = Ratio.parse(options.ratio)
    spec = find_model(options.model)
    planned = {}
    for fold in folds:
        require_fold(cohort, fold)
        bundle = find_bundle(bundles, cohort, fold, options.protocol) if ratio.synthetic else None
        planned[fold] = resolve(options, spec, cohort, fold, bundle), bundle
        mix(cohort, fold, ratio, bundle, options.protocol)
    return planned


def find_bundle(bundles: Sequence[Bundle], cohort: Cohort, fold: int, protocol: str) -> Bundle:
    """Return the one of `bundles` that holds positives for `fold`; under protocol paper one of all folds goes first.

    Raises `UserError`: none or several fit, or the one that fits is of another class, size or cohort.
    """
    if not bundles:
        raise UserError("--bundle: missing, and a ratio other than none needs synthetic images; give a bundle.")
    wanted = (ALL_FOLDS, fold) if protocol == "paper" else (fold,)
    fitting = [[b for b in bundles if (b.label, b.fold) == (POSITIVE, each)] for each in wanted]
    found: list[Bundle] = next((group for group in fitting if group), [])
    if len(found) != 1:
        held = "; ".join(f"{b.path} is of class {b.class_name}, fold {_fold_name(b.fold)}" for b in bundles)
        problem = "several fit" if found else "none fits"
        raise UserError(
            f"--bundle: {problem} class {cohort.positive}, fold {fold} under protocol {protocol} ({held}); give "
            "exactly one that does."
        )
    _check_bundle(found[0], cohort)
    return found[0]


def _fold_name(fold: int) -> str:
    return "all" if fold == ALL_FOLDS else str(fold)


def _check_bundle(bundle: Bundle, cohort: Cohort) -> None:
    if bundle.class_name != cohort.positive:
        raise UserError(
            f"{bundle.path}: holds {bundle.class_name}, where the cohort's rare class is {cohort.positive}; give the "
            "bundle of this class."
        )
    if bundle.size != cohort.size:
        raise UserError(
            f"{bundle.path}: its images are {bundle.size} px and the cohort's {cohort.size} px, which would tell them "
            f"apart; prepare the cohort with --size {bundle.size}, or give a bundle made from this one."
        )
    if bundle.cohort != cohort.sha256 and not set(bundle.seen_image_id) & set(cohort.image_id):
        raise UserError(
            f"{bundle.path}: made from another cohort, of which no photograph is in {cohort.path}, so its fold means "
            "nothing here; give a bundle made from this cohort."
        )


def resolve(options: FitOptions, spec: ModelSpec, cohort: Cohort, fold: int, bundle: Bundle | None) -> FitConfig:
    """Return the configuration of one fit: the user's options, then the model's own settings.

    Raises `UserError`: a setting out of range.
    """
    size = options.image_size or spec.image_size or cohort.size
    config = FitConfig(
        model=spec.name,
        ratio=str(Ratio.parse(options.ratio)),
        protocol=options.protocol,
        fold=fold,
        seed=options.seed,
        image_size=resolve_image_size(spec, size),
        unfreeze=spec.unfreeze if options.unfreeze is None else options.unfreeze,
        epochs=spec.epochs if options.epochs is None else options.epochs,
        lr=float(spec.lr if options.lr is None else options.lr),
        batch=spec.batch if options.batch is None else options.batch,
        optimizer=options.optimizer or spec.optimizer,
        cohort=cohort.sha256,
        bundle=None if bundle is None else bundle.sha256,
    )
    for name in ("epochs", "batch"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name} {getattr(config, name)}: too few; give 1 or more.")
    if not 0 < config.lr < math.inf:
        raise UserError(f"--lr {config.lr:g}: not a positive number; give one such as {spec.lr:g}.")
    if config.seed < 0:
        raise UserError(f"--seed {config.seed}: negative; give 0 or more.")
    for option, value, known in (("optimizer", config.optimizer, OPTIMIZERS), ("protocol", config.protocol, PROTOCOLS)):
        if value not in known:
            raise UserError(f"--{option} {value}: not known; give one of {', '.join(known)}.")
    return config


def _fit_fold(
    cohort: Cohort,
    bundle: Bundle | None,
    config: FitConfig,
    place: Path,
    device: torch.device,
    weights: WeightSource,
    store: FeatureStore,
    *,
    force: bool,
) -> None:
    """Fit one classifier into the folder `place`, unless it is there already."""
    title = f"{model_label(config.model)}, {config.ratio}, fold {config.fold}"
    if folder.claim(place, config, force=force):
        (place / folder.MODEL).touch()  # so that make sees it is up to date
        say(f"{title}: done before, in {place}")
        return
    with seeded(device, config.seed, "weights"):
        classifier = build_model(config.model, image_size=config.image_size, weights=weights)
    set_trainable(classifier, config.unfreeze, name=config.model)
    mixture = mix(cohort, config.fold, Ratio.parse(config.ratio), bundle, config.protocol)
    folder.begin(place, config, _document(cohort, bundle, mixture, classifier, device))
    _warn_of_seen(cohort, bundle, config)
    classifier.to(device)
    inputs: Inputs
    if classifier.is_frozen:
        inputs = FeatureInputs(classifier, mixture, store)
    else:
        inputs = PixelInputs(classifier, mixture.images)
    settings = TrainSettings(config.epochs, config.lr, config.batch, config.optimizer, config.seed)
    with progress(title, config.epochs * len(mixture.train), unit="images") as bar, _reproducible():
        result = train(classifier, inputs, mixture, settings, place / folder.CHECKPOINT, bar)
    seen = [seen_by_fit(cohort, mixture.fitted_rows)] + ([seen_by_bundle(bundle)] if bundle is not None else [])
    history = {"best_epoch": result.best_epoch, "train_s": result.seconds, "epochs": result.history}
    folder.finish(place, classifier.state_dict(), history, seen)
    _report(title, place, classifier, mixture, config, result)


@contextlib.contextmanager
def _reproducible() -> Iterator[None]:
    """Keep cuDNN to algorithms that give the same bits twice (without cuDNN, nothing changes)."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def _document(
    cohort: Cohort, bundle: Bundle | None, mixture: Mixture, classifier: Classifier, device: torch.device
) -> folder.Json:
    """Return what `config.json` tells beside the configuration."""
    drawn = None
    if bundle is not None:
        drawn = {
            "protocol": bundle.protocol,
            "rule": bundle.rule,
            "sigma": bundle.sigma,
            "images": len(bundle),
            "generator": bundle.generator,
            "quality": bundle.quality,
        }
    return {
        "classes": list(cohort.classes),
        "cohort": {"images": len(cohort), "size": cohort.size, "source": cohort.source},
        "bundle": drawn,
        "counts": mixture.counts,
        "parameters": count_parameters(classifier),
        "environment": environment(describe_device(device)),
    }


def _warn_of_seen(cohort: Cohort, bundle: Bundle | None, config: FitConfig) -> None:
    """Say early what `classify evaluate` will refuse."""
    if bundle is None:
        return
    seen = count_seen([seen_by_bundle(bundle)], cohort, parts(cohort, config.fold).test)["any"]
    if seen:
        say(
            f"warning: {seen} test images of fold {config.fold} were seen by the generator or the selection behind "
            f"{bundle.path}; `classify evaluate` will want --allow-seen, and its tables will say so."
        )


def _report(
    title: str, place: Path, classifier: Classifier, mixture: Mixture, config: FitConfig, result: Progress
) -> None:
    counts, parameters = mixture.counts, count_parameters(classifier)
    best = result.history[result.best_epoch - 1]
    scored = best["validation"]
    accuracy = f", validation accuracy {scored['accuracy']:.1%} (n = {len(mixture.validation)})" if scored else ""
    say(
        f"{title}: learnt from {counts['real_positives']} real and {counts['synthetic_positives']} synthetic positives "
        f"and {counts['negatives']} negatives ({counts['distinct_negatives']} distinct), six-fold {counts['train']}; "
        f"{parameters['trainable']:,} of {parameters['total']:,} parameters train; epoch {result.best_epoch} of "
        f"{config.epochs} kept{accuracy}; {result.seconds:.0f} s; in {place}"
    )
