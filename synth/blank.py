"""`synth blank`: a cohort whose background is white, so that no classifier can learn from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared.cohort import Cohort, write_cohort
from shared.console import say
from shared.errors import UserError
from shared.files import require_new
from shared.images import WHITE
from shared.nn.segment import Masks, Segmenter
from shared.plots import image_sheet
from shared.progress import progress

LEAST = 0.01  # of the picture, that a mask must take
AT_ONCE = 64  # images in memory beside the new ones
SHOWN = 20
MARK = "; background white by "


@dataclass(frozen=True)
class BlankOptions:
    """Options of `synth blank`."""

    out: Path
    force: bool = False


def blank(cohort: Cohort, segmenter: Segmenter, options: BlankOptions) -> Cohort:
    """Write `cohort` to `options.out` with all that is not in the middle in white, and return it.

    Ids, groups, folds and attributes stay, so who has seen a photograph is known across both cohorts; the file is
    another one, with what made it in its `source`, so a model that was fitted on one of them is refused the other. A
    picture whose mask takes less than a hundredth stays as it is, which is counted. Pictures before and after stand
    beside the file (`OUT_sheet.png`).

    Raises `UserError`: an existing `out` without `force`, or a cohort that is blank already.
    """
    sheet = options.out.with_name(f"{options.out.stem}_sheet.png")
    for path in (options.out, sheet):
        require_new(path, force=options.force, inputs=[cohort.path])
    if MARK in cohort.source:
        raise UserError(f"{cohort.path}: its background is white already; give the cohort that it was made from.")
    images = np.empty((len(cohort), cohort.size, cohort.size, 3), np.uint8)
    small = 0
    with progress("segmenting", len(cohort), unit="images") as bar:
        for start in range(0, len(cohort), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            some = np.asarray(cohort.images[rows])
            masks = segmenter(some, whole=True, advance=bar.advance)
            is_small = masks.mean((1, 2)) < LEAST
            images[rows] = blanked(some, masks | is_small[:, None, None])
            small += int(is_small.sum())
    made = replace(cohort, images=images, source=f"{cohort.source}{MARK}{segmenter.name}", path=options.out)
    made = replace(made, sha256=write_cohort(options.out, made))
    _draw(sheet, cohort, made)
    say(f"{options.out}: {len(made)} images with a white background, sha256 {made.sha256}")
    if small:
        say(f"warning: {small} masks took less than {LEAST:.0%} of the picture, so these images stay as they are.")
    say(f"{sheet}: look at it before you train; a mask that cuts a lesion away does harm.")
    return made


def blanked(images: np.ndarray, masks: Masks) -> np.ndarray:
    """Return `images` [N, S, S, 3] in white where `masks` [N, S, S] are not."""
    return np.where(masks[..., None], images, np.uint8(WHITE))


def _draw(path: Path, before: Cohort, after: Cohort) -> None:
    rows = np.linspace(0, len(before) - 1, min(SHOWN, len(before))).astype(np.int64)
    pairs = [("as they were", before), ("with a white background", after)]
    image_sheet(path, [(label, np.asarray(cohort.images[rows])) for label, cohort in pairs], title="Background")
