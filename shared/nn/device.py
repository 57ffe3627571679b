"""Which device the work runs on."""

import torch

from shared.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device ("cpu", "cuda", "cuda:1", "mps"); "auto" takes CUDA, else Apple's GPU, else the CPU.

    Raises `UserError`: unknown name, or no such device on this machine.
    """
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


def describe_device(device: torch.device) -> str:
    """Return the device in words for records: "cpu (2 threads)" or the GPU's name."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
