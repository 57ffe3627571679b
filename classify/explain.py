"""The stage `classify explain`: where a classifier finds evidence in pictures, and whether its maps can be believed."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from classify.evaluate import require_own
from classify.explaining.explained import MAX_COUNT, Explained, ExplainOptions
from classify.explaining.page import DOCUMENT, PAGE, write_explanation, write_index
from classify.explaining.pictures import on_photographs, on_test_images
from classify.fitting.folder import FittedModel, model_folders, read_model
from classify.guard import refuse_seen
from classify.models import Classifier
from classify.tested import test_set
from shared.cohort import Cohort
from shared.console import say
from shared.errors import UserError
from shared.folders import require_new_folder, whole_folder
from shared.images import BadPhotoError, Fit, image_id, read_photo, to_square
from shared.nn.device import choose_precision
from shared.nn.segment import Segmenter

DEFAULTS = ExplainOptions()

Images = npt.NDArray[np.uint8]
Explain = Callable[[FittedModel, Classifier], Explained]


def explain(
    model: Path,
    *,
    cohort: Cohort,
    test: str = "balanced",
    out: Path,
    device: torch.device,
    options: ExplainOptions = DEFAULTS,
    segmenter: Segmenter | None = None,
    allow_seen: bool = False,
    force: bool = False,
) -> list[Explained]:
    """Explain the model in the folder `model`, or its `fold0` …, on its test images, into the folder `out`.

    It gets sheets of right and wrong verdicts, the page `explain.md` and the document `explain.json`; with several
    folds in a folder for each. With a `segmenter` it is told how much of the evidence lies on its masks.

    Raises `UserError`: no finished model, another cohort than the one fitted on, no such test set, a test image that
    was seen, a network that the method cannot look into, or `out` exists; before anything is written.
    """
    models = [read_model(folder) for folder in model_folders(model)]
    inputs = [model] if cohort.path is None else [model, cohort.path]
    require_new_folder(out, mark=DOCUMENT, force=force, inputs=inputs)
    tested = {fitted.path: test_set(cohort, fitted.config.fold, test) for fitted in models}
    for fitted in models:
        require_own(fitted, cohort)
        if not allow_seen:
            refuse_seen(fitted.seen, cohort, tested[fitted.path].rows, model=fitted.path, test_set=test)
    return _explain_each(
        models,
        out,
        device,
        lambda fitted, classifier: on_test_images(fitted, classifier, cohort, tested[fitted.path], options, segmenter),
    )


def explain_photographs(
    model: Path,
    files: Sequence[Path],
    *,
    out: Path,
    device: torch.device,
    options: ExplainOptions = DEFAULTS,
    allow_seen: bool = False,
    force: bool = False,
) -> list[Explained]:
    """Explain the model in the folder `model`, or its `fold0` …, on photographs from files, into the folder `out`.

    Nothing is checked, since a few photographs show nothing about a model.

    Raises `UserError`: as `explain`, or a file that is no photograph, or one that the model has seen.
    """
    models = [read_model(folder) for folder in model_folders(model)]
    require_new_folder(out, mark=DOCUMENT, force=force, inputs=[model, *files])
    if len(files) > MAX_COUNT:
        raise UserError(f"--image: {len(files)} photographs are too many at once; give up to {MAX_COUNT}.")
    sizes = {fitted.path: fitted.prepared_size for fitted in models}
    ids, squared = _read(files, set(sizes.values()), options.fit)
    for fitted in models:
        known = np.isin(ids, np.concatenate([np.empty(0, np.str_), *(each.image_id for each in fitted.seen)]))
        if known.any() and not allow_seen:
            raise UserError(
                f"--image {files[int(np.argmax(known))]}: {fitted.path} has seen this photograph before, so its "
                "verdict would flatter; give another, or --allow-seen."
            )
    names = [file.name for file in files]
    return _explain_each(
        models,
        out,
        device,
        lambda fitted, classifier: on_photographs(fitted, classifier, squared[sizes[fitted.path]], names, options),
    )


def _read(files: Sequence[Path], sizes: Iterable[int], fit: Fit) -> tuple[list[str], dict[int, Images]]:
    """Return the ids of photographs, and for each size all of them squared, [N, size, size, 3]."""
    squared: dict[int, list[Images]] = {size: [] for size in sizes}
    ids = []
    for file in files:
        try:
            photo = read_photo(file)
        except BadPhotoError as error:
            raise UserError(f"--image {file}: {error}; give a photograph.") from error
        ids.append(image_id(photo))
        for size, images in squared.items():
            images.append(to_square(photo, size, fit))
    return ids, {size: np.stack(images) for size, images in squared.items()}


def _explain_each(models: Sequence[FittedModel], out: Path, device: torch.device, one: Explain) -> list[Explained]:
    """Explain each model by `one`, and write it all."""
    choose_precision("fp32", device)  # whatever was fitted before, as for `classify evaluate`
    found = []
    with whole_folder(out) as stage:
        for fitted in models:
            explained = one(fitted, fitted.load().to(device).requires_grad_(False))
            write_explanation(stage / fitted.path.name if len(models) > 1 else stage, explained)
            found.append(explained)
        if len(models) > 1:
            write_index(stage, {fitted.path.name: each for fitted, each in zip(models, found, strict=True)})
    for explained in found:
        for line in explained.sentences:
            say(line)
    say(f"{out}: written; begin with {out / PAGE}")
    return found
