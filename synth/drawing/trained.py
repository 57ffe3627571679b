"""A network opened for use: what it is, what it has seen, and its tensors on a device."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shared.bundle import ALL_FOLDS
from shared.cohort import POSITIVE
from shared.errors import UserError
from shared.files import sha256_of
from shared.weights import ANYWHERE, WeightSource
from stylegan2_ada import NetworkFileError, Networks, ProjectedDiscriminator, load_networks
from stylegan2_ada.config import NOISE_MODES, NoiseMode
from synth.choices import MAX_TRUNCATION
from synth.networks.provenance import find_network, read_provenance

RGB = 3
# What is true of a network that no cohort trained: it has seen no image of one, so it keeps to every protocol, and its
# label means nothing.
NO_COHORT: dict[str, Any] = {
    "cohort": "",
    "label": POSITIVE,
    "classes": None,
    "fold": ALL_FOLDS,
    "protocol": "strict",
    "seen_image_id": [],
    "seen_group_id": [],
    "generator": {},
    "quality": {},
}


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """Networks in evaluation mode and their provenance.

    That is what `synth.networks.provenance.read_provenance` returns, filled up by `NO_COHORT`.
    """

    path: Path
    sha256: str
    networks: Networks
    about: dict[str, Any]

    @property
    def size(self) -> int:
        """Side of its pictures in px."""
        return int(self.networks.G_ema.img_resolution)

    @property
    def c_dim(self) -> int:
        """Number of classes; 0 for an unconditional network."""
        return int(self.networks.G_ema.c_dim)

    @property
    def name(self) -> str:
        """What it is called where no cohort names what it draws."""
        return str(self.about.get("name", self.path.stem))

    @property
    def licence(self) -> str | None:
        """The terms that its weights are under, where it says so."""
        licence = self.about.get("licence")
        return None if licence is None else str(licence)

    @property
    def noise(self) -> NoiseMode:
        """The noise inputs that its pictures want."""
        return noise_of(self.about)

    @property
    def looked_through(self) -> bool:
        """Whether a pretrained network took part in its training, or in that of its start."""
        return has_looked_through(self.networks, self.about)

    @property
    def truncation(self) -> float:
        """How far its styles are truncated unless asked otherwise: as `synth refine` chose, else not at all."""
        refined = self.about.get("refined")
        psi = refined.get("truncation") if isinstance(refined, dict) else None
        known = isinstance(psi, int | float) and not isinstance(psi, bool) and abs(psi) <= MAX_TRUNCATION
        return float(psi) if known and psi is not None else 1.0

    def seen(self) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
        """Return image_id [K] and group_id [K] of the real images that the network or its choice saw."""
        return (
            np.array(self.about["seen_image_id"], dtype=np.str_),
            np.array(self.about["seen_group_id"], dtype=np.int64),
        )


def open_network(name_or_path: str | Path, device: torch.device, source: WeightSource = ANYWHERE) -> TrainedNetwork:
    """Open a network file, or the one that a name, a run folder or a grid's folder means.

    Raises `UserError`: there is none, it is damaged, or it draws no RGB.
    """
    path = find_network(name_or_path, source)
    about = NO_COHORT | read_provenance(path)
    try:
        networks = load_networks(path, device=device)
    except NetworkFileError as error:
        raise UserError(str(error)) from error
    require_rgb(networks, path)
    for network in (networks.G_ema, networks.G, networks.D):
        network.eval().requires_grad_(False)
    return TrainedNetwork(path, sha256_of(path), networks, about)


def has_looked_through(networks: Networks, about: Mapping[str, Any]) -> bool:
    """Tell whether a pretrained network took part in the training of networks: its features then flatter them."""
    return isinstance(networks.D, ProjectedDiscriminator) or about.get("looked_through") is True


def noise_of(about: Mapping[str, Any]) -> NoiseMode:
    """Return the noise inputs that a network's pictures want, by what it says of itself: those it was scored with."""
    wanted = about.get("noise")
    return next((mode for mode in NOISE_MODES if mode == wanted), "const")


def require_rgb(networks: Networks, path: Path) -> None:
    """Raise `UserError` when the pictures of a network have other than three channels."""
    channels = networks.G.config.img_channels
    if channels != RGB:
        raise UserError(f"{path}: draws pictures of {channels} channels, not RGB; give a network that draws RGB.")
