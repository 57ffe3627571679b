"""What a machine has for networks: processor, memory, devices, compilers; findings for the `doctor` commands."""

import os
import shutil
import sysconfig

import torch

from shared.doctor.finding import Finding, bad, good, note
from shared.doctor.places import in_gib
from shared.errors import UserError
from shared.nn.device import choose_device, choose_precision, describe_device, describe_precision
from shared.nn.memory import free_bytes
from shared.provenance import hardware


def examine_machine(device_name: str, precision: str | None) -> list[Finding]:
    """Look at the processor, at memory, and at the device that `--device` and `--precision` name."""
    has = hardware()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else has["threads"]
    free = free_bytes(torch.device("cpu"))
    memory = "" if free is None else f", {in_gib(free)} of {has['memory_gib']} GiB free"
    found = [good("processor", f"{has['processor']}: {allowed} of {has['threads']} threads may be used{memory}")]
    try:
        device = choose_device(device_name)
        dtype = choose_precision(precision or "auto", device)
    except UserError as error:
        return [*found, bad("device", str(error))]
    text = f"{describe_device(device)}, large products in {describe_precision(dtype, device)}"
    if device.type == "cuda":
        text += f", {in_gib(free_bytes(device) or 0)} free"
    found.append(good("device", text))
    if device.type == "cuda" and shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) is None:
        found.append(note("compiler", "no C compiler: the GPU's own kernels cannot be made, and slower ones are taken"))
    return found
