"""Everything that `synth prepare` can be told; each default stands here and nowhere else."""

from dataclasses import dataclass
from pathlib import Path

from shared.cohort import MAX_FOLDS, POSITIVE
from shared.errors import UserError
from shared.files import require_new
from shared.images import FITS, Fit

MIN_SIZE_PX, MAX_SIZE_PX = 8, 1024
# At half of the weight a condition is the case's first: no other has more. The second of one dermatologist's list never
# has so much (1/2 of the first's share: at most 1/3), so what was only considered is not called the disease.
MIN_WEIGHT = 0.5
# What brings its own images, and why nothing else can come with it.
ALONE = {"--phantom": "renders its own images", "--scin": "has its own images, classes and cases"}


@dataclass(frozen=True)
class PrepareOptions:
    """What `synth prepare` is asked for: folders of photographs, a SCIN folder, or the phantom with the paper's counts.

    Attributes:
        condition, negative_condition, min_weight: which cases of `scin` are positive, and which negative: with no
            name, all labelled ones in which nobody thought of `condition`.
        csv: a table with the column `file`, optional `group` and attributes.
        phantom_counts: positives, negatives, externals.
    """

    out: Path
    positive: tuple[Path, ...] = ()
    negative: tuple[Path, ...] = ()
    external_negative: tuple[Path, ...] = ()
    phantom: bool = False
    scin: Path | None = None
    condition: str | None = None
    negative_condition: tuple[str, ...] = ()
    min_weight: float = MIN_WEIGHT
    size: int = 64  # px
    fit: Fit = "crop"
    folds: int = 5
    seed: int = 0
    csv: Path | None = None
    skip_bad: bool = False
    force: bool = False
    phantom_counts: tuple[int, int, int] = (474, 474, 188)

    def asked_for(self, label: int) -> str:
        """Return the option that asks for the images of a class, as the user gave it."""
        if self.scin:
            return f"--condition {self.condition}" if label == POSITIVE else f"--scin {self.scin} without it"
        name, folders = ("--positive", self.positive) if label == POSITIVE else ("--negative", self.negative)
        return f"{name} {' '.join(map(str, folders))}"


def check_options(options: PrepareOptions) -> None:
    """Refuse what contradicts itself or is out of range, before anything is read.

    Raises `UserError`.
    """
    inputs = (options.csv, options.scin, *options.positive, *options.negative, *options.external_negative)
    require_new(options.out, force=options.force, inputs=inputs)
    _check_scin(options)
    _check_sources(options)
    if not MIN_SIZE_PX <= options.size <= MAX_SIZE_PX:
        raise UserError(f"--size {options.size}: out of range; give {MIN_SIZE_PX} to {MAX_SIZE_PX} px.")
    if options.fit not in FITS:
        raise UserError(f"--fit {options.fit}: unknown; give one of {', '.join(FITS)}.")
    if not 2 <= options.folds <= MAX_FOLDS:
        raise UserError(f"--folds {options.folds}: out of range; give 2 to {MAX_FOLDS}.")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed {options.seed}: out of range; give 0 to {2**32 - 1}.")


def _check_sources(options: PrepareOptions) -> None:
    """Refuse more than one source of photographs, and none."""
    asked = {
        "--phantom": options.phantom,
        "--scin": options.scin,
        "--positive": options.positive,
        "--negative": options.negative,
        "--external-negative": options.external_negative,
        "--csv": options.csv,
    }
    given = [name for name, value in asked.items() if value]
    if given and given[0] in ALONE:
        if given[1:]:
            others = ", no ".join(given[1:])
            raise UserError(f"{given[0]}: {ALONE[given[0]]}, so it takes no {others}; give one or the other.")
        return
    for name in ("--positive", "--negative"):
        if not asked[name]:
            raise UserError(f"{name}: missing, since a cohort needs both classes; give a folder, --scin or --phantom.")


def _check_scin(options: PrepareOptions) -> None:
    if options.scin is None:
        asked = {
            "--condition": options.condition is not None,
            "--negative-condition": options.negative_condition,
            "--min-weight": options.min_weight != MIN_WEIGHT,
        }
        for name in (name for name, given in asked.items() if given):
            raise UserError(f"{name}: says what is taken of a SCIN folder; give --scin DIR with it, or leave it out.")
    elif options.condition is None:
        raise UserError(
            f"--condition: missing; name the disease as `synth prepare --list-conditions {options.scin}` lists it."
        )
    elif not 0 < options.min_weight <= 1:
        raise UserError(
            f"--min-weight {options.min_weight:g}: out of range, since the weights of a case add up to 1; give more "
            "than 0, and 1 at most."
        )
