"""Snapshots as an attacker makes them: nothing in them is run, and memory is in proportion to the file."""

import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia_layout import Call, Module, dump, snapshot
from snapshot_reading import FILE, assert_refused, read

from stylegan2_ada import Networks
from stylegan2_ada.snapshot_opcodes import MAX_OPERATIONS

# Nothing is run.


class _Touch:
    """Touches a file when a pickle is run."""

    def __init__(self, sentinel: Path, how: str = "os.system") -> None:
        self.sentinel, self.how = sentinel, how

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        import os

        if self.how == "os.system":
            return os.system, (f"touch {self.sentinel}",)
        return {"eval": eval, "exec": exec}[self.how], (f"open({str(self.sentinel)!r}, 'w').close()",)


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _attacks(sentinel: Path) -> dict[str, bytes]:
    command = f"touch {sentinel}"
    return {
        "REDUCE, protocol 2": pickle.dumps(_Touch(sentinel), 2),
        "REDUCE, protocol 4": pickle.dumps(_Touch(sentinel), 4),
        "GLOBAL": b"\x80\x02cos\nsystem\n" + _text(command) + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + _text("os") + _text("system") + b"\x93" + _text(command) + b"\x85R.",
        "INST": b"\x80\x02(" + _text(command) + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + _text(command) + b"o.",
        "eval": pickle.dumps(_Touch(sentinel, "eval"), 4),
        "exec": pickle.dumps(_Touch(sentinel, "exec"), 4),
        "no protocol": pickle.dumps(_Touch(sentinel), 0),
        "in a valid snapshot": dump(snapshot() | {"extra": _Touch(sentinel)}, 4),
    }


ATTACKS = list(_attacks(Path("x")))


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_is_never_run(tmp_path: Path, attack: str) -> None:
    sentinel = tmp_path / "sentinel"
    content = _attacks(sentinel)[attack]
    if attack != "in a valid snapshot":  # Python's own unpickler runs it: the test can fail
        pickle.loads(content)  # noqa: S301
        assert sentinel.exists()
        sentinel.unlink()
    named = {"INST": "INST", "OBJ": "os", "no protocol": "network file"}.get(attack, "names ")
    assert_refused(tmp_path, content, named)
    assert not sentinel.exists()


def test_embedded_source_is_never_run(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    root = snapshot()
    for name in ("G", "D", "G_ema"):
        root[name].meta["module_src"] = f"open({str(sentinel)!r}, 'w')"
    read(tmp_path, dump(root))
    assert not sentinel.exists()


NEW = b"\x80\x02csubprocess\nPopen\n" + _text("true")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (NEW + b"\x85\x81.", "subprocess.Popen"),
        (b"\x80\x04csubprocess\nPopen\n)}\x92.", "subprocess.Popen"),  # NEWOBJ_EX
        (b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.       ", "torch.nn.modules.linear.Linear"),
        (b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81.      ", "dnnlib.tflib.network.Network"),
        (b"\x80\x02cbuiltins\ngetattr\n.      ", "builtins.getattr"),
        (b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj.__globals__\n.", "__globals__"),
        (b"\x80\x04" + _text("os") + b"\x8c\x01\n\x93.      ", "names os."),
        (b"\x80\x04" + _text("os") + b"K\x01\x93.      ", "names os.(int)"),
        (b"\x80\x02\x82\x01.          ", "EXT1"),
        (b"\x80\x02P7\n.          ", "PERSID"),
        (b"\x80\x02K\x01Q.          ", "outside"),
        (b"\x80\x02}}b.          ", "sets the inside"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "sets the inside"),
        (b"\x80\x02X\x02\x00\x00\x00os)R.          ", "calls something that is no function"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)R.          ", "calls something that is no function"),
        (b"\x80\x05\x97.          ", "NEXT_BUFFER"),
        (b"\x80\x02\xff.          ", "no pickle operation"),
    ],
)
def test_other_names_and_operations_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    assert_refused(tmp_path, content, named)


def test_torch_files_inside_are_read_as_data_too(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    inner = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    for payload in (pickle.dumps(_Touch(sentinel), 2), inner + pickle.dumps(_Touch(sentinel), 2)):
        assert_refused(tmp_path, dump({"G": Call(torch.storage._load_from_bytes, payload)}), "system")
    assert_refused(tmp_path, dump({"G": Call(torch.storage._load_from_bytes, b"PK\x03\x04" + bytes(60))}))
    assert not sentinel.exists()


# Time and memory are in proportion to the file.


def _nested(levels: int, *, marks: bool) -> bytes:
    return b"\x80\x02" + (b"(" * levels + b"t" * levels if marks else b"N" + b"\x85" * levels) + b"."


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (_nested(1000, marks=True), "deeper than 100"),
        (b"\x80\x02" + b"(" * 101 + b".", "deeper than 100"),
        (_nested(100_000, marks=False), "deeper than 100"),
        (b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".", "deeper than 100"),
        (b"\x80\x02" + b"]" * (MAX_OPERATIONS + 1), f"{MAX_OPERATIONS} pickle operations"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.       ", "numbers its memo"),
        (b"\x80\x02Nq\x01.          ", "numbers its memo"),
        (b"\x80\x02j\xff\xff\xff\x7f.      ", "IndexError"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.", "ValueError"),
        (b"\x80\x04\x8e" + struct.pack("<Q", (1 << 64) - 1) + b"abc.", "ValueError"),
        (b"\x80\x04B\xff\xff\xff\xffabc.", "ValueError"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"abc.", "ValueError"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f\x00.", "LONG4"),
        (b"\x80\x02}K\x01Ns.        ", "no dictionary of texts"),
        (b"\x80\x02})Ns.          ", "no dictionary of texts"),
        (b"\x80\x04\x8f(K\x01\x90.        ", "no set of texts"),
        (b"\x80\x02NNs.          ", "IndexError"),
        (b"\x80\x02t.            ", "IndexError"),
        (b"\x80\x02NN.            ", "ValueError"),
        (b"\x80\x02N              ", "no pickle operation"),
        (b"\x80\x02NNNNNNNNNN", "breaks off"),
    ],
)
def test_bombs_and_lengths_that_lie(tmp_path: Path, content: bytes, named: str) -> None:
    assert_refused(tmp_path, content, named)


def _legacy(tensor: torch.Tensor) -> bytes:
    """Return torch's file of one storage, as pickling a tensor embeds it."""
    for operation, argument, _ in pickletools.genops(pickle.dumps(tensor, 4)):
        if operation.name in ("BINBYTES", "SHORT_BINBYTES"):
            return argument
    raise AssertionError


class _Tensor:
    """A tensor with a size, strides and a storage of its own choice."""

    def __init__(self, size: Any, stride: Any, offset: Any = 0, storage: Any = None) -> None:
        storage = storage or Call(torch.storage._load_from_bytes, _legacy(torch.zeros(16)))
        self.arguments = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return torch._utils._rebuild_tensor_v2, self.arguments


@pytest.mark.parametrize(
    ("tensor", "named"),
    [
        (_Tensor((17,), (1,)), "does not fill"),
        (_Tensor((1 << 40,), (0,)), "does not fill"),
        (_Tensor((1 << 40, 1 << 40), (0, 0)), "does not fill"),
        (_Tensor((16,), (2,)), "does not fill"),
        (_Tensor((4, 4), (4, 4)), "does not fill"),
        (_Tensor((16,), (1,), 1), "does not fill"),
        (_Tensor((-16,), (1,)), "no counts"),
        (_Tensor((16,), (-1,)), "no counts"),
        (_Tensor((16,), (1,), -1), "no counts"),
        (_Tensor((16,), (1, 1)), "ValueError"),
        (_Tensor((1.0,), (1,)), "no counts"),
        (_Tensor((True,), (1,)), "no counts"),
        (_Tensor([16], [1]), "no counts"),
        (_Tensor((1,) * 9, (1,) * 9), "no counts"),
        (_Tensor((16,), (1,), storage=7), "without a storage"),
        (Call(torch._utils._rebuild_parameter, 7, True, OrderedDict()), "no tensor"),
        (Call(torch._utils._rebuild_tensor_v2, 7), "TypeError"),
    ],
)
def test_tensors_that_lie(tmp_path: Path, tensor: Any, named: str) -> None:
    good = snapshot()
    good["augment_pipe"] = _Tensor((4, 4), (1, 4))
    read(tmp_path, dump(good))
    assert_refused(tmp_path, dump(snapshot() | {"augment_pipe": tensor}), named)


def test_storages_that_lie(tmp_path: Path) -> None:
    payload = _legacy(torch.zeros(16))
    assert payload.count(b"cpuq\x03K\x10") == 1
    for lie in (
        payload.replace(b"cpuq\x03K\x10", b"cpuq\x03K\x11"),
        payload.replace(b"cpuq\x03K\x10", b"cpuq\x03\x8a\x06\xff\xff\xff\xff\xff\x00"),
        payload.replace(b"FloatStorage", b"DoubleStorage"),
        payload.replace(b"FloatStorage", b"UntypedStorage"),
        payload[:-4],
        payload + bytes(4),
        payload[:100],
        b"",
    ):
        assert lie != payload
        assert_refused(tmp_path, dump(snapshot() | {"augment_pipe": Call(torch.storage._load_from_bytes, lie)}))


def test_numpy_shapes_that_lie(tmp_path: Path) -> None:
    array = dump(np.zeros((2, 3), np.float32), 3)
    scalar = dump(np.float64(1), 3)
    lies = [
        array.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"),
        array.replace(b"K\x02K\x03\x86", b"K\x02J\xfd\xff\xff\xff\x86"),
        array.replace(b"f4", b"f8"),
        array.replace(b"f4", b"O8"),
        scalar.replace(b"f8", b"f4"),
        scalar.replace(b"f8", b"V8"),
        scalar.replace(b"\x01\x00\x00\x00<", b"\x01\x00\x00\x00>"),
    ]
    for lie in lies:
        assert lie not in (array, scalar)
        assert_refused(tmp_path, lie, "of numpy" if b"V8" not in lie and b"O8" not in lie else "numpy's type")
    for honest in (array, scalar):
        assert_refused(tmp_path, honest, "not a snapshot")


def test_bytes_that_are_read_again_and_again(tmp_path: Path) -> None:
    """Six bytes each would otherwise make another megabyte of tensors."""
    payload = _legacy(torch.zeros(1 << 18))
    load = b"ctorch.storage\n_load_from_bytes\nq\x00B" + struct.pack("<I", len(payload)) + payload + b"q\x01\x85R"
    assert_refused(tmp_path, b"\x80\x02(" + load + b"h\x00h\x01\x85R" * 1000 + b"t.", "more memory")


def test_modules_that_share_modules(tmp_path: Path) -> None:
    """Twenty modules, each twice in the next, would otherwise be a million."""
    module = Module("Layer")
    for _ in range(20):
        outer = Module("Layer")
        outer.modules = {"a": module, "b": module}
        module = outer
    root = snapshot()
    root["G_ema"].modules["more"] = module
    assert_refused(tmp_path, dump(root), "modules in one network")


def test_modules_of_many_parts_or_long_names(tmp_path: Path) -> None:
    for parts in ({str(number): None for number in range(101)}, {"a" * 41: None}):
        root = snapshot()
        root["G_ema"].at("synthesis").parameters = parts
        assert_refused(tmp_path, dump(root), "too many or have names too long")


def test_a_file_that_no_network_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan2_ada.snapshot.MAX_FILE_BYTES", 1 << 20)
    read(tmp_path, FILE.read_bytes())
    assert_refused(tmp_path, FILE.read_bytes() + bytes(1 << 20), "larger than 1 MiB")


def test_a_shape_never_asks_for_more_than_the_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: Any) -> Networks:
        assert torch.get_default_device().type == "meta", "memory was asked for"
        return original(*arguments)

    original = Networks.build
    monkeypatch.setattr(Networks, "build", build)
    large = {"channel_base": 1 << 20, "channel_max": 2048}
    root = snapshot()
    for name in ("G", "G_ema"):
        root[name].kwargs["synthesis_kwargs"] |= large
        root[name].kwargs["img_resolution"] = 1024
    root["D"].kwargs.update(large, img_resolution=1024)
    assert_refused(tmp_path, dump(root), "do not fit together")


def test_a_file_that_breaks_off(tmp_path: Path) -> None:
    content = FILE.read_bytes()
    for length in [*range(9, 200, 7), *np.linspace(200, len(content) - 1, 100).astype(int)]:
        assert_refused(tmp_path, content[:length])


def test_tensors_that_share_a_storage_are_counted_each(tmp_path: Path) -> None:
    """They would become tensors of their own in the networks, and no file may grow by being read."""
    shared = Call(torch.storage._load_from_bytes, _legacy(torch.zeros(1 << 16)))
    views = [_Tensor((1 << 16,), (1,), storage=shared) for _ in range(100)]
    content = dump(snapshot() | {"augment_pipe": views})
    assert len(content) < 100 * 4 * (1 << 16) / 10
    assert_refused(tmp_path, content, "share their numbers")
    read(tmp_path, dump(snapshot() | {"augment_pipe": views[:1]}))
