"""Records of evaluations for tests, as `classify evaluate` writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from classify.fitting.folder import as_plain
from classify.fitting.settings import FitConfig
from classify.measuring.statistics import METRICS, confusion_and_metrics

CONFIG = FitConfig(
    model="custom_cnn",
    ratio="none",
    protocol="strict",
    control="none",
    synthetic="positive",
    fold=0,
    seed=0,
    image_size=32,
    unfreeze=None,
    depth=3,
    head=(32,),
    dropout=0.5,
    epochs=3,
    patience=None,
    lr=0.1,
    batch=32,
    optimizer="adam",
    precision="fp32",
    cohort="c" * 64,
    bundles=(),
)
KEY = ("model", "ratio", "control", "synthetic", "protocol", "fold", "seed")
CLASSES = ("rash", "herpeticum")
ENVIRONMENT = {
    "python": "3",
    "platform": "P",
    "device": "cpu",
    "versions": {"torch": "2"},
    "commit": "a" * 40,
}
HARDWARE = {"processor": "Abacus 9", "threads": 2, "memory_gib": 7.5}
SURE = 2.0  # log-odds of a made-up verdict


def scores_of(right: tuple[int, int], n: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return log-odds and labels of n[0] positives and n[1] negatives, of which the first `right` are right."""
    positives, negatives = (
        np.where(np.arange(count) < good, SURE, -SURE) for good, count in zip(right, n, strict=True)
    )
    return np.concatenate([positives, -negatives]), np.repeat([1, 0], n)


def record(
    right: tuple[int, int] = (90, 90),
    n: tuple[int, int] = (95, 95),
    *,
    score: Sequence[float] | None = None,
    label: Sequence[int] | None = None,
    image: Sequence[str] | None = None,
    group: Sequence[int] | None = None,
    set_name: str = "balanced",
    source: str = "photographs",
    validation: tuple[Sequence[float], Sequence[int]] = ((), ()),
    attributes: Mapping[str, Sequence[Any]] | None = None,
    seen: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """Return a record of `right` positives and negatives of `n`, or of `score` and `label`.

    Each image is a group of its own and is known by its fold, or among external ones by its number alone. `changes` are
    of the fit's settings, or of the record.
    """
    settings = {name: value for name, value in changes.items() if hasattr(CONFIG, name)}
    config = FitConfig(**(asdict(CONFIG) | settings))
    if score is None or label is None:
        score, label = scores_of(right, n)
    scores, labels = np.asarray(score, np.float64), np.asarray(label, np.int64)
    count = len(scores)
    external = set_name == "external"
    first = 10_000 * (99 if external else config.fold)
    names = [f"{'external' if external else f'fold{config.fold}'}-{number:04}" for number in range(count)]
    confusion, metrics = confusion_and_metrics((scores > 0).astype(np.int64), labels)
    assert tuple(metrics) == METRICS
    made = {
        "key": {name: getattr(config, name) for name in KEY} | {"set": set_name},
        "n": count,
        "left_out": 0,
        "confusion": confusion.as_dict(),
        "metrics": metrics,
        "verdicts": {
            "image_id": names if image is None else list(image),
            "group_id": list(range(first, first + count)) if group is None else list(group),
            "label": labels.tolist(),
            "score": scores.tolist(),
            "seen": [number < seen for number in range(count)],
            "attributes": {name: list(values) for name, values in (attributes or {}).items()},
        },
        "validation": dict(zip(("score", "label"), (np.asarray(each).tolist() for each in validation), strict=True)),
        "epochs": epochs(config.epochs),
        "best_epoch": 2,
        "times": {"train_s": 10.0, "test_s": 0.01 * count, "image_s": 0.01},
        "peak_bytes": {"train": 3 * 2**20, "test": 2**20},
        "parameters": {"total": 1_041_314, "trainable": 1_041_314, "imagenet": None},
        "counts": {"real_positives": 300, "synthetic_positives": 0, "distinct_negatives": 300, "negatives": 300},
        "synthetic_probe": None,
        "source_probe": None,
        "allow_seen": False,
        "seen": seen,
        "fit": as_plain(config),
        "cohort": {"sha256": config.cohort, "size": 32, "source": source, "classes": list(CLASSES)},
        "environment": dict(ENVIRONMENT),
        "hardware": dict(HARDWARE),
        "fitted_on": dict(ENVIRONMENT),
    }
    return made | {name: value for name, value in changes.items() if name not in settings}


def epochs(count: int) -> list[dict[str, Any]]:
    """Return a history in which training gets better each epoch, and validation is best in the second."""
    return [
        {
            "epoch": number,
            "train": {"loss": 1 / number, "accuracy": 1 - 0.2 / number},
            "validation": {
                "loss": 0.5 + 0.1 * abs(number - 2),
                "accuracy": 0.9 - 0.05 * abs(number - 2),
                "balanced_accuracy": 0.88 - 0.05 * abs(number - 2),
            },
        }
        for number in range(1, count + 1)
    ]
