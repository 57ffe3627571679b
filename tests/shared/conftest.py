"""Small cohorts and bundles, and files that were tampered with."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shared.bundle import Bundle, Candidates, write_bundle
from shared.cohort import EXTERNAL, NO_FOLD, STUDY, Cohort
from shared.sealed import write_sealed
from shared.splits import assign_folds


def _ids(count: int) -> np.ndarray:
    return np.array([hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)])


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    def make(
        *, positives: int = 12, negatives: int = 15, externals: int = 4, size: int = 8, folds: int = 3, seed: int = 0
    ) -> Cohort:
        rng = np.random.default_rng(seed)
        count = positives + negatives + externals
        label = np.repeat([1, 0, 0], [positives, negatives, externals])
        role = np.repeat([STUDY, STUDY, EXTERNAL], [positives, negatives, externals]).astype(np.uint8)
        group_id = np.arange(count) // 2  # pairs, one of which may hold both classes
        fold = np.full(count, NO_FOLD, np.int8)
        study = role == STUDY
        fold[study] = assign_folds(label[study], group_id[study], folds=folds, seed=seed)
        return Cohort(
            images=rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
            label=label,
            image_id=_ids(count),
            group_id=group_id,
            fold=fold,
            role=role,
            source_path=np.array([f"füße/{number}.jpg" for number in range(count)]),
            classes=("eczema", "herpeticum"),
            folds=folds,
            seed=seed,
            source="photographs",
            attributes={
                "skin_tone": rng.integers(1, 7, count).astype(np.int8),
                "age": np.where(np.arange(count) % 3, 30.5, np.nan),
                "site": np.array(["Arm", "", "Fuß"] * count)[:count],
            },
        )

    return make


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Bundle]:
    def make(*, candidates: int = 7, selected: tuple[int, ...] = (1, 4, 5), size: int = 8) -> Bundle:
        rng = np.random.default_rng(candidates)
        seed = np.arange(100, 100 + candidates)
        chosen = np.isin(np.arange(candidates), selected)
        similarity, discriminator = rng.normal(size=(2, candidates)).astype(np.float32)
        return Bundle(
            images=rng.integers(0, 256, (len(selected), size, size, 3), dtype=np.uint8),
            seed=seed[chosen],
            similarity=similarity[chosen],
            discriminator=discriminator[chosen],
            candidates={
                "seed": seed,
                "similarity": similarity,
                "discriminator": discriminator,
                "selected": chosen,
                "by_similarity": chosen,
                "by_discriminator": np.zeros(candidates, bool),
            },
            reference={
                "image_id": _ids(3),
                "similarity": np.array([0.5, 0.75, 1.0], np.float32),
                "discriminator": np.array([-1.0, 0.0, 1.0], np.float32),
            },
            seen_image_id=_ids(5),
            seen_group_id=np.arange(5),
            class_name="herpeticum",
            label=1,
            fold=0,
            protocol="strict",
            rule="union",
            sigma=2.0,
            thresholds={"similarity": 0.25, "discriminator": -0.5},
            generator={"network": "ab" * 32, "gamma": 0.1, "cell": {"kimg": 10}},
            quality={"kid": None, "n": 12},
            features={"extractor": "efficientnet_lite0"},
            cohort="cd" * 32,
        )

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Bundle]) -> Path:
    """A bundle as it was written; tests copy it before they change it."""
    path = tmp_path_factory.mktemp("whole") / "bundle.h5"
    write_bundle(path, make_bundle())
    return path


@pytest.fixture(scope="session")
def candidates_of() -> Callable[[Bundle], Candidates]:
    names = [
        "images",
        "seed",
        "seen_image_id",
        "seen_group_id",
        "class_name",
        "label",
        "fold",
        "protocol",
        "generator",
        "quality",
        "cohort",
        "path",
        "sha256",
    ]
    return lambda bundle: Candidates(**{name: getattr(bundle, name) for name in names})


@pytest.fixture(scope="session")
def tamper() -> Callable[[Path, Callable[[h5py.File], Any]], None]:
    """Change the content of a sealed file and seal it again, as only an attacker or a bug would."""

    def change(path: Path, edit: Callable[[h5py.File], Any]) -> None:
        source = path.with_suffix(".before")
        path.rename(source)

        def build(file: h5py.File) -> None:
            with h5py.File(source, "r") as old:
                for name in old:
                    old.copy(name, file)
                for name, value in old.attrs.items():
                    file.attrs[name] = value
            edit(file)

        write_sealed(path, build)

    return change
