"""A pickle read as data, by a small stack machine: nothing is imported, nothing is run.

Python's own unpickler imports what a file names and calls it. Here a name means one function of ours, from a fixed
table, or the file is refused; only those operations exist that data needs; and time and memory stay in proportion to
the file, since operations are counted and no length that the file claims is believed. Format: PEP 3154 and the
comments in Python's `pickletools`.
"""

import abc
import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_OPERATIONS = 250_000  # a 1024 px network needs about 80,000
MAX_NESTING = 100

Make = Callable[..., Any]
Names = Mapping[tuple[str, str], object]

GET_ANEW = "get it again from where it was published"


class SnapshotError(Exception):
    """Why a file is refused, and the way out: the two halves of the sentence that goes on after "PATH: "."""

    def __init__(self, reason: str, way_out: str = GET_ANEW) -> None:
        super().__init__(reason)
        self.reason, self.way_out = reason, way_out


@dataclass
class Limits:
    """What reading one file may still cost."""

    data_bytes: int  # of storages, each as often as it is asked for
    tensor_bytes: int  # of tensors, each as often as it views a storage that several may share
    operations: int = MAX_OPERATIONS

    def spend_operation(self) -> None:
        """Count one operation; raise `SnapshotError` when there were too many."""
        self.operations -= 1
        if self.operations < 0:
            raise SnapshotError(f"takes more than {MAX_OPERATIONS} pickle operations, which no network file needs")

    def spend_data(self, count: int) -> None:
        """Count `count` bytes of storages; raise `SnapshotError` when they are more than the file has."""
        self.data_bytes -= count
        if self.data_bytes < 0:
            raise SnapshotError("asks for more memory than it has bytes")

    def spend_tensor(self, count: int) -> None:
        """Count `count` bytes of a tensor; raise `SnapshotError` when all together are more than the file has."""
        self.tensor_bytes -= count
        if self.tensor_bytes < 0:
            raise SnapshotError("holds tensors that share their numbers, and are larger than the file together")


class Buildable(abc.ABC):
    """A stand-in that a pickle completes by a second piece of data (BUILD)."""

    @abc.abstractmethod
    def build(self, state: Any) -> None:
        """Take `state` in; raise `SnapshotError` when it is not what it should be."""


@dataclass(frozen=True)
class Function:
    """What a name means when it may be called (REDUCE or NEWOBJ): a function of ours."""

    make: Make


def shown(value: Any, length: int = 60) -> str:
    """Return text from a file in a form that is safe in a message: ASCII, on one line and short."""
    if not isinstance(value, str):
        return f"({type(value).__name__})"
    return ascii(value[:length])[1:-1] + ("..." if len(value) > length else "")


def read_pickle(stream: io.BytesIO, names: Names, limits: Limits, *, persistent: Make | None = None) -> Any:
    """Read one pickle from where `stream` stands, and leave it behind the pickle's end.

    Args:
        stream: the bytes.
        names: what a file may name, as (module, name), and what of ours takes its place.
        limits: what it may still cost.
        persistent: takes a persistent id, where the format has them (torch's storages).

    Raises:
        SnapshotError: it does what data needs not do.
        ValueError, IndexError, TypeError and others: it is malformed; the caller makes a sentence of them.
    """
    machine = _Machine(names, persistent)
    while True:
        limits.spend_operation()
        code = stream.read(1).decode("latin-1")
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise SnapshotError("breaks off" if not code else f"holds {shown(code)}, which is no pickle operation")
        if operation.name == "STOP":
            (result,) = machine.stack
            return result
        if operation.name not in _KNOWN:  # before its argument is read, which may be long
            raise SnapshotError(f"uses the pickle operation {operation.name}, which no network file needs")
        machine.step(operation.name, None if operation.arg is None else operation.arg.reader(stream))


# What is pushed as it stands, and what is pushed anew.
_LITERALS = frozenset(
    {
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
    }
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Make] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class _Machine:
    """The stack above the last open mark, the stacks below the marks, and the memo."""

    names: Names
    persistent: Make | None
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: list[Any] = field(default_factory=list)

    def step(self, name: str, argument: Any) -> None:
        """Do one operation."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple([self.stack.pop() for _ in range(_TUPLES[name])][::-1]))
        else:
            _ACTS[name](self, argument)

    def open_mark(self, _: Any) -> None:
        if len(self.below) >= MAX_NESTING:
            raise SnapshotError(f"nests deeper than {MAX_NESTING} levels")
        self.below.append(self.stack)
        self.stack = []

    def close_mark(self) -> list[Any]:
        """Return what stands above the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def make_tuple(self, _: Any) -> None:
        items = self.close_mark()
        self.stack.append(tuple(items))

    def remember(self, place: Any) -> None:
        # Every pickler numbers its memo from 0 on. A place far out would ask for memory, a crafted one for time.
        if place is not None and place != len(self.memo):
            raise SnapshotError("numbers its memo as no pickle does")
        self.memo.append(self.stack[-1])

    def recall(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def put_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def put_items(self, _: Any) -> None:
        self._put(self.close_mark())

    def _put(self, items: list[Any]) -> None:
        target, keys = self.stack[-1], items[::2]
        # Texts alone: numbers can be chosen to collide, and hashing nested tuples has no limit of depth.
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(key, str) for key in keys):
            raise SnapshotError("fills something that is no dictionary of texts")
        target.update(zip(keys, items[1::2], strict=True))

    def append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def appends(self, _: Any) -> None:
        self._extend(self.close_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise SnapshotError("appends to something that is no list")
        target.extend(items)

    def add_items(self, _: Any) -> None:
        items, target = self.close_mark(), self.stack[-1]
        if not isinstance(target, set) or not all(isinstance(item, str) for item in items):
            raise SnapshotError("fills something that is no set of texts")
        target.update(items)

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def name_from_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in self.names:
            raise SnapshotError(
                f"names {shown(module)}.{shown(name)}, which is no part of a StyleGAN2-ADA network",
                f"do not trust it unless you know why, and {GET_ANEW}",
            )
        self.stack.append(self.names[module, name])

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise SnapshotError("calls something that is no function")
        self.stack.append(function.make(*arguments))

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Buildable):
            raise SnapshotError("sets the inside of something that has none")
        target.build(state)

    def persistent_id(self, _: Any) -> None:
        if self.persistent is None:
            raise SnapshotError("names data outside of itself")
        self.stack.append(self.persistent(self.stack.pop()))


def _ignore(_: _Machine, __: Any) -> None:
    """PROTO and FRAME say nothing that is needed; the lengths of frames are not believed."""


_ACTS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _ignore,
    "FRAME": _ignore,
    "MARK": _Machine.open_mark,
    "TUPLE": _Machine.make_tuple,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "SETITEM": _Machine.put_item,
    "SETITEMS": _Machine.put_items,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "ADDITEMS": _Machine.add_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id,
}
_OPERATIONS = {each.code: each for each in pickletools.opcodes}
_KNOWN = _LITERALS | _CONSTANTS.keys() | _EMPTY.keys() | _TUPLES.keys() | _ACTS.keys()
