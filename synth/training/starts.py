"""Where a run starts: new networks, or those of another run, tensor by tensor."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shared.console import say
from shared.errors import UserError
from shared.files import sha256_of
from shared.weights import WeightSource
from stylegan2_ada import (
    DiscriminatorConfig,
    GeneratorConfig,
    NetworkFileError,
    Networks,
    ProjectedConfig,
    TrainingConfig,
    load_networks,
)
from stylegan2_ada.config import NoiseMode
from stylegan2_ada.networks import freezable_layers, layers_of_finer_half
from synth.drawing.trained import has_looked_through, noise_of, require_rgb
from synth.networks.known import KNOWN
from synth.networks.provenance import find_network, licence_notice, read_provenance
from synth.training.configuration import resolve_networks
from synth.training.methods import Method, choose_method
from synth.training.options import TrainOptions
from synth.training.projection import attach_backbone, projected_config


@dataclass(frozen=True)
class Start:
    """The networks that a run begins with."""

    networks: Networks
    name: str | None = None
    sha256: str | None = None
    left_new: tuple[str, ...] = ()  # tensors that the start network has not, or in another shape
    seen: tuple[tuple[str, int], ...] = ()  # id and group of every photograph that the start network saw
    seen_cohort: str = ""  # SHA-256 of the cohort that the groups belong to
    noise: NoiseMode = "const"  # which noise inputs its pictures want
    size: int | None = None  # side of the start network's own pictures in px
    licence: str | None = None  # terms of the start network, which hold for what is made of it
    training: Mapping[str, float] = dataclasses.field(default_factory=dict)  # how it was trained, and should go on
    looked_through: bool = False  # whether a pretrained network took part in its training, whose features it flatters


def require_whole_groups(config: TrainingConfig, start: Start, processes: int) -> None:
    """Raise `UserError` when a batch cannot be dealt out in the groups of the discriminator's standard deviation."""
    group = min(start.networks.D.config.mbstd_group_size, config.batch)
    if config.batch % (group * processes):
        shared = f", on {processes} processes" if processes > 1 else ""
        raise UserError(
            f"--batch {config.batch}: the discriminator compares images in groups of {group}{shared}; "
            f"give a multiple of {group * processes}."
        )


def build_start(options: TrainOptions, size: int, c_dim: int) -> Start:
    """Return the networks to begin with, the same for every cell of a grid.

    A start of another resolution gives what it has: a generator its first layers, a discriminator its last ones.

    Raises `UserError`: the start network cannot be read or does not fit the method, or is under a licence that must be
    accepted first.
    """
    _, method = choose_method(options)
    if options.start is None:
        generator, discriminator, _ = resolve_networks(options, size, c_dim)
        chosen = _projected_config(options, size) if method.projected else discriminator
        return Start(_build(generator, chosen, options))
    if options.start in KNOWN:  # before its download
        _require_accepted(options, KNOWN[options.start].licence)
    path = find_network(options.start, _weight_source(options))
    about = read_provenance(path)
    try:
        source = load_networks(path)
    except NetworkFileError as error:
        raise UserError(str(error)) from error
    require_rgb(source, path)
    _require_accepted(options, about.get("licence"))
    target = _build_like(source, options, method, size, c_dim)
    missing = [
        f"{name}/{tensor}"
        for name in ("G_ema", "G", "D")
        for tensor in _copy_matching(getattr(source, name), getattr(target, name))
    ]
    _require_trained(options, method, source, target, missing)
    return Start(
        target,
        name=options.start if not Path(options.start).exists() else Path(options.start).resolve().name,
        sha256=sha256_of(path),
        left_new=tuple(missing),
        seen=tuple(zip(about.get("seen_image_id", ()), about.get("seen_group_id", ()), strict=True)),
        seen_cohort=about.get("cohort", ""),
        noise=noise_of(about),
        size=source.G.config.img_resolution,
        licence=about.get("licence"),
        training={} if isinstance(source.D.config, ProjectedConfig) else _inherited(about),
        looked_through=has_looked_through(source, about),
    )


def say_licence(start: Start) -> None:
    """Say what the licence of the start network forbids, if anything."""
    notice = None if start.name is None else licence_notice(start.name, start.licence)
    if notice is not None:
        say(notice)


def _require_accepted(options: TrainOptions, licence: str | None) -> None:
    """Raise `UserError` when the start's licence binds what is made of it, and the user has not said to accept that."""
    if licence_notice("", licence) is not None and not options.accept_licence:
        raise UserError(
            f"--start {options.start}: under the {licence}, whose terms hold for every network that starts from it; "
            "add --accept-licence if that is fine."
        )


def _inherited(about: Mapping[str, Any]) -> dict[str, float]:
    """Return how the start was trained, as far as a network should go on so: with mixed styles, and path lengths."""
    training = about.get("training")
    known = training if isinstance(training, dict) else {}
    ranges = {"style_mixing": 1.0, "pl_weight": 1e6}
    return {
        name: float(known[name])
        for name, most in ranges.items()
        if isinstance(known.get(name), int | float) and 0 <= known[name] <= most
    }


def _require_trained(
    options: TrainOptions, method: Method, source: Networks, target: Networks, left_new: Sequence[str]
) -> None:
    """Raise `UserError` when the method keeps something as the start has it, and the start has it not."""
    if isinstance(source.D.config, ProjectedConfig) and (method.singular or method.freeze_d or options.freeze_d):
        raise UserError(
            f"--start {options.start}: has a projected discriminator, of which nothing can be kept otherwise; use "
            "--method projected or transfer, without --freeze-d."
        )
    parameters = {f"{name}/{key}" for name in ("G", "D") for key, _ in getattr(target, name).named_parameters()}
    new = [name for name in left_new if name in parameters]
    if method.singular and new:
        raise UserError(
            f"--method svd: adapts what --start {options.start} has, which is not all of this network ({new[0]} …); "
            "give a start of the same size and classes, or use --method transfer."
        )
    D = target.D
    count = layers_of_finer_half(D) if method.freeze_d and options.freeze_d is None else options.freeze_d or 0
    layers = {id(layer) for layer in freezable_layers(D)[:count]}
    frozen = [name for name, layer in D.named_modules() if id(layer) in layers]
    lost = [name for name in new if name.startswith("D/") and name[2:].rpartition(".")[0] in frozen]
    if lost:
        raise UserError(
            f"--freeze-d {count}: would freeze layers that --start {options.start} has not ({lost[0]} …); give a start "
            "of the same size, or use --method transfer."
        )


def _build_like(source: Networks, options: TrainOptions, method: Method, size: int, c_dim: int) -> Networks:
    """Build networks of the start's shape (or of `--cfg`, when it is given) for `size` px and `c_dim` classes."""
    generator: GeneratorConfig = dataclasses.replace(source.G.config, img_resolution=size, c_dim=c_dim)
    discriminator: DiscriminatorConfig | ProjectedConfig
    if method.projected:
        discriminator = _projected_config(options, size)
    elif isinstance(source.D.config, ProjectedConfig):  # which is not what this method trains: a new one, as wide as G
        discriminator = DiscriminatorConfig(
            size, c_dim, channel_base=generator.channel_base, channel_max=generator.channel_max
        )
    else:
        discriminator = dataclasses.replace(source.D.config, img_resolution=size, c_dim=c_dim)
    if options.cfg is not None:
        generator, like_cfg, _ = resolve_networks(options, size, c_dim)
        discriminator = discriminator if method.projected else like_cfg
    return _build(generator, discriminator, options)


def _build(
    generator: GeneratorConfig, discriminator: DiscriminatorConfig | ProjectedConfig, options: TrainOptions
) -> Networks:
    networks = Networks.build(generator, discriminator, options.seed)
    attach_backbone(networks.D, _weight_source(options))
    return networks


def _projected_config(options: TrainOptions, size: int) -> ProjectedConfig:
    return projected_config(size, _weight_source(options))


def _weight_source(options: TrainOptions) -> WeightSource:
    return WeightSource(folder=options.weights, offline=options.offline)


def _copy_matching(source: nn.Module, target: nn.Module) -> list[str]:
    """Copy tensors of matching name and shape; return the names of the others."""
    have: dict[str, Any] = source.state_dict()
    want = target.state_dict()
    matching = {name: have[name] for name in want if name in have and have[name].shape == want[name].shape}
    target.load_state_dict(want | matching)
    return [name for name in want if name not in matching]
