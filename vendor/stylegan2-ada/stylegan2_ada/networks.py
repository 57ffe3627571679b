"""Networks in a file: safetensors under `G_ema/`, `G/` and `D/`, the configuration as JSON in its metadata.

Nothing in such a file can run. Half-precision tensors are read as float32.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig
from stylegan2_ada.trainer import Networks

FORMAT = "stylegan2-ada-networks"
VERSION = 1


class NetworkFileError(ValueError):
    """A file is not a network that this version can read; its text is one sentence for the user."""


def network_bytes(networks: Networks, about: Mapping[str, Any], *, half: bool = False) -> bytes:
    """Return the file's content; the same networks and `about` give the same bytes.

    Args:
        networks: what to save.
        about: whatever the caller wants kept beside the networks, JSON-able.
        half: store float16 at half the size (for shipping; a relative error of 5e-4 a weight).
    """
    tensors: dict[str, Tensor] = {}
    for prefix, module in (("G_ema", networks.G_ema), ("G", networks.G), ("D", networks.D)):
        for name, tensor in module.state_dict().items():
            value = tensor.detach().cpu()
            tensors[f"{prefix}/{name}"] = (value.half() if half else value).contiguous()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "generator": dataclasses.asdict(networks.G.config),
        "discriminator": dataclasses.asdict(networks.D.config),
        "about": dict(about),
    }
    # One key: the order of several metadata keys is not fixed by the format's writer.
    return save(tensors, metadata={"config": json.dumps(header, sort_keys=True, allow_nan=False)})


def read_header(path: Path) -> dict[str, Any]:
    """Read the configuration and `about` of a network file without its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata["config"])
    except (SafetensorError, KeyError, json.JSONDecodeError, RecursionError) as error:
        raise NetworkFileError(
            f"{path}: not a complete network file ({type(error).__name__}); train it again or copy it again."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NetworkFileError(f"{path}: not a StyleGAN2-ADA network; give a network.safetensors of `synth train`.")
    if header.get("version") != VERSION:
        raise NetworkFileError(
            f"{path}: network format version {header.get('version')} is unknown, this program reads {VERSION}; "
            "use a newer program."
        )
    return header


def load_networks(path: Path, *, device: torch.device | None = None) -> Networks:
    """Read networks, in evaluation mode (`G_ema`) and training mode (`G`, `D`), float32, on `device` (default: CPU).

    Raises:
        NetworkFileError: the file is damaged, of another format or newer, or its tensors do not fit its configuration.
    """
    header = read_header(path)
    try:
        networks = Networks.build(
            GeneratorConfig(**header["generator"]), DiscriminatorConfig(**header["discriminator"]), seed=0
        )
        with safe_open(path, framework="pt") as file:
            for prefix, module in (("G_ema", networks.G_ema), ("G", networks.G), ("D", networks.D)):
                _load(module, prefix, file)
    except (SafetensorError, TypeError, RuntimeError, KeyError, ValueError) as error:
        raise NetworkFileError(
            f"{path}: tensors and configuration do not fit together ({str(error).splitlines()[0]}); copy it again."
        ) from error
    return networks if device is None else networks.to(device)


def _load(module: nn.Module, prefix: str, file: Any) -> None:
    names = [name for name in file.keys() if name.startswith(f"{prefix}/")]  # noqa: SIM118 - not a dictionary
    state = {name.removeprefix(f"{prefix}/"): file.get_tensor(name).float() for name in names}
    module.load_state_dict(state, strict=True)
