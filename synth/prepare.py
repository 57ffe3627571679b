"""`synth prepare`: from photographs in folders, a SCIN folder or the phantom to cohort.h5."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shared.cohort import EXTERNAL, NEGATIVE, NO_FOLD, POSITIVE, STUDY, Cohort, write_cohort
from shared.duplicates import DuplicatePair, duplicate_pairs, merge_groups
from shared.errors import UserError
from shared.splits import assign_folds
from synth.cohorts.folders import list_folders
from synth.cohorts.metadata import Metadata, read_metadata, require_table
from synth.cohorts.options import PrepareOptions, check_options
from synth.cohorts.photographs import Listing, Photographs, read_photographs, render
from synth.cohorts.report import Findings, report
from synth.cohorts.scin import list_scin

MIN_IMAGES = 2  # of each class


def prepare(options: PrepareOptions) -> Cohort:
    """Make the cohort that `options` describe, write it to `options.out`, report it on the console, and return it.

    All photographs are read before anything is written.

    Raises `UserError`: an option out of range, a missing folder, photographs that cannot be used (all are named),
    fewer than two images of a class, fewer groups of a class than folds, or an existing `out` without `force`.
    """
    check_options(options)
    if options.csv:
        require_table(options.csv)
    photographs = _gather(options)
    _check_counts(photographs, options)
    metadata = read_metadata(options.csv, photographs.source_path.tolist()) if options.csv else None
    pairs = duplicate_pairs(photographs.image_id, photographs.thumbnails)
    cohort = assemble(photographs, options, metadata, pairs)
    cohort = replace(cohort, path=options.out, sha256=write_cohort(options.out, cohort))
    report(cohort, Findings(photographs, pairs, metadata))
    return cohort


def _gather(options: PrepareOptions) -> Photographs:
    if options.phantom:
        positives, negatives, externals = options.phantom_counts
        return render(
            positives=positives, negatives=negatives, externals=externals, size=options.size, seed=options.seed
        )
    return read_photographs(_listing(options), size=options.size, fit=options.fit, skip_bad=options.skip_bad)


def _listing(options: PrepareOptions) -> Listing:
    if options.scin:
        assert options.condition is not None
        return list_scin(options.scin, options.condition, options.negative_condition, options.min_weight)
    return list_folders(options.positive, options.negative, options.external_negative)


def _check_counts(photographs: Photographs, options: PrepareOptions) -> None:
    for label in (POSITIVE, NEGATIVE):
        count = int(((photographs.label == label) & (photographs.role == STUDY)).sum())
        if count < MIN_IMAGES:
            asked = options.asked_for(label)
            raise UserError(f"{asked}: only {count} usable images, and each class needs {MIN_IMAGES}; add images.")


def assemble(
    photographs: Photographs, options: PrepareOptions, metadata: Metadata | None, pairs: Sequence[DuplicatePair]
) -> Cohort:
    """Return the cohort of photographs that were read or rendered; `pairs` are near-duplicates, by rows."""
    study = photographs.role == STUDY
    # Study images are named first, so that an external set does not renumber their groups and move their folds.
    names = np.char.add(np.where(study, "0", "1"), photographs.image_id)
    groups = metadata.groups if metadata else photographs.groups
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
        classes=photographs.classes,
        folds=options.folds,
        seed=options.seed,
        source=photographs.source,
    )
