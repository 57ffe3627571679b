"""What a model card says of a model's evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classify.fitting.folder import FittedModel, as_plain
from classify.measuring.operating import LEAST
from classify.table2.caveats import caveats_of
from classify.table2.gather import RowKey
from classify.table2.outcome import SetResult, set_result
from classify.table2.wording import number_interval, percent_interval
from shared.document import Block, Grid, Paragraph, escaped
from shared.errors import UserError
from shared.records import Record, read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from classify.measuring.operating import Operating

AT_VERDICT = ("accuracy", "sensitivity", "specificity", "precision")


@dataclass(frozen=True)
class Evaluated:
    """A model's record on one test set, and what it comes to."""

    name: str
    record: Record
    result: SetResult
    operating: Operating


def evaluations(fitted: FittedModel, files: Sequence[Path], operating: Operating) -> list[Evaluated]:
    """Return what the records of `fitted` in `files` come to, a test set each; those of other models are passed over.

    Raises `UserError`: no record of this very fit, or one that cannot be used.
    """
    if not files:
        return []
    plain = as_plain(fitted.config)
    own = {str(r["key"].get("set")): r for file in files for r in read_records(file) if r.get("fit") == plain}
    names = ", ".join(map(str, files))
    if not own:
        raise UserError(
            f"--records {names}: no evaluation of {fitted.path}; run `classify evaluate {fitted.path}` into it, or "
            "leave it out."
        )
    try:
        return [Evaluated(n, r, set_result([r], operating, LEAST)[0], operating) for n, r in sorted(own.items())]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        problem = str(error).rstrip(".")
        raise UserError(f"--records {names}: a record cannot be used ({problem}); evaluate again.") from error


def results(evaluated: Sequence[Evaluated], about: Mapping[str, Any]) -> list[Block]:
    """Return tables of what the evaluations found, with 95 % intervals, and what makes them flatter."""
    records = [each.record for each in evaluated]
    caveats = caveats_of({RowKey.of(records[0]): records})
    positive = escaped(about["positive"])
    return [
        *(Paragraph(f"**{each}**") for each in caveats),
        Paragraph(
            "In %, with 95 % intervals: Wilson's, or that of a bootstrap over patients or cases where it goes further. "
            f"The balanced test set has as many {positive} as others; the external one has none, so that much of it is "
            "undefined (–)."
        ),
        Grid(
            ["Test set", "Verdict", "n", "Patients or cases", *(name.capitalize() for name in AT_VERDICT)],
            [row for each in evaluated for row in _verdict_rows(each)],
            left=2,
        ),
        Paragraph("The precision where so many patients have the disease, and the probabilities:"),
        Grid(
            ["Test set", *_prevalences(evaluated[0]), "AUC", "Brier", "after T", "Calibration error", "after T"],
            [_probability_row(each) for each in evaluated],
        ),
        *_by_attribute(evaluated),
    ]


def _verdict_rows(each: Evaluated) -> list[list[str]]:
    result = each.result
    likelier = [percent_interval(result.measured[name]) for name in AT_VERDICT]
    at = result.at_threshold["validation"]
    asked = f"finds {100 * each.operating.sensitivity:g} %"
    head = [str(result.n), str(result.groups)]
    return [
        [each.name, "likelier class", *head, *likelier],
        [each.name, asked, *head, "", percent_interval(at.sensitivity), percent_interval(at.specificity), ""],
    ]


def _prevalences(each: Evaluated) -> list[str]:
    return [f"Precision at {100 * share:g} %" for share in each.operating.prevalence]


def _probability_row(each: Evaluated) -> list[str]:
    measured = each.result.measured
    precision = [percent_interval(found) for _, found in each.result.at_threshold["0.5"].precision]
    names = ("auc", "brier", "brier_calibrated", "calibration_error", "calibration_error_calibrated")
    return [each.name, *precision, *(number_interval(measured[name]) for name in names)]


def _by_attribute(evaluated: Sequence[Evaluated]) -> list[Block]:
    rows = [
        (each.name, escaped(part.attribute), escaped(part.value), str(part.n), percent_interval(part.accuracy))
        for each in evaluated
        for part in each.result.parts
    ]
    hidden = sum(each.result.hidden_parts for each in evaluated)
    few = f" {hidden} values with fewer than {LEAST} images are left out." if hidden else ""
    if not rows:
        return [Paragraph(f"**By attribute:** nothing can be said.{few}")]
    grid = Grid(["Test set", "Attribute", "Value", "n", "Accuracy"], rows, left=3)
    return [Paragraph(f"**By attribute.**{few}"), grid]
