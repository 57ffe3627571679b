"""What a search of settings is asked for, and the points that a sampler may choose."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from classify.backbones import largest_depth
from classify.models import MAX_HEAD_LAYERS, MAX_HEAD_WIDTH
from classify.registry import ModelSpec, find_model
from classify.settings import FitOptions
from classify.training import OPTIMIZERS
from shared.errors import UserError
from shared.studies.values import Budget, Range, read_values

SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")
STARTUP_TRIALS = 5  # that are never pruned, and that TPE draws at random before it models anything
WARM_UP_EPOCHS = 3
REDUCTION = 3  # of Hyperband: a third of the trials goes on, three times as long
MANY_TRIALS = 1000
USUAL_DEPTHS = (3, 6)  # where the images allow
UNIT = "epochs"
_WHOLE_RANGE = re.compile(r"([0-9]{1,3})(?::([0-9]{1,3}))?")


@dataclass(frozen=True)
class TuneOptions:
    """Options of `classify tune`, as on the command line."""

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
    storage: str | None = None
    study_name: str | None = None
    jobs: int = 1
    grace: float = 120.0
    wait: bool = True
    precision: str | None = None
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class Trial:
    """One point: settings that are searched."""

    lr: float
    depth: int | None
    layers: int
    width: int
    optimizer: str

    @property
    def name(self) -> str:
        """What tells it from all other points, to six digits of the learning rate."""
        depth = "" if self.depth is None else f"_conv{self.depth}"
        return f"lr{self.lr:.6g}{depth}_head{'x'.join(map(str, self.head)) or 'none'}_{self.optimizer}"

    @property
    def head(self) -> tuple[int, ...]:
        """Widths of the hidden layers: each has half of the one before."""
        return tuple(max(self.width >> number, 2) for number in range(self.layers))

    def options(self, asked: TuneOptions) -> FitOptions:
        """Return the fit that it stands for."""
        return FitOptions(
            model=asked.model,
            image_size=asked.image_size,
            depth=self.depth,
            head=self.head,
            epochs=asked.epochs,
            lr=self.lr,
            batch=asked.batch,
            optimizer=self.optimizer,
            precision=asked.precision,
            seed=asked.seed,
        )


@dataclass(frozen=True)
class TrialSearch:
    """Points that a sampler chooses until the budget is used up (`shared.studies.search.Search`).

    Attributes:
        lr: a range, or numbers to choose from.
        depth, layers: lowest and highest; None for models whose layers are what they are.
        width, optimizers: to choose from.
        sampler, pruner, budget: see `TuneOptions`.
    """

    lr: Range | tuple[float, ...]
    depth: tuple[int, int] | None
    layers: tuple[int, int]
    width: tuple[int, ...]
    optimizers: tuple[str, ...]
    sampler: str = "tpe"
    pruner: str = "median"
    budget: Budget = field(default_factory=Budget)
    cells: tuple[Trial, ...] = ()
    chooses: bool = True

    @property
    def most_cells(self) -> int:
        """How many trials may be done at once."""
        return self.budget.cells or MANY_TRIALS

    def in_words(self) -> str:
        """Say what is tried."""
        return f"trials chosen by {self.sampler} until {self.budget}"

    def corners(self) -> tuple[Trial, Trial]:
        """Return the smallest and the largest point: if these can be built, so can all."""
        rates = (self.lr.low, self.lr.high) if isinstance(self.lr, Range) else (min(self.lr), max(self.lr))
        low, high = self.depth or (None, None)
        ends = zip(rates, (low, high), self.layers, (min(self.width), max(self.width)), strict=True)
        first, last = (Trial(*end, self.optimizers[0]) for end in ends)
        return first, last

    def describe(self) -> dict[str, Any]:
        """Return what must stay the same while the search goes on."""
        lr = str(self.lr) if isinstance(self.lr, Range) else list(self.lr)
        return {
            "lr": lr,
            "depth": None if self.depth is None else list(self.depth),
            "layers": list(self.layers),
            "width": list(self.width),
            "optimizers": list(self.optimizers),
            "sampler": self.sampler,
        }

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space of the search, as Optuna and its dashboard know it."""
        space: dict[str, BaseDistribution] = {
            "lr": FloatDistribution(self.lr.low, self.lr.high, log=self.lr.log)
            if isinstance(self.lr, Range)
            else CategoricalDistribution(self.lr),
            "layers": IntDistribution(*self.layers),
            "width": CategoricalDistribution(self.width),
            "optimizer": CategoricalDistribution(self.optimizers),
        }
        return space | ({} if self.depth is None else {"depth": IntDistribution(*self.depth)})

    def make_sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of one choice; several workers' choices are told apart by `seed`."""
        if self.sampler == "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True)
        return RandomSampler(seed=seed)

    def make_pruner(self, amount: float) -> BasePruner:
        """Return the pruner of trials of `amount` epochs."""
        if self.pruner == "median":
            return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARM_UP_EPOCHS)
        if self.pruner == "hyperband":
            return HyperbandPruner(1, max_resource=round(amount), reduction_factor=REDUCTION)
        return NopPruner()

    def params_of(self, cell: Trial) -> dict[str, Any]:
        """Return a point's values by name."""
        return {name: getattr(cell, name) for name in self.distributions()}

    def cell_of(self, params: Mapping[str, Any]) -> Trial | None:
        """Return the point that has these values; None when some are missing."""
        if not params.keys() >= set(self.distributions()):
            return None
        return Trial(**({"depth": None} | dict(params)))

    def allows(self, begun: int, rows: Sequence[Mapping[str, Any]], amount: float) -> bool:
        """Tell whether the budget allows one more trial of `amount` epochs."""
        under_way = max(begun - len(rows), 0)
        epochs = sum(row["epochs"] for row in rows) + under_way * amount
        hours = sum(row["seconds"] for row in rows) / 3600
        return bool(self.budget.allows(begun, epochs, hours))


def plan_trials(options: TuneOptions, size: int) -> TrialSearch:
    """Return the search that options ask for, of images of `size` px; only what can be built is in it.

    Raises `UserError`: a setting out of range, or nothing that can be built.
    """
    spec = find_model(options.model)
    for name, value, known in (("sampler", options.sampler, SAMPLERS), ("pruner", options.pruner, PRUNERS)):
        if value not in known:
            raise UserError(f"--{name} {value}: unknown; use one of {', '.join(known)}.")
    for optimizer in options.optimizers:
        if optimizer not in OPTIMIZERS:
            raise UserError(f"--optimizer {optimizer}: not known; give one of {', '.join(OPTIMIZERS)}.")
    layers = _whole_range("layers", options.layers)
    if layers[1] > MAX_HEAD_LAYERS:
        raise UserError(f"--layers {options.layers}: more than {MAX_HEAD_LAYERS} hidden layers; give fewer.")
    for width in options.width:
        if not 1 <= width <= MAX_HEAD_WIDTH:
            raise UserError(f"--width {width}: out of range; give 1 to {MAX_HEAD_WIDTH}.")
    if options.epochs < 1:
        raise UserError(f"--epochs {options.epochs}: too few; give 1 or more.")
    return TrialSearch(
        lr=_rates(options.lr),
        depth=_depths(options, spec, size),
        layers=layers,
        width=tuple(dict.fromkeys(options.width)),
        optimizers=tuple(dict.fromkeys(options.optimizers)),
        sampler=options.sampler,
        pruner=options.pruner,
        budget=Budget.read(options.budget, UNIT),
    )


def _rates(texts: Sequence[str]) -> Range | tuple[float, ...]:
    values = read_values("lr", texts)
    ranges = [value for value in values if isinstance(value, Range)]
    if len(ranges) > 1 or (ranges and len(values) > 1):
        raise UserError(f"--lr {ranges[0]}: a range and more; give one range, or numbers to choose from.")
    least = ranges[0].low if ranges else min(value for value in values if not isinstance(value, Range))
    if least <= 0:
        raise UserError(f"--lr {least:g}: not a positive number; give one such as 1e-3.")
    return ranges[0] if ranges else tuple(value for value in values if not isinstance(value, Range))


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
