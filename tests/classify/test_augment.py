import numpy as np
import torch

from classify.augment import TRANSFORMS, transform


def naive(image: np.ndarray, name: str) -> np.ndarray:
    """Move every pixel by itself; row 0 is the top."""
    size = len(image)
    out = np.empty_like(image)
    for r in range(size):
        for c in range(size):
            to = {
                "identity": (r, c),
                "flip horizontally": (r, size - 1 - c),
                "flip vertically": (size - 1 - r, c),
                "turn 90": (size - 1 - c, r),  # counter-clockwise: the right edge becomes the top
                "turn 180": (size - 1 - r, size - 1 - c),
                "turn 270": (c, size - 1 - r),
            }[name]
            out[to] = image[r, c]
    return out


def test_each_transform_moves_the_pixels_of_its_name() -> None:
    rng = np.random.default_rng(0)
    which = np.array([5, 0, 3, 1, 4, 2, 3, 0])
    images = rng.integers(0, 256, (len(which), 5, 5, 3), dtype=np.uint8)
    found = transform(torch.from_numpy(images), torch.from_numpy(which)).numpy()
    names = list(TRANSFORMS)
    for image, number, moved in zip(images, which, found, strict=True):
        np.testing.assert_array_equal(moved, naive(image, names[number]))


def test_the_six_transforms_of_an_image_differ() -> None:
    image = torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3)
    six = transform(image.expand(6, -1, -1, -1), torch.arange(6))
    assert len({each.numpy().tobytes() for each in six}) == len(TRANSFORMS) == 6
