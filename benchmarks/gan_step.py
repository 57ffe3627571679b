"""Speed of the GAN's training step against the machine's own matrix-product peak, in one process.

    python benchmarks/gan_step.py --config S|XS [--json] [--precision fp32|tf32|bf16] [--compile]
        [--device cpu|cuda]
    python benchmarks/gan_step.py --config auto256 --device cuda --precision bf16 [--profile operations.txt]

A step is the main phases plus lazy regularisation (path length every 4, R1 every 16), ADA at p = 0.3, `bgc`. S and XS
are 32 px at batch 32; auto256 is the `auto` configuration at 256 px and batch 16. GFLOP an image are counted once by
torch's FLOP counter over one full cycle of 16 steps (matrix products and convolutions, forward and backward). The
fraction of the peak is images/s x GFLOP an image / peak; for S it uses a fixed 6.8 GFLOP, so that doing fewer
operations for the same mathematics counts as faster. The peak is the best rate seen in this process: on a CPU of a
2048 x 2048 float32 matrix product by the BLAS and by the convolution library (which is faster where the BLAS is tuned
for another maker's processor), on a GPU of an 8192 x 8192 bfloat16 product.
"""

import argparse
import dataclasses
import json
import platform
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from machine import matrix_peak, wait
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from stylegan2_ada import Networks, Trainer, resolve


@dataclass(frozen=True)
class Row:
    """One measured configuration; None keeps the preset's."""

    preset: str
    size: int
    batch: int
    channel_base: int | None = None
    channel_max: int | None = None
    gflop_per_image: float | None = None  # fixed by convention, else counted


ROWS = {
    "S": Row("tiny", 32, 32, 4096, 128, gflop_per_image=6.8),
    "XS": Row("tiny", 32, 32, 2048, 64),
    "auto256": Row("auto", 256, 16),
}
CYCLE = 16  # steps after which the lazy regularisers repeat
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def build(row: Row, device: torch.device, dtype: torch.dtype, compiled: bool) -> Trainer:
    generator, discriminator, training = resolve(row.preset, row.size, batch=row.batch)
    base = row.channel_base or generator.channel_base
    most = row.channel_max or generator.channel_max
    generator = dataclasses.replace(generator, channel_base=base, channel_max=most)
    discriminator = dataclasses.replace(discriminator, channel_base=base, channel_max=most)
    # ADA so slow that p stays where it is.
    training = dataclasses.replace(training, gamma=0.1, initial_p=0.3, ada_kimg=1e9, pl_weight=2.0, style_mixing=0.9)
    images = torch.randint(0, 256, (256, 3, row.size, row.size), dtype=torch.uint8)
    networks = Networks.build(generator, discriminator, 0)
    return Trainer(networks, training, images, None, seed=0, device=device, dtype=dtype, compiled=compiled)


def count_gflop(trainer: Trainer, batch: int) -> float:
    """GFLOP an image, over one cycle."""
    with FlopCounterMode(display=False) as counter:
        for _ in range(CYCLE):
            trainer.train_step()
    return float(counter.get_total_flops() / (CYCLE * batch) / 1e9)


def time_cycles(trainer: Trainer, batch: int, cycles: int, device: torch.device) -> list[float]:
    """Images/s of each cycle."""
    rates = []
    for _ in range(cycles):
        start = time.perf_counter()
        for _ in range(CYCLE):
            trainer.train_step()
        wait(device)
        rates.append(CYCLE * batch / (time.perf_counter() - start))
    return rates


def profile(trainer: Trainer, path: Path, device: torch.device) -> None:
    """Write what the operations of one cycle cost to `path`, the dearest first: on a GPU its kernels."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        started = time.perf_counter()
        time_cycles(trainer, 1, 1, device)
        wall_ms = 1e3 * (time.perf_counter() - started)
    events = profiler.key_averages()
    text = events.table(sort_by="self_cuda_time_total" if on_gpu else "self_cpu_time_total", row_limit=40)
    busy_ms = sum(event.self_device_time_total for event in events) / 1e3
    busy = f", of which the GPU computes {busy_ms:.1f} ms" if on_gpu else ""
    path.write_text(f"one cycle of {CYCLE} steps: {wall_ms:.1f} ms{busy}\n{text}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=ROWS, default="XS")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, default="fp32")
    parser.add_argument("--compile", action="store_true", help="fuse the main phases' networks")
    parser.add_argument("--cycles", type=int, default=3, help="timed cycles of 16 steps")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", type=Path, help="write what the operations of one more cycle cost to this file")
    options = parser.parse_args()
    device, row = torch.device(options.device), ROWS[options.config]
    torch.manual_seed(0)
    dtype = DTYPES[options.precision]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision != "fp32"
    counted = count_gflop(build(row, device, dtype, compiled=False), row.batch)
    trainer = build(row, device, dtype, options.compile)
    started = time.perf_counter()
    time_cycles(trainer, row.batch, 1, device)  # warms up, and compiles
    warm_up_s = time.perf_counter() - started
    gflop_per_image = row.gflop_per_image or counted

    peak = matrix_peak(device)
    rates = time_cycles(trainer, row.batch, options.cycles, device)
    peak = max(peak, matrix_peak(device))  # before and after: the machine is shared
    rate = statistics.median(rates)
    result = {
        "config": options.config,
        "precision": options.precision,
        "images_per_s": rate,
        "images_per_s_range": [min(rates), max(rates)],
        "s_per_kimg": 1000 / rate,
        "gflop_per_image": gflop_per_image,
        "gflop_per_image_counted": counted,
        "peak_gflops": peak,
        "fraction_of_peak": rate * gflop_per_image / peak,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_device_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
        "compiled": options.compile,
        "warm_up_s": warm_up_s,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name:20} {value}" for name, value in result.items()))
    if options.profile is not None:
        profile(trainer, options.profile, device)


if __name__ == "__main__":
    main()
