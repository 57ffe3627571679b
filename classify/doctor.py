"""`classify doctor`: whether the cells of Table 2 would run on this machine, and what a step of each model takes."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from classify.fitting.plan import require_settings
from classify.fitting.settings import FitOptions
from classify.models import CLASSES, build_model, resolve_image_size, set_trainable
from classify.presets import ALL, read_preset
from classify.registry import find_model
from shared.cohort import Cohort, read_cohort
from shared.doctor.finding import Finding, State, bad, good, unknown
from shared.doctor.packages import examine_packages
from shared.doctor.places import examine_folder, in_gib
from shared.doctor.pretrained import examine_weights
from shared.doctor.storage import examine_storage
from shared.errors import UserError
from shared.nn.device import autocast, choose_device, choose_precision
from shared.nn.examined import examine_machine
from shared.nn.memory import forget_peak, free_bytes, is_out_of_memory, peak_bytes
from shared.progress import progress
from shared.weights import WeightFile, WeightSource

EXTRAS = {
    "postgresql": "--storage postgresql://",
    "explain": "classify explain",
    "export": "classify export",
    "segment": "--segmentation",
    "serve": "classify serve",
}
MODEL_BYTES = 4  # a parameter of what is kept of a fit
FOLDS = 5  # of a cohort as it is usually prepared


@dataclass(frozen=True)
class Job:
    """The study that is asked about: its options, and `size`, the side in px of its images where there is no cohort."""

    preset: str
    cohort: Path | None
    size: int
    out: Path
    trial: bool
    device: str = "auto"
    precision: str | None = None
    weights: Path | None = None
    offline: bool = False
    storage: str | None = None


def examine(job: Job) -> list[Finding]:
    """Look at the machine, and take a step of each model; nothing is left behind, nothing is downloaded.

    Raises `UserError`: `job` itself is wrong, whatever the machine.
    """
    cells = read_preset(job.preset)
    for cell in cells:
        require_settings(cell.options)
    cohort = None if job.cohort is None else read_cohort(job.cohort)
    size, folds = (job.size, FOLDS) if cohort is None else (cohort.size, cohort.folds)
    models = {cell.options.model: cell.options for cell in reversed(cells)}
    found = [*examine_packages(EXTRAS), *examine_machine(job.device, job.precision)]
    found += examine_weights(_weights(models), {}, WeightSource(job.weights, job.offline))
    kept = 0
    if not any(each.about == "device" and each.state is State.BAD for each in found):
        if cohort is not None:
            found.append(_images(cohort, choose_device(job.device)))
        if not job.trial:
            found.append(unknown("fits", "not tried: leave out --no-trial to take a step of each model"))
        for name, options in reversed(models.items()) if job.trial else ():
            step, parameters = _step(options, size, job)
            found.append(step)
            own = [cell for cell in cells if cell.options.model == name]
            kept += parameters * MODEL_BYTES * sum(folds if cell.fold == ALL else 1 for cell in own)
    found += examine_folder(job.out, kept)
    return found + list(examine_storage(job.storage, job.out))


def _images(cohort: Cohort, device: torch.device) -> Finding:
    """Tell whether the images of a fit, which lie on its device as uint8, have room there."""
    needed, free = 3 * len(cohort) * cohort.size**2, free_bytes(device)
    text = f"{in_gib(needed)} for {len(cohort)} images of {cohort.size} px"
    if free is None or needed < free:
        return good("memory", text)
    return bad("memory", f"{text}, and {in_gib(free)} are free; prepare smaller images, or give another --device.")


def _weights(models: dict[str, FitOptions]) -> dict[WeightFile, str]:
    """Return the files that the models start from, each with the names of those."""
    names: dict[WeightFile, list[str]] = {}
    for name in reversed(models):
        pretrained = find_model(name).pretrained
        if pretrained is not None:
            names.setdefault(pretrained.file(), []).append(name)
    return {file: ", ".join(users) for file, users in names.items()}


def _step(options: FitOptions, size: int, job: Job) -> tuple[Finding, int]:
    """Take one step of a model on images of random pixels; return what it took, and its number of parameters."""
    spec, device = find_model(options.model), choose_device(job.device)
    dtype = choose_precision(job.precision or "auto", device)
    batch = options.batch or spec.batch
    forget_peak(device)
    try:
        with progress(f"a step of {options.model}", 1, unit="step") as bar:
            asked = options.image_size or spec.image_size
            whose = f"--size {size}" if asked is None else None
            classifier = build_model(
                options.model,
                image_size=resolve_image_size(spec, asked or size, options.depth or spec.depth, whose=whose),
                depth=options.depth,
                head=options.head,
                dropout=options.dropout,
            ).to(device)
            set_trainable(classifier, spec.unfreeze if options.unfreeze is None else options.unfreeze, name=spec.name)
            images = torch.randint(256, (batch, size, size, 3), dtype=torch.uint8, device=device)
            begun = time.monotonic()
            with autocast(device, dtype):
                logits = classifier.train()(images).float()
            labels = torch.arange(batch, device=device) % CLASSES
            loss = F.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            loss.item()  # a GPU has done it then
            seconds = time.monotonic() - begun
            bar.advance()
    except UserError as error:
        return bad(options.model, str(error)), 0
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return bad(
            options.model, f"{device}: its memory does not hold a step of {batch} images; give a smaller batch."
        ), 0
    held = in_gib(peak_bytes(device))
    text = f"{seconds:.2g} s for a first step of {batch} images of {classifier.image_size} px, {held} of memory at most"
    return good(options.model, text), sum(parameter.numel() for parameter in classifier.parameters())
