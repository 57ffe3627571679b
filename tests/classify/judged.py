"""Verdicts for tests."""

import numpy as np

from classify.measuring.verdicts import Verdicts


def verdicts(score: np.ndarray, label: np.ndarray, **columns: object) -> Verdicts:
    """Return one model's verdicts, each of an image and a group of its own, unless `columns` say otherwise."""
    n = len(score)
    default = {
        "image": np.array([f"image{number:04}" for number in range(n)], np.str_),
        "group": np.arange(n),
        "label": np.asarray(label, np.int64),
        "score": np.asarray(score, np.float64),
        "temperature": np.ones(n),
        "threshold": np.full(n, 0.5),
        "fold": np.zeros(n, np.int64),
        "seed": np.zeros(n, np.int64),
    }
    return Verdicts(**(default | {name: np.asarray(value) for name, value in columns.items()}))
