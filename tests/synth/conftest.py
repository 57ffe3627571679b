"""A small cohort, a small network that says it was trained on it, and what it drew: candidates and a bundle."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundling import to_bundle
from runs import colours_extractor
from selections import COPIES, COUNT

from shared.bundle import Bundle, read_bundle, read_candidates, write_bundle, write_candidates
from shared.cohort import EXTERNAL, NO_FOLD, STUDY, Cohort, read_cohort, write_cohort
from shared.splits import assign_folds, parts
from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, network_bytes
from synth.generate import GenerateOptions, generate
from synth.select import select
from synth.selecting.options import SelectOptions
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


@pytest.fixture(scope="module")
def candidates_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of a network that was never trained, for `synth bundle`."""
    path = tmp_path_factory.mktemp("drawn") / "candidates.h5"
    generate(GenerateOptions(network=run_folder, out=path, seeds="100-107,4000000000", truncation=0.7, noise="random"))
    return path


@pytest.fixture(scope="module")
def bundle_file(candidates_file: Path) -> Path:
    """A bundle made of `candidates_file` by hand."""
    path = candidates_file.with_name("bundle.h5")
    write_bundle(path, to_bundle(read_candidates(candidates_file)))
    return path


@pytest.fixture
def rewrite(bundle_file: Path, candidates_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the bundle, or the candidates, with other fields; pixels are changed by `spoil`."""

    def write(
        *,
        spoil: Callable[[np.ndarray], None] | None = None,
        selected: bool = True,
        generator: Any = None,
        **fields: Any,
    ) -> Path:
        drawn = read_bundle(bundle_file) if selected else read_candidates(candidates_file)
        images = np.array(drawn.images)
        if spoil is not None:
            spoil(images)
        generator = drawn.generator | (generator or {})
        changed = dataclasses.replace(drawn, **({"images": images, "generator": generator} | fields))
        path = tmp_path / "changed.h5"
        if isinstance(changed, Bundle):
            write_bundle(path, changed)
        else:
            write_candidates(path, changed)
        return path

    return write


@pytest.fixture
def small_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours instead of a network's features; only for tests that ask for it."""
    monkeypatch.setattr("synth.selecting.scored.open_extractor", lambda *_, **__: colours_extractor())


@pytest.fixture(scope="module")
def drawn(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of a network that was never trained, for `synth select`."""
    path = tmp_path_factory.mktemp("candidates") / "candidates.h5"
    generate(GenerateOptions(network=run_folder, out=path, count=COUNT))
    return path


@pytest.fixture(scope="module")
def mixed(drawn: Path, cohort: Cohort) -> Path:
    """Candidates of which a quarter are like the reals, so that some pass, and two are copies of reals."""
    candidates = read_candidates(drawn)
    images = np.array(candidates.images)
    images[::4] = np.random.default_rng(1).integers(60, 160, (COUNT // 4, *images.shape[1:]), dtype=np.uint8)
    images[::4, :, :, 0] += 80
    rows = parts(cohort, 0).train
    reals = cohort.images[rows[cohort.label[rows] == 1]]
    images[COPIES] = reals[2], reals[5, :, ::-1]
    path = drawn.with_name("mixed.h5")
    write_candidates(path, dataclasses.replace(candidates, images=images))
    return path


@pytest.fixture
def run(run_folder: Path, cohort: Cohort, mixed: Path, tmp_path: Path) -> Callable[..., Bundle]:
    """Select from `mixed`, or as the options say."""

    def call(**options: object) -> Bundle:
        defaults = {"candidates": mixed, "cohort": cohort.path, "network": run_folder, "out": tmp_path / "bundle.h5"}
        return select(SelectOptions(**(defaults | options)))

    return call
