"""Which device and precision the work runs in."""

from collections.abc import Iterator

import pytest
import torch

from shared.errors import UserError
from shared.nn.device import (
    choose_compile,
    choose_device,
    choose_precision,
    describe_device,
    describe_precision,
    reproducible,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU
    threads = torch.get_num_threads()
    assert describe_device(CPU) == ("cpu (1 thread)" if threads == 1 else f"cpu ({threads} threads)")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x"])
def test_devices_that_are_not_there_are_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}: .*use"):
        choose_device(name)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precisions_of_a_cpu(name: str, dtype: torch.dtype) -> None:
    assert choose_precision(name, CPU) == dtype
    assert describe_precision(dtype, CPU) == ("bf16" if name == "bf16" else "fp32")


@pytest.mark.parametrize(
    ("has", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
    ],
)
def test_auto_takes_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert choose_precision("auto", CPU) == dtype


@pytest.fixture
def _tf32_restored() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(("bf16", "chosen"), [(True, "bf16"), (False, "tf32")])
@pytest.mark.usefixtures("_tf32_restored")
def test_auto_takes_what_the_gpu_has(monkeypatch: pytest.MonkeyPatch, bf16: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    dtype = choose_precision("auto", CUDA)
    assert describe_precision(dtype, CUDA) == chosen
    assert torch.backends.cuda.matmul.allow_tf32
    assert describe_precision(choose_precision("fp32", CUDA), CUDA) == "fp32"


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("tf32", True), ("bf16", True)])
@pytest.mark.usefixtures("_tf32_restored")
def test_reproducible_work_keeps_the_precision_that_was_chosen(precision: str, allowed: bool) -> None:
    choose_precision(precision, CUDA)
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    with reproducible():
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.enabled) == (False, True, before[0])
        assert cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (*before, allowed)


@pytest.mark.parametrize(("name", "device"), [("fp8", "cpu"), ("tf32", "cpu"), ("bf16", "mps"), ("tf32", "mps")])
def test_precisions_that_are_not_there_are_one_sentence(name: str, device: str) -> None:
    with pytest.raises(UserError, match=f"--precision {name}: .*use"):
        choose_precision(name, torch.device(device))


def _fails(*_: object, **__: object) -> object:
    raise RuntimeError("no compiler found\n\nSet VERBOSE=1")


@pytest.mark.parametrize(("name", "device"), [("off", "cpu"), ("auto", "cpu"), ("auto", "cuda"), ("off", "cuda")])
def test_nothing_is_compiled_unless_asked(monkeypatch: pytest.MonkeyPatch, name: str, device: str) -> None:
    monkeypatch.setattr(torch, "compile", _fails)
    assert not choose_compile(name, torch.device(device))


def test_a_machine_that_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", _fails)
    with pytest.raises(UserError, match=r"--compile on: .*\(no compiler found\); .*leave the option out"):
        choose_compile("on", CPU)


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_a_machine_that_can_compile(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: 0)
    assert choose_compile("on", device)


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(UserError, match="--compile banana: unknown; use one of auto, on, off"):
        choose_compile("banana", CPU)
