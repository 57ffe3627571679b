"""What `synth prepare` tells of the cohort that it made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from shared.cohort import EXTERNAL, NEGATIVE, POSITIVE, STUDY, Cohort
from shared.columns import Array
from shared.console import console, say
from shared.duplicates import DuplicatePair
from shared.order import natural
from shared.splits import external_test_set
from synth.cohorts.metadata import Metadata
from synth.cohorts.photographs import Photographs, listed

MAX_VALUES = 15  # distinct values of an attribute that are counted one by one


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found on the way to a cohort."""

    photographs: Photographs
    pairs: Sequence[DuplicatePair]
    metadata: Metadata | None


def report(cohort: Cohort, findings: Findings) -> None:
    """Print counts, sizes, duplicates, folds and attributes, and where the cohort is."""
    out = console()
    out.print(counts_table(cohort, findings.photographs))
    out.print(folds_table(cohort))
    for line in [*_photograph_lines(cohort, findings), *_duplicate_lines(cohort, findings), *_attribute_lines(cohort)]:
        say(line)
    named = findings.metadata is not None and any(findings.metadata.groups)
    if not named and cohort.source == "photographs":
        why = "no --csv" if findings.metadata is None else "no group in --csv"
        say(
            f"{why}: each photograph counts as another patient's, so that photographs of one patient may lie on both "
            "sides of a split"
        )
    if cohort.size & (cohort.size - 1):
        smaller = 1 << cohort.size.bit_length() - 1
        say(
            f"note: `synth train` takes powers of two alone, and {cohort.size} px is none; for a GAN give "
            f"--size {smaller} or {2 * smaller}"
        )
    say(f"{cohort.path}: {len(cohort)} images of {cohort.size} px, sha256 {cohort.sha256}")


def counts_table(cohort: Cohort, photographs: Photographs) -> Table:
    """Return one row a class, and one for the external negatives: images, groups, and width x height in px."""
    table = Table("class", "images", "groups", "smallest", "median", "largest", title="cohort")
    rows = (
        (POSITIVE, STUDY, cohort.classes[POSITIVE]),
        (NEGATIVE, STUDY, cohort.classes[NEGATIVE]),
        (NEGATIVE, EXTERNAL, "external negatives"),
    )
    for label, role, name in rows:
        chosen = (cohort.label == label) & (cohort.role == role)
        if chosen.any():
            sizes = photographs.full_size[chosen]
            sizes = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
            quantiles = [f"{width} x {height}" for height, width in sizes[[0, len(sizes) // 2, -1]]]
            groups = len(np.unique(cohort.group_id[chosen]))
            table.add_row(Text(name), str(chosen.sum()), str(groups), *quantiles)
    return table


def folds_table(cohort: Cohort) -> Table:
    """Return the study images of each class by fold."""
    table = Table("fold", title="folds (study images)")
    for label in (POSITIVE, NEGATIVE):
        table.add_column(Text(cohort.classes[label]))
    for fold in range(cohort.folds):
        in_fold = (cohort.fold == fold) & (cohort.role == STUDY)
        table.add_row(str(fold), *(str((in_fold & (cohort.label == label)).sum()) for label in (POSITIVE, NEGATIVE)))
    return table


def _photograph_lines(cohort: Cohort, findings: Findings) -> list[str]:
    photographs, metadata = findings.photographs, findings.metadata
    lines = list(photographs.notes)
    if photographs.skipped:
        lines += [f"skipped {len(photographs.skipped)} images that cannot be used:", listed(photographs.skipped)]
    smaller = int((photographs.full_size.min(axis=1) < cohort.size).sum())
    if smaller:
        lines.append(f"note: {smaller} photographs are smaller than {cohort.size} px and were enlarged")
    if metadata and metadata.unknown_photos:
        lines.append(f"note: the CSV does not name {metadata.unknown_photos} photographs; each is a group by itself")
    if metadata and metadata.unknown_rows:
        lines.append(f"note: {metadata.unknown_rows} rows of the CSV name no photograph")
    left_out = external_test_set(cohort)[1]
    if left_out:
        lines.append(
            f"note: {left_out} external images share a group with a study image and are left out of evaluation"
        )
    return lines


def _duplicate_lines(cohort: Cohort, findings: Findings) -> list[str]:
    if not findings.pairs:
        return ["duplicates: none found"]
    lines = [
        f"duplicates: {len(findings.pairs)} pairs, each kept in one group:",
        listed([_pair_line(cohort, pair) for pair in findings.pairs]),
    ]
    both = [pair for pair in findings.pairs if cohort.label[pair.first] != cohort.label[pair.second]]
    if both:
        lines += [
            f"WARNING: {len(both)} of these pairs have one image in each class, so that one label is wrong; "
            "remove the wrong image and prepare again:",
            listed([_pair_line(cohort, pair) for pair in both]),
        ]
    return lines


def _pair_line(cohort: Cohort, pair: DuplicatePair) -> str:
    how = "equal" if cohort.image_id[pair.first] == cohort.image_id[pair.second] else f"r = {pair.correlation:.3f}"
    return f"{cohort.source_path[pair.first]} = {cohort.source_path[pair.second]} ({how})"


def _attribute_lines(cohort: Cohort) -> list[str]:
    return [f"attribute {name}: {summary(column, cohort.label)}" for name, column in sorted(cohort.attributes.items())]


def summary(column: Array, label: Array) -> str:
    """Return the values with the images of each, and how many of these are positive; of many numbers the range."""
    there = ~np.isnan(column) if column.dtype.kind == "f" else column != ""
    known, positive = column[there], label[there] == POSITIVE
    missing = f", {len(column) - len(known)} missing" if len(known) < len(column) else ""
    values, member = np.unique(known, return_inverse=True)
    if len(values) <= MAX_VALUES:
        counts = np.bincount(member, minlength=len(values)).tolist()
        rare = np.bincount(member[positive], minlength=len(values)).tolist()
        rows = list(zip(values.tolist(), counts, rare, strict=True))
        if known.dtype.kind == "U":
            rows.sort(key=lambda row: natural(row[0]))
        shown = ", ".join(f"{value} ({count}, {found} positive)" for value, count, found in rows) or "none"
    elif column.dtype.kind in "iuf":
        shown = f"{known.min():g} to {known.max():g}, median {np.median(known):g}"
    else:
        shown = f"{len(values)} different values"
    return shown + missing
