"""candidates.h5 and bundle.h5: images that a generator drew, before and after the selection."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from shared.columns import (
    IMAGES,
    MAX_ATTRIBUTE_CHARS,
    MAX_SIZE_PX,
    Array,
    Column,
    MismatchError,
    Sizes,
    check_links,
    read_column,
    read_images,
    read_text,
    read_whole_number,
    sealed_content,
    write_columns,
)
from shared.drawn import ALL_FOLDS, Bundle, Candidates, Json, check
from shared.image_chunks import write_images
from shared.sealed import read_seal, write_sealed

__all__ = [
    "ALL_FOLDS",
    "Bundle",
    "Candidates",
    "read_bundle",
    "read_candidates",
    "write_bundle",
    "write_candidates",
]

BUNDLE_FORMAT = "rarescreen-bundle"
CANDIDATES_FORMAT = "rarescreen-candidates"
VERSION = 1

_DRAWN = {
    "images": Column("uint8", ("N", "S", "S", 3)),
    "seed": Column("int64", ("N",)),
    "seen/image_id": Column("ascii", ("K",)),
    "seen/group_id": Column("int64", ("K",)),
}
_SELECTED = _DRAWN | {
    "similarity": Column("float32", ("N",)),
    "discriminator": Column("float32", ("N",)),
    "candidates/seed": Column("int64", ("C",)),
    "candidates/similarity": Column("float32", ("C",)),
    "candidates/discriminator": Column("float32", ("C",)),
    "candidates/selected": Column("bool", ("C",)),
    "candidates/by_similarity": Column("bool", ("C",)),
    "candidates/by_discriminator": Column("bool", ("C",)),
    "reference/image_id": Column("ascii", ("R",)),
    "reference/similarity": Column("float32", ("R",)),
    "reference/discriminator": Column("float32", ("R",)),
}
_OPEN_GROUPS = {"candidates": "C", "reference": "R"}  # groups that may hold more columns, and their length
_FIELDS = {"seen/image_id": "seen_image_id", "seen/group_id": "seen_group_id"}


def write_candidates(path: Path, candidates: Candidates) -> str:
    """Write `candidates` to `path`, whole or not at all, and return the file's SHA-256.

    Raises `ValueError`: the arrays contradict each other.
    """
    return _write(path, candidates, CANDIDATES_FORMAT, _values(candidates), {})


def write_bundle(path: Path, bundle: Bundle) -> str:
    """Write `bundle` to `path`, whole or not at all, and return the file's SHA-256.

    Raises `ValueError`: the arrays contradict each other.
    """
    values = _values(bundle) | {name: np.asarray(getattr(bundle, name)) for name in ("similarity", "discriminator")}
    for group, columns in (("candidates", bundle.candidates), ("reference", bundle.reference)):
        values |= {f"{group}/{name}": np.asarray(column) for name, column in columns.items()}
    attributes = {
        "rule": bundle.rule,
        "sigma": float(bundle.sigma),
        "thresholds": _to_json(bundle.thresholds),
        "features": _to_json(bundle.features),
        "shareable": "yes" if bundle.shareable else "no",
        "shareable_reason": bundle.shareable_reason,
        "memorization": _to_json(bundle.memorization),
        "audit": _to_json(bundle.audit),
    }
    return _write(path, bundle, BUNDLE_FORMAT, values, attributes)


def _values(drawn: Candidates) -> dict[str, Array]:
    return {name: np.asarray(getattr(drawn, _FIELDS.get(name, name))) for name in _DRAWN if name != IMAGES}


def _write(path: Path, drawn: Candidates, name: str, values: dict[str, Array], attributes: dict[str, Any]) -> str:
    shared_attributes = {
        "size": drawn.size,
        "class_name": drawn.class_name,
        "label": drawn.label,
        "fold": drawn.fold,
        "protocol": drawn.protocol,
        "generator": _to_json(drawn.generator),
        "quality": _to_json(drawn.quality),
        "cohort": drawn.cohort,
    }
    declared = _SELECTED if name == BUNDLE_FORMAT else _DRAWN
    attributes = shared_attributes | attributes

    def build(file: h5py.File) -> None:
        file.attrs["format"], file.attrs["version"] = name, VERSION
        for key, value in attributes.items():
            file.attrs[key] = value
        write_columns(file, columns, values)
        write_images(file, drawn.images)

    try:
        check(drawn)
        columns = declared | {extra: _open_column(extra) for extra in values.keys() - declared.keys()}
        for key, value in attributes.items():
            if isinstance(value, str) and len(value) > MAX_ATTRIBUTE_CHARS:
                raise MismatchError(f"{key} has more than {MAX_ATTRIBUTE_CHARS} characters")
    except MismatchError as error:
        raise ValueError(f"not {name.removeprefix('rarescreen-')}: {error}") from error
    return write_sealed(path, build)


def _to_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _open_column(name: str) -> Column:
    """Return the declaration of a further column of `candidates/` or `reference/`."""
    group, _, rest = name.partition("/")
    if group not in _OPEN_GROUPS or not rest or "/" in rest:
        raise MismatchError(f"holds {name}, which the format does not know")
    return Column("any", (_OPEN_GROUPS[group],))


def read_candidates(path: Path) -> Candidates:
    """Read the candidates at `path`; the images are read at their first use.

    Raises `UserError`: no such file, truncated, damaged, of another format or newer version, or not as the format says.
    """
    path, what, made_by = Path(path), "candidates file", "`synth generate`"
    with sealed_content(path, format=CANDIDATES_FORMAT, version=VERSION, what=what, made_by=made_by) as file:
        sha256 = read_seal(path, what=what, made_by=made_by).sha256
        candidates = Candidates(**_read_drawn(file, path, sha256, _DRAWN)[0])
        check(candidates)
    return candidates


def read_bundle(path: Path) -> Bundle:
    """Read the bundle at `path`; the images are read at their first use.

    Raises `UserError`: no such file, truncated, damaged, of another format or newer version, or not as the format says.
    """
    path, what, made_by = Path(path), "bundle", "`synth select`"
    with sealed_content(path, format=BUNDLE_FORMAT, version=VERSION, what=what, made_by=made_by) as file:
        sha256 = read_seal(path, what=what, made_by=made_by).sha256
        fields, columns = _read_drawn(file, path, sha256, _SELECTED)
        sigma = file.attrs.get("sigma")
        if not isinstance(sigma, float):
            raise MismatchError("its attribute sigma is missing or not a number")
        shareable = read_text(file, "shareable")
        if shareable not in ("yes", "no"):
            raise MismatchError("its attribute shareable is neither yes nor no")
        bundle = Bundle(
            **fields,
            similarity=columns["similarity"],
            discriminator=columns["discriminator"],
            candidates=_group(columns, "candidates/"),
            reference=_group(columns, "reference/"),
            rule=read_text(file, "rule"),
            sigma=float(sigma),
            thresholds=_read_json(file, "thresholds"),
            features=_read_json(file, "features"),
            shareable=shareable == "yes",
            shareable_reason=read_text(file, "shareable_reason"),
            memorization=_read_json(file, "memorization"),
            audit=_read_json(file, "audit"),
        )
        check(bundle)
    return bundle


def _read_drawn(
    file: h5py.File, path: Path, sha256: str, declared: dict[str, Column]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the fields of `Candidates`, and all columns but the images by their names."""
    extra = [name for name in check_links(file) if name not in declared]
    if extra and declared is _DRAWN:
        raise MismatchError(f"holds {extra[0]}, which the format does not know")
    declared = declared | {name: _open_column(name) for name in extra}
    sizes: Sizes = {}
    images = read_images(file, path, sha256, sizes)
    columns = {name: read_column(file, name, column, sizes) for name, column in declared.items() if name != IMAGES}
    fields = {
        "images": images,
        "seed": columns["seed"],
        "seen_image_id": columns["seen/image_id"],
        "seen_group_id": columns["seen/group_id"],
        "class_name": read_text(file, "class_name"),
        "label": read_whole_number(file, "label", low=0, high=1),
        "fold": read_whole_number(file, "fold", low=ALL_FOLDS, high=99),
        "protocol": read_text(file, "protocol"),
        "generator": _read_json(file, "generator"),
        "quality": _read_json(file, "quality"),
        "cohort": read_text(file, "cohort"),
        "path": path,
        "sha256": sha256,
    }
    if read_whole_number(file, "size", low=1, high=MAX_SIZE_PX) != images.shape[1]:
        raise MismatchError("its attribute size is not that of its images")
    return fields, columns


def _group(columns: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}


def _read_json(file: h5py.File, name: str) -> Json:
    try:
        value = json.loads(read_text(file, name))
        _to_json(value).encode()  # what is read can be written: no NaN, no half of a character
    except (ValueError, RecursionError) as error:
        raise MismatchError(f"its attribute {name} is not JSON") from error
    if not isinstance(value, dict):
        raise MismatchError(f"its attribute {name} is not a JSON object")
    return value
