"""NVIDIA's published snapshots (StyleGAN2-ADA, PyTorch edition, `.pkl`): their networks, without running anything.

A snapshot is a dictionary with `G`, `D` and `G_ema`. Each module is pickled with its tensors by name and with the
arguments that it was made with, which is enough to build ours. Whatever our networks would draw otherwise is refused.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig
from stylegan2_ada.errors import NetworkFileError
from stylegan2_ada.snapshot_arguments import check_layer, discriminator_config, generator_config
from stylegan2_ada.snapshot_objects import Module, read_objects
from stylegan2_ada.snapshot_opcodes import SnapshotError, shown

# The terms that NVIDIA publishes its implementation and its networks under; what derives from them stays under them.
LICENCE = "NVIDIA Source Code License (non-commercial)"
MAX_FILE_BYTES = 1 << 30  # the largest published one has 382 MB
MAX_MODULES = 1000  # of one network; a 1024 px generator has 62
MAX_PARTS = 100  # tensors or modules directly within one module
MAX_NAME = 40  # characters of the name of one
SHARED = ("img_resolution", "img_channels", "c_dim")
MALFORMED = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a snapshot holds that we need: shapes, tensors under `G_ema/ G/ D/`, and facts for `about`."""

    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    tensors: dict[str, Tensor]
    about: dict[str, Any]


def is_snapshot(path: Path) -> bool:
    """Say whether the file begins like a pickle of protocol 2 or newer, and not like safetensors, whatever its name."""
    with Path(path).open("rb") as file:
        start = file.read(9)
    if len(start) < 9 or start[0] != 0x80 or not 2 <= start[1] <= 5:
        return False
    # A safetensors file begins with the length of its header, which may have the same two bytes in front.
    (length,) = struct.unpack("<Q", start[:8])
    return not (start[8:] == b"{" and length <= Path(path).stat().st_size)


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        NetworkFileError: it names or does what no network needs, lies about a size, is damaged, or its networks are of
            a kind that ours are not.
    """
    path = Path(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise NetworkFileError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB, which no network is; give another.")
    try:
        root = read_objects(path.read_bytes())
        if not isinstance(root, dict):
            raise SnapshotError("not a snapshot of StyleGAN2-ADA's PyTorch edition", "give one that is")
        return _understand(root, path.name)
    except SnapshotError as error:
        raise NetworkFileError(f"{path}: {error.reason}; {error.way_out}.") from error
    except MALFORMED as error:
        raise NetworkFileError(
            f"{path}: not a complete network snapshot ({type(error).__name__}); copy it again."
        ) from error


def _understand(root: dict[str, Any], name: str) -> Snapshot:
    modules = {key: _network(root, key) for key in ("G_ema", "G", "D")}
    generator, facts = generator_config(modules["G_ema"])
    if generator_config(modules["G"])[0] != generator:
        raise SnapshotError("its G and G_ema are not of one shape", "give one whose networks belong together")
    discriminator = discriminator_config(modules["D"])
    if any(getattr(generator, field) != getattr(discriminator, field) for field in SHARED):
        raise SnapshotError("its G and D are for different pictures", "give one whose networks belong together")
    tensors: dict[str, Tensor] = {}
    for key, module in modules.items():
        config = discriminator if key == "D" else generator
        architecture = discriminator.architecture if key == "D" else "skip"
        for path, layer in _walk(module):
            check_layer(layer, path, config.conv_clamp, architecture)
            tensors |= {f"{key}/{path}{own}": tensor for own, tensor in _own_tensors(layer).items()}
    about = {"name": name, "licence": LICENCE, "source": "nvidia-pkl"} | facts | _augmentation(root)
    return Snapshot(generator, discriminator, tensors, about)


def _network(root: dict[str, Any], key: str) -> Module:
    module = root.get(key)
    if not isinstance(module, Module):
        raise SnapshotError(f"holds no network {key}", "give a snapshot with G, D and G_ema")
    return module


def _walk(root: Module) -> Iterator[tuple[str, Module]]:
    """Give every module within `root`, and `root`, with the beginning of its tensors' names."""
    waiting = [("", root)]
    for _ in range(MAX_MODULES):
        if not waiting:
            return
        path, module = waiting.pop()
        yield path, module
        for name, child in _parts(module, "_modules").items():
            if not isinstance(child, Module):
                raise SnapshotError(f"its {shown(path + name)} is no module")
            waiting.append((f"{path}{name}.", child))
    raise SnapshotError(f"holds more than {MAX_MODULES} modules in one network")


def _parts(module: Module, kind: str) -> dict[str, Any]:
    """Return what a module keeps under `kind`: little, since the same dictionary may stand in every module."""
    parts = module.state[kind]
    if not isinstance(parts, dict) or len(parts) > MAX_PARTS or any(len(name) > MAX_NAME for name in parts):
        raise SnapshotError(f"holds a module whose {kind.strip('_')} are too many or have names too long")
    return parts


def _own_tensors(module: Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name. Frozen layers keep as buffers what others have as parameters."""
    tensors = {}
    for name, value in (_parts(module, "_parameters") | _parts(module, "_buffers")).items():
        if value is None:
            continue
        if not isinstance(value, Tensor):
            raise SnapshotError(f"its {shown(name)} is no tensor")
        tensors[name] = value
    return tensors


def _augmentation(root: dict[str, Any]) -> dict[str, Any]:
    """Return the strength p of ADA's augmentations at the end of training, where the snapshot has it."""
    pipe = root.get("augment_pipe")
    p = _own_tensors(pipe).get("p") if isinstance(pipe, Module) else None
    if p is None or p.numel() != 1 or not math.isfinite(p.item()):
        return {}
    return {"augment_p": round(p.item(), 6)}
