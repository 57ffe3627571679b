"""The stage `classify evaluate`: verdicts on test images, one record for each model and test set."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rich.box
import rich.table
import torch

from classify.folder import FittedModel, model_folders, read_model
from classify.guard import count_seen, refuse_seen
from classify.inputs import inference_batch
from classify.markdown import SHORT, percent
from classify.models import Classifier, count_parameters
from classify.registry import find_model, model_label
from classify.statistics import confusion_and_metrics
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.console import console, say
from shared.errors import UserError
from shared.nn.device import describe_device
from shared.progress import progress
from shared.provenance import environment
from shared.records import Record, append_record
from shared.splits import balanced_test_set, external_test_set

SETS = ("balanced", "external")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TestSet:
    """Rows of a cohort that a model is tested on."""

    name: str
    rows: Indices
    left_out: int = 0  # external images whose group holds a study image


def evaluate(
    model: Path,
    *,
    cohort: Cohort,
    sets: Sequence[str],
    records: Path,
    device: torch.device,
    allow_seen: bool = False,
) -> list[Record]:
    """Test the model in the folder `model`, or its `fold0` …, on `sets` of `cohort`; append to `records` and return.

    Raises `UserError`: no finished model, no such test set, or a test image that was seen, before anything is written.
    """
    models = [read_model(folder) for folder in model_folders(model)]
    plan = [(fitted, test_set(cohort, fitted.config.fold, name)) for fitted in models for name in sets]
    for fitted, tested in plan:
        _check_classes(fitted, cohort)
        if not allow_seen:
            refuse_seen(fitted.seen, cohort, tested.rows, model=fitted.path, test_set=tested.name)
    made = []
    for fitted in models:
        classifier = fitted.load().to(device)
        for tested in (tested for other, tested in plan if other is fitted):
            record = _record(fitted, classifier, cohort, tested, allow_seen=allow_seen)
            append_record(records, record)
            made.append(record)
    _report(made)
    return made


def test_set(cohort: Cohort, fold: int, name: str) -> TestSet:
    """Return the rows of the set `name` for a model of `fold`; raise `UserError` when there is none."""
    if name == "balanced":
        rows = balanced_test_set(cohort, fold)
        if not len(rows):
            raise UserError(
                f"--set balanced: fold {fold} of {cohort.path} lacks a class; prepare it with fewer --folds."
            )
        return TestSet(name, rows)
    if name != "external":
        raise UserError(f"--set {name}: no such test set; give balanced or external.")
    rows, left_out = external_test_set(cohort)
    if not len(rows):
        raise UserError(
            f"--set external: {cohort.path} has no external images; prepare it with --external-negative, or leave this "
            "set out."
        )
    return TestSet(name, rows, left_out)


def _check_classes(fitted: FittedModel, cohort: Cohort) -> None:
    known = fitted.document.get("classes")
    if known != list(cohort.classes):
        names = " and ".join(map(str, known)) if isinstance(known, list) else "other classes"
        raise UserError(
            f"{fitted.path}: tells {names} apart, where the cohort has {' and '.join(cohort.classes)}; give a cohort "
            "of the same classes."
        )


def predict(
    classifier: Classifier, images: npt.NDArray[np.uint8], *, description: str = "testing"
) -> npt.NDArray[np.float32]:
    """Return the probability of the positive class [N] float32 for `images` [N, S, S, 3] uint8."""
    device = classifier.mean.device
    size = inference_batch(classifier)
    found = []
    classifier.eval()
    with torch.inference_mode(), progress(description, len(images), unit="images") as bar:
        for start in range(0, len(images), size):
            batch = torch.tensor(images[start : start + size], device=device)
            found.append(classifier(batch).softmax(1)[:, 1].cpu().numpy())
            bar.advance(len(batch))
    return np.concatenate(found)


def _record(
    fitted: FittedModel, classifier: Classifier, cohort: Cohort, tested: TestSet, *, allow_seen: bool
) -> Record:
    config, n = fitted.config, len(tested.rows)
    images = np.asarray(cohort.images[tested.rows])
    title = f"{model_label(config.model)}, {config.ratio}, fold {config.fold}, {tested.name}"
    start_s = time.perf_counter()
    probability = predict(classifier, images, description=title)
    test_s = time.perf_counter() - start_s
    counts, metrics = confusion_and_metrics((probability > 0.5).astype(np.int64), cohort.label[tested.rows])
    key = {name: getattr(config, name) for name in ("model", "ratio", "protocol", "fold", "seed")}
    return {
        "key": key | {"set": tested.name},
        "n": n,
        "left_out": tested.left_out,
        "confusion": counts.as_dict(),
        "metrics": metrics,
        "times": {"train_s": fitted.history.get("train_s"), "test_s": test_s, "image_s": test_s / n},
        "parameters": count_parameters(classifier) | {"imagenet": find_model(config.model).imagenet_parameters},
        "counts": fitted.document.get("counts"),
        "best_epoch": fitted.history.get("best_epoch"),
        "allow_seen": allow_seen,
        "seen": count_seen(fitted.seen, cohort, tested.rows)["any"],
        "fit": asdict(config),
        "cohort": {"sha256": cohort.sha256, "size": cohort.size, "source": cohort.source, "classes": cohort.classes},
        "environment": environment(describe_device(classifier.mean.device)),
    }


def _report(records: Sequence[Record]) -> None:
    table = rich.table.Table(
        title="test images: metrics in %", box=rich.box.SIMPLE, pad_edge=False, collapse_padding=True
    )
    for column in ("model", "ratio", "fold", "set", "n", *SHORT.values()):
        table.add_column(column, justify="left" if column in ("model", "ratio", "set") else "right")
    for record in records:
        key = record["key"]
        cells = [model_label(key["model"]), key["ratio"], key["fold"], key["set"], record["n"]]
        metrics = record["metrics"]
        if metrics["sensitivity"] is None:  # no positives to find: a precision of 0 would look like a failure
            metrics = metrics | {"precision": None, "f1": None}
        table.add_row(*map(str, cells), *(percent(metrics[name]) for name in SHORT))
    console().print(table)
    for record in records:
        say(_verdicts(record))
    if any(record["seen"] for record in records):
        say("warning: some test images were seen before (--allow-seen); every table that uses these records says so.")
    if any(record["key"]["protocol"] == "paper" for record in records):
        say("note: protocol paper chose the epoch on these test images; every table that uses these records says so.")


def _verdicts(record: Record) -> str:
    """Return the confusion counts, the time an image and what was left out as one line."""
    key, counts, classes = record["key"], record["confusion"], record["cohort"]["classes"]
    positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    right = [f"{counts['tp']} of {positives} {classes[POSITIVE]}"] if positives else []
    right += [f"{counts['tn']} of {negatives} {classes[NEGATIVE]}"] if negatives else []
    left_out = record["left_out"]
    rest = f"; {left_out} images left out, since their group holds a study image" if left_out else ""
    time_ms = 1000 * record["times"]["image_s"]
    return f"fold {key['fold']}, {key['set']}: {' and '.join(right)} recognised, {time_ms:.1f} ms an image{rest}"
