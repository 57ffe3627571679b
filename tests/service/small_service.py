"""A service of seconds: bundles made by hand, an artist that draws text, and a worker that writes a small bundle."""

import contextlib
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from shared.bundle import Bundle, write_bundle
from shared.cohort import STUDY, Cohort, write_cohort
from shared.errors import UserError
from shared.web.tokens import issue
from synth.serve import opened
from synth.service.app import application, guarded
from synth.service.artist import NetworkFacts, Picture
from synth.service.options import SCOPES, Bounds, ServeOptions
from synth.service.parts import Parts

WORKER = (sys.executable, str(Path(__file__).with_name("small_worker.py")))
BOUNDS = Bounds(fewest=4, most=64, per_minute=1e6)
SIZE = 8


def bundle_of(seeds: range, *, shareable: bool = True, network: str = "ab" * 32, **changes: Any) -> Bundle:
    """Return a bundle whose images follow from their seeds."""
    count = len(seeds)
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for number, seed_of_it in enumerate(seeds):
        images[number] = np.random.default_rng(seed_of_it).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    seed, score = np.array(seeds, np.int64), np.arange(count, dtype=np.float32)
    fields: dict[str, Any] = {
        "images": images,
        "seed": seed,
        "similarity": score,
        "discriminator": score,
        "candidates": {
            "seed": seed,
            "similarity": score,
            "discriminator": score,
            **{name: np.ones(count, bool) for name in ("selected", "by_similarity", "by_discriminator")},
        },
        "reference": {
            "image_id": np.array(["c" * 64]),
            "similarity": np.zeros(1, np.float32),
            "discriminator": np.zeros(1, np.float32),
        },
        "seen_image_id": np.array(["c" * 64]),
        "seen_group_id": np.array([3]),
        "class_name": "herpeticum",
        "label": 1,
        "fold": 0,
        "protocol": "strict",
        "rule": "union",
        "sigma": 2.0,
        "thresholds": {},
        "generator": {"network": network},
        "quality": {},
        "cohort": "d" * 64,
        "shareable": shareable,
        "shareable_reason": "because it is a test",
    }
    return Bundle(**(fields | changes))


def make_bundle(path: Path, first: int = 0, count: int = 6, **changes: Any) -> Path:
    """Write a bundle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(path, bundle_of(range(first, first + count), **changes))
    return path


def make_cohort(path: Path) -> str:
    """Write a cohort of two images; return its SHA-256."""
    rng = np.random.default_rng(0)
    made = Cohort(
        images=rng.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8),
        label=np.array([0, 1]),
        image_id=np.array(["a" * 64, "b" * 64]),
        group_id=np.array([0, 1]),
        fold=np.array([0, 1], np.int8),
        role=np.full(2, STUDY, np.uint8),
        source_path=np.array(["a", "b"]),
        classes=("eczema", "herpeticum"),
        folds=2,
        seed=0,
        source="phantom",
    )
    return write_cohort(path, made)


def make_network(path: Path, **about: Any) -> str:
    """Write what stands for a network; return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = {"name": path.stem, "size": SIZE, "classes": [], "class_name": "herpeticum", "licence": "Apache-2.0"}
    path.write_text(json.dumps(stated | {"cohort": "", "photographs": 0} | about))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TextArtist:
    """An artist whose networks are JSON, and whose pictures are text."""

    def describe(self, path: Path) -> NetworkFacts:
        try:
            about = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f"{path}: no network.") from error
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return NetworkFacts(sha256=sha256, **about | {"classes": tuple(about["classes"])})

    def draw(self, path: Path, picture: Picture) -> bytes:
        return f"picture {picture}".encode()

    def close(self) -> None:
        pass


class Place:
    """A service's folder: what is in it, and who may do what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cohort = make_cohort(folder / "cohort.h5")
        networks = folder / "networks"
        self.free = make_network(networks / "free.safetensors")
        self.own = make_network(networks / "own.safetensors", cohort=self.cohort, photographs=2, licence="your own")
        self.shared = make_bundle(folder / "bundles" / "shared.h5")
        self.secret = make_bundle(folder / "bundles" / "secret.h5", first=100, shareable=False)
        self.options = ServeOptions(
            folders=(folder / "bundles",),
            store=folder / "store",
            networks=(str(networks),),
            cohorts=(folder / "cohort.h5",),
            draw=(str(networks / "free.safetensors"),),
            tokens=folder / "tokens.json",
            bounds=BOUNDS,
        )
        self.heads = {name: self.token(name) for name in ("ada", "bob")}

    def token(self, name: str, *scopes: str, days: float | None = None) -> dict[str, str]:
        """Return the header of a new token."""
        tokens = self.folder / "tokens.json"
        return {"Authorization": f"Bearer {issue(tokens, name, scopes or SCOPES, allowed=SCOPES, days=days)}"}

    @contextlib.contextmanager
    def opened(self, **changes: Any) -> Iterator[tuple[TestClient, Parts]]:
        """Serve, within this process; as ada unless a request says otherwise."""
        with opened(replace(self.options, **changes), TextArtist(), WORKER) as parts:
            app = guarded(application(parts), ["testserver"], log=io.StringIO())
            yield TestClient(app, base_url="http://localhost", headers=self.heads["ada"]), parts

    def order(self, **changes: Any) -> dict[str, Any]:
        """Return an order."""
        return {"network": self.own, "count": 8} | changes


def identity(path: Path) -> str:
    """Return the SHA-256 of what is behind the seal."""
    return hashlib.sha256(path.read_bytes()[512:]).hexdigest()
