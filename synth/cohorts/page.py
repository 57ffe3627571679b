"""The photographs of a cohort as a part of a report: how many, whose, and which of them are the same."""

from collections.abc import Sequence

import numpy as np

from shared.cohort import EXTERNAL, NEGATIVE, PHANTOM, POSITIVE, STUDY, Cohort
from shared.document import Block, Bullets, Grid, Heading, Paragraph, escaped
from shared.duplicates import DuplicatePair, duplicate_pairs, merge_groups, thumbnails_of
from shared.progress import progress
from shared.splits import external_test_set, parts
from shared.stored import pieces_of
from synth.cohorts.report import summary

LISTED = 20  # pairs


def cohort_page(cohort: Cohort, *, named: bool = True) -> list[Block]:
    """Return counts, duplicates (with the names of their files if they may be `named`), parts and attributes."""
    pairs = find_duplicates(cohort)
    return [
        Heading("The photographs", 2),
        _counts(cohort),
        Paragraph(f"Images are {cohort.size} x {cohort.size} px. {_groups(cohort, pairs)}"),
        *_duplicates(cohort, pairs, named=named),
        *_parts(cohort),
        *_attributes(cohort),
    ]


def find_duplicates(cohort: Cohort) -> list[DuplicatePair]:
    """Return the pairs of prepared images that show the same photograph; the images are read piece by piece."""
    thumbnails = []
    with progress("looking for duplicates", len(cohort), unit="images") as bar:
        for piece in pieces_of(cohort.images):
            thumbnails.append(thumbnails_of(piece))
            bar.advance(len(piece))
    return duplicate_pairs(cohort.image_id, np.concatenate(thumbnails))


def _counts(cohort: Cohort) -> Grid:
    kinds = (
        (cohort.classes[POSITIVE], cohort.label == POSITIVE, STUDY),
        (cohort.classes[NEGATIVE], cohort.label == NEGATIVE, STUDY),
        ("external negatives", cohort.label == NEGATIVE, EXTERNAL),
    )
    rows = []
    for name, of_class, role in kinds:
        chosen = of_class & (cohort.role == role)
        if chosen.any():
            rows.append([escaped(name), str(int(chosen.sum())), str(len(np.unique(cohort.group_id[chosen])))])
    return Grid(["Class", "Images", "Patients or cases"], rows)


def _groups(cohort: Cohort, pairs: Sequence[DuplicatePair]) -> str:
    if cohort.source == PHANTOM:
        return "Each is rendered by itself, and stands for a patient."
    of_pairs = merge_groups(cohort.image_id, pairs, ())
    alone = len(np.unique(cohort.group_id)) >= len(np.unique(of_pairs))  # nothing but duplicates is together
    return (
        "Nobody said which photographs are of one patient, so each counts as another's; if that is wrong, one patient "
        "stands on both sides of a split and every test below flatters."
        if alone
        else "Images of one patient or case, and duplicates, stay together on one side of every split."
    )


def _duplicates(cohort: Cohort, pairs: Sequence[DuplicatePair], *, named: bool) -> list[Block]:
    if not pairs:
        return [Paragraph("No photograph was found twice (by hash and aligned correlation of the prepared images).")]
    apart = [pair for pair in pairs if cohort.group_id[pair.first] != cohort.group_id[pair.second]]
    wrong = [pair for pair in pairs if cohort.label[pair.first] != cohort.label[pair.second]]
    lines = [f"{len(pairs)} pairs show the same photograph, found by hash and aligned correlation."]
    if apart:
        lines.append(f"**{len(apart)} of them are in different groups: prepare the cohort again.**")
    if wrong:
        lines.append(f"**{len(wrong)} of them have one image in each class, so that one label is wrong.**")
    if not named:
        return [Paragraph(" ".join(lines))]
    rows = [
        [escaped(str(cohort.source_path[a])), escaped(str(cohort.source_path[b])), f"{pair.correlation:.3f}"]
        for pair in pairs[:LISTED]
        for a, b in [(pair.first, pair.second)]
    ]
    more = [Paragraph(f"The first {LISTED} of {len(pairs)}.")] if len(pairs) > LISTED else []
    return [
        Paragraph(" ".join(lines)),
        Heading("Photographs that are there twice", 3),
        Grid(["Photograph", "The same", "Correlation"], rows, left=2),
        *more,
    ]


def _parts(cohort: Cohort) -> list[Block]:
    def counts(rows: np.ndarray) -> str:
        positives = int((cohort.label[rows] == POSITIVE).sum())
        return f"{positives} + {len(rows) - positives}"

    rows = []
    for fold in range(cohort.folds):
        part = parts(cohort, fold)
        rows.append([str(fold), *map(counts, (part.train, part.validation, part.test))])
    external, left_out = external_test_set(cohort)
    outside = f" {len(external)} external negatives are for testing only." if len(external) else ""
    related = f" {left_out} more share a group with a study image and are left out." if left_out else ""
    return [
        Heading("Parts of the cohort", 3),
        Grid(["Fold", "Train", "Validation", "Test"], rows),
        Paragraph(
            "Positives + negatives. Generators, thresholds and classifiers learn from *train*, every choice is made "
            f"on *validation*, and *test* is looked at once.{outside}{related}"
        ),
    ]


def _attributes(cohort: Cohort) -> list[Block]:
    lines = [
        f"{escaped(name)}: {escaped(summary(column, cohort.label))}"
        for name, column in sorted(cohort.attributes.items())
    ]
    if not lines:
        return [Paragraph("Nothing is known of skin tone, age or sex, so nobody can tell whom this serves worse.")]
    return [Heading("Attributes", 3), Bullets(lines)]
