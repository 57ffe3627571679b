"""What can still be chosen after a training: how wide the weights are averaged, and how far styles are truncated."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.cohort import Cohort, read_cohort
from shared.console import say
from shared.errors import UserError
from shared.files import require_new, whole_file, write_json
from shared.nn.device import choose_device
from shared.progress import progress
from shared.weights import WeightSource
from stylegan2_ada import Generator, Networks, network_bytes
from stylegan2_ada.averages import MAX_WIDTH
from synth.choices import MAX_TRUNCATION
from synth.drawing.pictures import draw
from synth.drawing.trained import TrainedNetwork, open_network
from synth.networks.known import KNOWN
from synth.refine_report import print_trials, write_curves
from synth.scores.features import resolve_choice
from synth.scores.kernels import nearer
from synth.scores.moments import Features
from synth.scores.quality import Fakes, QualityMeter, to_features
from synth.selecting.comparison import Comparison, compare, require_enough, turned
from synth.training.averages import AverageFolder
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder
from synth.training.training_set import TrainingSet

TRIED_WIDTHS = (0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.25)
TRUNCATIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MAX_RESIDUAL = 0.1  # relative, of the profile that kept averages make
FAKES, REFINE_FID_FAKES = 1000, 5000  # by default
FIRST_SEED = 5 << 29  # of the fakes: seeds that nobody types


@dataclass(frozen=True)
class RefineOptions:
    """Options of `synth refine`.

    `run` is a run's folder, or a grid's (its best cell); `width` and `truncation` are what is tried; `fakes` how many
    images each choice is judged by.
    """

    run: str | Path
    cohort: Path
    out: Path
    width: tuple[float, ...] = TRIED_WIDTHS
    truncation: tuple[float, ...] = TRUNCATIONS
    fakes: int | None = None
    features: str = "auto"
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        for width in self.width:
            if not (math.isfinite(width) and 0.01 <= width <= MAX_WIDTH):
                raise UserError(f"--width {width:g}: out of range; give 0.01 to {MAX_WIDTH:g}.")
        for psi in self.truncation:
            if not (math.isfinite(psi) and 0 < psi <= MAX_TRUNCATION):
                raise UserError(
                    f"--truncation {psi:g}: out of range; give more than 0, and {MAX_TRUNCATION:g} at most."
                )
        if not self.truncation:
            raise UserError("--truncation: none given; give at least one, 1 for the whole distribution.")
        if self.out.suffix != ".safetensors":
            raise UserError(
                f"--out {self.out}: a network file, a table and a picture; let its name end in .safetensors."
            )
        if self.fakes is not None and not 100 <= self.fakes <= 100_000:
            raise UserError(f"--quality-fakes {self.fakes}: out of range; give 100 to 100000.")


@dataclass(frozen=True)
class Trial:
    """One choice and what came of it.

    Attributes:
        width: of the average, None for the usual one.
        truncation: psi.
        comparison: with the training images, at equal numbers.
        quality: a `synth.scores.quality.QualityScore` as a dictionary.
        nearer: by how much its KID is smaller than that of the usual average, and the standard error of that.
    """

    width: float | None
    truncation: float
    comparison: Comparison
    quality: dict[str, Any]
    nearer: tuple[float, float] | None = None

    @property
    def kid(self) -> float:
        """KID to the validation images; to the training images where there are too few of these."""
        kid = self.quality["kid_validation"]
        return self.comparison.kid if kid is None else float(kid)

    @property
    def in_words(self) -> str:
        """The choice in words."""
        width = "the usual average" if self.width is None else f"averages of width {self.width:g}"
        return f"{width}, truncation {self.truncation:g}"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, and what its images are compared with.

    Attributes:
        trained: its network.
        averages, nimg: the averages of its checkpoints, and which checkpoint the network is.
        meter: of quality.
        turned: features of the training images in their eight forms, [8, N, F].
        seed: of the run.
    """

    trained: TrainedNetwork
    averages: AverageFolder
    nimg: int
    meter: QualityMeter
    turned: Any
    seed: int

    def generators(self, widths: Sequence[float]) -> dict[float | None, Generator]:
        """Return the generators with the usual averages (None), and with those of some widths."""
        usual = self.trained.networks.G_ema
        made = self.averages.of_widths(self.nimg, widths, usual) if widths else []
        return {None: usual, **dict(zip(widths, made, strict=True))}

    def features(self, generator: Generator, truncation: float) -> Features:
        """Draw, and return the features of the pictures."""
        seeds = range(FIRST_SEED, FIRST_SEED + self.meter.fakes)
        images = draw(generator, seeds, truncation=truncation, noise=self.trained.noise)
        return to_features(images, self.meter.extractor)

    def trial(self, width: float | None, truncation: float, features: Features, usual: Features) -> Trial:
        """Compare the features of a choice with photographs, and with those of the usual average."""
        meter = self.meter
        comparison = compare(self.turned[0], self.turned, features, seed=self.seed, groups=meter.groups)
        quality = dataclasses.asdict(meter.compare(Fakes.of(features)))
        few = quality["kid_validation"] is None
        held_out, groups = (meter.real, meter.groups) if few else (meter.validation, meter.validation_groups)
        gain = None if features is usual else nearer([usual], [features], held_out, seed=self.seed, groups=groups)
        return Trial(width, truncation, comparison, quality, gain)


def refine(options: RefineOptions) -> list[Trial]:
    """Choose the width of the average, then the truncation; write network, table and picture.

    Raises `UserError`: whatever the user can mend, before anything is drawn.
    """
    table, picture = options.out.with_suffix(".json"), options.out.with_suffix(".png")
    for path in (options.out, table, picture):
        require_new(path, force=options.force, inputs=[options.cohort])
    run = _open(options, choose_device(options.device))
    widths = _widths(run, options)
    generators = run.generators(widths)
    psis = sorted(set(options.truncation) - {1.0})
    with progress("comparing", 1 + len(widths) + len(psis), unit="choices") as bar:
        reference = run.features(generators[None], 1.0)

        def attempt(width: float | None, truncation: float) -> Trial:
            same = width is None and truncation == 1.0
            features = reference if same else run.features(generators[width], truncation)
            bar.advance(1)
            return run.trial(width, truncation, features, reference)

        usual = attempt(None, 1.0)
        others = [attempt(width, 1.0) for width in widths]
        best = nearest_or_usual(usual, others)
        narrow = [attempt(best.width, psi) for psi in psis] + ([best] if 1.0 in options.truncation else [])
    narrow.sort(key=lambda trial: trial.truncation)
    chosen = most_diverse(narrow)
    _write_network(options.out, run, generators[chosen.width], chosen)
    groups = {"width": [usual, *others], "truncation": narrow}
    rows = {name: [dataclasses.asdict(trial) for trial in group] for name, group in groups.items()}
    write_json(table, {"chosen": dataclasses.asdict(chosen)} | rows)
    write_curves(picture, groups["width"], narrow)
    print_trials(groups["width"], best, narrow, chosen)
    say(f"{options.out}: {chosen.in_words}; see {picture.name} and {table.name}")
    return [usual, *others, *(trial for trial in narrow if trial is not best)]


def nearest_or_usual(usual: Trial, others: Sequence[Trial]) -> Trial:
    """Return the trial nearest to the photographs, if it beats the usual average by two standard errors, else that."""
    sure = [
        (gain, trial)
        for trial in others
        if trial.nearer is not None and (gain := trial.nearer[0]) > 2 * trial.nearer[1]
    ]
    return max(sure, key=lambda each: each[0])[1] if sure else usual


def most_diverse(trials: Sequence[Trial]) -> Trial:
    """Return the trial of the largest truncation whose distance is within one standard deviation of the least.

    Of choices that cannot be told apart, that is the most diverse one.
    """
    least = min((trial.comparison.distance for trial in trials), key=lambda distance: distance.mean)
    near = [trial for trial in trials if trial.comparison.distance.mean <= least.mean + least.sd]
    return max(near, key=lambda trial: trial.truncation)


def _widths(run: Run, options: RefineOptions) -> list[float]:
    """Return the widths that can be put together well from the averages that the run has kept."""
    if run.nimg not in run.averages.nimgs() or run.nimg == 0:
        if options.width:
            say(f"{run.averages.folder}: no averages of {run.nimg / 1000:g} kimg: the width stays as it is")
        return []
    residuals = {width: run.averages.mixture(run.nimg, width).residual for width in options.width}
    poor = [f"{width:g}" for width, residual in residuals.items() if residual > MAX_RESIDUAL]
    if poor:
        say(
            f"{run.averages.folder}: too few averages until {run.nimg / 1000:g} kimg for a width of {', '.join(poor)}; "
            "a smaller --checkpoint-every keeps more"
        )
    return [width for width, residual in residuals.items() if residual <= MAX_RESIDUAL]


def _open(options: RefineOptions, device: torch.device) -> Run:
    source = WeightSource(folder=options.weights, offline=options.offline)
    if str(options.run) in KNOWN:
        raise UserError(f"{options.run}: not a run of `synth train`; give the folder of a finished run, or of a grid.")
    trained = open_network(options.run, device, source)
    folder = RunFolder(trained.path.parent)
    if not folder.config.exists() or trained.path != folder.network:
        raise UserError(f"{options.run}: not a run of `synth train`; give the folder of a finished run, or of a grid.")
    cohort = read_cohort(options.cohort)
    if options.out.resolve().parent == folder.path.resolve():
        raise UserError(f"--out {options.out}: within the run's own folder, whose files it may replace; give another.")
    if trained.about["cohort"] != cohort.sha256:
        raise UserError(f"--cohort {options.cohort}: not what {options.run} was trained on; give that cohort.")
    if trained.c_dim:
        raise UserError(f"{options.run}: draws several classes, which cannot be refined together; train one a class.")
    data, seed = _training_set(cohort, folder)
    features = resolve_choice(options.features, "quality", source, looked_through=trained.looked_through)
    fakes = options.fakes or (REFINE_FID_FAKES if features == "inception" else FAKES)
    require_enough(len(data.images), fakes, "--quality-fakes")
    meter = QualityMeter.build(
        data.images,
        data.validation,
        features=features,
        fakes=fakes,
        seed=seed,
        groups=data.groups,
        device=device,
        weights=options.weights,
        offline=options.offline,
    )
    forms = np.stack([to_features(form, meter.extractor) for form in turned(data.images)])
    nimg = round(1000 * trained.about["generator"].get("kimg", 0))
    return Run(trained, AverageFolder(folder.averages), nimg, meter, forms, seed)


def _training_set(cohort: Cohort, folder: RunFolder) -> tuple[TrainingSet, int]:
    """Return what the run saw, and its seed.

    Raises `UserError`: its configuration is damaged.
    """
    config = folder.read_config()
    try:
        asked = TrainOptions(folder.path, folder.path, label=config["label"], protocol=config["protocol"])
        return TrainingSet.of(cohort, int(config["fold"]), asked), int(config["seed"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{folder.config}: damaged; train the run again.") from error


def _write_network(path: Path, run: Run, generator: Generator, chosen: Trial) -> None:
    """Write the network with the chosen average, which says what was chosen, and its scores with it."""
    networks = run.trained.networks
    about = run.trained.about | {
        "quality": chosen.quality,
        # Its quality is the best of several tries on the same images, and so a little too good.
        "refined": {"width": chosen.width, "truncation": chosen.truncation, "from": run.trained.sha256},
    }
    with whole_file(path) as part:
        part.write_bytes(network_bytes(Networks(generator, networks.G, networks.D), about))
