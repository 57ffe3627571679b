"""The full configuration of a training: what `--cfg` means, what the method and the start change, and the cell."""

import dataclasses
from collections.abc import Mapping

from shared.errors import UserError
from stylegan2_ada import AnyDiscriminator, DiscriminatorConfig, GeneratorConfig, TrainingConfig, resolve
from stylegan2_ada.config import check_resolution, replace_training
from stylegan2_ada.networks import layers_of_finer_half
from synth.training.cells import Cell
from synth.training.methods import choose_method
from synth.training.options import USUAL_MAX_P, TrainOptions

TRANSFER_ADA_KIMG = 100.0  # on transfer ADA reacts faster, as the reference implementation does


def resolve_networks(
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


def resolve_training(
    options: TrainOptions, cell: Cell, size: int, D: AnyDiscriminator, inherited: Mapping[str, float]
) -> TrainingConfig:
    """Return the full training configuration of one cell.

    Args:
        options: what is asked.
        cell: the point of the grid.
        size: side of the pictures in px.
        D: the discriminator that is trained.
        inherited: fields that the start network was trained with, which hold unless `--cfg` is given.

    Raises `UserError`: an unknown configuration, or an image size that no network fits.
    """
    _, method = choose_method(options)
    _, _, config = resolve_networks(options, size)
    if options.cfg is None:
        config = replace_training(config, **inherited)
    freeze_d = layers_of_finer_half(D) if method.freeze_d else 0
    config = replace_training(
        config,
        gamma=cell.gamma,
        target=cell.target,
        lr=cell.lr,
        augpipe=options.augpipe or method.augpipe,
        freeze_d=freeze_d if options.freeze_d is None else options.freeze_d,
        singular=method.singular,
        ema_kimg=options.ema_kimg,
    )
    if method.projected:
        config = dataclasses.replace(config, loss="hinge", pl_weight=0.0, style_mixing=0.0)
    if options.start is not None:
        config = dataclasses.replace(config, ada_kimg=TRANSFER_ADA_KIMG, ema_rampup=None)
    max_p = USUAL_MAX_P if options.max_p is None else options.max_p
    return dataclasses.replace(config, max_p=max_p, initial_p=min(config.initial_p, max_p))
