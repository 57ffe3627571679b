"""The discriminator's opinion of an image, under a protocol that makes it depend on nothing else.

The discriminator's minibatch standard deviation looks at groups of images, so its logit of an image depends on the
others of the group. Here each image is judged in the company of the same real images. There is no augmentation.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shared.stored import StoredImages
from stylegan2_ada import AnyDiscriminator
from synth.drawing.pictures import BATCH, BATCH_PIXELS, labels

Images = npt.NDArray[np.uint8]  # [N, S, S, 3]


def choose_partners(reals: Images, group_size: int, *, seed: int) -> Images:
    """Return the `group_size` - 1 reals that keep every image company, chosen by `seed`."""
    rng = np.random.default_rng([seed, len(reals)])
    return reals[rng.choice(len(reals), group_size - 1, replace=len(reals) < group_size - 1)]


def batch_size(size: int, group_size: int) -> int:
    """Return how many images of `size` px are judged at once, each with its partners."""
    return max(1, min(BATCH, BATCH_PIXELS // size**2) // group_size)


@torch.inference_mode()
def discriminator_logits(
    D: AnyDiscriminator, images: Images | StoredImages, partners: Images, *, class_index: int | None = None
) -> npt.NDArray[np.float32]:
    """Return one logit an image, float32 [N]; larger is more real. Of several logits an image it is the mean.

    Args:
        D: the discriminator; it is used where it is.
        images: uint8 [N, S, S, 3].
        partners: uint8 [G - 1, S, S, 3] with G = `D.config.mbstd_group_size`.
        class_index: class of a conditional network.
    """
    group = D.config.mbstd_group_size
    assert len(partners) == group - 1
    device = next(D.parameters()).device
    count = batch_size(D.img_resolution, group)
    company = _to_pictures(partners, device).repeat_interleave(count, dim=0)  # [(G - 1) * n, 3, S, S]
    c = labels([0] * (group * count), D.c_dim, class_index)
    logits = np.empty(len(images), np.float32)
    for start in range(0, len(images), count):
        part = np.asarray(images[start : start + count])
        filled = np.concatenate([part, np.repeat(part[:1], count - len(part), axis=0)])
        # In a batch of G * n, image i stands with i + n, i + 2n, ... (`stylegan2_ada.discriminator.minibatch_stddev`).
        batch = torch.cat([_to_pictures(filled, device), company])
        judged = D(batch, None if c is None else c.to(device))
        logits[start : start + len(part)] = judged[: len(part)].mean(dim=1).float().cpu().numpy()
    return logits


def _to_pictures(images: Images, device: torch.device) -> Tensor:
    """Turn uint8 [N, S, S, 3] into float32 [N, 3, S, S] in [-1, 1], as in training."""
    return torch.from_numpy(np.array(images, order="C")).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
