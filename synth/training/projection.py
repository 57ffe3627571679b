"""What a projected discriminator looks through: EfficientNet-Lite0, whose weights install as a package."""

from shared.errors import UserError
from shared.nn.backbone import LiteMaps
from shared.weights import EFFICIENTNET_LITE, WeightSource, find_weights
from stylegan2_ada import AnyDiscriminator, ProjectedConfig, ProjectedDiscriminator

BACKBONE = "EfficientNet-Lite0"
MIN_INPUT_PX, MAX_INPUT_PX = 64, 256  # pictures are enlarged twice, within these bounds
MIXED_CHANNELS = (32, 64, 128, 320)  # at least as many as the maps have: mixing must not lose what they show
MAX_WIDTH = 128  # of the heads


def projected_config(size: int, source: WeightSource) -> ProjectedConfig:
    """Return the projected discriminator for pictures of `size` px.

    Raises `UserError`: the weights of its pretrained network cannot be had.
    """
    return ProjectedConfig(
        img_resolution=size,
        backbone=BACKBONE,
        backbone_sha256=find_weights(EFFICIENTNET_LITE[0], source).sha256,
        input_px=min(max(2 * size, MIN_INPUT_PX), MAX_INPUT_PX),
        channels=LiteMaps.CHANNELS,
        strides=LiteMaps.STRIDES,
        widths=MIXED_CHANNELS,
        max_width=MAX_WIDTH,
    )


def attach_backbone(D: AnyDiscriminator, source: WeightSource) -> None:
    """Give a projected discriminator its pretrained network, on its device; to any other nothing is done.

    Raises `UserError`: the network is unknown, its weights cannot be had, or are not those it was trained with.
    """
    if not isinstance(D, ProjectedDiscriminator) or D.is_attached:
        return
    config = D.config
    if (config.backbone, config.channels, config.strides) != (BACKBONE, LiteMaps.CHANNELS, LiteMaps.STRIDES):
        raise UserError(
            f"the network's discriminator looks through {ascii(config.backbone)[:40]}, which this Rarescreen does not "
            "have; use the one that trained it."
        )
    if config.input_px % LiteMaps.STRIDES[-1]:
        raise UserError(f"the network's discriminator looks at {config.input_px} px, where a multiple of 32 must be.")
    backbone = LiteMaps(0, source=source, input_px=config.input_px)
    if backbone.weights_sha256 != config.backbone_sha256:
        raise UserError(
            f"{BACKBONE}: its weights are not those that the network's discriminator was trained with (sha256 "
            f"{ascii(config.backbone_sha256)[1:13]}…); install the version of its package of that time."
        )
    D.attach(backbone.to(next(D.parameters()).device))
