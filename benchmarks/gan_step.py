"""Speed of the GAN's training step against the machine's own matrix-product peak, in one process.

    python benchmarks/gan_step.py --config S|XS [--json]

A step is the main phases plus lazy regularisation (path length every 4, R1 every 16), ADA at p = 0.3, `bgc`, 32 px,
batch 32. The fraction of the peak is images/s x GFLOP an image / peak, with the GFLOP counted once by torch's FLOP
counter over one full cycle of 16 steps (matrix products and convolutions, forward and backward).
"""

import argparse
import dataclasses
import json
import resource
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from stylegan2_ada import Networks, Trainer, resolve

CONFIGS = {"S": (4096, 128), "XS": (2048, 64)}  # channel base and maximum
SIZE, BATCH, CYCLE = 32, 32, 16


def build(config: str, device: torch.device) -> Trainer:
    base, maximum = CONFIGS[config]
    generator, discriminator, training = resolve("tiny", SIZE, batch=BATCH)
    generator = dataclasses.replace(generator, channel_base=base, channel_max=maximum)
    discriminator = dataclasses.replace(discriminator, channel_base=base, channel_max=maximum)
    # A target that is never missed keeps p where it is.
    training = dataclasses.replace(training, gamma=0.1, initial_p=0.3, ada_kimg=1e9)
    images = torch.randint(0, 256, (256, 3, SIZE, SIZE), dtype=torch.uint8)
    return Trainer(Networks.build(generator, discriminator, 0), training, images, None, seed=0, device=device)


def matrix_peak(device: torch.device, seconds: float = 2.0) -> float:
    """Best rate of a 2048 x 2048 float32 matrix product, GFLOP/s."""
    a, b = torch.randn(2, 2048, 2048, device=device)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=CONFIGS, default="XS")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cycles", type=int, default=3, help="timed cycles of 16 steps")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    trainer = build(options.config, device)
    with FlopCounterMode(display=False) as counter:
        for _ in range(CYCLE):
            trainer.train_step()
    gflop_per_image = counter.get_total_flops() / (CYCLE * BATCH) / 1e9

    peak = matrix_peak(device)
    rates = []
    for _ in range(options.cycles):
        start = time.perf_counter()
        for _ in range(CYCLE):
            trainer.train_step()
        rates.append(CYCLE * BATCH / (time.perf_counter() - start))
    peak = max(peak, matrix_peak(device))  # before and after: the machine is shared
    rate = sorted(rates)[len(rates) // 2]
    result = {
        "config": options.config,
        "images_per_s": rate,
        "images_per_s_range": [min(rates), max(rates)],
        "gflop_per_image": gflop_per_image,
        "peak_gflops": peak,
        "fraction_of_peak": rate * gflop_per_image / peak,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": str(device),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name:20} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
