"""What it cost, and validation beside test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.table2.wording import UNDEFINED, percent, points, row_name
from shared.document import Block, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.table2.summary import Row, Table


def costs(table: Table, curves: Sequence[Block]) -> list[Block]:
    """Return times, memory and parameters, validation beside test, and the figure of learning curves."""
    header = ["Row", "Validation", "Test", "Difference", "Frozen layers, s a model", "Training, s a model"]
    header += ["Epochs", "Kept", "Test, ms an image", "Peak memory, MiB", "Parameters", "of these train"]
    return [
        Heading("Validation beside test, and cost", 2),
        Paragraph(
            "The paper's Table 6; time an image is its Equation 8: test time / images. Validation is the accuracy of "
            "the kept epochs with both classes weighed alike, as they are in the test set, in %; under protocol strict "
            "it chose them, so it is a little too good, and under protocol paper it knows turned twins of what was "
            "trained on. Frozen layers look at each picture once, before the training, whose time is without theirs (a "
            "dash where none are frozen, or where it was not noted). Kept epochs are in the order of folds and seeds. "
            "Peak memory is the most that the process held during the training (on a GPU: its tensors):"
        ),
        Grid(header, [_cost_cells(row) for row in table.rows]),
        *curves,
    ]


def _cost_cells(row: Row) -> list[str]:
    def number(value: float | None, scale: float, digits: int) -> str:
        return UNDEFINED if value is None else f"{value * scale:,.{digits}f}"

    accuracy = row.balanced.metrics["accuracy"] if row.balanced else None
    test = accuracy.mean if accuracy else None
    return [
        row_name(row.key),
        percent(row.validation),
        percent(test),
        UNDEFINED if row.validation is None or test is None else points(row.validation - test, None),
        number(row.frozen_s, 1, 0),
        number(row.train_s, 1, 0),
        number(row.epochs, 1, 0),
        ", ".join(str(epoch or UNDEFINED) for _, _, epoch in row.kept_epochs),
        number(row.image_s, 1000, 1),
        number(row.peak_bytes, 2**-20, 0),
        number(row.parameters["total"], 1, 0),
        number(row.parameters["trainable"], 1, 0),
    ]
