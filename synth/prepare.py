"""`synth prepare`: from folders of photographs, or the phantom, to cohort.h5."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared.cohort import EXTERNAL, MAX_FOLDS, NEGATIVE, NO_FOLD, POSITIVE, STUDY, Cohort, write_cohort
from shared.duplicates import DuplicatePair, duplicate_pairs, merge_groups
from shared.errors import UserError
from shared.files import require_new
from shared.images import FITS, Fit
from shared.splits import assign_folds
from synth.cohort_report import Findings, report
from synth.metadata import Metadata, read_metadata
from synth.photographs import Photographs, folder_name, read_folders, render

MIN_SIZE_PX, MAX_SIZE_PX = 8, 1024
MIN_IMAGES = 2  # of each class
PHANTOM_CLASSES = ("phantom_negative", "phantom_positive")


@dataclass(frozen=True)
class PrepareOptions:
    """What `synth prepare` is asked for: folders of photographs, or the phantom with the paper's counts."""

    out: Path
    positive: tuple[Path, ...] = ()
    negative: tuple[Path, ...] = ()
    external_negative: tuple[Path, ...] = ()
    phantom: bool = False
    size: int = 64  # px
    fit: Fit = "crop"
    folds: int = 5
    seed: int = 0
    csv: Path | None = None  # columns `file`, optional `group`, attributes
    skip_bad: bool = False
    force: bool = False
    phantom_counts: tuple[int, int, int] = (474, 474, 188)  # positives, negatives, externals


def prepare(options: PrepareOptions) -> Cohort:
    """Make the cohort that `options` describe, write it to `options.out`, report it on the console, and return it.

    All photographs are read before anything is written.

    Raises `UserError`: an option out of range, a missing folder, photographs that cannot be used (all are named),
    fewer than two images of a class, fewer groups of a class than folds, or an existing `out` without `force`.
    """
    _check_options(options)
    photographs = _gather(options)
    _check_counts(photographs, options)
    metadata = read_metadata(options.csv, photographs.source_path.tolist()) if options.csv else None
    pairs = duplicate_pairs(photographs.image_id, photographs.thumbnails)
    cohort = _assemble(photographs, options, metadata, pairs)
    cohort = replace(cohort, path=options.out, sha256=write_cohort(options.out, cohort))
    report(cohort, Findings(photographs, pairs, metadata))
    return cohort


def _check_options(options: PrepareOptions) -> None:
    photographs = (*options.positive, *options.negative, *options.external_negative)
    require_new(options.out, force=options.force, inputs=[options.csv, *photographs])
    if options.phantom and (options.positive or options.negative or options.external_negative or options.csv):
        raise UserError(
            "--phantom: renders its own images, so it takes no folders and no --csv; give one or the other."
        )
    for folders, name in ((options.positive, "--positive"), (options.negative, "--negative")):
        if not folders and not options.phantom:
            raise UserError(f"{name}: missing, since a cohort needs both classes; give a folder, or --phantom.")
    if not MIN_SIZE_PX <= options.size <= MAX_SIZE_PX:
        raise UserError(f"--size {options.size}: out of range; give {MIN_SIZE_PX} to {MAX_SIZE_PX} px.")
    if options.fit not in FITS:
        raise UserError(f"--fit {options.fit}: unknown; give one of {', '.join(FITS)}.")
    if not 2 <= options.folds <= MAX_FOLDS:
        raise UserError(f"--folds {options.folds}: out of range; give 2 to {MAX_FOLDS}.")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed {options.seed}: out of range; give 0 to {2**32 - 1}.")


def _gather(options: PrepareOptions) -> Photographs:
    if options.phantom:
        positives, negatives, externals = options.phantom_counts
        return render(
            positives=positives, negatives=negatives, externals=externals, size=options.size, seed=options.seed
        )
    return read_folders(
        options.positive,
        options.negative,
        options.external_negative,
        size=options.size,
        fit=options.fit,
        skip_bad=options.skip_bad,
    )


def _check_counts(photographs: Photographs, options: PrepareOptions) -> None:
    for label, name, folders in (
        (POSITIVE, "--positive", options.positive),
        (NEGATIVE, "--negative", options.negative),
    ):
        count = int(((photographs.label == label) & (photographs.role == STUDY)).sum())
        if count < MIN_IMAGES:
            where = " ".join(map(str, folders))
            raise UserError(
                f"{name} {where}: only {count} usable images, and each class needs {MIN_IMAGES}; add images."
            )


def _assemble(
    photographs: Photographs, options: PrepareOptions, metadata: Metadata | None, pairs: Sequence[DuplicatePair]
) -> Cohort:
    study = photographs.role == STUDY
    # Study images are named first, so that an external set does not renumber their groups and move their folds.
    names = np.char.add(np.where(study, "0", "1"), photographs.image_id)
    groups = metadata.groups if metadata else ("",) * len(photographs)
    group_id = merge_groups(names, pairs, groups)
    fold = np.full(len(photographs), NO_FOLD, np.int8)
    fold[study] = assign_folds(photographs.label[study], group_id[study], folds=options.folds, seed=options.seed)
    assert not (photographs.label[photographs.role == EXTERNAL] == POSITIVE).any()
    return Cohort(
        images=photographs.images,
        label=photographs.label,
        image_id=photographs.image_id,
        group_id=group_id,
        fold=fold,
        role=photographs.role,
        source_path=photographs.source_path,
        attributes=metadata.attributes if metadata else photographs.attributes,
        classes=PHANTOM_CLASSES if options.phantom else _class_names(options.negative, options.positive),
        folds=options.folds,
        seed=options.seed,
        source="phantom" if options.phantom else "photographs",
    )


def _class_names(negative: Sequence[Path], positive: Sequence[Path]) -> tuple[str, str]:
    """Return the names of the folders, or what the options call them where they are the same."""
    first, second = ("+".join(sorted({folder_name(folder) for folder in side})) for side in (negative, positive))
    return (first, second) if first != second else ("negative", "positive")
