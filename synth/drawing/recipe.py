"""What a picture follows from, besides its network and its seed."""

from dataclasses import dataclass

import numpy as np

from shared.stored import Images
from stylegan2_ada import Ranks
from stylegan2_ada.config import NoiseMode
from synth.drawing.pictures import BATCH, draw
from synth.drawing.seeds import Seeds
from synth.drawing.trained import TrainedNetwork

MAX_BATCH = 4096


@dataclass(frozen=True)
class Recipe:
    """What a picture follows from, besides its network and its seed.

    Attributes:
        truncation: psi.
        noise: inputs that are stored, drawn from the seed, or left out.
        class_index: class of a conditional network.
        batch: pictures at once, which changes no more than rounding.
    """

    truncation: float
    noise: NoiseMode
    class_index: int | None
    batch: int = BATCH

    def draw(self, trained: TrainedNetwork, seeds: Seeds, ranks: Ranks) -> Images:
        """Return one picture a seed, uint8 [N, S, S, 3], of which each rank draws a part and all have the whole."""
        part = draw(
            trained.networks.G_ema,
            ranks.part(seeds).tolist(),
            truncation=self.truncation,
            noise=self.noise,
            class_index=self.class_index,
            batch=self.batch,
        )
        return np.concatenate(ranks.gather(part))
