"""The losses of StyleGAN2, non-saturating logistic loss, R1 and path-length regularisation, and the hinge loss.

Sources: arXiv:1406.2661 (section 3), arXiv:1801.04406 (Eq. 9, R1), arXiv:1912.04958 (Eq. 4, path length),
arXiv:1705.02894 (hinge).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2_ada.config import Loss


def generator_loss(logits_fake: Tensor) -> Tensor:
    """Non-saturating loss of the generator for logits [N, 1]: mean of -log sigmoid(D(G(z)))."""
    return F.softplus(-logits_fake).mean()


def discriminator_loss_fake(logits_fake: Tensor) -> Tensor:
    """Loss of the discriminator on generated pictures, logits [N, 1]: mean of -log(1 - sigmoid(D(G(z))))."""
    return F.softplus(logits_fake).mean()


def discriminator_loss_real(logits_real: Tensor) -> Tensor:
    """Loss of the discriminator on real pictures, logits [N, 1]: mean of -log sigmoid(D(x))."""
    return F.softplus(-logits_real).mean()


def generator_loss_hinge(logits_fake: Tensor) -> Tensor:
    """Loss of the generator beside a discriminator with the hinge loss, logits [N, L]: mean of -D(G(z))."""
    return -logits_fake.mean()


def discriminator_loss_fake_hinge(logits_fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator on generated pictures, logits [N, L]: mean of max(0, 1 + D(G(z)))."""
    return F.relu(1 + logits_fake).mean()


def discriminator_loss_real_hinge(logits_real: Tensor) -> Tensor:
    """Hinge loss of the discriminator on real pictures, logits [N, L]: mean of max(0, 1 - D(x))."""
    return F.relu(1 - logits_real).mean()


@dataclass(frozen=True)
class Adversary:
    """The three losses of one kind of game."""

    generator: Callable[[Tensor], Tensor]
    discriminator_fake: Callable[[Tensor], Tensor]
    discriminator_real: Callable[[Tensor], Tensor]


LOSSES: dict[Loss, Adversary] = {
    "logistic": Adversary(generator_loss, discriminator_loss_fake, discriminator_loss_real),
    "hinge": Adversary(generator_loss_hinge, discriminator_loss_fake_hinge, discriminator_loss_real_hinge),
}


def r1_penalty(logits_real: Tensor, real: Tensor) -> Tensor:
    """Squared gradient norm of each real logit with respect to its picture [N, C, H, W]: [N], without gamma / 2."""
    (gradient,) = torch.autograd.grad(logits_real.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def path_lengths(picture: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Length of J^T y for each image, [N] (StyleGAN2, Eq. 4).

    Args:
        picture: G(w), [N, C, H, W], with its graph.
        ws: the styles that it was drawn from, [N, num_ws, w_dim].
        noise: unit normal noise like `picture`.
    """
    height, width = picture.shape[2:]
    y = noise / math.sqrt(height * width)
    (gradient,) = torch.autograd.grad((picture * y).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor, pl_mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Return the mean squared deviation of lengths [N] from the running mean, and that mean after this step.

    The penalty uses the mean that already includes this step's, and its gradient flows through that too.

    Args:
        lengths: of this process's pictures.
        mean: of the whole batch's lengths, with its graph.
        pl_mean: the running mean before this step.
        decay: how far it moves towards `mean`.
    """
    updated = pl_mean.lerp(mean, decay)
    return (lengths - updated).square().mean(), updated.detach()
