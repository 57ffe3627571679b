"""Whether the images of a bundle or a candidates file are those that its network draws."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.bundle import Candidates
from shared.console import say
from shared.drawn import Json
from shared.errors import UserError
from shared.progress import Bar, progress
from shared.stored import Images, StoredImages
from shared.weights import SHOWN_DIGITS, WeightSource
from stylegan2_ada.config import NOISE_MODES
from synth.bundles.info import open_drawn, printable
from synth.choices import MAX_TRUNCATION
from synth.drawing.pictures import batch_for
from synth.drawing.recipe import MAX_BATCH, Recipe
from synth.drawing.seeds import MAX_SEED, Seeds
from synth.drawing.trained import TrainedNetwork, open_network
from synth.training.launch import joined

LEVELS = 255
MAX_TOLERANCE = 16  # levels; what differs by more is another picture
NAMED = 5  # seeds of images that differ
MAX_SHOWN = 40  # characters of a value that is not as it should be


@dataclass(frozen=True)
class VerifyOptions:
    """Options of `synth bundle verify`.

    `tolerance` is by how many levels of 255 a value of an image may differ: the network's floating-point numbers are
    rounded down to levels, so that the last digits, which depend on device, threads and `batch`, decide some of them.
    """

    file: Path
    network: str | Path
    tolerance: int = 1
    batch: int | None = None
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance <= MAX_TOLERANCE:
            raise UserError(f"--tolerance {self.tolerance}: out of range; give 0 to {MAX_TOLERANCE} levels.")
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH:
            raise UserError(f"--batch {self.batch}: out of range; give 1 to {MAX_BATCH}.")


@dataclass(frozen=True)
class Verification:
    """How the images of a file compare with those that its network draws.

    Attributes:
        images: how many there are.
        exact: how many are the same bit for bit.
        rounded: how many others differ by no more than the tolerance.
        largest: difference of a value, in levels of 255.
        seeds: of the first few that differ by more; there are images - exact - rounded of them.
    """

    images: int
    exact: int = 0
    rounded: int = 0
    largest: int = 0
    seeds: tuple[int, ...] = ()

    @property
    def others(self) -> int:
        """How many images differ by more than the tolerance, among those compared."""
        return self.images - self.exact - self.rounded


def verify(options: VerifyOptions) -> Verification:
    """Draw every image again, as the file says that it was drawn, and compare it; say and return what was found.

    Some images at a time are in memory. Several processes (`synth.training.launch`) draw a share each.

    Raises `UserError`: an image differs by more than the tolerance; or the file cannot be read, does not say how it was
    drawn, or another network drew it.
    """
    drawn = open_drawn(options.file)
    with joined(options.device) as (ranks, device):
        source = WeightSource(folder=options.weights, offline=options.offline)
        trained = open_network(options.network, device, source)
        _require_its_network(options, drawn, trained)
        recipe = _recipe(options, drawn, trained)
        at_once = recipe.batch * ranks.count
        with progress("drawing again", len(drawn), unit="images") as bar:
            differences = _differences(drawn, lambda seeds: recipe.draw(trained, seeds, ranks), at_once, bar)
    found = _count(differences, drawn.seed, options.tolerance)
    if found.others:
        raise UserError(_what_differs(options, found, recipe, trained))
    _report(options, found, trained)
    return found


def _require_its_network(options: VerifyOptions, drawn: Candidates, trained: TrainedNetwork) -> None:
    """Raise `UserError` unless the file says that this network drew it, and holds what it can draw."""
    stated = drawn.generator.get("network")
    if not isinstance(stated, str):
        raise UserError(f"{options.file}: does not say which network drew it; draw it again with `synth generate`.")
    if stated != trained.sha256:
        raise UserError(
            f"--network {options.network}: {trained.path} did not draw {options.file}; give the network whose SHA-256 "
            f"is {printable(stated[:SHOWN_DIGITS])}…."
        )
    if drawn.size != trained.size:
        raise UserError(
            f"{options.file}: images of {drawn.size} px, where {trained.path} draws {trained.size} px; draw them again."
        )
    odd = drawn.seed[(drawn.seed < 0) | (drawn.seed > MAX_SEED)]
    if len(odd):
        raise UserError(f"{options.file}: has the seed {odd[0]}, where 0 to {MAX_SEED} are seeds; draw it again.")


def _recipe(options: VerifyOptions, drawn: Candidates, trained: TrainedNetwork) -> Recipe:
    """Return how the file says that it was drawn; raise `UserError` where the network cannot draw so."""
    says: Json = {name: drawn.generator.get(name) for name in ("truncation", "noise", "class")}
    psi, noise, class_index = says.values()
    no_class = trained.c_dim == 0
    fits = {
        "truncation": isinstance(psi, int | float) and not isinstance(psi, bool) and abs(psi) <= MAX_TRUNCATION,
        "noise": noise in NOISE_MODES,
        "class": class_index is None if no_class else type(class_index) is int and 0 <= class_index < trained.c_dim,
    }
    for name, fitting in fits.items():
        if not fitting:
            value = says[name]
            shown = repr(value)[:MAX_SHOWN] if isinstance(value, str | int | float | None) else "no single value"
            raise UserError(
                f"{options.file}: says that the {name} of its generator is {shown}, with which {trained.path} cannot "
                "draw; draw it again with `synth generate`."
            )
    return Recipe(float(psi), noise, class_index, batch_for(trained.size, options.batch))


def _differences(drawn: Candidates, draw: Callable[[Seeds], Images], at_once: int, bar: Bar) -> Images:
    """Return the largest difference of a value in each image, uint8 [N]."""
    images = drawn.images
    assert isinstance(images, StoredImages)
    differences = np.empty(len(drawn), np.uint8)
    for start in range(0, len(drawn), at_once):
        rows = slice(start, start + at_once)
        stored = images.read(rows)
        again = draw(drawn.seed[rows]).astype(np.int16)
        differences[rows] = np.abs(again - stored).reshape(len(stored), -1).max(axis=1)
        bar.advance(len(stored))
    return differences


def _count(differences: Images, seeds: Seeds, tolerance: int) -> Verification:
    return Verification(
        images=len(seeds),
        exact=int((differences == 0).sum()),
        rounded=int(((differences > 0) & (differences <= tolerance)).sum()),
        largest=int(differences.max(initial=0)),
        seeds=tuple(seeds[differences > tolerance][:NAMED].tolist()),
    )


def _what_differs(options: VerifyOptions, found: Verification, recipe: Recipe, trained: TrainedNetwork) -> str:
    """Return the sentence on images that differ."""
    more = ", …" if found.others > len(found.seeds) else ""
    seeds = f"seed{'s' if found.others > 1 else ''} {', '.join(map(str, found.seeds))}{more}"
    way_out = "draw them again with `synth generate`"
    if recipe.noise == "random":
        way_out += ", or, as random noise is another on each kind of device, name theirs with --device"
    elif found.largest <= MAX_TOLERANCE:
        way_out += f", or give --tolerance {found.largest} if a device that rounds so drew them"
    return (
        f"{options.file}: {found.others} of {found.images} images are not what {trained.path} draws ({seeds}; values "
        f"differ by up to {found.largest} of {LEVELS}, where --tolerance allows {options.tolerance}); {way_out}."
    )


def _report(options: VerifyOptions, found: Verification, trained: TrainedNetwork) -> None:
    if not found.images:
        say(f"{options.file}: holds no images, so there is nothing to compare")
        return
    same = f"{options.file}: {found.exact} of {found.images} images are bit for bit what {trained.path} draws"
    rest = f", and {found.rounded} within rounding (values differ by up to {found.largest} of {LEVELS})"
    say(f"{same}{rest if found.rounded else ''}")
