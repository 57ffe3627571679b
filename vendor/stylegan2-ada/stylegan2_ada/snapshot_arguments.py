"""What NVIDIA's networks were made with, as our configurations.

Arguments have the names of the published command-line and file formats; those that are absent have the published
defaults. An argument that would change a picture in a way that our networks do not know is refused.
"""

from dataclasses import dataclass
from typing import Any, get_args

from stylegan2_ada.config import (
    MAX_CHANNEL_BASE,
    MAX_WIDTH,
    Architecture,
    DiscriminatorConfig,
    GeneratorConfig,
    channels_at,
)
from stylegan2_ada.snapshot_objects import Module
from stylegan2_ada.snapshot_opcodes import SnapshotError, shown

MAX_CLAMP = 1e9
MAX_GROUP = 4096
USE_PUBLISHED = "give a network of the published configurations"
CHANNEL_BASE, CHANNEL_MAX, MAPPING_LAYERS, GROUP_SIZE = 32768, 512, 8, 4  # where a snapshot names none

# In the order of the constructors, for arguments that were given by place.
GENERATOR = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
DISCRIMINATOR = (
    "c_dim",
    "img_resolution",
    "img_channels",
    "architecture",
    "channel_base",
    "channel_max",
    "num_fp16_res",
    "conv_clamp",
    "cmap_dim",
    "block_kwargs",
    "mapping_kwargs",
    "epilogue_kwargs",
)


@dataclass
class _Arguments:
    """Arguments that are taken one by one; what is left at the end is one that we do not know."""

    where: str
    left: dict[str, Any]

    @classmethod
    def of(cls, module: Module, class_name: str, order: tuple[str, ...]) -> "_Arguments":
        """Bring the arguments of a module's constructor together."""
        if module.class_name != class_name:
            raise SnapshotError(f"its {shown(module.class_name)} is no {class_name} of StyleGAN2", USE_PUBLISHED)
        places, named = module.state["_init_args"], module.state["_init_kwargs"]
        if not isinstance(places, tuple) or len(places) > len(order):
            raise SnapshotError(f"its {class_name} was made with other arguments than StyleGAN2's", USE_PUBLISHED)
        return cls(class_name, dict(zip(order, places, strict=False)) | named)

    def count(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Take a whole number from `low` to `high`."""
        value = self.left.pop(name, default)
        if type(value) is not int or not low <= value <= high:
            raise SnapshotError(f"its {self.where} has no {name} from {low} to {high}", USE_PUBLISHED)
        return value

    def clamp(self, name: str) -> float | None:
        """Take the bound of activations, None when there is none."""
        value = self.left.pop(name, None)
        if value is None or (type(value) in (int, float) and 0 < value <= MAX_CLAMP):
            return None if value is None else float(value)
        raise SnapshotError(f"its {self.where} has a {name} that is no bound", USE_PUBLISHED)

    def one_of(self, name: str, *allowed: Any) -> Any:
        """Take a value that must be one of `allowed`, the first of which is the default."""
        value = self.left.pop(name, allowed[0])
        if value not in allowed:
            raise SnapshotError(
                f"its {self.where} has a {name} of {_worded(value)}, which our networks do not draw", USE_PUBLISHED
            )
        return value

    def ignore(self, *names: str) -> None:
        """Drop arguments that change no picture: precision, memory layout, and what only training uses."""
        for name in names:
            self.left.pop(name, None)

    def inner(self, name: str) -> "_Arguments":
        """Take the arguments that are passed on to a part."""
        value = self.left.pop(name, {})
        if not isinstance(value, dict):
            raise SnapshotError(f"its {self.where} has a {name} that names no arguments", USE_PUBLISHED)
        return _Arguments(f"{self.where}'s {name}", dict(value))

    def close(self) -> None:
        """Refuse what is left."""
        for name in self.left:
            raise SnapshotError(
                f"its {self.where} was made with {shown(name)}, which our networks do not know", USE_PUBLISHED
            )


def _worded(value: Any) -> str:
    return shown(str(value) if isinstance(value, (bool, float)) or value is None else value)


def generator_config(module: Module) -> tuple[GeneratorConfig, dict[str, Any]]:
    """Return the shape of a pickled generator, and facts that are kept without being needed.

    Raises `SnapshotError`: an argument that our generator does not know.
    """
    top = _Arguments.of(module, "Generator", GENERATOR)
    mapping, synthesis = top.inner("mapping_kwargs"), top.inner("synthesis_kwargs")
    w_dim = top.count("w_dim", 1, MAX_WIDTH)
    layers = _take_mapping(mapping, w_dim)
    half_precision = synthesis.count("num_fp16_res", 0, MAX_WIDTH, 0)
    synthesis.one_of("architecture", "skip")
    synthesis.one_of("use_noise", True)
    synthesis.one_of("kernel_size", 3)
    _take_block(synthesis)
    config = GeneratorConfig(
        z_dim=top.count("z_dim", 1, MAX_WIDTH),
        c_dim=top.count("c_dim", 0, MAX_WIDTH),
        w_dim=w_dim,
        img_resolution=top.count("img_resolution", 8, MAX_WIDTH),
        img_channels=top.count("img_channels", 1, MAX_WIDTH),
        mapping_layers=layers,
        channel_base=synthesis.count("channel_base", 1, MAX_CHANNEL_BASE, CHANNEL_BASE),
        channel_max=synthesis.count("channel_max", 1, MAX_WIDTH, CHANNEL_MAX),
        conv_clamp=synthesis.clamp("conv_clamp"),
    )
    for arguments in (top, mapping, synthesis):
        arguments.close()
    return config, {"num_fp16_res": half_precision}


def discriminator_config(module: Module) -> DiscriminatorConfig:
    """Return the shape of a pickled discriminator.

    Raises `SnapshotError`: an argument that our discriminator does not know.
    """
    top = _Arguments.of(module, "Discriminator", DISCRIMINATOR)
    block, mapping, epilogue = (top.inner(f"{name}_kwargs") for name in ("block", "mapping", "epilogue"))
    top.ignore("num_fp16_res")
    _take_block(block)
    block.ignore("freeze_layers")
    epilogue.one_of("mbstd_num_channels", 1)
    epilogue.one_of("activation", "lrelu")
    config = DiscriminatorConfig(
        c_dim=top.count("c_dim", 0, MAX_WIDTH),
        img_resolution=top.count("img_resolution", 8, MAX_WIDTH),
        img_channels=top.count("img_channels", 1, MAX_WIDTH),
        architecture=top.one_of("architecture", "resnet", *get_args(Architecture)),
        channel_base=top.count("channel_base", 1, MAX_CHANNEL_BASE, CHANNEL_BASE),
        channel_max=top.count("channel_max", 1, MAX_WIDTH, CHANNEL_MAX),
        conv_clamp=top.clamp("conv_clamp"),
        mbstd_group_size=epilogue.count("mbstd_group_size", 1, MAX_GROUP, GROUP_SIZE),
    )
    cmap_dim = channels_at(4, config.channel_base, config.channel_max)
    top.one_of("cmap_dim", None, cmap_dim)
    if _take_mapping(mapping, cmap_dim) != MAPPING_LAYERS:
        raise SnapshotError(f"its Discriminator embeds labels with other than {MAPPING_LAYERS} layers", USE_PUBLISHED)
    for arguments in (top, block, mapping, epilogue):
        arguments.close()
    return config


def _take_mapping(mapping: _Arguments, width: int) -> int:
    """Take the arguments of a mapping network of one width and return its number of layers."""
    mapping.one_of("embed_features", None, width)
    mapping.one_of("layer_features", None, width)
    mapping.one_of("activation", "lrelu")
    mapping.one_of("lr_multiplier", 0.01)
    mapping.ignore("w_avg_beta")
    return mapping.count("num_layers", 1, MAX_WIDTH, MAPPING_LAYERS)


def _take_block(block: _Arguments) -> None:
    block.one_of("activation", "lrelu")
    block.one_of("resample_filter", [1, 3, 3, 1])
    block.ignore("fp16_channels_last")


def check_layer(module: Module, path: str, clamp: float | None, architecture: str) -> None:
    """Raise `SnapshotError` when a layer, which keeps what it was made with, contradicts the network's arguments.

    `path` is the beginning of its tensors' names. Short cuts and the last picture input are never clamped.
    """
    state = module.state
    never_clamped = path.endswith("skip.") or path == "b4.fromrgb."
    rules = {
        "use_noise": (True,),
        "activation": ("lrelu", "linear"),
        "architecture": (architecture,),
        "conv_clamp": (None,) if never_clamped else (clamp,),
    }
    for name, allowed in rules.items():
        if name in state and state[name] not in allowed:
            where = shown(path.rstrip(".") or "top")
            raise SnapshotError(f"its layer {where} has a {name} of {_worded(state[name])} of its own", USE_PUBLISHED)
