"""How numbers and rows are written in tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.fitting.ratio import NONE
from classify.registry import model_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.measuring.measured import Measured
    from classify.measuring.statistics import Spread
    from classify.table2.contrast import Contrast
    from classify.table2.gather import RowKey

UNDEFINED = "–"


def percent(value: float | None) -> str:
    """Return 0..1 as a percentage with one decimal; an en dash when it is undefined."""
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def percent_over_folds(value: Spread | None) -> str:
    """Return the mean in percent, with ± the sample standard deviation where there are several folds."""
    if value is None:
        return UNDEFINED
    return percent(value.mean) + ("" if value.std is None else f"±{100 * value.std:.1f}")


def percent_interval(measured: Measured) -> str:
    """Return a value in percent with its interval, "97.4 (94.0 to 98.9)"."""
    if measured.value is None or measured.interval is None:
        return percent(measured.value)
    return f"{percent(measured.value)} ({percent(measured.interval[0])} to {percent(measured.interval[1])})"


def percent_words(measured: Measured) -> str:
    """Return a value in percent with its interval in a sentence, "97.4 % (94.0 to 98.9)"."""
    value, space, interval = percent_interval(measured).partition(" ")
    return f"{value} %{space}{interval}"


def number_interval(measured: Measured, digits: int = 3) -> str:
    """Return a value with its interval, "0.953 (0.921 to 0.978)"."""
    if measured.value is None:
        return UNDEFINED
    if measured.interval is None:
        return f"{measured.value:.{digits}f}"
    low, high = measured.interval
    return f"{measured.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def points(gain: float, interval: tuple[float, float] | None) -> str:
    """Return a difference of shares in points, "+0.8 points (-1.1 to +2.7)"."""
    shown = f"{signed(gain)} points"
    return shown if interval is None else f"{shown} ({signed(interval[0])} to {signed(interval[1])})"


def signed(share: float) -> str:
    """Return a difference of shares in points with its sign, "+0.8"; what rounds to nothing has none."""
    shown = f"{100 * share:+.1f}"
    return shown if float(shown) else "0.0"


def p_value(value: float | None) -> str:
    """Return a p value with two digits."""
    if value is None:
        return UNDEFINED
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if 0.045 < value < 0.055 else f"{value:.2g}"  # the side of 0.05 must show


def p_words(value: float) -> str:
    """Return a p value in a sentence: "p = 0.25", "p < 0.001"."""
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def exact_test(contrasts: Sequence[Contrast]) -> str:
    """Return the name of the test over images, by what it has to sum up: photographs of patients, verdicts of seeds."""
    if any(each.groups < each.n for each in contrasts):
        return "the exact test of signs over patients or cases"
    if any(each.seeds > 1 for each in contrasts):
        return "the exact test of signs over images, by their mean verdicts"
    return "McNemar's exact test over images"


def ratio_name(key: RowKey) -> str:
    """Return what the column of ratios says: "1:2", "1:2, oversampling"."""
    instead = "" if key.control == NONE else f", {key.control}"
    return f"{key.ratio}{instead}{', both classes' if key.synthetic == 'both' else ''}"


def ratio_words(key: RowKey) -> str:
    """Return a row beside others of its model: "1:2, oversampling", "none, protocol paper"."""
    return ratio_name(key) + ("" if key.protocol == "strict" else f", protocol {key.protocol}")


def row_name(key: RowKey, between: str = ", ") -> str:
    """Return how messages call a row: "Custom CNN, 1:2, oversampling"; `between` stands behind the model."""
    return f"{model_label(key.model)}{between}{ratio_words(key)}"


def row_words(key: RowKey) -> str:
    """Return a row's place in a sentence: "at 1:2", "with oversampling at 1:2", "without synthetic images"."""
    if key.is_baseline:
        return "without synthetic images"
    if key.is_control:
        return f"with {control_words(key)} at {key.ratio}"
    return f"at {key.ratio}" + (" in both classes" if key.synthetic == "both" else "")


def control_words(key: RowKey) -> str:
    """Return what stands in the place of synthetic images, as a sentence names it."""
    names = {"epochs": "more epochs", "augmentation": "stronger augmentation"}
    return names.get(key.control, key.control)


def listed(parts: Sequence[str]) -> str:
    """Return parts as a sentence lists them."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
