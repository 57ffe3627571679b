"""What a feature space is: a frozen function of pictures that says which one it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from shared.nn.backbone import Images, in_batches


class Extractor(Protocol):
    """A frozen feature space."""

    @property
    def name(self) -> str:
        """The network, as scores name it."""

    @property
    def layer(self) -> str:
        """Which of its activations."""

    @property
    def resizer(self) -> str:
        """How images of any size come to the network's."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the file of weights."""

    @property
    def licence(self) -> str:
        """Licence of the weights; "" when unknown."""

    @property
    def width(self) -> int:
        """F, the number of features."""

    def __call__(self, images: Images) -> Tensor:
        """Return float32 [N, F] on the CPU for uint8 [N, S, S, 3]; each row depends on its image alone."""


@dataclass(frozen=True, eq=False)
class NetworkExtractor:
    """An `Extractor` made of a function from uint8 [N, S, S, 3] to [N, F]."""

    name: str
    layer: str
    resizer: str
    width: int
    weights_sha256: str
    device: torch.device
    network: Callable[[Tensor], Tensor]
    licence: str = ""

    def __call__(self, images: Images) -> Tensor:
        """Return float32 [N, F] on the CPU for uint8 [N, S, S, 3]."""
        return in_batches(self.network, images, width=self.width, device=self.device)


def identity(extractor: Extractor) -> dict[str, str]:
    """Return what a score must say of its feature space."""
    return {
        "extractor": extractor.name,
        "layer": extractor.layer,
        "resizer": extractor.resizer,
        "weights_sha256": extractor.weights_sha256,
    }


def provenance(extractor: Extractor) -> dict[str, str]:
    """Return `identity` and the licence of the weights, "" when unknown: what is said of pictures that it chose."""
    return identity(extractor) | {"licence": extractor.licence}
