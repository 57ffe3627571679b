"""Columns of a sealed file, declared as rows of data: what may stand in the file, and nothing else.

A reader walks every link first. Only groups, plain datasets and the filters below are let through: no link to another
place or file, no virtual or external storage, no filter that HDF5 would load as a plugin.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from shared.errors import UserError
from shared.sealed import H5PY_ERRORS, open_sealed, read_seal
from shared.stored import StoredImages

MAX_SIZE_PX = 4096
MAX_ROWS = 10_000_000
MAX_TEXT_BYTES = 4096  # of one text in a column
MAX_COLUMN_BYTES = 1 << 31  # of one column that is read at once
MAX_ATTRIBUTE_CHARS = 1 << 20
MAX_PROBLEM_CHARS = 500

Array = npt.NDArray[Any]
Sizes = dict[str, int]

_KINDS = {"bool": "?", "uint8": "|u1", "int8": "|i1", "int64": "<i8", "float32": "<f4"}
_FREE_KINDS = "biuf"  # numpy's letters: truth values, whole numbers, floating point
_FILTERS = {h5py.h5z.FILTER_DEFLATE}  # of images alone: a small file of other columns stays small
MAX_CHUNK_BYTES = 1 << 26  # what is unpacked at once


class MismatchError(Exception):
    """A file is not as its format says; the text goes on after "PATH: "."""


@contextlib.contextmanager
def sealed_content(path: Path, *, format: str, version: int, what: str, made_by: str) -> Iterator[h5py.File]:  # noqa: A002
    """Open a sealed file for the block, which reads it; whatever the block finds wrong becomes a `UserError`."""
    file = open_sealed(path, format=format, version=version, what=what, made_by=made_by)
    seal = read_seal(path, what=what, made_by=made_by)
    try:
        with file:
            named = read_text(file, "format"), read_whole_number(file, "version", low=1, high=version)
            if named != (seal.format, seal.version):
                raise MismatchError("its attributes format and version are not those of its seal")
            yield file
    except UserError:
        raise
    except MismatchError as error:
        raise UserError(f"{path}: {_one_line(error)}; make the {what} again with {made_by}.") from error
    except H5PY_ERRORS as error:
        raise UserError(f"{path}: not readable ({_one_line(error)}); make the {what} again with {made_by}.") from error


def _one_line(error: Exception) -> str:
    """Return what `error` says as a line of bearable length, whatever names from the file are in it."""
    return " ".join("".join(each if each.isprintable() else " " for each in str(error)).split())[:MAX_PROBLEM_CHARS]


@dataclass(frozen=True)
class Column:
    """Type and shape of a dataset.

    `kind` is one of `_KINDS`, "ascii" or "utf8" (texts of fixed length), or "any" (numbers, truth values or texts).
    In `shape` a letter stands for a length that is the same wherever the letter occurs in the file.
    """

    kind: str
    shape: tuple[str | int, ...]


IMAGES = "images"


def write_columns(file: h5py.File, columns: Mapping[str, Column], values: Mapping[str, Array]) -> None:
    """Write `values` ("group/name" to array) to `file` in sorted order, as `columns` declares them."""
    for name in sorted(values):
        file.create_dataset(name, data=_to_stored(values[name], columns[name].kind), track_times=False)


def _to_stored(array: Array, kind: str) -> Array:
    array = np.asarray(array)
    if kind in _KINDS:
        return array.astype(_KINDS[kind], casting="same_kind", copy=False)
    if array.dtype.kind in _FREE_KINDS and kind == "any":
        return array.astype(array.dtype.newbyteorder("<"), copy=False)
    encoding = "ascii" if kind == "ascii" else "utf-8"
    texts = [str(text).encode(encoding) for text in array.tolist()]
    length = max([1, *map(len, texts)])
    assert length <= MAX_TEXT_BYTES, f"a text of {length} bytes"
    return np.array(texts, dtype=h5py.string_dtype(encoding, length))


def check_links(file: h5py.File) -> list[str]:
    """Return the names of all datasets in `file`, sorted; raise `MismatchError` for what is not a plain one."""
    names: list[str] = []
    groups: list[tuple[str, h5py.Group]] = [("", file)]
    seen = set()
    while groups:
        prefix, group = groups.pop()
        for key in group:
            name = f"{prefix}{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise MismatchError(f"{name} is a link to another place, which this format does not allow")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise MismatchError(f"{name} is a second name of another object, which this format does not allow")
            seen.add(address)
            if isinstance(item, h5py.Dataset):
                _check_storage(name, item)
                names.append(name)
            elif isinstance(item, h5py.Group):
                groups.append((f"{name}/", item))
            else:
                raise MismatchError(f"{name} is neither a group nor a dataset")
    return sorted(names)


def _check_storage(name: str, dataset: h5py.Dataset) -> None:
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if dataset.is_virtual or dataset.external or not filters <= (_FILTERS if name == IMAGES else set()):
        raise MismatchError(f"{name} is not stored plainly in the file, which this format does not allow")
    if dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        raise MismatchError(
            f"{name} is stored in pieces of more than {MAX_CHUNK_BYTES} bytes, which is beyond the limit"
        )


def read_column(file: h5py.File, name: str, column: Column, sizes: Sizes) -> Array:
    """Return dataset `name` if it is as `column` declares, binding or comparing the letters of its shape in `sizes`.

    Raises `MismatchError`: missing, or of another type or shape.
    """
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise MismatchError(f"{name} is missing")
    check_shape(name, dataset, column, sizes)
    text = h5py.check_string_dtype(dataset.dtype)
    if column.kind in ("ascii", "utf8") or (column.kind == "any" and text):
        return _read_texts(name, dataset)
    fits = dataset.dtype.kind in _FREE_KINDS if column.kind == "any" else _is_kind(dataset, column.kind)
    if not fits:
        raise MismatchError(f"{name} is of type {dataset.dtype}, not {column.kind}")
    _check_bytes(name, dataset)
    return np.asarray(dataset[()]).astype(dataset.dtype.newbyteorder("="), copy=False)


def read_images(file: h5py.File, path: Path, sha256: str, sizes: Sizes) -> StoredImages:
    """Return the images of `file` without reading them, once their type and shape are checked; binds N and S."""
    dataset = file.get(IMAGES)
    if not isinstance(dataset, h5py.Dataset):
        raise MismatchError(f"{IMAGES} is missing")
    check_shape(IMAGES, dataset, Column("uint8", ("N", "S", "S", 3)), sizes)
    if not _is_kind(dataset, "uint8"):
        raise MismatchError(f"{IMAGES} is of type {dataset.dtype}, not uint8")
    _check_stored(IMAGES, dataset)
    return StoredImages(path=path, sha256=sha256, shape=tuple(map(int, dataset.shape)))


def check_shape(name: str, dataset: h5py.Dataset, column: Column, sizes: Sizes) -> None:
    """Raise `MismatchError` unless the shape of `dataset` is as declared and within the bounds of this module."""
    shape = dataset.shape
    if shape is None or len(shape) != len(column.shape):
        raise MismatchError(f"{name} has shape {shape}, not {_shape_text(column, sizes)}")
    for length, expected in zip(shape, column.shape, strict=True):
        limit = MAX_SIZE_PX if expected == "S" else MAX_ROWS
        if length > limit:
            raise MismatchError(f"{name} has shape {shape}, which is beyond the limit of {limit}")
        if isinstance(expected, str):
            expected = sizes.setdefault(expected, int(length))
        if length != expected:
            raise MismatchError(f"{name} has shape {shape}, not {_shape_text(column, sizes)}")


def _shape_text(column: Column, sizes: Sizes) -> str:
    return "[" + ", ".join(str(sizes.get(str(length), length)) for length in column.shape) + "]"


def _is_kind(dataset: h5py.Dataset, kind: str) -> bool:
    return bool(dataset.dtype == np.dtype(_KINDS[kind]))


def _check_bytes(name: str, dataset: h5py.Dataset) -> None:
    if dataset.size * dataset.dtype.itemsize > MAX_COLUMN_BYTES:
        raise MismatchError(f"{name} takes more than {MAX_COLUMN_BYTES} bytes, which is beyond the limit")
    _check_stored(name, dataset)


def _check_stored(name: str, dataset: h5py.Dataset) -> None:
    """Raise `MismatchError` where the file lacks rows: HDF5 makes them up, gigabytes of them if need be."""
    if dataset.chunks is None:
        whole = dataset.id.get_storage_size() == dataset.size * dataset.dtype.itemsize
    else:
        chunks = [-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
        whole = dataset.id.get_num_chunks() == math.prod(chunks)
    if not whole:
        raise MismatchError(f"{name} has shape {dataset.shape}, of which the file does not hold all")


def _read_texts(name: str, dataset: h5py.Dataset) -> Array:
    text = h5py.check_string_dtype(dataset.dtype)
    if text is None or text.length is None or text.length > MAX_TEXT_BYTES:
        raise MismatchError(f"{name} does not hold texts of a fixed length up to {MAX_TEXT_BYTES} bytes")
    _check_bytes(name, dataset)
    raw = np.asarray(dataset[()])
    try:
        return np.array([item.decode("utf-8") for item in raw.tolist()], dtype=np.str_)
    except UnicodeDecodeError as error:
        raise MismatchError(f"{name} holds a text that is not UTF-8") from error


def read_text(file: h5py.File, name: str) -> str:
    """Return the root attribute `name`, a text; raise `MismatchError` when it is missing or something else."""
    value = file.attrs.get(name)
    if not isinstance(value, str) or len(value) > MAX_ATTRIBUTE_CHARS:
        raise MismatchError(f"its attribute {name} is missing or not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # h5py passes on what it cannot decode
        raise MismatchError(f"its attribute {name} is not UTF-8") from error
    return value


def read_whole_number(file: h5py.File, name: str, *, low: int, high: int) -> int:
    """Return the root attribute `name`, a whole number from `low` to `high`; else raise `MismatchError`."""
    value = file.attrs.get(name)
    if not isinstance(value, (int, np.integer)) or not low <= int(value) <= high:
        raise MismatchError(f"its attribute {name} is missing or not a whole number from {low} to {high}")
    return int(value)
