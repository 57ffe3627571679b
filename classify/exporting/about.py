"""What an exported classifier tells of itself: in the file's metadata, beside it as JSON, and on its card."""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from classify.explaining.feature_map import FEWEST_CELLS
from classify.exporting.check import TOLERANCE
from classify.exporting.files import PACKAGES
from classify.exporting.graph import EVIDENCE, INPUT, PROBABILITY, SCORE, ExportedClassifier
from classify.fitting.folder import MODEL, FittedModel, as_plain
from classify.measuring.operating import Operating
from classify.registry import find_model, model_label
from classify.table2.gather import UNDECIDED, settings_on_validation
from shared.files import sha256_of
from shared.nn.device import describe_device
from shared.provenance import environment

FORMAT = "rarescreen-export"
VERSION = 1
NOTICE = (
    "Not a medical device: made for research, not tested on patients, not approved by any authority, and no reason to "
    "begin, change or leave out an examination or a treatment."
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Thresholds:
    """Where a model's probability is cut, and what that was chosen on.

    Attributes:
        temperature: that divides the log-odds.
        sensitive: calibrated probability above which enough of the validation positives lie; None without any.
        validation: number of validation images.
        positives: of these.
    """

    temperature: float
    sensitive: float | None
    validation: int
    positives: int

    @classmethod
    def of(cls, fitted: FittedModel, operating: Operating) -> "Thresholds":
        """Return those that a model's validation images give.

        The threshold lies on the score of a positive, so it is lowered by as much as an export may differ: what PyTorch
        finds, the export finds too.
        """
        temperature, threshold = settings_on_validation(fitted.history, operating.sensitivity)
        label = fitted.history["validation"]["label"]
        sensitive = None
        if threshold is not None:
            score = float(logit(threshold))  # -inf for 0
            lowered = score - TOLERANCE * max(1.0, abs(score))
            sensitive = float(expit(lowered / temperature))
        return cls(temperature, sensitive, len(label), int(np.sum(label)))


def describe(fitted: FittedModel, network: ExportedClassifier, thresholds: Thresholds, operating: Operating) -> Json:
    """Return all that is known of an exported model, as JSON has it; what is unknown is null or left out."""
    config, document = fitted.config, fitted.document
    return {
        "format": FORMAT,
        "version": VERSION,
        "notice": NOTICE,
        "model": config.model,
        "label": model_label(config.model),
        "classes": document["classes"],
        "positive": document["classes"][1],
        "threshold": UNDECIDED,
        "threshold_sensitive": thresholds.sensitive,
        "sensitivity": operating.sensitivity,
        "thresholds_chosen_on": {
            "threshold": "nothing: the likelier class",
            "threshold_sensitive": f"{thresholds.positives} positives of {thresholds.validation} validation images",
        },
        "temperature": thresholds.temperature,
        "temperature_chosen_on": f"{thresholds.validation} validation images",
        "input": {"name": INPUT, "type": "uint8", "shape": ["N", "H", "W", 3], "channels": "RGB"},
        "outputs": _outputs(network, document["classes"][1]),
        "no_evidence": network.no_evidence,
        "evidence_cells": network.evidence_cells,
        "preparation": _preparation(network),
        "fit": as_plain(config),
        "counts": document["counts"],
        "parameters": document["parameters"],
        "cohort": {"sha256": config.cohort} | cohort_of(fitted),
        "seen": _seen(fitted),
        "bundles": bundles_of(fitted),
        "model_sha256": sha256_of(fitted.path / MODEL),
        "fitted_on": document["environment"],
        "exported_on": environment(describe_device(network.normalized.mean.device)) | {"packages": _packages()},
        "licence": licences(fitted),
    }


def coarse_words(cells: tuple[int, int] | None) -> str:
    """Return a clause where a heat map of so many cells cannot tell where, else nothing."""
    if cells is None or min(cells) >= FEWEST_CELLS:
        return ""
    return (
        f"the heat map has {cells[0]} x {cells[1]} cells, too few to tell where in a photograph something is; do not "
        "show it as a place (`classify explain --method occlusion` can tell)"
    )


def properties_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Return what an ONNX file's metadata hold: texts as they are, all else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        for name, value in about.items()
    }


def _outputs(network: ExportedClassifier, positive: str) -> Json:
    meanings = {
        PROBABILITY: {"shape": ["N"], "meaning": f"calibrated probability of {positive}"},
        SCORE: {"shape": ["N"], "meaning": f"log-odds of {positive} before the temperature"},
        EVIDENCE: {
            "shape": ["N", "h", "w"],
            "meaning": f"Grad-CAM of the score: where in the middle square it saw {positive}, 0 or more, no scale",
        },
    }
    return {name: {"type": "float32"} | meanings[name] for name in network.outputs}


def _preparation(network: ExportedClassifier) -> Json:
    normalized = network.normalized
    return {
        "inside": True,
        "square_px": network.squared.size,
        "square": "the largest in the middle, Pillow's Lanczos filter; images of that size stay as they are",
        "input_px": normalized.weights.shape[0],
        "resize": "antialiased bilinear" if normalized.resizes else "none",
        "mean": [round(each / 255, 9) for each in normalized.mean.flatten().tolist()],
        "std": [round(each / 255, 9) for each in normalized.std.flatten().tolist()],
    }


def _seen(fitted: FittedModel) -> Json:
    by = {part.by: np.unique(part.image_id) for part in fitted.seen}
    everything = np.unique(np.concatenate([*by.values(), np.empty(0, np.str_)]))
    return {"photographs": len(everything), "by": {name: len(found) for name, found in by.items()}}


def bundles_of(fitted: FittedModel) -> list[Json]:
    """Return what a model's folder tells of its bundles of synthetic images."""
    found = fitted.document.get("bundles")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def cohort_of(fitted: FittedModel) -> Json:
    """Return what a model's folder tells of its cohort beside the hash: images, size in px, source."""
    return part_of(fitted.document, "cohort")


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def part_of(of: Json, name: str) -> Json:
    """Return an object within one that was read from a file, an empty one where there is none."""
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def licences(fitted: FittedModel) -> list[str]:
    """Return whose terms hold for a model's tensors, a sentence each; what nobody recorded is said to be unknown."""
    found = ["The photographs that it learnt from: their licence is not recorded, and must allow passing the model on."]
    pretrained = find_model(fitted.config.model).pretrained
    if pretrained is not None:
        file = pretrained.file()
        found.append(f"Pretrained weights ({file.name}): {file.licence or 'no licence is stated with the file'}.")
    for bundle in bundles_of(fitted):
        licence = part_of(bundle, "generator").get("licence")
        found.append(f"Synthetic images: {f'drawn by a network under {licence}' if licence else 'no terms recorded'}.")
    return [*dict.fromkeys(found), "The program that made it, Rarescreen: Apache-2.0."]
