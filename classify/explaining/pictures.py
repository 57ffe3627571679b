"""What one model makes of test images or photographs: verdicts, heat maps of those that are shown, and the checks."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from classify.evaluate import predict
from classify.explaining.deletion import deletion_curves
from classify.explaining.explained import Checks, Explained, ExplainOptions, Judge, Sheet, Tile
from classify.explaining.heatmap import METHODS, choose_method
from classify.explaining.mask_share import mask_share
from classify.explaining.randomized import NETWORKS, compare_randomized
from classify.explaining.sorting import KINDS, Shown, sort_out
from classify.fitting.folder import FittedModel, as_plain
from classify.guard import seen_by_any
from classify.inference import log_odds
from classify.measuring.verdicts import Integers
from classify.models import Classifier
from classify.table2.gather import UNDECIDED, RowKey, settings_on_validation
from classify.table2.wording import row_name
from classify.tested import TestSet
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.images import WHITE
from shared.nn.device import describe_device
from shared.nn.segment import Segmenter
from shared.progress import progress
from shared.provenance import environment

PHANTOM_ONLY = "The model learnt the phantom, rendered skin: nothing here says anything of patients."

Images = npt.NDArray[np.uint8]  # [N, S, S, 3]
Heat = npt.NDArray[np.float32]  # [N, S, S]


def on_test_images(
    fitted: FittedModel,
    classifier: Classifier,
    cohort: Cohort,
    tested: TestSet,
    options: ExplainOptions,
    segmenter: Segmenter | None = None,
) -> Explained:
    """Explain a model on the images that it is tested on."""
    options, notes = _settled(fitted, classifier, options)
    images, label = np.asarray(cohort.images[tested.rows]), cohort.label[tested.rows]
    names = cohort.image_id[tested.rows].tolist()
    score = predict(classifier, images, description=f"{_title(fitted)}, {tested.name}")
    judge = judge_of(fitted, options)
    called = expit(score) > judge.threshold
    sorted_out = sort_out(score, label, called, options.count)
    rows = np.concatenate([shown.rows for shown in sorted_out.values()])
    heat = dict(zip(rows.tolist(), heat_maps(classifier, images[rows], options.method), strict=True))
    tiles = {row: Tile(names[row], images[row], heat[row], float(score[row]), int(label[row])) for row in heat}
    sheets = [
        Sheet(
            kind,
            _sheet_title(kind, shown.n, label, cohort, is_external=tested.name == "external"),
            {block: [tiles[row] for row in rows.tolist()] for block, rows in _blocks(shown).items() if len(rows)},
        )
        for kind, shown in sorted_out.items()
    ]
    seen = seen_by_any(fitted.seen, cohort, tested.rows)
    return Explained(
        title=f"{_title(fitted)}, {tested.name} test set",
        classes=cohort.classes,
        judge=judge,
        options=options,
        sheets=sheets,
        checks=check(classifier, images, called, options, segmenter) if options.checks else None,
        facts=_facts(fitted, classifier)
        | {"set": tested.name, "n": len(images), "left_out": tested.left_out, "seen": int(seen.sum())}
        | {"cohort": {"sha256": cohort.sha256, "size": cohort.size, "source": cohort.source}}
        | {"counts": {kind: shown.n for kind, shown in sorted_out.items()}},
        notes=[*notes, *_notes(int(seen.sum()), len(images))],
    )


def on_photographs(
    fitted: FittedModel, classifier: Classifier, images: Images, names: Sequence[str], options: ExplainOptions
) -> Explained:
    """Explain a model on photographs [N, S, S, 3] of which no truth is known."""
    options, notes = _settled(fitted, classifier, options)
    score = log_odds(classifier, images)
    heat = heat_maps(classifier, images, options.method)
    tiles = [Tile(*each, None) for each in zip(names, images, heat, score.tolist(), strict=True)]
    classes, judge = fitted.document["classes"], judge_of(fitted, options)
    called = [tile for tile in tiles if expit(tile.score) > judge.threshold]
    blocks = {f"Called {classes[POSITIVE]}": called, "Not called so": [tile for tile in tiles if tile not in called]}
    return Explained(
        title=_title(fitted),
        classes=(classes[NEGATIVE], classes[POSITIVE]),
        judge=judge,
        options=options,
        sheets=[Sheet("photographs", "Photographs", {label: some for label, some in blocks.items() if some})],
        checks=None,
        facts=_facts(fitted, classifier) | {"n": len(images)},
        notes=notes,
    )


def _settled(fitted: FittedModel, classifier: Classifier, options: ExplainOptions) -> tuple[ExplainOptions, list[str]]:
    """Return the options with a method that there is, and what is to be said of it and of the model."""
    method, note = choose_method(classifier, options.method)
    notes = [PHANTOM_ONLY] if fitted.knows_no_patient else []
    return replace(options, method=method), notes if note is None else [*notes, note]


def heat_maps(classifier: Classifier, images: Images, method: str, *, signed: bool = False) -> Heat:
    """Return the heat maps of `images` behind a progress bar."""
    with progress("heat maps", len(images), unit="images") as bar:
        maps = METHODS[method](classifier, torch.tensor(images), signed=signed, advance=bar.advance)
    return np.asarray(maps.cpu().numpy(), np.float32)


def judge_of(fitted: FittedModel, options: ExplainOptions) -> Judge:
    """Return a model's threshold and temperature, from its own validation images unless the user gave a threshold."""
    temperature, found = settings_on_validation({"validation": fitted.history["validation"]}, options.sensitivity)
    if options.threshold is not None:
        return Judge(options.threshold, "as given", temperature)
    if found is None:
        return Judge(UNDECIDED, "the likelier class, since there are no validation positives", temperature)
    return Judge(found, f"it finds {100 * options.sensitivity:g} % of the validation positives", temperature)


def check(
    classifier: Classifier,
    images: Images,
    called: npt.NDArray[np.bool_],
    options: ExplainOptions,
    segmenter: Segmenter | None = None,
) -> Checks:
    """Compare maps with those of random weights, delete what they show, and see how much of it is on masks."""
    rng = np.random.default_rng(options.seed)
    some, method = _some(rng, np.arange(len(images)), options.checks), METHODS[options.method]
    positives = _some(rng, np.flatnonzero(called), options.checks)
    with progress("check: random weights", len(some) * (1 + NETWORKS), unit="maps") as bar:
        pixels = torch.tensor(images[some])
        randomized = compare_randomized(classifier, pixels, method, seed=options.seed, advance=bar.advance)
    maps = heat_maps(classifier, images[positives], options.method, signed=True)
    with progress("check: deletion", len(positives), unit="images") as bar:
        deletion = deletion_curves(
            lambda variants: np.asarray(expit(log_odds(classifier, variants)), np.float64),
            images[positives],
            maps,
            seed=options.seed,
            advance=bar.advance,
        )
    if segmenter is None:
        return Checks(randomized, deletion)
    with progress("check: masks", len(positives), unit="images") as bar:
        masks = segmenter(images[positives], advance=bar.advance)
    white = np.where(masks[..., None], images[positives], np.uint8(WHITE))
    return Checks(randomized, deletion, mask_share(maps.clip(min=0), masks, segmenter.name), white)


def _some(rng: np.random.Generator, rows: Integers, count: int) -> Integers:
    return rows if len(rows) <= count else np.sort(rng.choice(rows, count, replace=False))


def _title(fitted: FittedModel) -> str:
    return f"{row_name(RowKey.of({'key': asdict(fitted.config)}))}, fold {fitted.config.fold}"


def _sheet_title(kind: str, n: int, label: Integers, cohort: Cohort, *, is_external: bool) -> str:
    """Return what a sheet shows, "False negatives: 3 of 95 herpeticum are missed"."""
    truth, _ = KINDS[kind]
    positive = cohort.classes[POSITIVE]
    # External images need not be of the study's negative class.
    name = positive if truth == POSITIVE else f"without {positive}" if is_external else cohort.classes[NEGATIVE]
    said = {
        "true_positives": "are found",
        "false_positives": f"are called {positive}",
        "false_negatives": "are missed",
        "true_negatives": f"are not called {positive}",
    }[kind]
    return f"{kind.replace('_', ' ').capitalize()}: {n} of {int((label == truth).sum())} {name} {said}"


def _blocks(shown: Shown) -> dict[str, Integers]:
    if not len(shown.near):
        return {"All, the most confident first": shown.confident}
    return {"Most confident": shown.confident, "Nearest to the threshold": shown.near}


def _notes(seen: int, n: int) -> list[str]:
    return [f"warning: {seen} of the {n} test images were seen before (--allow-seen)."] if seen else []


def _facts(fitted: FittedModel, classifier: Classifier) -> dict[str, Any]:
    return {
        "model": as_plain(fitted.config),
        "environment": environment(describe_device(classifier.mean.device)),
    }
