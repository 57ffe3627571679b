"""What a search of settings is asked for, and what of it can be built."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classify.backbones import largest_depth
from classify.fitting.plan import require_lr
from classify.fitting.schedule import MAX_LR, OPTIMIZERS
from classify.fitting.settings import FitOptions
from classify.models import MAX_HEAD_LAYERS, MAX_HEAD_WIDTH
from classify.registry import ModelSpec, find_model
from classify.sharing import Sharing
from classify.tuning.search import PRUNERS, SAMPLERS, Trial, TrialSearch
from shared.errors import UserError
from shared.studies.values import Budget, Range, read_values

USUAL_LR = 1e-3
USUAL_DEPTHS = (3, 6)  # where the images allow
UNIT = "epochs"
_WHOLE_RANGE = re.compile(r"([0-9]{1,3})(?::([0-9]{1,3}))?")


@dataclass(frozen=True)
class TuneOptions(Sharing):
    """Options of `classify tune`, as on the command line.

    Raises `UserError`: workers cannot share a study as is asked for.
    """

    cohort: Path
    out: Path
    fold: int = 0
    model: str = "custom_cnn"
    lr: tuple[str, ...] = ("1e-5:1e-2:log",)
    depth: str | None = None
    layers: str = "1:2"
    width: tuple[int, ...] = (32, 64, 128)
    optimizers: tuple[str, ...] = ("rmsprop", "adam", "sgd")
    epochs: int = 30
    batch: int | None = None
    image_size: int | None = None
    sampler: str = "tpe"
    pruner: str = "median"
    budget: str = "20cells"
    seed: int = 0

    def of(self, trial: Trial) -> FitOptions:
        """Return the fit that a trial stands for."""
        return FitOptions(
            model=self.model,
            image_size=self.image_size,
            depth=trial.depth,
            head=trial.head,
            epochs=self.epochs,
            lr=trial.lr,
            batch=self.batch,
            optimizer=trial.optimizer,
            precision=self.precision,
            seed=self.seed,
        )


def plan_trials(options: TuneOptions, size: int) -> TrialSearch:
    """Return the search that options ask for, of images of `size` px; only what can be built is in it.

    Raises `UserError`: a setting out of range, or nothing that can be built.
    """
    spec = find_model(options.model)
    _require_choices(options)
    layers = _whole_range("layers", options.layers)
    if layers[1] > MAX_HEAD_LAYERS:
        raise UserError(f"--layers {options.layers}: more than {MAX_HEAD_LAYERS} hidden layers; give fewer.")
    if options.image_size is not None and options.image_size < 1:
        raise UserError(f"--image-size {options.image_size}: out of range; give the side of the input in px.")
    if options.epochs < 1:
        raise UserError(f"--epochs {options.epochs}: too few; give 1 or more.")
    search = TrialSearch(
        lr=_rates(options.lr),
        depth=_depths(options, spec, size),
        layers=layers,
        width=tuple(dict.fromkeys(options.width)),
        optimizers=tuple(dict.fromkeys(options.optimizers)),
        sampler=options.sampler,
        pruner=options.pruner,
        budget=Budget.read(options.budget, UNIT),
    )
    if search.budget.cells is not None and search.budget.cells > search.points:
        raise UserError(
            f"--budget {options.budget}: more than the {search.points} "
            f"{'trial' if search.points == 1 else 'trials'} that the values make; give less, or a range as --lr."
        )
    return search


def _require_choices(options: TuneOptions) -> None:
    """Raise `UserError` when something is to be chosen from that is not known, or from nothing."""
    for name, value, known in (("sampler", options.sampler, SAMPLERS), ("pruner", options.pruner, PRUNERS)):
        if value not in known:
            raise UserError(f"--{name} {value}: unknown; use one of {', '.join(known)}.")
    for name, values in (("lr", options.lr), ("width", options.width), ("optimizer", options.optimizers)):
        if not values:
            raise UserError(f"--{name}: none given; give at least one.")
    for optimizer in options.optimizers:
        if optimizer not in OPTIMIZERS:
            raise UserError(f"--optimizer {optimizer}: not known; give one of {', '.join(OPTIMIZERS)}.")
    for width in options.width:
        if not 1 <= width <= MAX_HEAD_WIDTH:
            raise UserError(f"--width {width}: out of range; give 1 to {MAX_HEAD_WIDTH}.")


def _rates(texts: Sequence[str]) -> Range | tuple[float, ...]:
    values = read_values("lr", texts)
    ranges = [value for value in values if isinstance(value, Range)]
    if len(ranges) > 1 or (ranges and len(values) > 1):
        raise UserError(f"--lr {ranges[0]}: a range and more; give one range, or numbers to choose from.")
    for each in ranges:
        if each.low <= 0 or each.high > MAX_LR:
            raise UserError(f"--lr {each}: not within 0 to {MAX_LR:g}; give a range such as 1e-5:1e-2:log.")
    numbers = tuple(dict.fromkeys(value for value in values if not isinstance(value, Range)))
    for number in numbers:
        require_lr(number, USUAL_LR)
    return ranges[0] if ranges else numbers


def _depths(options: TuneOptions, spec: ModelSpec, size: int) -> tuple[int, int] | None:
    """Return the numbers of convolutions that images of `size` px allow, of those asked for."""
    if spec.depth is None:
        if options.depth is not None:
            raise UserError(f"--depth {options.depth}: {spec.name} has the layers that it has; leave it out.")
        return None
    most = largest_depth(size)
    if options.depth is None:
        return min(USUAL_DEPTHS[0], most), min(USUAL_DEPTHS[1], most)
    low, high = _whole_range("depth", options.depth)
    if not 1 <= low <= most:
        raise UserError(
            f"--depth {options.depth}: images of {size} px can be halved {most - 1} times, which is 1 to {most} "
            "convolutions; give a range within that."
        )
    return low, min(high, most)


def _whole_range(name: str, text: str) -> tuple[int, int]:
    match = _WHOLE_RANGE.fullmatch(text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if low > high:
        raise UserError(f"--{name} {text}: not a range of whole numbers; give LOW:HIGH, such as 1:3.")
    return low, high
