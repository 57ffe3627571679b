"""Rows against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.table2.wording import UNDEFINED, exact_test, p_value, points, ratio_name, row_name
from shared.document import Block, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.table2.contrast import Contrast, Contrasts


COLUMNS = (
    "Gains are in accuracy, with 95 % intervals for these models on other images: Newcombe's for pairs, or that of a "
    "bootstrap over patients or cases where it goes further. *only this* and *only that* count the images that one of "
    "the two gets right; p (images), {test}, asks whether they are as many. That says nothing of other trainings: p "
    "(folds), the corrected resampled t test (Nadeau and Bengio, 2003), asks what these would change, and with few "
    "folds finds large differences only. Holm's method corrects each over all comparisons that have it: {count} and "
    "{of_folds}."
)


def compared(of: Contrasts) -> list[Block]:
    """Return every comparison of a table, and what its columns are."""
    families = {
        "Against the same model without synthetic images": of.against_none,
        "Synthetic images against what stands in their place, with the same budget": of.against_controls,
        "Synthetic images in both classes against positives alone": of.against_positive,
        "Models against each other, without synthetic images": of.between_models,
        "With synthetic images against the linear probe without them": of.against_probe,
    }
    first, *others = [(title, found) for title, found in families.items() if found] or [("", ())]
    if not first[1]:
        return []
    of_folds = sum(each.p_folds is not None for each in of.all)
    blocks: list[Block] = [
        Heading("Rows against each other", 2),
        Paragraph(f"**{first[0]}**, on the same test images:"),
        _contrast_table(first[1]),
        Paragraph(COLUMNS.format(test=exact_test(of.all), count=of.count, of_folds=of_folds)),
    ]
    for title, found in others:
        blocks += [Heading(title, 3), _contrast_table(found)]
    return blocks


def _contrast_table(found: Sequence[Contrast]) -> Grid:
    header = ["Row", "against", "n", "Gain", "only this", "only that", "p (images)", "by Holm", "p (folds)", "by Holm"]
    header.append("Gain in AUC")
    rows = [
        [
            row_name(each.row),
            ratio_name(each.other) if each.other.model == each.row.model else row_name(each.other),
            str(each.n),
            points(each.gain, each.gain_interval),
            f"{round(each.only_row_right, 1):g}",
            f"{round(each.only_other_right, 1):g}",
            *map(p_value, (each.p, each.p_holm, each.p_folds, each.p_folds_holm)),
            UNDEFINED if each.auc_gain is None else points(each.auc_gain, each.auc_interval),
        ]
        for each in found
    ]
    return Grid(header, rows, left=2)
