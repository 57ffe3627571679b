"""A small cohort whose classes a network can tell apart, and bundles of it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.bundle import Bundle, write_bundle
from shared.cohort import EXTERNAL, NO_FOLD, STUDY, Cohort, read_cohort, write_cohort
from shared.splits import assign_folds

SIZE = 32
CLASSES = ("rash", "herpeticum")


def draw(rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
    """Noise; positives carry a bright spot at a random place."""
    images = rng.integers(0, 120, (len(label), SIZE, SIZE, 3), dtype=np.uint8)
    for image, positive in zip(images, label, strict=True):
        if positive:
            row, column = rng.integers(0, SIZE - 10, 2)
            image[row : row + 10, column : column + 10] += 130
    return images


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    def make(*, positives: int = 30, negatives: int = 41, externals: int = 5, folds: int = 3, seed: int = 3) -> Cohort:
        count = positives + negatives + externals
        label = np.repeat([1, 0, 0], [positives, negatives, externals])
        role = np.repeat([STUDY, STUDY, EXTERNAL], [positives, negatives, externals]).astype(np.uint8)
        group_id = 100 + np.arange(count) // 2  # the first external image shares its group with a study image
        fold = np.full(count, NO_FOLD, np.int8)
        study = role == STUDY
        fold[study] = assign_folds(label[study], group_id[study], folds=folds, seed=seed)
        images = draw(np.random.default_rng(seed), label)
        return Cohort(
            images=images,
            label=label,
            image_id=np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images]),
            group_id=group_id,
            fold=fold,
            role=role,
            source_path=np.array([f"{number}.png" for number in range(count)]),
            classes=CLASSES,
            folds=folds,
            seed=seed,
            source="photographs",
        )

    return make


@pytest.fixture(scope="session")
def cohort(make_cohort: Callable[..., Cohort], tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort as it is read from a file; tests do not change it."""
    path = tmp_path_factory.mktemp("cohort") / "cohort.h5"
    write_cohort(path, make_cohort())
    return read_cohort(path)


@pytest.fixture
def small(make_cohort: Callable[..., Cohort]) -> Cohort:
    """A cohort for quick fits."""
    return make_cohort(positives=10, negatives=12, externals=2, folds=2)


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    def make(cohort: Cohort, *, count: int = 12, fold: int = 0, seen: Sequence[int] = (), **changes: object) -> Bundle:
        ones = np.ones(count, np.float32)
        seed = np.arange(count)
        rows = np.array(seen, np.int64)
        bundle = Bundle(
            images=draw(np.random.default_rng(count), np.ones(count)),
            seed=seed,
            similarity=ones,
            discriminator=ones,
            candidates={"seed": seed, "similarity": ones, "discriminator": ones}
            | dict.fromkeys(("selected", "by_similarity", "by_discriminator"), np.ones(count, bool)),
            reference={
                "image_id": cohort.image_id[rows],
                "similarity": np.ones(len(rows), np.float32),
                "discriminator": np.ones(len(rows), np.float32),
            },
            seen_image_id=cohort.image_id[rows],
            seen_group_id=cohort.group_id[rows],
            class_name=cohort.positive,
            label=1,
            fold=fold,
            protocol="strict",
            generator={"gamma": 0.1},
            quality={},
            cohort=cohort.sha256,
            rule="union",
            sigma=2.0,
            thresholds={},
            sha256=hashlib.sha256(f"{count} {fold} {seen} {sorted(changes)}".encode()).hexdigest(),
        )
        return replace(bundle, **changes)

    return make


@pytest.fixture
def bundle_file(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> Callable[..., Path]:
    """Write a bundle and return its path."""

    def write(cohort: Cohort, name: str = "bundle.h5", **options: object) -> Path:
        path = tmp_path / name
        write_bundle(path, make_bundle(cohort, **options))
        return path

    return write
