"""What the files of a model's folder must tell, so that a test and its table can be made of them.

They are checked when a model is read, not when a record of hours of work is half made.
"""

import math
from collections.abc import Mapping
from typing import Any

COUNTS = ("real_positives", "distinct_negatives", "negatives")
MEASURES = {"train": ("loss", "accuracy"), "validation": ("loss", "accuracy", "balanced_accuracy")}


def tells_of_a_fit(document: Mapping[str, Any]) -> bool:
    """Tell whether `config.json` has the classes, the counts, the parameters and the environment."""
    classes, parameters, counts = (document.get(name) for name in ("classes", "parameters", "counts"))
    return (
        isinstance(classes, list)
        and len(classes) == 2
        and all(isinstance(name, str) for name in classes)
        and isinstance(parameters, dict)
        and all(_is_count(parameters.get(name)) for name in ("total", "trainable"))
        and isinstance(counts, dict)
        and all(_is_count(counts.get(name)) for name in COUNTS)
        and isinstance(document.get("environment"), dict)
    )


def tells_of_epochs(history: Mapping[str, Any]) -> bool:
    """Tell whether `history.json` has every epoch, the best one, the validation scores, the probe, time and memory."""
    epochs, best = history.get("epochs"), history.get("best_epoch")
    peak, probe = history.get("peak_bytes"), history.get("synthetic_probe")
    return (
        isinstance(epochs, list)
        and all(map(_is_epoch, epochs))
        and _is_count(best)
        and best in range(len(epochs) + 1)
        and _is_number(history.get("train_s"))
        and "peak_bytes" in history
        and (peak is None or _is_count(peak))
        and _is_work(history.get("frozen"))
        and "synthetic_probe" in history
        and (probe is None or _is_probe(probe))
        and _is_scored(history.get("validation"))
    )


def _is_epoch(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("train"), dict) or "validation" not in row:
        return False
    scored = {part: row[part] for part in MEASURES if row[part] is not None}
    return all(
        isinstance(each, dict) and all(_is_number(each.get(name)) for name in MEASURES[part])
        for part, each in scored.items()
    )


def _is_work(frozen: Any) -> bool:
    """Tell whether this is what frozen layers had to do; None where there is nothing to tell."""
    if frozen is None:
        return True
    counts = ("computed", "kept")
    return (
        isinstance(frozen, dict) and _is_number(frozen.get("seconds")) and all(_is_count(frozen.get(n)) for n in counts)
    )


def _is_probe(probe: Any) -> bool:
    if not isinstance(probe, dict) or not _is_number(probe.get("auc")) or "interval" not in probe:
        return False
    interval = probe["interval"]
    return interval is None or (isinstance(interval, list) and len(interval) == 2 and all(map(_is_number, interval)))


def _is_scored(validation: Any) -> bool:
    if not isinstance(validation, dict):
        return False
    label, score = validation.get("label"), validation.get("score")
    return (
        isinstance(label, list)
        and isinstance(score, list)
        and len(label) == len(score)
        and all(each in (0, 1) for each in label)
        and all(map(_is_number, score))
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
