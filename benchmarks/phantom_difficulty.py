"""How hard is the phantom? Linear probes on colours must fail, a small convolutional network must do well.

    python benchmarks/phantom_difficulty.py [--seed 0] [--epochs 5]

The probe is a logistic regression on standardised colour histograms of all study pictures, five-fold cross-validated.
The network is the paper's custom CNN (Table 4) at 32 px, trained on 72 % of the pictures and their five flips and
turns, tested on 20 %.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from shared.phantom import render_phantom


def joint_histogram(images: np.ndarray) -> np.ndarray:
    """Return 8 x 8 x 8 RGB histograms, [N, 512]."""
    code = (images.astype(np.int64) // 32) @ np.array([64, 8, 1])  # [N, S, S]
    return np.stack([np.bincount(c.ravel(), minlength=512) for c in code]).astype(np.float64)


def channel_histograms(images: np.ndarray) -> np.ndarray:
    """Return 32-bin histograms of each channel, [N, 96]."""
    code = images.astype(np.int64) // 8 + 32 * np.arange(3)
    return np.stack([np.bincount(c.ravel(), minlength=96) for c in code]).astype(np.float64)


def probe(
    features: np.ndarray, label: np.ndarray, seed: int, penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
) -> np.ndarray:
    """Return the accuracies of five folds over a range of penalties, the best penalty's, in favour of the probe."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    runs = [
        cross_val_score(
            make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000)), features, label, cv=folds
        )
        for c in penalties
    ]
    return max(runs, key=np.mean)


def six(images: np.ndarray) -> np.ndarray:
    """Return each picture, its two flips and its three quarter turns."""
    turned = [np.rot90(images, k, axes=(1, 2)) for k in (1, 2, 3)]
    return np.concatenate([images, images[:, ::-1], images[:, :, ::-1], *turned])


def custom_cnn(size: int) -> nn.Module:
    """Return Table 4's network for `size` px pictures."""
    layers: list[nn.Module] = []
    channels = 3
    for block, width in enumerate((32, 64, 96, 128, 160, 192)):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if block else []
        channels = width
    flat = channels * (size // 32) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))


def to_input(images: np.ndarray) -> torch.Tensor:
    """Return float32 [N, 3, S, S] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 127.5 - 1


@torch.no_grad()
def accuracy(network: nn.Module, images: np.ndarray, label: np.ndarray) -> float:
    network.eval()
    return float((network(to_input(images)).argmax(1).numpy() == label).mean())


def train(
    images: np.ndarray, label: np.ndarray, external: np.ndarray, *, size: int, epochs: int, seed: int
) -> dict[str, float]:
    """Print each epoch's accuracies; return those of the first epoch with the best validation accuracy."""
    fit, test = train_test_split(np.arange(len(label)), test_size=0.2, stratify=label, random_state=seed)
    fit, validation = train_test_split(fit, test_size=0.1, stratify=label[fit], random_state=seed)
    torch.manual_seed(seed)
    network = custom_cnn(size)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1.15e-4)
    x, y = to_input(six(images[fit])), torch.from_numpy(np.tile(label[fit], 6))
    parts = {
        "validation": (images[validation], label[validation]),
        "test": (images[test], label[test]),
        "external": (external, np.zeros(len(external))),
    }
    start = time.perf_counter()
    history = []
    for epoch in range(1, epochs + 1):
        network.train()
        for rows in torch.split(torch.randperm(len(x)), 32):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(network(x[rows]), y[rows]))
            optimizer.step()
        history.append([accuracy(network, *part) for part in parts.values()])
        print(f"cnn {size} px seed {seed} epoch {epoch}: {_line(parts, history[-1])}", flush=True)
    chosen = max(history, key=lambda scores: scores[0])
    print(f"cnn {size} px seed {seed}, epoch chosen on validation: {_line(parts, chosen)}", end="; ")
    print(f"{time.perf_counter() - start:.0f} s for {epochs} epochs of {len(x)} pictures", flush=True)
    return dict(zip(parts, chosen, strict=True))


def _line(parts: dict[str, tuple[np.ndarray, np.ndarray]], scores: list[float]) -> str:
    return ", ".join(
        f"{name} {score:.3f} (n = {len(label)})"
        for (name, (_, label)), score in zip(parts.items(), scores, strict=True)
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    for size in (32, 64):
        start = time.perf_counter()
        phantom = render_phantom(size=size, seed=given.seed)
        print(f"rendered {len(phantom.images)} at {size} px in {time.perf_counter() - start:.1f} s")
        study = phantom.role == 0
        images, label = phantom.images[study], phantom.label[study]
        for name, describe in (("joint 8x8x8", joint_histogram), ("channels 3x32", channel_histograms)):
            scores = probe(describe(images), label, given.seed)
            print(f"probe {size} px {name}: {scores.mean():.3f} ± {scores.std(ddof=1):.3f} (n = {len(label)}, 5 folds)")
        if size == 32:
            train(images, label, phantom.images[~study], size=size, epochs=given.epochs, seed=given.seed)


if __name__ == "__main__":
    main()
