"""Whether the features tell what they should not need to, and who is served worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.table2.wording import UNDEFINED, listed, number_interval, percent_interval, row_name
from shared.document import Block, Grid, Heading, Paragraph, escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.table2.attributes import Part
    from classify.table2.outcome import SetResult
    from classify.table2.summary import Row


ENDS = (
    "Accuracy in %, with 95 % intervals. Where the two intervals overlap much, nobody can tell from these images that "
    "one is served worse; and of several values the lowest looks lower than it is, since it was looked for."
)


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
            "AUC of a linear probe on what the classifier's last layer sees, on images that the probe was not fitted "
            "on; 0.5 is chance. Means over models, of the ends of intervals, too. Features that tell external images "
            "from the study's negatives know their source only where both show the same diagnosis:"
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
        [row_name(row.key), escaped(part.attribute), escaped(part.value), str(part.n), percent_interval(part.accuracy)]
        for row, part in shown
    ]
    if not cells:
        return blocks
    table = Grid(["Row", "Attribute", "Value", "n", "Accuracy"], cells, left=3)
    ends = _ends(results)
    if not ends:
        return [*blocks, table]
    header = ["Row", "By", "Values", "Lowest", "Its accuracy", "Highest", "Its accuracy"]
    return [*blocks, Grid(header, ends, left=2), Paragraph(ENDS), Heading("Every value", 3), table]


def _ends(results: Sequence[tuple[Row, SetResult]]) -> list[list[str]]:
    """Return for each row and attribute with several values the one of the lowest accuracy, and of the highest."""
    found = []
    for row, result in results:
        of_name: dict[str, list[Part]] = {}
        for part in result.parts:
            of_name.setdefault(part.attribute, []).append(part)
        for name, parts in of_name.items():
            ordered = sorted(parts, key=lambda part: part.accuracy.value or 0.0)
            if len(ordered) > 1:
                shown = [
                    words
                    for part in (ordered[0], ordered[-1])
                    for words in (f"{escaped(part.value)} (n = {part.n})", percent_interval(part.accuracy))
                ]
                found.append([row_name(row.key), escaped(name), str(len(ordered)), *shown])
    return found
