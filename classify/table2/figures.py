"""The figures of Table 2: accuracy by configuration, confusion matrices, learning curves and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classify.table2.gather import rows_of
from classify.table2.wording import ratio_words, row_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from classify.table2.contrast import Contrast
    from classify.table2.gather import RowKey
    from classify.table2.outcome import SetResult
    from classify.table2.summary import Row, Table
    from shared.plots import DotPanel, Matrix, Panel, Series
    from shared.records import Record

CAPTIONS = {
    "accuracy": "Accuracy by configuration (the paper's Figure 5) with 95 % intervals, where ticks are folds",
    "confusion": "Confusion matrices (the paper's Figures 6 and 7): verdicts of all folds and seeds, so an image "
    "counts once for each model that judged it",
    "curves": "Loss and accuracy over epochs (the paper's Figures 8 and 9): means over folds and seeds, from the least "
    "to the most of them, as far as all went",
    "reliability": "Reliability: what a probability is worth, as given and after temperature scaling; larger points "
    "are more images, and bars are 95 % intervals",
}
OF_GAIN = (
    "; and the gain over the same model without synthetic images, filled where it is beyond chance among test images "
    "when corrected for all comparisons (intervals are not)"
)
FIGURES = tuple(CAPTIONS)
MEASURES = {"loss": "cross-entropy", "accuracy": "%"}  # of an epoch, with their units
PARTS = {"validation": "validation", "train": "training"}
CURVES_IN = (3.4, 2.5)  # a panel of curves: two for each row


def caption_of(name: str, table: Table) -> str:
    """Return what a figure of a table shows."""
    return CAPTIONS[name] + (OF_GAIN if name == "accuracy" and table.contrasts.against_none else "")


def draw_figures(table: Table, records: Sequence[Record], paths: Mapping[str, Path]) -> set[str]:
    """Write the figures that `paths` names and return the names of those that were: all that there is data for.

    `paths` names all of `FIGURES` or none.
    """
    if not paths:
        return set()
    from shared.plots import ReliabilityPanel, confusion_matrices, curves, dot_plot, reliability_diagrams

    tested = [(row, row.balanced) for row in table.rows if row.balanced is not None]
    drawn = set()
    if tested:
        dot_plot(paths["accuracy"], _accuracy_panels(table))
        confusion_matrices(paths["confusion"], _matrices(table.rows, records))
        panels = [ReliabilityPanel(row_name(row.key, "\n"), _reliable(result)) for row, result in tested]
        reliability_diagrams(paths["reliability"], panels)
        drawn = {"accuracy", "confusion", "reliability"}
    panels_of_curves = _curve_panels(records)
    if panels_of_curves:
        curves(paths["curves"], panels_of_curves, columns=min(4, len(panels_of_curves)), panel_in=CURVES_IN)
        drawn.add("curves")
    return drawn


def _accuracy_panels(table: Table) -> list[DotPanel]:
    from shared.plots import Dot, DotPanel

    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    def both(interval: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if interval is None else (100 * interval[0], 100 * interval[1])

    accuracies, gains = [], []
    against_none = {each.row: each for each in table.contrasts.against_none}
    for row in table.rows:
        if row.balanced is not None:
            name, model, accuracy = row_name(row.key), row.key.model, row.balanced.measured["accuracy"]
            folds = [100 * value for value in row.by_fold] if len(row.by_fold) > 1 else []
            accuracies.append(Dot(name, percent(accuracy.value), both(accuracy.interval), model, folds))
            gain = against_none.get(row.key)
            gains.append(
                Dot(name, None, group=model)
                if gain is None
                else Dot(name, percent(gain.gain), both(gain.gain_interval), model, hollow=not _is_told(gain))
            )
    # An interval that leaves out zero is one of many.
    panels = [DotPanel("Accuracy", "% of the balanced test sets", accuracies)]
    if against_none:
        panels.append(DotPanel("Gain over none", "points of accuracy", gains, 0.0, "no difference"))
    return panels


def _is_told(gain: Contrast) -> bool:
    return gain.is_better or gain.is_worse


def _matrices(rows: Sequence[Row], records: Sequence[Record]) -> list[Matrix]:
    from shared.plots import Matrix

    negative, positive = records[0]["cohort"]["classes"]
    found = []
    for row in rows:
        for result, where in ((row.balanced, ""), (row.external, ", external")):
            if result is not None:
                counts = result.confusion
                found.append(
                    Matrix(
                        f"{row.label}{where}\n{ratio_words(row.key)}",
                        ((counts.tn, counts.fp), (counts.fn, counts.tp)),
                        (f"not {positive}" if where else negative, positive),
                    )
                )
    return found


def _reliable(result: SetResult) -> list[Any]:
    from shared.plots import Reliable

    return [
        Reliable(
            name,
            [each.mean_probability for each in bins],
            [each.share_positive for each in bins],
            [each.interval for each in bins],
            [each.n for each in bins],
        )
        for name, bins in result.reliability.items()
    ]


def _curve_panels(records: Sequence[Record]) -> list[Panel]:
    """Return two panels a row, loss and accuracy, each with a curve for validation and one for training.

    The axes of a model's rows reach equally far.
    """
    from shared.plots import Panel

    found: dict[RowKey, dict[str, list[Series]]] = {}
    for key, group in rows_of(records).items():
        fits = list({(record["key"]["fold"], record["key"]["seed"]): record["epochs"] for record in group}.values())
        of_row = {name: _series(fits, name) for name in MEASURES}
        if any(of_row.values()):
            found[key] = of_row
    panels = []
    for key, of_row in found.items():
        for name, series in of_row.items():
            alike = [
                np.asarray(each.y if each.band is None else each.band)
                for other in found
                if other.model == key.model
                for each in found[other][name]
            ]
            shows = (min(map(np.min, alike)), max(map(np.max, alike)))
            panels.append(Panel(f"{row_name(key, chr(10))}: {name}", "epoch", MEASURES[name], series, shows=shows))
    return panels


def _series(fits: Sequence[Sequence[Mapping[str, Any]]], name: str) -> list[Series]:
    """Return the curves of a row: validation, and training."""
    from shared.plots import Series

    scale, made = 1 if name == "loss" else 100, []
    for part, title in PARTS.items():
        values = scale * _of_fits(fits, part, name)
        if values.size:
            band = (values.min(axis=0), values.max(axis=0)) if len(values) > 1 else None
            made.append(Series(title, np.arange(1, values.shape[1] + 1), values.mean(axis=0), band=band))
    return made


def _of_fits(fits: Sequence[Sequence[Mapping[str, Any]]], part: str, name: str) -> np.ndarray:
    """Return the values of each fit for each epoch that all of them have, [fits, epochs]."""
    rows = [[each[part][name] for each in epochs if each.get(part) is not None] for epochs in fits]
    shortest = min(map(len, rows), default=0)
    return np.array([row[:shortest] for row in rows]) if shortest else np.empty((0, 0))
