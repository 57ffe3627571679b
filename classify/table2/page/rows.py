"""The rows of Table 2, as the paper has them, with what it published beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.registry import model_label
from classify.table2.wording import UNDEFINED, percent, percent_interval, percent_over_folds, ratio_name
from shared.document import Grid, Heading, Paragraph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classify.presets import Published
    from classify.table2.outcome import SetResult
    from classify.table2.summary import Row, Table
    from shared.document import Block

SHOWN = {"precision": "Precision", "sensitivity": "Sensitivity", "f1": "F1", "accuracy": "Accuracy"}
SHORT = {"precision": "prec.", "sensitivity": "sens.", "f1": "F1", "accuracy": "acc."}  # for consoles of 80 columns
FEW_PARAMETERS = 10_000  # below it they are counted one by one
CONSOLE = ("model", "ratio", *SHORT.values(), "paper: acc.")


LEGEND = (
    "Test metrics in %. Ratios are synthetic:real. *n* counts test images of all folds together; ± is the sample "
    "standard deviation over folds, and one fold has none. The 95 % interval of the accuracy is Wilson's, or that of a "
    "bootstrap over patients or cases where these have several images and it is wider. *External right* counts an "
    "image once, though several models judged it: by the mean of their verdicts."
)


def tested(table: Table, accuracy: Sequence[Block]) -> list[Block]:
    """Return Table 2, the figure of its accuracies, and the paper's rows that were not run."""
    blocks = [Heading("Test results", 2), main_table(table.rows), Paragraph(LEGEND), *accuracy]
    if table.missing:
        blocks += [Heading("The paper's rows that were not run", 3), missing_table(table.missing)]
    return blocks


def main_table(rows: Sequence[Row]) -> Grid:
    """Return Table 2."""
    header = ["Model", "Parameters", "Ratio", *SHOWN.values(), "95 % interval", "n", "Folds", "External right"]
    header += [f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    return Grid(header, [_cells(row) for row in rows], left=3)


def _cells(row: Row) -> list[str]:
    label, ratio, *ours = _our_cells(row)
    tested = row.balanced
    interval = tested.measured["accuracy"].interval if tested else None
    shown = UNDEFINED if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"
    n = str(tested.n) if tested else UNDEFINED
    rest = [shown, n, _folds(row.balanced or row.external), _external(row.external)]
    return [
        label,
        _parameters(row.parameters),
        ratio,
        *ours,
        *rest,
        _published(row.paper),
        _published_external(row.paper),
    ]


def console_cells(row: Row) -> list[str]:
    """Return a row as the console shows it: label, ratio, four metrics, the paper's accuracy."""
    accuracy = "±".join(_number(value, place) for place, value in enumerate(row.paper.get("accuracy", ())))
    return [*_our_cells(row), accuracy or UNDEFINED]


def _our_cells(row: Row) -> list[str]:
    marks = ("†" if row.allow_seen else "") + ("‡" if row.key.protocol == "paper" else "")
    tested = row.balanced
    metrics = [percent_over_folds(tested.metrics[name]) if tested else UNDEFINED for name in SHOWN]
    return [f"{row.label}{marks}", ratio_name(row.key), *metrics]


def _parameters(counts: Mapping[str, int | None]) -> str:
    def millions(value: int | None) -> str:
        if value is None:
            return UNDEFINED
        return f"{value / 1e6:.2f} M" if value >= FEW_PARAMETERS else f"{value:,}"

    trained = "all train" if counts["total"] == counts["trainable"] else f"{millions(counts['trainable'])} train"
    original = f"; ImageNet original {millions(counts['imagenet'])}" if counts.get("imagenet") else ""
    return f"{millions(counts['total'])}, {trained}{original}"


def _folds(result: SetResult | None) -> str:
    if result is None:
        return UNDEFINED
    folds = str(len(result.folds)) if len(result.folds) > 1 else f"1 (fold {result.folds[0]})"
    return folds if len(result.seeds) == 1 else f"{folds}, {len(result.seeds)} seeds"


def _external(result: SetResult | None) -> str:
    """Return how many external images are right; an image that several models judged counts once, by their mean."""
    accuracy = None if result is None else result.measured["accuracy"].value
    if result is None or accuracy is None:
        return UNDEFINED
    right = round(accuracy * result.n, 1)  # not whole where models differ
    return f"{right:g}/{result.n}, {percent_interval(result.measured['accuracy'])}"


def missing_table(missing: Mapping[tuple[str, str], Mapping[str, Published]]) -> Grid:
    """Return the paper's rows that have none here."""
    header = ["Model", "Ratio", f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    rows = [[model_label(m), ratio, _published(v), _published_external(v)] for (m, ratio), v in missing.items()]
    return Grid(header, rows, left=2)


def _published(paper: Mapping[str, Published]) -> str:
    if not any(name in paper for name in SHOWN):
        return UNDEFINED
    return ", ".join("±".join(_number(v, i) for i, v in enumerate(paper[name])) for name in SHOWN)


def _number(value: float, place: int) -> str:
    return f"{value:g}" if place else f"{value:.1f}"


def _published_external(paper: Mapping[str, Published]) -> str:
    if "external" not in paper:
        return UNDEFINED
    right, n = paper["external"]
    return f"{right:.0f}/{n:.0f} ({percent(right / n)})"
