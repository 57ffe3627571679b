"""Draw candidates with a network: candidates.h5, a contact sheet, and PNGs on request."""

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from shared.bundle import Candidates, read_candidates, write_candidates
from shared.console import say
from shared.errors import UserError
from shared.files import require_new
from shared.plots import image_sheet
from shared.progress import Bar, progress
from shared.stored import Images, MadeImages, pieces_of
from shared.weights import WeightSource
from stylegan2_ada import Ranks
from stylegan2_ada.config import NoiseMode
from synth.choices import MAX_TRUNCATION
from synth.drawing.pictures import batch_for
from synth.drawing.png_folder import require_empty, staged, write_png
from synth.drawing.recipe import MAX_BATCH, Recipe
from synth.drawing.seeds import Seeds, choose_seeds
from synth.drawing.trained import TrainedNetwork, open_network
from synth.networks.provenance import licence_notice
from synth.training.launch import joined

SHEET_IMAGES = 60


@dataclass(frozen=True)
class GenerateOptions:
    """Options of `synth generate`.

    `network` is a name that `synth networks` lists, a file, a run's folder or a grid's folder; `seeds` excludes `seed`
    and `count`; `class_index` belongs to conditional networks, which need it.
    """

    network: str | Path
    out: Path
    count: int | None = None
    seed: int | None = None
    seeds: str | None = None
    truncation: float | None = None
    noise: NoiseMode | None = None
    class_index: int | None = None
    png: Path | None = None
    batch: int | None = None
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        psi = self.truncation
        if psi is not None and not (math.isfinite(psi) and abs(psi) <= MAX_TRUNCATION):
            raise UserError(f"--truncation {psi:g}: out of range; give {-MAX_TRUNCATION:g} to {MAX_TRUNCATION:g}.")
        if self.noise not in (None, *get_args(NoiseMode)):
            raise UserError(f"--noise {self.noise}: no such noise; give {', '.join(get_args(NoiseMode))}.")
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH:
            raise UserError(f"--batch {self.batch}: out of range; give 1 to {MAX_BATCH}.")


def generate(options: GenerateOptions) -> Candidates:
    """Draw the pictures, write them, and return them; several processes (`synth.training.launch`) draw a share each.

    Raises `UserError`: whatever the user can mend, before anything is drawn.
    """
    seeds = choose_seeds(seeds=options.seeds, seed=options.seed, count=options.count)
    sheet = options.out.with_name(f"{options.out.stem}_sheet.png")
    for path in (options.out, sheet):
        require_new(path, force=options.force, inputs=[options.network])
    if options.png is not None:
        require_empty(options.png, option="--png", force=options.force)
    with joined(options.device) as (ranks, device):
        return _generate(options, seeds, sheet, ranks, device)


def _generate(options: GenerateOptions, seeds: Seeds, sheet: Path, ranks: Ranks, device: torch.device) -> Candidates:
    source = WeightSource(folder=options.weights, offline=options.offline)
    trained = open_network(options.network, device, source)
    notice = licence_notice(str(options.network), trained.licence)
    if notice is not None:
        say(notice)
    drawn_class(trained, options.class_index)
    with progress("drawing", len(seeds), unit="images") as bar:
        return _write(_candidates(trained, seeds, options, ranks, bar), trained, sheet, options, ranks)


def _candidates(trained: TrainedNetwork, seeds: Seeds, options: GenerateOptions, ranks: Ranks, bar: Bar) -> Candidates:
    """Return what is drawn whenever it is asked for, by all ranks together."""
    label, class_name = drawn_class(trained, options.class_index)
    seen_image_id, seen_group_id = trained.seen()
    batch = batch_for(trained.size, options.batch)
    recipe = Recipe(truncation_of(trained, options), options.noise or trained.noise, options.class_index, batch)

    def make(rows: npt.NDArray[np.int64]) -> Images:
        bar.advance(len(rows))
        return recipe.draw(trained, seeds[rows], ranks)

    return Candidates(
        images=MadeImages((len(seeds), trained.size, trained.size, 3), make, batch * ranks.count),
        seed=seeds,
        seen_image_id=seen_image_id,
        seen_group_id=seen_group_id,
        class_name=class_name,
        label=label,
        fold=trained.about["fold"],
        protocol=trained.about["protocol"],
        generator=trained.about["generator"]
        | {
            "network": trained.sha256,
            "truncation": recipe.truncation,
            "noise": recipe.noise,
            "class": recipe.class_index,
        }
        | ({} if trained.licence is None else {"licence": trained.licence}),
        quality=trained.about["quality"],
        cohort=trained.about["cohort"],
    )


def _write(
    candidates: Candidates, trained: TrainedNetwork, sheet: Path, options: GenerateOptions, ranks: Ranks
) -> Candidates:
    """Draw once and write what comes, some images at a time: file, PNGs and sheet; return what can be read again."""
    first: list[Images] = []
    pngs: Path | None = None
    images = candidates.images
    assert isinstance(images, MadeImages)
    made = images.make

    def watched(rows: npt.NDArray[np.int64]) -> Images:
        part = made(rows)
        if rows[0] < SHEET_IMAGES:
            first.append(part)
        if pngs is not None:
            for image, seed in zip(part, candidates.seed[rows].tolist(), strict=True):
                write_png(pngs, image, seed)
        return part

    watched_images = dataclasses.replace(images, make=watched)
    if not ranks.first:
        for _ in pieces_of(watched_images):
            pass
        return candidates
    with contextlib.ExitStack() as stack:
        pngs = None if options.png is None else stack.enter_context(staged(options.png))
        write_candidates(options.out, dataclasses.replace(candidates, images=watched_images))
    count, name = len(candidates), candidates.class_name
    shown = np.concatenate(first)[:SHEET_IMAGES]
    image_sheet(sheet, [(f"{name}, the first {len(shown)} of {count}", shown)], title="Synthetic images")
    say(f"{options.out}: {count} synthetic images of {name}, {trained.size} px, by {trained.path}")
    return read_candidates(options.out)


def truncation_of(trained: TrainedNetwork, options: GenerateOptions) -> float:
    """Return psi: what is asked for, else what the network was refined to."""
    return trained.truncation if options.truncation is None else options.truncation


def drawn_class(trained: TrainedNetwork, class_index: int | None) -> tuple[int, str]:
    """Return label and name of the class to draw.

    Raises `UserError`: a class where there are none, none where there are some, or one out of range.
    """
    if trained.c_dim == 0:
        if class_index is not None:
            raise UserError(f"--class {class_index}: {trained.path} draws one class only; leave --class out.")
        return trained.about["label"], trained.about.get("class_name", trained.name)
    names = trained.about["classes"] or [f"{trained.name}, class {index}" for index in range(trained.c_dim)]
    listed = f"0 to {len(names) - 1}"
    if trained.about["cohort"]:
        listed = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
    if class_index is None:
        raise UserError(f"--class: missing, and {trained.path} draws several classes; give one of {listed}.")
    if not 0 <= class_index < len(names):
        raise UserError(f"--class {class_index}: {trained.path} has no such class; give one of {listed}.")
    return class_index if trained.about["cohort"] else trained.about["label"], names[class_index]
