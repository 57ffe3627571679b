"""Bundles made of candidates by hand, for tests of `synth bundle`, and how its commands are called and refuse."""

import dataclasses
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from shared.bundle import Bundle, Candidates
from synth.cli import cli

COUNT = 9
SELECTED = [6, 1, 4]  # in the order that a rule chose


def to_bundle(candidates: Candidates, rows: list[int] = SELECTED, **changes: Any) -> Bundle:
    """Return a bundle of some candidates, with scores that are a function of the seed."""
    seed, images = candidates.seed, np.asarray(candidates.images)
    similarity, discriminator = (seed / 100).astype(np.float32), (-seed - 0.5).astype(np.float32)
    selected = np.isin(np.arange(len(seed)), rows)
    order = np.full(len(seed), -1, np.int64)
    order[rows] = np.arange(len(rows))
    shared_fields = {
        each.name: getattr(candidates, each.name) for each in dataclasses.fields(Candidates) if each.name != "path"
    }
    fields: dict[str, Any] = shared_fields | {
        "images": images[rows],
        "seed": seed[rows],
        "similarity": similarity[rows],
        "discriminator": discriminator[rows],
        "candidates": {
            "seed": seed,
            "similarity": similarity,
            "discriminator": discriminator,
            "selected": selected,
            "by_similarity": seed % 2 == 0,
            "by_discriminator": seed > 100,
            "is_copy": (seed % 3 == 0) & ~selected,
            "order": order,
            "kind": np.array([f"photo {each}" for each in seed]),
        },
        "reference": {
            "image_id": candidates.seen_image_id[:4],
            "similarity": np.zeros(4, np.float32),
            "discriminator": np.zeros(4, np.float32),
        },
        "rule": "typical-and-diverse",
        "sigma": 2.5,
        "thresholds": {"similarity": 0.25, "control": {"n": 3, "kept": {"union": 2}}},
        "features": {"extractor": "colours", "weights_sha256": "ef" * 32},
    }
    return Bundle(**(fields | changes))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["bundle", *(str(each) for each in arguments)])


def assert_refused(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    sentence = result.stderr.strip().splitlines()[-1]
    assert sentence.startswith("error: ")
    assert sentence.endswith(".")
    assert "Traceback" not in result.output
    for word in named:
        assert word in sentence
