"""The adaptive controller of augmentation strength (ADA paper, section 3.1)."""

from dataclasses import dataclass


@dataclass
class AdaController:
    """Hold r_t = E[sign(D(real))] at its target by moving p (ADA paper, Eq. 1 and the text behind it).

    Attributes:
        target: the value of r_t to hold.
        ada_kimg: thousands of images in which p can travel from 0 to 1.
        p: augmentation strength, kept in [0, max_p].
        sign_sum, sign_count: what was observed since the last update.
        last_r_t: r_t at the last update, None before it.
        max_p: the most that p may become; 1 is certainty, more only delays the way back.
    """

    target: float
    ada_kimg: float
    p: float = 0.0
    sign_sum: float = 0.0
    sign_count: int = 0
    last_r_t: float | None = None
    max_p: float = 1.0

    def observe(self, sign_sum: float, count: int) -> None:
        """Add the sum of the signs of `count` real logits."""
        self.sign_sum += sign_sum
        self.sign_count += count

    def update(self, images: int) -> float:
        """Move p after `images` real images were shown since the last update, and forget the observations."""
        if self.sign_count == 0:
            return self.p
        self.last_r_t = self.sign_sum / self.sign_count
        direction = (self.last_r_t > self.target) - (self.last_r_t < self.target)
        step = direction * images / (self.ada_kimg * 1000)
        self.p = min(max(self.p + step, 0.0), self.max_p)
        self.sign_sum, self.sign_count = 0.0, 0
        return self.p
