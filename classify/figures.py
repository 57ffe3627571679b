"""The figures of Table 2: accuracy by configuration, confusion matrices, learning curves and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from classify.gather import rows_of
from classify.registry import model_label
from classify.wording import ratio_name, row_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from classify.outcome import SetResult
    from classify.tables import Row, Table
    from shared.plots import DotPanel, Matrix, Panel, Series
    from shared.records import Record

CAPTIONS = {
    "accuracy": "Accuracy by configuration (the paper's Figure 5) with 95 % intervals, ticks are folds; and the gain "
    "over the same model without synthetic images",
    "confusion": "Confusion matrices of all folds together (the paper's Figures 6 and 7)",
    "curves": "Loss and accuracy over epochs (the paper's Figures 8 and 9), means over folds and seeds",
    "reliability": "Reliability: what a probability is worth, as given and after temperature scaling",
}
FIGURES = tuple(CAPTIONS)


def draw_figures(table: Table, records: Sequence[Record], paths: Mapping[str, Path]) -> set[str]:
    """Write the figures that `paths` names and return the names of those that were: all that there is data for."""
    from shared.plots import ReliabilityPanel, confusion_matrices, curves, dot_plot, reliability_diagrams

    tested = [(row, row.balanced) for row in table.rows if row.balanced is not None]
    drawn = set()
    if tested:
        dot_plot(paths["accuracy"], _accuracy_panels(table))
        confusion_matrices(paths["confusion"], _matrices(table.rows, records))
        panels = [ReliabilityPanel(row_name(row.key), _reliable(result)) for row, result in tested]
        reliability_diagrams(paths["reliability"], panels)
        drawn = {"accuracy", "confusion", "reliability"}
    panels_of_curves = _curve_panels(records)
    if panels_of_curves:
        curves(paths["curves"], panels_of_curves)
        drawn.add("curves")
    return drawn


def _accuracy_panels(table: Table) -> list[DotPanel]:
    from shared.plots import Dot, DotPanel

    dots = []
    for row in table.rows:
        if row.balanced is not None:
            accuracy = row.balanced.measured["accuracy"]
            folds = [100 * value for value in row.by_fold]
            interval = None if accuracy.interval is None else (100 * accuracy.interval[0], 100 * accuracy.interval[1])
            dots.append(Dot(row_name(row.key), 100 * (accuracy.value or 0), interval, row.key.model, folds))
    panels = [DotPanel("Accuracy", "% of the balanced test sets", dots)]
    if table.against_none:
        models = list(dict.fromkeys(row.key.model for row in table.rows))
        gains = [
            Dot(
                row_name(each.row),
                100 * each.gain,
                None if each.gain_interval is None else (100 * each.gain_interval[0], 100 * each.gain_interval[1]),
                each.row.model,
            )
            for each in sorted(table.against_none, key=lambda each: models.index(each.row.model))
        ]
        panels.append(DotPanel("Gain", "points of accuracy", gains, 0.0, "no difference"))
    return panels


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
                        f"{row.label}{where}\n{ratio_name(row.key)}",
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
    """Return two panels a model, loss and accuracy, in each a curve for training and one for validation of each row."""
    from shared.plots import Panel

    panels: dict[tuple[str, str], list[Series]] = {}
    for key, group in rows_of(records).items():
        fits = {(record["key"]["fold"], record["key"]["seed"]): record["epochs"] for record in group}
        for name in ("loss", "accuracy"):
            for part in ("train", "validation"):
                mean = _mean_curve(list(fits.values()), part, name)
                if len(mean):
                    row = ratio_name(key)
                    panels.setdefault((model_label(key.model), name), []).append(_series(row, part, name, mean))
    return [
        Panel(f"{model}: {name}", "epoch", "cross-entropy" if name == "loss" else "%", series)
        for (model, name), series in panels.items()
    ]


def _series(row: str, part: str, name: str, mean: np.ndarray) -> Series:
    from shared.plots import Series

    scale = 1 if name == "loss" else 100
    return Series(f"{row}, {part}", np.arange(1, len(mean) + 1), scale * mean, family=row)


def _mean_curve(fits: Sequence[Sequence[Mapping[str, Any]]], part: str, name: str) -> np.ndarray:
    """Return the mean over fits for each epoch that all of them have."""
    rows = [[each[part][name] for each in epochs if each.get(part) is not None] for epochs in fits]
    shortest = min(map(len, rows), default=0)
    return np.array([row[:shortest] for row in rows]).mean(axis=0) if shortest else np.empty(0)
