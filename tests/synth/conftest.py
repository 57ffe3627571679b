"""A small cohort, and a small network that says it was trained on it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.cohort import EXTERNAL, NO_FOLD, STUDY, Cohort, read_cohort, write_cohort
from shared.splits import assign_folds, parts
from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, network_bytes
from synth.training.options import TrainOptions

SIZE = 16


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """30 positives, 24 negatives and 4 external images of 16 px in 3 folds; positives are redder."""
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0, 0], [30, 24, 4])
    role = np.repeat([STUDY, STUDY, EXTERNAL], [30, 24, 4]).astype(np.uint8)
    study = role == STUDY
    images = rng.integers(60, 160, (58, SIZE, SIZE, 3), dtype=np.uint8)
    images[label == 1, :, :, 0] += 80
    fold = np.full(58, NO_FOLD, np.int8)
    group_id = np.arange(58) // 2
    fold[study] = assign_folds(label[study], group_id[study], folds=3, seed=0)
    path = tmp_path_factory.mktemp("cohort") / "cohort.h5"
    made = Cohort(
        images=images,
        label=label,
        image_id=np.array([hashlib.sha256(str(number).encode()).hexdigest() for number in range(58)]),
        group_id=group_id,
        fold=fold,
        role=role,
        source_path=np.array([f"{number}.png" for number in range(58)]),
        classes=("eczema", "herpeticum"),
        folds=3,
        seed=0,
        source="phantom",
    )
    write_cohort(path, made)
    return read_cohort(path)


@pytest.fixture
def options(cohort: Cohort, tmp_path: Path) -> TrainOptions:
    """A training of seconds on the small cohort; gamma asks for a method with R1."""
    assert cohort.path is not None
    return TrainOptions(
        cohort=cohort.path,
        out=tmp_path / "run",
        gamma=(0.1,),
        cfg="tiny",
        kimg=0.048,
        batch=8,
        checkpoint_every=0.024,
        quality_fakes=16,
        features="offline",
        device="cpu",
        offline=True,
    )


@pytest.fixture(scope="session")
def make_network(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a run folder with a network that was never trained, and return the folder."""

    def make(*, c_dim: int = 0, seed: int = 0, **about: Any) -> Path:
        generator = GeneratorConfig(
            img_resolution=SIZE, z_dim=8, c_dim=c_dim, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8
        )
        discriminator = DiscriminatorConfig(img_resolution=SIZE, c_dim=c_dim, channel_base=128, channel_max=8)
        networks = Networks.build(generator, discriminator, seed)
        with torch.no_grad():  # a new discriminator's last biases are zero, which would hide an error of one group
            networks.D.b4.out.bias.fill_(0.25)
        split = parts(cohort, 0)
        rows = np.concatenate([split.train, split.validation])
        rows = rows[cohort.label[rows] == 1]
        stated = {
            "cohort": cohort.sha256,
            "class_name": "herpeticum",
            "label": 1,
            "classes": list(cohort.classes) if c_dim else None,
            "fold": 0,
            "protocol": "strict",
            "seen_image_id": cohort.image_id[rows].tolist(),
            "seen_group_id": cohort.group_id[rows].tolist(),
            "generator": {"gamma": 0.1, "target": 0.6, "lr": 0.002, "kimg": 1.0},
            "quality": {"name": "Frechet distance (colours)", "value": 12.5},
        }
        folder = tmp_path_factory.mktemp("run")
        (folder / "network.safetensors").write_bytes(network_bytes(networks, stated | about))
        return folder

    return make


@pytest.fixture(scope="session")
def run_folder(make_network: Callable[..., Path]) -> Path:
    return make_network()
