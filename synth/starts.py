"""Where a run starts: new networks, or those of another run, tensor by tensor."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shared.console import say
from shared.errors import UserError
from shared.weights import WeightSource
from stylegan2_ada import (
    DiscriminatorConfig,
    GeneratorConfig,
    NetworkFileError,
    Networks,
    ProjectedConfig,
    ProjectedDiscriminator,
    TrainingConfig,
    load_networks,
    read_header,
    resolve,
)
from stylegan2_ada.config import NoiseMode, check_resolution, replace_training
from synth.cells import Cell
from synth.grid import find_network, licence_notice
from synth.methods import Method, choose_method
from synth.projection import attach_backbone, projected_config
from synth.train_options import TrainOptions
from synth.trained import noise_of, require_rgb

TRANSFER_ADA_KIMG = 100.0  # on transfer ADA reacts faster, as the reference implementation does


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


def resolve_training(options: TrainOptions, cell: Cell, size: int) -> TrainingConfig:
    """Return the full training configuration of one cell.

    Raises `UserError`: an unknown configuration, or an image size that no network fits.
    """
    _, method = choose_method(options.method, options.start)
    _, _, config = _resolve(options, size)
    config = replace_training(
        config,
        gamma=cell.gamma,
        target=cell.target,
        lr=cell.lr,
        augpipe=options.augpipe or method.augpipe,
        freeze_d=method.freeze_d if options.freeze_d is None else options.freeze_d,
        singular=method.singular,
        ema_kimg=options.ema_kimg,
    )
    if method.projected:
        config = dataclasses.replace(config, loss="hinge", pl_weight=0.0, style_mixing=0.0)
    if options.start is None:
        return config
    return dataclasses.replace(config, ada_kimg=TRANSFER_ADA_KIMG, ema_rampup=None)


def _resolve(
    options: TrainOptions, size: int, c_dim: int = 0
) -> tuple[GeneratorConfig, DiscriminatorConfig, TrainingConfig]:
    """Return what `--cfg` means for pictures of `size` px.

    Raises `UserError`: an unknown configuration, or an image size that no network fits.
    """
    try:
        check_resolution(size)
    except ValueError as error:
        raise UserError(f"{options.cohort}: {error}; prepare it again with such a --size.") from error
    name = options.cfg or "auto"
    try:
        return resolve(name, size, c_dim=c_dim, batch=options.batch)
    except ValueError as error:
        raise UserError(f"--cfg {name}: {error}.") from error


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

    Raises `UserError`: the start network cannot be read, or is under a licence that must be accepted first.
    """
    _, method = choose_method(options.method, options.start)
    _require_method_fits(options, method, c_dim)
    if options.start is None:
        generator, discriminator, _ = _resolve(options, size, c_dim)
        return Start(
            _build(generator, _projected_config(options, size) if method.projected else discriminator, options)
        )
    path = find_network(options.start)
    try:
        source = load_networks(path)
    except NetworkFileError as error:
        raise UserError(str(error)) from error
    require_rgb(source, path)
    about = read_header(path)["about"]
    licence = about.get("licence")
    _require_accepted(options, licence)
    if isinstance(source.D, ProjectedDiscriminator) and (method.singular or method.freeze_d or options.freeze_d):
        raise UserError(
            f"--start {options.start}: has a projected discriminator, which leaves nothing of its own to freeze or to "
            "decompose; use --method projected or transfer."
        )
    target = _build_like(source, options, method, size, c_dim)
    missing = [
        f"{name}/{tensor}"
        for name in ("G_ema", "G", "D")
        for tensor in _copy_matching(getattr(source, name), getattr(target, name))
    ]
    name = options.start if not Path(options.start).exists() else Path(options.start).name
    seen = zip(about.get("seen_image_id", ()), about.get("seen_group_id", ()), strict=True)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    cohort, noise = about.get("cohort", ""), noise_of(about)
    have = source.G.config.img_resolution
    return Start(target, name, sha256, tuple(missing), tuple(seen), cohort, noise, have, licence)


def say_licence(start: Start) -> None:
    """Say what the licence of the start network forbids, if anything."""
    notice = None if start.name is None else licence_notice(start.name, start.licence)
    if notice is not None:
        say(notice)


def _require_accepted(options: TrainOptions, licence: str | None) -> None:
    """Raise `UserError` when the start's licence binds what is made of it, and the user has not said to accept that."""
    if licence_notice("", licence) is not None and not options.accept_licence:
        raise UserError(
            f"--start {options.start}: under the {licence}, which forbids commercial use of it and of every network "
            "that starts from it; add --accept-licence if that is fine."
        )


def _require_method_fits(options: TrainOptions, method: Method, c_dim: int) -> None:
    """Raise `UserError` when options contradict the method."""
    if method.projected and c_dim:
        raise UserError(
            "--method projected: its discriminator knows no classes; train one network a class, with --label positive "
            "and --label negative."
        )
    if method.projected and options.freeze_d:
        raise UserError("--freeze-d: the pretrained layers of --method projected are frozen anyway; leave it out.")


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
        generator, like_cfg, _ = _resolve(options, size, c_dim)
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
