"""Our stand-ins for what NVIDIA's snapshots name: modules as plain state, tensors over bytes of the file, numbers.

`read_objects` returns dictionaries, lists, texts, numbers, tensors and `Module`. Of embedded source, classes, hooks and
devices nothing is kept.
"""

import functools
import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2_ada.snapshot_opcodes import (
    MAX_NESTING,
    Buildable,
    Function,
    Limits,
    SnapshotError,
    read_pickle,
    shown,
)

MAX_DIMENSIONS = 8
PERSISTENCE_VERSION = 6

# torch's file of one storage, before it became a zip file: five pickles, then the count and the numbers.
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001
STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
}
NUMPY_CODES = frozenset(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"])


@dataclass(frozen=True, eq=False)
class Module:
    """A pickled module: the name of its class, and its `__dict__` as data."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True)
class Opaque:
    """Something that networks carry and nothing here needs."""


def read_objects(content: bytes) -> Any:
    """Read the objects of a snapshot.

    Raises:
        SnapshotError: the file is refused.
        ValueError, IndexError, TypeError and others: it is malformed.
    """
    limits = Limits(data_bytes=len(content), tensor_bytes=len(content))
    load_storage = Function(lambda payload: _read_storage(payload, limits))
    names: dict[tuple[str, str], object] = {name: Function(make) for name, make in _NAMES.items()}
    names["torch.storage", "_load_from_bytes"] = load_storage
    names["torch._utils", "_rebuild_tensor_v2"] = Function(functools.partial(_make_tensor, limits))
    root = read_pickle(io.BytesIO(content), names, limits)
    _require_shallow(root)
    return root


def _require_shallow(root: Any) -> None:
    """Raise `SnapshotError` for objects too deep in each other; every object is looked at once, level by level."""
    level, known = [root], {id(root)}
    for _ in range(MAX_NESTING):
        inner = [child for value in level for child in _children(value)]
        level = []
        for child in inner:
            if id(child) not in known:
                known.add(id(child))
                level.append(child)
        if not level:
            return
    raise SnapshotError(f"nests deeper than {MAX_NESTING} levels")


def _children(value: Any) -> list[Any]:
    if isinstance(value, Module):
        return [value.state]
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


def _make_module(meta: Any) -> Module:
    """Stand in for `torch_utils.persistence._reconstruct_persistent_obj`; the embedded source is left alone."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or meta.get("version") != PERSISTENCE_VERSION:
        raise SnapshotError(f"holds a module that is not of persistence version {PERSISTENCE_VERSION}")
    name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(name, str) or not isinstance(state, dict):
        raise SnapshotError("holds a module without a name or a state")
    return Module(name, state)


def _make_dict(*arguments: Any) -> dict[str, Any]:
    """Stand in for dictionaries of other classes, which picklers make empty and fill afterwards."""
    if arguments:
        raise SnapshotError("makes a dictionary in a way that no network file needs")
    return {}


def _make_opaque(*_: Any) -> Opaque:
    return Opaque()


@dataclass(frozen=True)
class _StorageType:
    dtype: torch.dtype


_STORAGE_NAMES = {("torch", name): _StorageType(dtype) for name, dtype in STORAGE_TYPES.items()}


@dataclass(frozen=True)
class _StorageRecord:
    dtype: torch.dtype
    key: str
    count: int


def _read_storage(payload: Any, limits: Limits) -> Tensor:
    """Read torch's file of one storage: a tensor [count]. It is exactly as long as its numbers, or refused."""
    if not isinstance(payload, bytes):
        raise SnapshotError("holds a storage without bytes")
    limits.spend_data(len(payload))
    stream = io.BytesIO(payload)
    start = [read_pickle(stream, {}, limits) for _ in range(3)]
    if start[:2] != [TORCH_MAGIC, TORCH_PROTOCOL] or start[2].get("little_endian") is not True:
        raise SnapshotError("holds a storage in a layout that is not torch's of little-endian machines")
    storage = read_pickle(stream, _STORAGE_NAMES, limits, persistent=_storage_record)
    if not isinstance(storage, _StorageRecord) or read_pickle(stream, {}, limits) != [storage.key]:
        raise SnapshotError("holds a torch file that is not of one storage")
    (count,) = struct.unpack("<q", stream.read(8))
    numbers = bytearray(stream.read())
    if count != storage.count or len(numbers) != count * storage.dtype.itemsize:
        raise SnapshotError(
            f"holds a storage of {storage.count} numbers and {len(numbers)} bytes, which do not fit together"
        )
    return torch.frombuffer(numbers, dtype=storage.dtype) if numbers else torch.empty(0, dtype=storage.dtype)


def _storage_record(identity: Any) -> _StorageRecord:
    kind, storage_type, key, _location, count, view = identity
    if kind != "storage" or not isinstance(storage_type, _StorageType) or view is not None:
        raise SnapshotError("holds a torch file that is not of one storage")
    if not isinstance(key, str) or not _is_count(count):
        raise SnapshotError("holds a storage without a name or a size")
    return _StorageRecord(storage_type.dtype, key, count)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_counts(values: Any) -> bool:
    """Say whether this is a tuple of a few counts; few, since it may be asked again for every operation."""
    return isinstance(values, tuple) and len(values) <= MAX_DIMENSIONS and all(map(_is_count, values))


def _make_tensor(limits: Limits, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`: a view [*size] of a storage, which must hold all of it."""
    if not isinstance(storage, Tensor) or not _is_count(offset) or not (_are_counts(size) and _are_counts(stride)):
        raise SnapshotError("holds a tensor without a storage, or whose size or strides are no counts")
    elements = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if elements > storage.numel() or (elements and last >= storage.numel()):
        raise SnapshotError(f"holds a tensor that its storage of {storage.numel()} numbers does not fill")
    limits.spend_tensor(elements * storage.element_size())
    return storage.as_strided(size, stride, offset)


def _make_parameter(data: Any, *_: Any) -> Tensor:
    """Stand in for `torch._utils._rebuild_parameter`: its tensor."""
    if not isinstance(data, Tensor):
        raise SnapshotError("holds a parameter that is no tensor")
    return data


@dataclass(frozen=True)
class _NumpyType(Buildable):
    """A type of numbers, little-endian."""

    code: str

    def build(self, state: Any) -> None:
        """Check the byte order, which `numpy.dtype` pickles after the code."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|"):
            raise SnapshotError("holds numbers of numpy that are not little-endian")

    def read(self, content: Any, count: int) -> Any:
        """Return `count` numbers, an array [count]."""
        if not isinstance(content, bytes) or len(content) != count * np.dtype(self.code).itemsize:
            raise SnapshotError("holds numbers of numpy whose shape and bytes do not fit together")
        return np.frombuffer(content, f"<{self.code}")


def _make_numpy_type(code: Any, *_: Any) -> _NumpyType:
    if not isinstance(code, str) or code not in NUMPY_CODES:
        raise SnapshotError(f"holds numpy's type {shown(code)}, which no network file needs")
    return _NumpyType(code)


def _make_numpy_scalar(dtype: Any, content: Any) -> int | float | bool:
    if not isinstance(dtype, _NumpyType):
        raise SnapshotError("holds a number of numpy without a type")
    value: int | float | bool = dtype.read(content, 1)[0].item()
    return value


class _NumpyArray(Buildable):
    """An array, whose shape is checked against its bytes; nothing here needs its numbers."""

    def build(self, state: Any) -> None:
        """Check what `numpy.ndarray` pickles after the type: version, shape, dtype, order, bytes."""
        _, shape, dtype, _, content = state
        if not _are_counts(shape) or not isinstance(dtype, _NumpyType):
            raise SnapshotError("holds an array of numpy without a shape or a type")
        dtype.read(content, math.prod(shape))


def _make_numpy_array(*_: Any) -> _NumpyArray:
    return _NumpyArray()


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _make_module,
    ("torch._utils", "_rebuild_parameter"): _make_parameter,
    ("torch", "device"): _make_opaque,
    ("torch", "Size"): _make_opaque,
    ("collections", "OrderedDict"): _make_dict,
    ("dnnlib.util", "EasyDict"): _make_dict,
    ("builtins", "set"): _make_opaque,
    ("__builtin__", "set"): _make_opaque,
    ("numpy", "dtype"): _make_numpy_type,
    ("numpy", "ndarray"): _make_opaque,
    ("numpy.core.multiarray", "scalar"): _make_numpy_scalar,
    ("numpy._core.multiarray", "scalar"): _make_numpy_scalar,
    ("numpy.core.multiarray", "_reconstruct"): _make_numpy_array,
    ("numpy._core.multiarray", "_reconstruct"): _make_numpy_array,
}
