"""Networks in a file: safetensors under `G_ema/`, `G/` and `D/`, the configuration as JSON in its metadata.

Nothing in such a file can run, and a changed bit is found. Half-precision tensors are read as float32. NVIDIA's
snapshots are read too (`stylegan2_ada.snapshot`); the content tells which of the two a file is.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig, ProjectedConfig
from stylegan2_ada.errors import NetworkFileError
from stylegan2_ada.networks import Networks
from stylegan2_ada.snapshot import is_snapshot, read_snapshot

FORMAT = "stylegan2-ada-networks"
VERSION = 1
PROJECTED = "projected"  # the key that says of which kind the discriminator is

AnyConfig = DiscriminatorConfig | ProjectedConfig


def network_bytes(networks: Networks, about: Mapping[str, Any], *, half: bool = False) -> bytes:
    """Return the file's content; the same networks and `about` give the same bytes.

    Args:
        networks: what to save.
        about: whatever the caller wants kept beside the networks, JSON-able.
        half: store float16 at half the size (for shipping; a relative error of 5e-4 a weight).
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in _tensors(networks).items():
        value = tensor.detach().cpu()
        tensors[name] = (value.half() if half else value).contiguous()
    header = _header(networks.G.config, networks.D.config, about)
    header["sha256"] = _digest(header, tensors)
    # One key: the order of several metadata keys is not fixed by the format's writer.
    return save(tensors, metadata={"config": json.dumps(header, sort_keys=True, allow_nan=False)})


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all that a file says and holds, its own digest left out."""
    said = {name: value for name, value in header.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _header(generator: GeneratorConfig, discriminator: AnyConfig, about: Mapping[str, Any]) -> dict[str, Any]:
    projected = {PROJECTED: True} if isinstance(discriminator, ProjectedConfig) else {}
    return projected | {
        "format": FORMAT,
        "version": VERSION,
        "generator": dataclasses.asdict(generator),
        "discriminator": dataclasses.asdict(discriminator),
        "about": dict(about),
    }


def read_header(path: Path) -> dict[str, Any]:
    """Read the configuration and `about` of a network file; a snapshot of NVIDIA's gets what ours would have.

    Raises:
        NetworkFileError: the file is damaged, of another format or newer.
    """
    if is_snapshot(path):
        snapshot = read_snapshot(path)
        return _header(snapshot.generator, snapshot.discriminator, snapshot.about)
    header = _sealed_header(path)
    header.pop("sha256", None)
    return header


def _sealed_header(path: Path) -> dict[str, Any]:
    """Read the header of a file of our own format, with the digest that `_digest` gave."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata["config"])
    except (SafetensorError, KeyError, json.JSONDecodeError, RecursionError) as error:
        raise NetworkFileError(
            f"{path}: not a complete network file, neither of `synth train` nor one of NVIDIA's .pkl files; "
            "train it again or copy it again."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NetworkFileError(f"{path}: not a StyleGAN2-ADA network; give a network.safetensors of `synth train`.")
    if header.get("version") != VERSION:
        raise NetworkFileError(
            f"{path}: network format version {header.get('version')} is unknown, this program reads {VERSION}; "
            "use a newer program."
        )
    try:
        _configs(header)
        if not isinstance(header["about"], dict):
            raise TypeError("about")
    except (KeyError, TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise NetworkFileError(
            f"{path}: tensors and configuration do not fit together ({reason}); copy it again."
        ) from error
    return header


def _configs(header: Mapping[str, Any]) -> tuple[GeneratorConfig, AnyConfig]:
    """Return the configurations in a header; raises KeyError, TypeError or ValueError."""
    kind = ProjectedConfig if header.get(PROJECTED) else DiscriminatorConfig
    return GeneratorConfig(**header["generator"]), kind(**header["discriminator"])


def load_networks(path: Path, *, device: torch.device | None = None) -> Networks:
    """Read networks, in evaluation mode (`G_ema`) and training mode (`G`, `D`), float32, on `device` (default: CPU).

    A projected discriminator comes without its pretrained network, which the caller attaches.

    Raises:
        NetworkFileError: the file is damaged, of another format or newer, or its tensors do not fit its configuration.
    """
    try:
        networks = _from_snapshot(path) if is_snapshot(path) else _from_safetensors(path, _sealed_header(path))
    except (SafetensorError, TypeError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, NetworkFileError):
            raise
        raise NetworkFileError(
            f"{path}: tensors and configuration do not fit together ({str(error).splitlines()[0]}); copy it again."
        ) from error
    return networks if device is None else networks.to(device)


def _from_safetensors(path: Path, header: Mapping[str, Any]) -> Networks:
    generator, discriminator = _configs(header)
    with safe_open(path, framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dictionary
        networks = _build(generator, discriminator, shapes)
        tensors = {name: file.get_tensor(name) for name in shapes}
    if "sha256" in header and header["sha256"] != _digest(header, tensors):  # files of before have none
        raise NetworkFileError(f"{path}: damaged, it does not hold what was written; train it again or copy it again.")
    _fill(networks, tensors.__getitem__)
    return networks


def _from_snapshot(path: Path) -> Networks:
    snapshot = read_snapshot(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in snapshot.tensors.items()}
    networks = _build(snapshot.generator, snapshot.discriminator, shapes)
    _fill(networks, snapshot.tensors.__getitem__)
    return networks


def _tensors(networks: Networks) -> dict[str, Tensor]:
    """Return all tensors of the networks by the names that they have in a file."""
    modules = (("G_ema", networks.G_ema), ("G", networks.G), ("D", networks.D))
    return {f"{prefix}/{name}": tensor for prefix, module in modules for name, tensor in module.state_dict().items()}


def _build(generator: GeneratorConfig, discriminator: AnyConfig, shapes: Mapping[str, tuple[int, ...]]) -> Networks:
    """Build networks of which a file has every tensor, and no other: none larger than the file is ever built.

    Raises `ValueError`: one is missing, one is left over, or one is of another shape.
    """
    with torch.device("meta"):
        wanted = {
            name: tuple(each.shape) for name, each in _tensors(Networks.build(generator, discriminator, 0)).items()
        }
    for name in sorted(wanted.keys() | shapes.keys()):
        if wanted.get(name) != shapes.get(name):
            raise ValueError(f"{ascii(name)[:80]} is {shapes.get(name)}, where {wanted.get(name)} is expected")
    return Networks.build(generator, discriminator, 0)


@torch.no_grad()
def _fill(networks: Networks, tensor: Callable[[str], Tensor]) -> None:
    for name, place in _tensors(networks).items():
        place.copy_(tensor(name))
