"""The stage `classify evaluate`: verdicts on test images, one record for each model and test set."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rich.box
import rich.table
import torch

from classify.fitting.folder import FittedModel, as_plain, model_folders, read_model
from classify.guard import refuse_seen, seen_by_any
from classify.inference import for_inference, log_odds
from classify.measuring.bootstrap import Resamples
from classify.measuring.operating import Operating
from classify.measuring.shortcut import own_features, probe
from classify.measuring.statistics import confusion_and_metrics
from classify.models import Classifier
from classify.registry import find_model, model_label
from classify.table2.gather import RowKey, settings_on_validation, verdicts_of
from classify.table2.outcome import at_threshold
from classify.table2.page.rows import SHORT
from classify.table2.wording import percent, percent_words, ratio_name, row_name
from classify.tested import TestSet, test_set
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.console import console, say
from shared.errors import UserError
from shared.nn.device import choose_precision, describe_device
from shared.nn.memory import forget_peak, peak_bytes
from shared.progress import progress
from shared.provenance import environment, hardware
from shared.records import Record, append_record, read_records
from shared.splits import external_test_set, parts

ALL_BUT_ONE = 0.999  # thresholds above are shown as such
KEY = ("model", "ratio", "control", "synthetic", "protocol", "fold", "seed")  # of a record, from the configuration


def evaluate(
    model: Path,
    *,
    cohort: Cohort,
    sets: Sequence[str],
    records: Path,
    device: torch.device,
    allow_seen: bool = False,
    operating: Operating = Operating(),  # noqa: B008 - frozen
) -> list[Record]:
    """Test the model in the folder `model`, or its `fold0` …, on `sets` of `cohort`; append to `records` and return.

    Networks answer in full float32, without TF32.

    Raises `UserError`: no finished model, no such test set, a test image that was seen, or `records` that are not a
    file of records of this version, before anything is written.
    """
    if records.exists():
        read_records(records)
    models = [read_model(folder) for folder in model_folders(model)]
    plan = [(fitted, test_set(cohort, fitted.config.fold, name)) for fitted in models for name in sets]
    for fitted, tested in plan:
        require_own(fitted, cohort)
        if not allow_seen:
            refuse_seen(fitted.seen, cohort, tested.rows, model=fitted.path, test_set=tested.name)
    choose_precision("fp32", device)  # whatever was fitted before: a verdict is not to depend on it
    made = []
    for fitted in models:
        classifier = for_inference(fitted.load().to(device))
        for tested in (tested for other, tested in plan if other is fitted):
            record = _record(fitted, classifier, cohort, tested, allow_seen=allow_seen)
            append_record(records, record)
            made.append(record)
    _report(made, operating)
    return made


def require_own(fitted: FittedModel, cohort: Cohort) -> None:
    """Raise `UserError` when a model was fitted on another cohort."""
    known = fitted.document["classes"]
    if known != list(cohort.classes):
        raise UserError(
            f"{fitted.path}: tells {' and '.join(known)} apart, where the cohort has {' and '.join(cohort.classes)}; "
            "give a cohort of the same classes."
        )
    if fitted.config.cohort != cohort.sha256:
        raise UserError(
            f"{fitted.path}: fitted on another cohort than {cohort.path}, whose folds are others, and its record would "
            "take the place of the right one; give the cohort that it was fitted on, or fit on this one."
        )


def predict(
    classifier: Classifier, images: npt.NDArray[np.uint8], *, description: str = "testing"
) -> npt.NDArray[np.float64]:
    """Return the log-odds of the positive class [N] for `images` [N, S, S, 3] uint8."""
    with progress(description, len(images), unit="images") as bar:
        return log_odds(classifier, images, bar.advance)


def _record(
    fitted: FittedModel, classifier: Classifier, cohort: Cohort, tested: TestSet, *, allow_seen: bool
) -> Record:
    config, n = fitted.config, len(tested.rows)
    images = np.asarray(cohort.images[tested.rows])
    title = f"{row_name(RowKey.of({'key': asdict(config)}))}, fold {config.fold}, {tested.name}"
    with torch.inference_mode():
        classifier(torch.tensor(images[:1], device=classifier.mean.device))  # the first pays for what is loaded then
    forget_peak(classifier.mean.device)
    start_s = time.perf_counter()
    score = predict(classifier, images, description=title)
    test_s = time.perf_counter() - start_s
    counts, metrics = confusion_and_metrics((score > 0).astype(np.int64), cohort.label[tested.rows])
    seen = seen_by_any(fitted.seen, cohort, tested.rows)
    history = fitted.history
    return {
        "key": {name: getattr(config, name) for name in KEY} | {"set": tested.name},
        "n": n,
        "left_out": tested.left_out,
        "confusion": counts.as_dict(),
        "metrics": metrics,
        "verdicts": {
            "image_id": cohort.image_id[tested.rows].tolist(),
            "group_id": cohort.group_id[tested.rows].tolist(),
            "label": cohort.label[tested.rows].tolist(),
            "score": score.tolist(),
            "seen": seen.tolist(),
            "attributes": {name: _plain(values[tested.rows]) for name, values in cohort.attributes.items()},
        },
        "validation": history.get("validation"),
        "epochs": history.get("epochs"),
        "times": {"train_s": history.get("train_s"), "test_s": test_s, "image_s": test_s / n},
        "frozen": history.get("frozen"),
        "peak_bytes": {"train": history.get("peak_bytes"), "test": peak_bytes(classifier.mean.device)},
        "parameters": fitted.document["parameters"] | {"imagenet": find_model(config.model).imagenet_parameters},
        "counts": fitted.document.get("counts"),
        "best_epoch": history.get("best_epoch"),
        "synthetic_probe": history.get("synthetic_probe"),
        "source_probe": _source_probe(classifier, cohort, config.fold, images) if tested.name == "external" else None,
        "allow_seen": allow_seen,
        "seen": int(seen.sum()),
        "fit": as_plain(config),
        "cohort": {"sha256": cohort.sha256, "size": cohort.size, "source": cohort.source, "classes": cohort.classes},
        "environment": environment(describe_device(classifier.mean.device)),
        "hardware": hardware(),
        "fitted_on": fitted.document.get("environment"),
    }


def _source_probe(
    classifier: Classifier, cohort: Cohort, fold: int, external: npt.NDArray[np.uint8]
) -> dict[str, Any] | None:
    """Return how well the classifier's features tell external images from negatives of the tested fold."""
    rows = parts(cohort, fold).test
    rows = rows[cohort.label[rows] == NEGATIVE]
    others, own = external_test_set(cohort)[0], np.asarray(cohort.images[rows])
    features = np.concatenate([own_features(classifier, each) for each in (external, own)])
    group = cohort.group_id[np.concatenate([others, rows])]
    found = probe(features, np.arange(len(features)) < len(external), group)
    return None if found is None else found.as_dict()


def _plain(values: npt.NDArray[np.generic]) -> list[Any]:
    """Return a column as JSON has it: undefined numbers are null."""
    return [None if isinstance(each, float) and not math.isfinite(each) else each for each in values.tolist()]


def _report(records: Sequence[Record], operating: Operating) -> None:
    table = rich.table.Table(
        title="test images: metrics in %", box=rich.box.SIMPLE, pad_edge=False, collapse_padding=True
    )
    for column in ("model", "ratio", "fold", "set", "n", *SHORT.values()):
        table.add_column(column, justify="left" if column in ("model", "ratio", "set") else "right")
    for record in records:
        key = record["key"]
        cells = [model_label(key["model"]), ratio_name(RowKey.of(record)), key["fold"], key["set"], record["n"]]
        metrics = record["metrics"]
        table.add_row(*map(str, cells), *(percent(metrics[name]) for name in SHORT))
    console().print(table)
    for record in records:
        say(_verdicts(record))
        for line in _at_threshold(record, operating):
            say(line)
    if any(record["seen"] for record in records):
        say("warning: some test images were seen before (--allow-seen); every table that uses these records says so.")
    if any(record["key"]["protocol"] == "paper" and record["key"]["set"] == "balanced" for record in records):
        say("note: protocol paper chose the epoch on these test images; every table that uses these records says so.")


def _verdicts(record: Record) -> str:
    """Return the confusion counts, the time an image and what was left out as one line."""
    key, counts, classes = record["key"], record["confusion"], record["cohort"]["classes"]
    positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    external = key["set"] == "external"  # whose images need not be of the study's negative class
    others = f"images without {classes[POSITIVE]}" if external else classes[NEGATIVE]
    right = [f"{counts['tp']} of {positives} {classes[POSITIVE]}"] if positives else []
    right += [f"{counts['tn']} of {negatives} {others}"] if negatives else []
    left_out = record["left_out"]
    images = "1 image left out, since its" if left_out == 1 else f"{left_out} images left out, since their"
    rest = f"; {images} group holds a study image" if left_out else ""
    time_ms = 1000 * record["times"]["image_s"]
    return f"fold {key['fold']}, {key['set']}: {' and '.join(right)} recognised, {time_ms:.1f} ms an image{rest}"


def _at_threshold(record: Record, operating: Operating) -> Iterator[str]:
    """Give what the verdicts are at the threshold that finds enough of the model's validation positives."""
    threshold = settings_on_validation(record, operating.sensitivity)[1]
    if threshold is None or record["metrics"]["sensitivity"] is None:
        return
    verdicts = verdicts_of([record], operating.sensitivity)
    found = at_threshold(Resamples(verdicts), verdicts.positive_at_threshold, operating)
    shares = [f"{percent_words(share)} at a prevalence of {100 * each:g} %" for each, share in found.precision]
    shown = f"{threshold:.3g}" if threshold < ALL_BUT_ONE else f"above {ALL_BUT_ONE:g}"
    yield (
        f"at the threshold {shown}, which finds {100 * operating.sensitivity:g} % of the validation positives: "
        f"sensitivity {percent_words(found.sensitivity)}, specificity {percent_words(found.specificity)}, precision "
        f"{', '.join(shares)} (95 % intervals)"
    )
