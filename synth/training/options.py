"""Everything that `synth train` can be told; each default stands here and nowhere else."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from shared.choices import Protocol
from shared.errors import UserError
from shared.studies.values import Range
from stylegan2_ada.config import AugPipe, NoiseMode
from synth.training.averages import MOST
from synth.training.cells import Cell, CellFile, product, read_cells

Label = Literal["positive", "negative", "both"]
ALL_FOLDS, FIRST_FOLD = "all", "0"
NO_START = "none"
GRID = "grid"
GAMMA, TARGET, LR = 0.1, 0.6, 0.002
GRACE_S = 120.0
USUAL_MAX_P, MAX_P = (
    1.0,
    8.0,
)  # from 1 on every augmentation always happens; more lets the controller wind up, as the reference does
_OPTION = {"save_every_min": "checkpoint_every"}  # where the command line has another name
_INTERVAL = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(kimg|min|)")
PRESET_OPTIONS = frozenset(
    {
        "cfg",
        "kimg",
        "start",
        "batch",
        "ema_kimg",
        "augpipe",
        "freeze_d",
        "method",
        "checkpoint_every",
        "save_every_min",
        "averages",
        "max_p",
        "noise",
        "quality_fakes",
        "features",
        "seed",
    }
)


@dataclass(frozen=True)
class TrainOptions:
    """Options of `synth train`.

    Attributes:
        cohort, out: the cohort file and the folder to write.
        gamma, target, lr: values whose product is the grid; None means 0.1 and 0.6, of methods that have them.
        cells: a preset's name or a TOML file with the grid's cells, instead of the three above.
        fold: the fold that stays unseen, or "all" for one grid a fold.
        protocol: "strict" or "paper".
        label: which class is drawn; "both" trains a conditional network.
        cfg: a preset of the engine; None means `auto`, or the shape of the start network.
        start: a network to adapt: a name (see `synth networks`), a file, a run folder or a grid's folder.
        accept_licence: whether a start network may bind what is made of it to its licence.
        kimg: thousands of real images shown.
        batch: images a step; None means the configuration's.
        ema_kimg: half-life of the average of the weights; None means the configuration's.
        augpipe: which augmentations ADA uses, or "diffaug", which always happens; None means the method's.
        method: how to start and to adapt, a row of `synth.training.methods` or "auto".
        freeze_d: None means the method's; how many of the discriminator's first layers stay as they are.
        max_p: the most that ADA's augmentation strength may become; None means 1.
        checkpoint_every: kimg between checkpoints, each with a score; None means a tenth of `kimg`, at least 4.
        averages: how many checkpoints' averages of the weights are kept, which `synth refine` chooses from.
        save_every_min: minutes between states that are saved beside these; they never change the outcome.
        noise: noise inputs of the pictures that are scored, shown and later drawn; None means as for the start network,
            and stored ones from scratch.
        quality_fakes: how many images a score is computed from; None means 50,000 for an FID, and 1000 in other
            spaces.
        kid_subset: images in each of KID's subsets; None means 100, or as many as there are.
        features: feature space of the score, one of `synth.scores.features.CHOICES`.
        seed: of networks, data order, latents and augmentation; of a grid of several seeds the first.
        seeds: all of them, each cell once with each; () means `seed` alone.
        device: "auto", "cpu", "cuda", "cuda:N", "mps".
        precision: of the large convolutions: "auto", "fp32", "tf32", "bf16".
        compile: whether `torch.compile` fuses the networks: "auto", "on", "off".
        jobs: cells trained at once, or "auto".
        storage: where the grid's study is (`shared.studies.storage`); None means a database in the grid's folder.
        study: its name in a storage that holds several; None means the name of `out`.
        sampler: "grid", or "tpe" or "random" to choose cells in ranges until the `budget` is used up.
        pruner: "none", or "median" or "hyperband" to end cells early whose scores are far behind.
        budget: "20cells", "5000kimg" or "12h".
        grace: seconds after which a silent worker's cell is another's.
        wait: whether to wait for the cells of other workers.
        dry_run: whether to say only what would be trained, and what it takes.
        weights: folder with pretrained weights.
        offline: never touch the network.
    """

    cohort: Path
    out: Path
    gamma: tuple[float | Range, ...] | None = None
    target: tuple[float | Range, ...] | None = None
    lr: tuple[float | Range, ...] = (LR,)
    cells: str | None = None
    fold: str = FIRST_FOLD
    protocol: Protocol = "strict"
    label: Label = "positive"
    cfg: str | None = None
    start: str | None = None
    accept_licence: bool = False
    kimg: float = 1000.0
    batch: int | None = None
    ema_kimg: float | None = None
    augpipe: str | None = None
    method: str = "auto"
    freeze_d: int | None = None
    max_p: float | None = None
    checkpoint_every: float | None = None
    save_every_min: float = 10.0
    averages: int = MOST
    noise: NoiseMode | None = None
    quality_fakes: int | None = None
    kid_subset: int | None = None
    features: str = "auto"
    seed: int = 0
    seeds: tuple[int, ...] = ()
    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    jobs: str = "1"  # the command line's is "auto": other processes import the script that called
    storage: str | None = None
    study: str | None = None
    sampler: str = GRID
    pruner: str = "none"
    budget: str | None = None
    grace: float = GRACE_S
    wait: bool = True
    dry_run: bool = False
    weights: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        for name, low, high, unit in (
            ("kimg", 1e-3, 1e6, "kimg"),
            ("checkpoint_every", 1e-3, 1e6, "kimg"),
            ("ema_kimg", 1e-3, 1e6, "kimg"),
            ("save_every_min", 1e-3, 1e5, "min"),
            ("grace", 1.0, 1e5, "seconds"),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                shown = f"{_OPTION.get(name, name)} {value:g}{'min' if unit == 'min' else ''}".replace("_", "-")
                raise UserError(f"--{shown}: out of range; give {low:g} to {high:g} {unit}.")
        if self.max_p is not None and not 0 <= self.max_p <= MAX_P:
            raise UserError(f"--max-p {self.max_p:g}: out of range; give 0 to {MAX_P:g}.")
        for name, low_count, high_count in (
            ("batch", 1, 4096),
            ("quality_fakes", 16, 1_000_000),
            ("kid_subset", 2, 100_000),
            ("freeze_d", 0, 64),
            ("averages", 0, 1000),
            ("seed", 0, 2**31 - 1),
        ):
            count = getattr(self, name)
            if count is not None and not low_count <= count <= high_count:
                raise UserError(f"--{name.replace('_', '-')} {count}: out of range; give {low_count} to {high_count}.")
        for seed in self.seeds:
            dataclasses.replace(self, seed=seed, seeds=())
        for name, kind in (("protocol", Protocol), ("label", Label), ("augpipe", AugPipe), ("noise", NoiseMode)):
            if getattr(self, name) not in (*get_args(kind), *([None] if name in ("augpipe", "noise") else [])):
                raise UserError(f"--{name} {getattr(self, name)}: unknown; use one of {', '.join(get_args(kind))}.")

    @property
    def several_folds(self) -> bool:
        """Whether every fold gets a grid of its own."""
        return self.fold == ALL_FOLDS

    def folds(self, count: int) -> list[int]:
        """Return the folds to work on, of a cohort with `count` of them: one network each, -1 for all photographs.

        Raises `UserError`: `fold` is no number, out of range, or one that protocol paper does not tell from others.
        """
        if self.protocol == "paper":
            if self.fold not in (ALL_FOLDS, FIRST_FOLD):
                raise UserError(f"--fold {self.fold}: protocol paper trains one network for all; leave the option out.")
            return [-1]
        if self.several_folds:
            return list(range(count))
        try:
            fold = int(self.fold)
        except ValueError as error:
            raise UserError(f"--fold {self.fold}: not a fold; give 0 to {count - 1}, or all.") from error
        if not 0 <= fold < count:
            raise UserError(
                f"--fold {fold}: out of range, since the cohort has {count} folds; give 0 to {count - 1}, or all."
            )
        return [fold]


def read_intervals(texts: Sequence[str]) -> dict[str, float]:
    """Return the fields that `--checkpoint-every` sets: "4" and "4kimg" `checkpoint_every`, "15min" `save_every_min`.

    Raises `UserError`: not such a text, or two of one kind.
    """
    fields: dict[str, float] = {}
    for text in texts:
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise UserError(f"--checkpoint-every {text}: not an interval; give 4 or 4kimg (scored), or 15min (saved).")
        name = "save_every_min" if match[2] == "min" else "checkpoint_every"
        if name in fields:
            raise UserError(f"--checkpoint-every {text}: a second interval of one kind; give one in kimg, one in min.")
        fields[name] = float(match[1])
    return fields


def resolve_cells(asked: dict[str, Any]) -> tuple[TrainOptions, tuple[Cell, ...]]:
    """Fill what the user left open (None) from the preset, then from the defaults.

    Args:
        asked: fields of `TrainOptions` by name; None where the user said nothing.

    Raises `UserError`: cells and single hyper-parameters together, or a preset with an unknown option.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if given.get("seeds"):
        given |= {"seed": given["seeds"][0], "seeds": tuple(dict.fromkeys(given["seeds"]))}
    if given.get("cells") is None:
        options = _with_start(given)
        values = (options.gamma or (GAMMA,), options.target or (TARGET,), options.lr)
        numbers = [[value for value in axis if not isinstance(value, Range)] for axis in values]
        return options, _of_seeds(options, product(*numbers)) if options.sampler == GRID else ()
    for name in ("gamma", "target", "lr"):
        if name in given:
            raise UserError(f"--{name}: cannot be combined with --cells, which lists whole cells; leave one out.")
    preset = read_cells(given["cells"])
    options = _with_start(_preset_options(preset, given["cells"]) | given)
    return options, _of_seeds(options, preset.cells)


def _with_start(given: dict[str, Any]) -> TrainOptions:
    """Return the options, without a start where it is "none"."""
    return TrainOptions(**given | ({"start": None} if given.get("start") == NO_START else {}))


def _of_seeds(options: TrainOptions, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Return every cell once with each seed; a cell of the only seed needs not say so."""
    if len(options.seeds) <= 1:
        return cells
    return tuple(dataclasses.replace(cell, seed=seed) for cell in cells for seed in options.seeds)


def _preset_options(preset: CellFile, where: str) -> dict[str, Any]:
    types = {field.name: str(field.type) for field in dataclasses.fields(TrainOptions)}
    for name, value in preset.train.items():
        if name not in PRESET_OPTIONS:
            raise UserError(
                f"--cells {where}: unknown option {name!r} in [train]; known are {', '.join(sorted(PRESET_OPTIONS))}."
            )
        wanted = (
            str if "str" in types[name] or "Literal" in types[name] else (int, float) if "float" in types[name] else int
        )
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise UserError(f"--cells {where}: [train] {name} = {value!r} is of the wrong type.")
    return dict(preset.train)
