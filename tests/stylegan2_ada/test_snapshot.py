"""NVIDIA's snapshots: the same networks from them, nothing run, memory in proportion, and refusals in one sentence."""

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
from reference import GOLDEN, load_golden, relative_error

from stylegan2_ada import NetworkFileError, Networks, load_networks, network_bytes, read_header
from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig
from stylegan2_ada.snapshot import LICENCE, is_snapshot
from stylegan2_ada.snapshot_arguments import discriminator_config, generator_config
from stylegan2_ada.snapshot_objects import Module as ReadModule
from stylegan2_ada.snapshot_opcodes import MAX_OPERATIONS

FILE = GOLDEN / "nvidia_snapshot_r16.pkl"
FORWARD = 1e-5


def _read(tmp_path: Path, content: bytes) -> Networks:
    path = tmp_path / "network.pkl"
    path.write_bytes(content)
    return load_networks(path)


def assert_refused(tmp_path: Path, content: bytes, *named: str) -> None:
    with pytest.raises(NetworkFileError) as caught:
        _read(tmp_path, content)
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'network.pkl'}: ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence) < len(str(tmp_path)) + 250
    for word in named:
        assert word in sentence


# The same networks.


def test_golden_networks() -> None:
    networks, expected = load_networks(FILE), load_golden("nvidia_snapshot_r16_expected")
    with torch.no_grad():
        image = networks.G_ema(torch.from_numpy(expected["z"]))
        logits = networks.D.eval()(torch.from_numpy(expected["real"]))
    assert relative_error(image, expected["image_G_ema"]) < FORWARD
    assert relative_error(logits, expected["logits_real"]) < FORWARD
    assert not torch.equal(networks.G.mapping.fc0.weight, networks.G_ema.mapping.fc0.weight)  # each its own
    assert networks.G.mapping.fc0.weight.requires_grad
    assert not networks.G_ema.mapping.fc0.weight.requires_grad


def test_golden_header() -> None:
    about = read_header(FILE)["about"]
    expected = load_golden("nvidia_snapshot_r16_expected")
    assert about["licence"] == LICENCE
    assert "non-commercial" in LICENCE
    assert (about["name"], about["source"], about["num_fp16_res"]) == (FILE.name, "nvidia-pkl", 0)
    assert about["augment_p"] == pytest.approx(float(expected["augment_p"]))


def test_a_snapshot_becomes_a_network_file(tmp_path: Path) -> None:
    networks, header = load_networks(FILE), read_header(FILE)
    path = tmp_path / "network.safetensors"
    path.write_bytes(network_bytes(networks, header["about"]))
    assert read_header(path) == header
    again = load_networks(path)
    for name in ("G_ema", "G", "D"):
        before, after = getattr(networks, name).state_dict(), getattr(again, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", ["networks_cond2_r32", "networks_orig_r16", "networks_uncond_r16"])
def test_other_shapes(tmp_path: Path, name: str) -> None:
    networks, golden = _read(tmp_path, dump(snapshot(name))), load_golden(name)
    z, real = torch.from_numpy(golden["z"]), torch.from_numpy(golden["real"])
    c = torch.from_numpy(golden["c"]) if networks.G.c_dim else None
    with torch.no_grad():
        assert relative_error(networks.G_ema(z, c), golden["image"]) < FORWARD
        assert relative_error(networks.G_ema(z, c, truncation_psi=0.7), golden["image_psi07"]) < FORWARD
        assert relative_error(networks.D(real, c), golden["logits_real"]) < FORWARD


@pytest.mark.parametrize("protocol", [3, 4])  # of Python 3.0 to 3.7, and later
@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_every_spelling_reads_the_same(tmp_path: Path, protocol: int, numpy_module: bytes) -> None:
    content = dump(snapshot(), protocol)
    if protocol == 3:  # names are lines of text there
        content = content.replace(b"numpy._core.multiarray", numpy_module)
        assert numpy_module in content
    golden = load_golden("networks_cond2_r32")
    with torch.no_grad():
        image = _read(tmp_path, content).G_ema(torch.from_numpy(golden["z"]), torch.from_numpy(golden["c"]))
    assert relative_error(image, golden["image"]) < FORWARD


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(FILE.read_bytes())
    assert read_header(path)["about"]["source"] == "nvidia-pkl"
    # A safetensors header of 640 or 1152 bytes begins like a pickle of protocol 2 or 4.
    for protocol in (2, 3, 4, 5):
        length = 0x80 + (protocol << 8)
        path.write_bytes(struct.pack("<Q", length) + b"{" + bytes(length))
        assert not is_snapshot(path)


def test_frozen_layers_keep_parameters_as_buffers(tmp_path: Path) -> None:
    root = snapshot()
    layer = root["D"].at("b32.conv0")
    layer.buffers |= {name: parameter.data for name, parameter in layer.parameters.items()}
    layer.parameters = {}
    root["D"].kwargs["block_kwargs"] = {"freeze_layers": 2}
    frozen, plain = _read(tmp_path, dump(root)).D, _read(tmp_path, dump(snapshot())).D
    assert torch.equal(frozen.b32.conv0.weight, plain.b32.conv0.weight)


def _read_module(class_name: str, *places: Any, **named: Any) -> ReadModule:
    return ReadModule(class_name, {"_init_args": places, "_init_kwargs": named})


def test_absent_arguments_have_the_published_defaults() -> None:
    generator, _ = generator_config(
        _read_module("Generator", z_dim=512, c_dim=0, w_dim=512, img_resolution=256, img_channels=3)
    )
    assert generator == GeneratorConfig(
        img_resolution=256, z_dim=512, w_dim=512, mapping_layers=8, channel_base=32768, channel_max=512, conv_clamp=None
    )
    assert discriminator_config(
        _read_module("Discriminator", c_dim=0, img_resolution=256, img_channels=3)
    ) == DiscriminatorConfig(
        img_resolution=256,
        architecture="resnet",
        channel_base=32768,
        channel_max=512,
        conv_clamp=None,
        mbstd_group_size=4,
    )


def test_arguments_by_place_and_by_name_are_the_same() -> None:
    synthesis = {"channel_base": 16384, "num_fp16_res": 4, "conv_clamp": 256}
    by_place = _read_module("Generator", 64, 10, 32, 128, 3, {"num_layers": 2}, synthesis)
    by_name = _read_module(
        "Generator",
        z_dim=64,
        c_dim=10,
        w_dim=32,
        img_resolution=128,
        img_channels=3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs=synthesis,
    )
    config, facts = generator_config(by_place)
    assert (config, facts) == generator_config(by_name)
    assert facts == {"num_fp16_res": 4}
    assert (config.z_dim, config.c_dim, config.w_dim, config.img_resolution) == (64, 10, 32, 128)
    assert (config.mapping_layers, config.channel_base, config.conv_clamp) == (2, 16384, 256.0)
    epilogue = {"mbstd_group_size": 8}
    placed = _read_module("Discriminator", 10, 128, 3, "orig", 16384, 256, 4, 256, None, {}, {}, epilogue)
    config_d = discriminator_config(placed)
    assert (config_d.c_dim, config_d.img_resolution, config_d.architecture) == (10, 128, "orig")
    assert (config_d.channel_max, config_d.conv_clamp, config_d.mbstd_group_size) == (256, 256.0, 8)


def _edit(network: str, part: str, **changes: Any) -> bytes:
    root = snapshot()
    kwargs = root[network].kwargs
    (kwargs.setdefault(part, {}) if part else kwargs).update(changes)
    if network == "G_ema":
        root["G"].attributes["_init_kwargs"] = kwargs
    return dump(root)


@pytest.mark.parametrize(
    ("network", "part", "changes"),
    [
        ("G_ema", "synthesis_kwargs", {"use_noise": False}),
        ("G_ema", "synthesis_kwargs", {"activation": "relu"}),
        ("G_ema", "synthesis_kwargs", {"architecture": "resnet"}),
        ("G_ema", "synthesis_kwargs", {"resample_filter": [1, 2, 1]}),
        ("G_ema", "synthesis_kwargs", {"kernel_size": 5}),
        ("G_ema", "synthesis_kwargs", {"conv_clamp": float("nan")}),
        ("G_ema", "synthesis_kwargs", {"conv_clamp": "wide"}),
        ("G_ema", "synthesis_kwargs", {"magnitude_ema_beta": 0.999}),
        ("G_ema", "synthesis_kwargs", {"channel_base": 0}),
        ("G_ema", "synthesis_kwargs", {"channel_max": 1 << 40}),
        ("G_ema", "mapping_kwargs", {"lr_multiplier": 1.0}),
        ("G_ema", "mapping_kwargs", {"embed_features": 7}),
        ("G_ema", "mapping_kwargs", {"num_layers": 0}),
        ("G_ema", "", {"z_dim": 32.0}),
        ("G_ema", "", {"img_resolution": 48}),
        ("G_ema", "", {"w_dim": True}),
        ("G_ema", "", {"surprise": 1}),
        ("G_ema", "", {"mapping_kwargs": 3}),
        ("D", "", {"architecture": "wavelet"}),
        ("D", "", {"cmap_dim": 3}),
        ("D", "block_kwargs", {"activation": "relu"}),
        ("D", "mapping_kwargs", {"num_layers": 4}),
        ("D", "epilogue_kwargs", {"mbstd_group_size": None}),
        ("D", "epilogue_kwargs", {"mbstd_num_channels": 2}),
    ],
)
def test_what_would_be_drawn_otherwise_is_refused(
    tmp_path: Path, network: str, part: str, changes: dict[str, Any]
) -> None:
    (name,) = changes
    words = [] if name in ("img_resolution", "num_layers") else [name]
    assert_refused(tmp_path, _edit(network, part, **changes), *words)


def test_layers_that_contradict_their_network_are_refused(tmp_path: Path) -> None:
    for attribute, value in (("use_noise", False), ("conv_clamp", None), ("activation", "elu"), ("architecture", "x")):
        root = snapshot()
        root["G_ema"].at("synthesis.b8.conv0").attributes[attribute] = value
        assert_refused(tmp_path, dump(root), "synthesis.b8.conv0", attribute)


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = snapshot()
    del root["D"]
    assert_refused(tmp_path, dump(root), "no network D")
    root = snapshot()
    root["G"].attributes["_init_kwargs"] = root["G"].kwargs | {"z_dim": 8}
    assert_refused(tmp_path, dump(root), "not of one shape")
    assert_refused(tmp_path, dump(snapshot() | {"D": snapshot("networks_uncond_r16")["D"]}), "different pictures")
    root = snapshot()
    root["G_ema"].meta["class_name"] = "Encoder"
    assert_refused(tmp_path, dump(root), "Encoder")
    root = snapshot()
    root["G_ema"].meta["version"] = 7
    assert_refused(tmp_path, dump(root), "version 6")
    root = snapshot()
    del root["G_ema"].at("synthesis.b8.conv0").parameters["weight"]
    assert_refused(tmp_path, dump(root), "synthesis.b8.conv0.weight", "None")
    root = snapshot()
    root["G_ema"].at("synthesis.b8.conv0").parameters["extra"] = torch.zeros(1)
    assert_refused(tmp_path, dump(root), "extra")
    for root in ([], "G", {"G": 1}, {"G": Module("Generator")}):
        assert_refused(tmp_path, dump(root))


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
    _read(tmp_path, dump(root))
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
    _read(tmp_path, dump(good))
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
    _read(tmp_path, FILE.read_bytes())
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
    _read(tmp_path, dump(snapshot() | {"augment_pipe": views[:1]}))
