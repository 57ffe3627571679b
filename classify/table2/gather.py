"""Records of evaluations, gathered into the rows of Table 2 and their verdicts."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classify.fitting.ratio import CONTROLS, NONE, Ratio
from classify.measuring.calibration import fit_temperature, threshold_for_sensitivity
from classify.measuring.verdicts import Verdicts
from classify.registry import MODELS
from shared.records import Record

UNDECIDED = 0.5  # the threshold where validation tells of none


@dataclass(frozen=True, order=True)
class RowKey:
    """What a row of Table 2 is of; folds and seeds are within it."""

    model: str
    ratio: str
    control: str
    synthetic: str
    protocol: str

    @classmethod
    def of(cls, record: Record) -> "RowKey":
        """Return the row that a record belongs to."""
        key = record["key"]
        return cls(*(str(key[name]) for name in cls.__annotations__))

    @property
    def is_baseline(self) -> bool:
        """Whether it has real images alone, and nothing in the place of others."""
        return self.ratio == NONE

    @property
    def is_control(self) -> bool:
        """Whether something else stands in the place of synthetic images."""
        return self.control != NONE

    @property
    def place(self) -> tuple[Any, ...]:
        """Order of rows: strict first, models as the paper has them, ratios, synthetic images before their controls."""
        known, ratio = list(MODELS), Ratio.parse(self.ratio)
        model = known.index(self.model) if self.model in known else len(known)
        control = list(CONTROLS).index(self.control)
        return (
            self.protocol != "strict",
            model,
            self.model,
            ratio.synthetic / ratio.real,
            control,
            self.synthetic != "positive",
        )


def rows_of(records: Sequence[Record]) -> dict[RowKey, list[Record]]:
    """Return the records of each row, in the order of the table, those of a row by set, fold and seed.

    Raises `LookupError`, `TypeError`, `ValueError`: a record that is not as `classify evaluate` writes it.
    """
    ordered = sorted(records, key=lambda r: (RowKey.of(r).place, *(str(r["key"]["set"]), *_model(r))))
    return {key: list(group) for key, group in itertools.groupby(ordered, key=RowKey.of)}


def _model(record: Record) -> tuple[int, int]:
    return int(record["key"]["fold"]), int(record["key"]["seed"])


def verdicts_of(records: Sequence[Record], sensitivity: float) -> Verdicts:
    """Return the verdicts in records of one test set.

    Each model's temperature, and its threshold for `sensitivity`, are found on its own validation images.

    Raises `LookupError`, `TypeError`, `ValueError`: a record that is not as `classify evaluate` writes it.
    """
    return Verdicts.join([_verdicts(record, sensitivity) for record in records])


def _verdicts(record: Record, sensitivity: float) -> Verdicts:
    said, (fold, seed) = record["verdicts"], _model(record)
    count = len(said["image_id"])
    temperature, threshold = settings_on_validation(record, sensitivity)
    return Verdicts(
        image=np.array(said["image_id"], np.str_),
        group=np.array(said["group_id"], np.int64),
        label=np.array(said["label"], np.int64),
        score=np.array(said["score"], np.float64),
        temperature=np.full(count, temperature),
        threshold=np.full(count, UNDECIDED if threshold is None else threshold),
        fold=np.full(count, fold),
        seed=np.full(count, seed),
    )


def settings_on_validation(record: Record, sensitivity: float) -> tuple[float, float | None]:
    """Return the temperature, and the threshold if there are positives, that a model's validation images give."""
    validation = record["validation"]
    score = np.array(validation["score"], np.float64)
    label = np.array(validation["label"], np.int64)
    return fit_temperature(score, label), threshold_for_sensitivity(score, label, sensitivity)


def seen_images(records: Sequence[Record]) -> int:
    """Return how many distinct test images were seen before."""
    said = [record["verdicts"] for record in records]
    return len({image for each in said for image, seen in zip(each["image_id"], each["seen"], strict=True) if seen})


def attributes_of(records: Sequence[Record]) -> Iterator[tuple[str, list[Any]]]:
    """Give each attribute that all records have, with its value for each verdict in the order of `verdicts_of`."""
    columns: list[Mapping[str, list[Any]]] = [record["verdicts"].get("attributes", {}) for record in records]
    for name in columns[0] if columns else ():
        if all(name in each for each in columns):
            yield name, [value for each in columns for value in each[name]]
