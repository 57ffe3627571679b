"""Which device the work runs on, and how it computes there: precision, compiled or not, and the same every time."""

import contextlib
import logging
from collections.abc import Iterator

import torch

from shared.choices import PRECISIONS
from shared.errors import UserError
from shared.nn.memory import keep_freed_memory


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device ("cpu", "cuda", "cuda:1", "mps"); "auto" takes CUDA, else Apple's GPU, else the CPU.

    A process that works on the CPU keeps freed memory from then on (`shared.nn.memory`).

    Raises `UserError`: unknown name, or no such device on this machine.
    """
    device = _find_device(name)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def _find_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name}: no such device; use auto, cpu, cuda, cuda:N or mps.") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise UserError(f"--device {name}: this machine has no such device; use --device auto.")
    return device


def device_of_slot(name: str, slot: int) -> str:
    """Return the device of one of several processes of a machine: GPU `slot`, if there are GPUs to choose from."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{slot % torch.cuda.device_count()}"
    return name


def describe_device(device: torch.device) -> str:
    """Return the device in words for records: "cpu (2 threads)" or the GPU's name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})" if device.type == "cpu" else str(device)


COMPILE = ("auto", "on", "off")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type that a network's large convolutions run in, and set whether float32 products may use TF32.

    "auto" takes bfloat16 where the GPU or the processor has products of it, and full precision elsewhere. "tf32" keeps
    float32 and lets an NVIDIA GPU round the factors of its products to 10 bits, which "bf16" allows too; "fp32" does
    not.

    Raises `UserError`: unknown name, or a precision that the device does not have.
    """
    if name not in PRECISIONS:
        raise UserError(f"--precision {name}: unknown; use one of {', '.join(PRECISIONS)}.")
    cuda = device.type == "cuda"
    if name == "auto":
        name = fastest_precision(device)
    if name == "tf32" and not cuda:
        raise UserError(f"--precision tf32: only NVIDIA GPUs have it, and the work runs on {device}; use auto.")
    if name == "bf16" and device.type == "mps":
        raise UserError("--precision bf16: not on Apple's GPUs; use auto.")
    if cuda:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which a network's large convolutions and products run in `dtype`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """Keep cuDNN to algorithms that give the same bits twice; the precision stays what `choose_precision` set.

    Without cuDNN nothing changes. (What `flags` is not told it sets to a default of its own, TF32 to allowed.)
    """
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32):
        yield


def fastest_precision(device: torch.device) -> str:
    """Return bf16 where the GPU or the processor has products of it, tf32 or fp32 elsewhere."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "tf32"
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return "fp32"
    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def choose_compile(name: str, device: torch.device) -> bool:
    """Return whether `torch.compile` is to fuse the networks; "auto" leaves it off.

    On a CPU it gains a few percent (`benchmarks/results/gan_step.md`) and delays the first steps by a minute; on a GPU
    it was not measured to its end yet.

    Raises `UserError`: unknown name, or "on", and PyTorch cannot compile here.
    """
    if name not in COMPILE:
        raise UserError(f"--compile {name}: unknown; use one of {', '.join(COMPILE)}.")
    if name != "on":
        return False
    try:
        # What it says of CUDA on a machine without is of no use to anybody.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        # A small function first: what is missing (a compiler, as a rule) shows up before hours of work.
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]  # more lines are for PyTorch's authors
        raise UserError(
            f"--compile on: PyTorch cannot compile for {device} here ({reason}); install a C++ compiler, or leave the "
            "option out."
        ) from error
    return True


def describe_precision(dtype: torch.dtype, device: torch.device) -> str:
    """Return the precision in words: "fp32", "tf32" or "bf16"."""
    if dtype == torch.bfloat16:
        return "bf16"
    return "tf32" if device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32 else "fp32"
