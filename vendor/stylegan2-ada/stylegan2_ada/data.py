"""Real images: where they live, and in which order they are shown."""

import torch
from torch import Tensor

DEVICE_SHARE = 0.25  # of a GPU's free memory, that images may take


class DataOrder:
    """An endless order of indices: every image once, shuffled, then again in another order."""

    def __init__(self, count: int, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.count = count
        self.waiting = torch.empty(0, dtype=torch.int64)

    def take(self, batch: int) -> Tensor:
        """Return the next `batch` indices, int64 [batch]."""
        while len(self.waiting) < batch:
            self.waiting = torch.cat([self.waiting, torch.randperm(self.count, generator=self.generator)])
        taken, self.waiting = self.waiting[:batch], self.waiting[batch:]
        return taken


def within_reach(images: Tensor, device: torch.device) -> Tensor:
    """Return images [N, C, H, W] on the device when they fit there, else where they are."""
    images = images.contiguous(memory_format=torch.channels_last)
    if device.type == "cuda" and images.nbytes > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)
