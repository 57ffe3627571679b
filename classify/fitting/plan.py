"""What one fit comes to before it begins: its configuration, its bundles and its images."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from classify.fitting.mixing import Mixture, mix, more_epochs
from classify.fitting.ratio import NONE, Ratio, require_control
from classify.fitting.schedule import MAX_LR, OPTIMIZERS
from classify.fitting.settings import FitConfig, FitOptions
from classify.fitting.supply import Supply, find_supply, require_classes
from classify.models import resolve_depth, resolve_head, resolve_image_size
from classify.registry import find_model, model_label
from classify.tested import test_set
from shared.bundle import Bundle
from shared.choices import PROTOCOLS
from shared.cohort import Cohort
from shared.errors import UserError
from shared.nn.device import choose_precision, fastest_precision
from shared.splits import require_fold

MOST = 1_000_000  # epochs, or images a step


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

    Raises `UserError`: a setting out of range, no bundle that fits or holds enough, or a fold that lacks a class.
    """
    require_settings(options)
    require_fold(cohort, fold)
    if not inner:
        test_set(cohort, fold, "balanced")  # what could not be tested is not fitted
    ratio = Ratio.parse(options.ratio)
    require_control(options.control, ratio)
    require_classes(options.synthetic, ratio, options.control)
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
    asked = _first(options.image_size, spec.image_size)
    whose = str(cohort.path or "the cohort") if asked is None else None
    size = resolve_image_size(spec, cohort.size if asked is None else asked, depth, whose=whose)
    head, dropout = resolve_head(spec, options.head, options.dropout)
    epochs = spec.epochs if options.epochs is None else options.epochs
    if options.control == "epochs":
        real = mixture.counts["real_positives"]
        epochs = more_epochs(epochs, real, ratio.count(real))
    unfreeze = spec.unfreeze if options.unfreeze is None else options.unfreeze
    return FitConfig(
        model=spec.name,
        ratio=str(ratio),
        protocol=options.protocol,
        control=options.control,
        synthetic=supply.synthetic,
        fold=fold,
        seed=options.seed,
        image_size=size,
        unfreeze=unfreeze,
        depth=depth,
        head=head,
        dropout=float(dropout),
        epochs=epochs,
        patience=options.patience,
        lr=float(spec.lr if options.lr is None else options.lr),
        batch=spec.batch if options.batch is None else options.batch,
        optimizer=spec.optimizer if options.optimizer is None else options.optimizer,
        precision=resolve_precision(options.precision, device, head_alone=unfreeze == 0),
        cohort=cohort.sha256,
        bundles=tuple(bundle.sha256 for bundle in supply.all),
    )


def require_settings(options: FitOptions) -> None:
    """Raise `UserError` when a setting is out of range, whatever the images are."""
    spec = find_model(options.model)
    for name in ("epochs", "batch", "patience"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: too few; give 1 or more.")
        if value is not None and value > MOST:
            raise UserError(f"--{name} {value}: too many; give up to {MOST}.")
    require_lr(spec.lr if options.lr is None else options.lr, spec.lr)
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: negative; give 0 or more.")
    if options.optimizer is not None:
        _require_known("optimizer", options.optimizer, OPTIMIZERS)


def require_lr(lr: float, usual: float) -> None:
    """Raise `UserError` when `lr` is no learning rate; `usual` is one."""
    if not 0 < lr < math.inf:
        raise UserError(f"--lr {lr:g}: not a positive number; give one such as {usual:g}.")
    if lr > MAX_LR:
        raise UserError(f"--lr {lr:g}: more than {MAX_LR:g}, with which nothing learns; give one such as {usual:g}.")


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
