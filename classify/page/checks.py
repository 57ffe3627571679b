"""Whether the features tell what they should not need to, and who is served worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.wording import UNDEFINED, listed, number_interval, percent_interval, row_name
from shared.document import Block, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.summary import Row


def shortcuts(rows: Sequence[Row]) -> list[Block]:
    """Return what probes of the features found, and what it may mean."""
    probed = [row for row in rows if row.synthetic_probe is not None or row.source_probe is not None]
    if not probed:
        return []
    header = ["Row", "synthetic or real positive", "external or study negative"]
    cells = [
        [
            row_name(row.key),
            *(UNDEFINED if p is None else number_interval(p, 2) for p in (row.synthetic_probe, row.source_probe)),
        ]
        for row in probed
    ]
    blocks: list[Block] = [
        Heading("Shortcut checks", 2),
        Paragraph(
            "AUC of a linear probe on what the classifier's last layer sees, on images that the "
            "probe was not fitted on (mean over models); 0.5 is chance:"
        ),
        Grid(header, cells),
    ]
    told = [row_name(row.key, " at ") for row in probed if row.knows_synthetic]
    if told:
        blocks.append(
            Paragraph(
                f"The features of {listed(told)} tell synthetic from real positives. Only positives are synthetic "
                'there, so "looks synthetic" could be learnt as "has the disease", which no test image rewards; '
                "synthetic images in both classes (`--synthetic both`) take that away."
            )
        )
    return blocks


def attributes(rows: Sequence[Row]) -> list[Block]:
    """Return the accuracy by attribute, and how many values have too few images."""
    results = [(row, row.balanced) for row in rows if row.balanced]
    shown = [(row, part) for row, result in results for part in result.parts]
    hidden, least = max(((result.hidden_parts, result.least_of_part) for _, result in results), default=(0, 0))
    if not shown and not hidden:
        return []
    blocks: list[Block] = [Heading("By attribute", 2)]
    if hidden:
        values, are = ("1 value has", "is") if hidden == 1 else (f"{hidden} values have", "are")
        few = f"{values} fewer than {least} images, too few to say anything, and {are} left out."
        blocks.append(Paragraph(few))
    cells = [
        [row_name(row.key), part.attribute, part.value, str(part.n), percent_interval(part.accuracy)]
        for row, part in shown
    ]
    if cells:
        blocks.append(Grid(["Row", "Attribute", "Value", "n", "Accuracy"], cells, left=3))
    return blocks
