"""What a reader must know before believing a figure of Table 2."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from classify.registry import model_label
from classify.table2.gather import RowKey, seen_images
from classify.table2.wording import row_name
from shared.cohort import PHANTOM
from shared.records import Record

OF_ONE_FIT = {"fold", "seed", "bundles", "cohort"}  # settings that differ within a row
OF_ONE_ROW = {"ratio", "control", "synthetic"}  # and between the rows of a model


def caveats_of(rows: Mapping[RowKey, Sequence[Record]]) -> list[str]:
    """Return a sentence for each thing that makes figures flatter, or not to be compared."""
    records = [record for group in rows.values() for record in group]
    found = []
    if any(record["allow_seen"] for record in records):
        seen = seen_images(records)
        flatter = f"{seen} test images had been seen before, so these figures flatter"
        found.append(f"† evaluated with --allow-seen: {flatter if seen else 'no test image had been seen before'}.")
    if any(key.protocol == "paper" for key in rows):
        found.append(
            "‡ protocol paper: turned twins lie on both sides of training and validation, and the epoch was chosen on "
            "the test images, so these figures flatter."
        )
    if len({record["cohort"]["sha256"] for record in records}) > 1:
        found.append("The rows come from different cohort files, so they may not be compared.")
    found += _of_settings(rows)
    if any(record["cohort"]["source"] == PHANTOM for record in records):
        found.append(
            "The cohort is the phantom, rendered skin: these figures test the software and say nothing of patients."
        )
    return found


def _of_settings(rows: Mapping[RowKey, Sequence[Record]]) -> Iterator[str]:
    """Say which rows hold fits of different settings, and which models rows of different ones."""
    of_models: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for key, group in rows.items():
        # More epochs are what that control is, and as many as the fold's own images make.
        apart = OF_ONE_FIT | ({"epochs"} if key.control == "epochs" else set())
        settings = [{name: value for name, value in record["fit"].items() if name not in apart} for record in group]
        if names := _differing(settings):
            yield f"{row_name(key)}: its folds were fitted with different settings ({', '.join(names)})."
        seeds: dict[int, set[int]] = defaultdict(set)
        for record in group:
            seeds[record["key"]["fold"]].add(record["key"]["seed"])
        if len({frozenset(each) for each in seeds.values()}) > 1:
            yield f"{row_name(key)}: its folds have different seeds; each fold counts once."
        of_models[key.model, key.protocol].append({k: v for k, v in settings[0].items() if k not in OF_ONE_ROW})
    for (model, _), of_rows in of_models.items():
        names = _differing(of_rows)
        if names:
            told = ", ".join(names)
            yield (
                f"{model_label(model)}: its rows were fitted with different settings ({told}), which may be why they "
                "differ."
            )


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of settings that are not the same in all that have them."""
    values: dict[str, list[Any]] = defaultdict(list)
    for each in settings:
        for name, value in each.items():
            values[name].append(value)
    return [name for name, found in values.items() if any(value != found[0] for value in found)]
