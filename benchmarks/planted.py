"""Copies of a cohort's photographs, spoiled in several ways: which of them does the memorisation gate catch?

    python benchmarks/planted.py --cohort cohort.h5 [--fold 0] [--features lite1] [--gate 0.01]

Every photograph of the rare class that a network of the fold would be trained on is planted once in each way. What is
caught, by features or by pixels, is a share of them. As a control each photograph of the other class takes part as it
is: it is no copy of any, so what is caught of these is a false alarm. The last column says whether what is left, of a
generator that draws nothing else, would be called shareable. Writes a table in Markdown.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from shared.cohort import NEGATIVE, POSITIVE, STUDY, read_cohort
from shared.duplicates import thumbnails_of
from shared.nn.device import choose_device, describe_device
from shared.progress import progress
from shared.weights import WeightSource
from synth.scores.features import open_extractor
from synth.scores.quality import FEATURES, Images, to_features
from synth.selecting.memorization import gate_of, is_copy, leaning
from synth.selecting.originals import Originals, parts_of
from synth.selecting.sharing import Evidence, shareable


def each(change: Callable[[Image.Image], Image.Image]) -> Callable[[Images], Images]:
    """Return what changes images one by one."""
    return lambda images: np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def jpeg(quality: int) -> Callable[[Images], Images]:
    """Return what compresses images and reads them again."""

    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return each(change)


def brighter(factor: float) -> Callable[[Images], Images]:
    """Return what multiplies all values."""
    return lambda images: np.clip(images * factor, 0, 255).round().astype(np.uint8)


def cropped(share: float) -> Callable[[Images], Images]:
    """Return what cuts a share of each side off, half at either end, and enlarges the rest."""

    def change(image: Image.Image) -> Image.Image:
        away = image.width * share / 2
        box = (away, away, image.width - away, image.height - away)
        return image.resize(image.size, Image.Resampling.LANCZOS, box=box)

    return each(change)


def noisy(sd: float) -> Callable[[Images], Images]:
    """Return what adds normal noise."""
    rng = np.random.default_rng(0)
    return lambda images: np.clip(images + rng.normal(0, sd, images.shape), 0, 255).round().astype(np.uint8)


def mirrored_and_turned(images: Images) -> Images:
    """Return images in another of their eight forms."""
    return np.ascontiguousarray(np.rot90(images[:, :, ::-1], 1, (1, 2)))


WAYS: dict[str, Callable[[Images], Images]] = {
    "as it is": lambda images: images,
    "mirrored and turned": mirrored_and_turned,
    "JPEG, quality 90": jpeg(90),
    "JPEG, quality 75": jpeg(75),
    "JPEG, quality 50": jpeg(50),
    "5 % brighter": brighter(1.05),
    "5 % darker": brighter(0.95),
    "20 % brighter": brighter(1.2),
    "turned, JPEG 75 and 5 % brighter": lambda images: jpeg(75)(brighter(1.05)(mirrored_and_turned(images))),
    "noise, SD 10 of 255": noisy(10),
    "blurred, radius 1 px": each(lambda image: image.filter(ImageFilter.GaussianBlur(1))),
    "2 % of each side cut off": cropped(0.02),
    "10 % of each side cut off": cropped(0.1),
    "30 % of each side cut off": cropped(0.3),
    "half of another photograph mixed in": lambda images: ((images.astype(int) + np.roll(images, 1, 0)) // 2).astype(
        np.uint8
    ),
}


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--features", default="lite1")
    parser.add_argument("--gate", type=float, default=0.01)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = choose_device(options.device)
    cohort = read_cohort(options.cohort)
    extractor = open_extractor(options.features, "similarity", source=WeightSource(offline=True), device=device)
    rows = parts_of(cohort, POSITIVE, options.fold, "strict")
    with progress("looking at photographs", 8 * len(rows.rows), unit="images") as bar:
        originals = Originals.of(cohort, rows, extractor, bar, options.cohort.parent / FEATURES)
    gate, least = gate_of(originals, options.gate), originals.least_correlation(options.gate)
    print(
        f"{len(originals)} photographs of {cohort.size} px, {len(rows.trained)} of them planted, in the features of "
        f"{extractor.name}; gate {gate:.2f} (quantile {options.gate:g}), correlation of pixels from {least:.3f}; "
        f"{describe_device(device)}\n"
    )
    print("| planted | caught | by features | by pixels | the right photograph | the rest may be shared |")
    print("|---|--:|--:|--:|--:|---|")

    def line(name: str, images: Images, right: np.ndarray | None) -> None:
        distances = originals.distances(to_features(images, extractor))
        same = originals.same(thumbnails_of(images), least)
        near = distances.min(axis=1) < gate
        caught = is_copy(distances.min(axis=1), same, gate)
        named = np.where(same >= 0, same, distances.argmin(axis=1))
        rightly = "" if right is None else f"{100 * (named == right)[caught].mean():.1f} %" if caught.any() else "–"
        shares = " | ".join(f"{100 * each.mean():.1f} %" for each in (caught, near, same >= 0))
        evidence = Evidence(
            leaning(distances, originals, seed=0),
            candidates=len(images),
            copies=int(caught.sum()),
            quantile=options.gate,
            kept=int((~caught).sum()),
            photographs=len(originals),
            unknown=0,
            held_out=len(np.unique(cohort.group_id[rows.held_out])),
            foreign=0,
        )
        print(f"| {name} | {shares} | {rightly} | {'yes' if shareable(evidence)[0] else 'no'} |", flush=True)

    photographs = np.asarray(cohort.images[rows.trained])
    for name, way in WAYS.items():
        line(name, way(photographs), np.arange(len(photographs)))
    others = np.asarray(cohort.images[np.flatnonzero((cohort.role == STUDY) & (cohort.label == NEGATIVE))])
    line(f"*{len(others)} photographs of the other class*", others, None)


if __name__ == "__main__":
    main()
