"""Beyond accuracy: counts, probabilities, and verdicts at a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.table2.wording import number_interval, percent_interval, row_name
from shared.document import Block, Grid, Heading, Paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.table2.gather import RowKey
    from classify.table2.outcome import AtThreshold, SetResult
    from classify.table2.summary import Table


PROBABILITIES = (
    "AUC and average precision are means over models, since scores of different models have no common scale. T is the "
    "mean temperature that each model's validation images give; the calibration error of few images is never 0. An "
    "interval without width says that these images leave nothing to vary, not that the value is sure."
)


def beyond(table: Table, *, confusion: Sequence[Block], reliability: Sequence[Block]) -> list[Block]:
    """Return what the balanced test set tells besides accuracy, each part with its figure."""
    tested = [(row.key, row.balanced) for row in table.rows if row.balanced is not None]
    if not tested:
        return []
    asked = 100 * table.operating.sensitivity
    return [
        Heading("Beyond accuracy, on the balanced test set", 2),
        Paragraph(
            f"**At a threshold**: the likelier class, and what finds {asked:g} % of a model's validation positives. A "
            "balanced test set flatters the precision, so here it stands as it would be where so many have the "
            "disease (`--prevalence`):"
        ),
        Grid(
            ["Row", "Verdict", "Sensitivity", "Specificity"]
            + [f"Precision at {100 * each:g} %" for each in table.operating.prevalence],
            [
                [row_name(key), name, *_threshold_cells(at)]
                for key, result in tested
                for name, at in zip(("likelier class", f"finds {asked:g} %"), result.at_threshold.values(), strict=True)
            ],
            left=2,
        ),
        Heading("Right and wrong verdicts", 3),
        Grid(
            ["Row", "Precision", "F1", "TP", "FP", "TN", "FN", "Patients or cases"],
            [_count_cells(key, result) for key, result in tested],
        ),
        Paragraph("In %, and counts of all models together. Patients or cases are what the bootstrap draws."),
        *confusion,
        Heading("Probabilities and their calibration", 3),
        Grid(
            ["Row", "AUC", "Average precision", "Brier", "after T", "Calibration error", "after T", "T"],
            [_probability_cells(key, result) for key, result in tested],
        ),
        Paragraph(PROBABILITIES),
        *reliability,
    ]


def _count_cells(key: RowKey, result: SetResult) -> list[str]:
    counts = result.confusion
    shares = [percent_interval(result.measured[name]) for name in ("precision", "f1")]
    return [row_name(key), *shares, *map(str, (counts.tp, counts.fp, counts.tn, counts.fn, result.groups))]


def _probability_cells(key: RowKey, result: SetResult) -> list[str]:
    measured = result.measured
    names = ("auc", "average_precision", "brier", "brier_calibrated")
    errors = ("calibration_error", "calibration_error_calibrated")
    shown = [number_interval(measured[name]) for name in (*names, *errors)]
    return [row_name(key), *shown, f"{result.temperature:.2f}"]


def _threshold_cells(at: AtThreshold) -> list[str]:
    shares = [percent_interval(each) for _, each in at.precision]
    return [percent_interval(at.sensitivity), percent_interval(at.specificity), *shares]
