"""Damaged bundles for tests: what a bundle holds, how it is sealed again, and the sentence that refuses it."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.bundle import Bundle, read_bundle
from shared.errors import UserError
from shared.sealed import BLOCK_BYTES, Seal

COLUMNS = (
    "images",
    "seed",
    "similarity",
    "discriminator",
    *(f"candidates/{name}" for name in ("seed", "similarity", "discriminator", "selected")),
    *(f"candidates/{name}" for name in ("by_similarity", "by_discriminator")),
    *(f"reference/{name}" for name in ("image_id", "similarity", "discriminator")),
    "seen/image_id",
    "seen/group_id",
)
OPEN = ("candidates/", "reference/")  # what is in a dictionary


def sentence(path: Path) -> str:
    """Return the one sentence with which the reader refuses the bundle at `path`."""
    with pytest.raises(UserError) as caught:
        np.asarray(read_bundle(path).images)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(".")
    assert text.isprintable()  # no line break among others
    return text


def seal_again(content: bytes, **changes: Any) -> bytes:
    """Return the file `content` with a seal that is true of what stands behind it, but for `changes`."""
    body = content[BLOCK_BYTES:]
    return replace(Seal("rarescreen-bundle", 1, hashlib.sha256(body).hexdigest(), len(body)), **changes).block() + body


def contents_of(bundle: Bundle) -> dict[str, Any]:
    """Return all that a bundle holds: its columns by the names in `COLUMNS`, and its attributes."""
    arrays = {name: getattr(bundle, name.replace("/", "_")) for name in COLUMNS if not name.startswith(OPEN)}
    arrays |= {f"candidates/{name}": column for name, column in bundle.candidates.items()}
    arrays |= {f"reference/{name}": column for name, column in bundle.reference.items()}
    others = {each.name: getattr(bundle, each.name) for each in fields(bundle)}
    kept = {name: value for name, value in others.items() if not isinstance(value, np.ndarray)}
    for name in ("images", "path", "sha256", "candidates", "reference"):
        kept.pop(name, None)
    return {name: np.asarray(array) for name, array in arrays.items()} | {"attributes": kept}


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b) and a.dtype == b.dtype) if isinstance(a, np.ndarray) else bool(a == b)
