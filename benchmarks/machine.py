"""What the machine can do at best, measured beside what is to be judged: these machines are shared and noisy."""

import time

import torch


def matrix_peak(device: torch.device, seconds: float = 2.0) -> float:
    """Best rate of a square matrix product, GFLOP/s: float32 on a CPU, bfloat16 on a GPU.

    On a CPU by the BLAS and by the convolution library, which is faster where the BLAS is tuned for another maker's
    processor.
    """
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    picture = a.reshape(1, side // 32, 32, side).permute(0, 3, 1, 2)  # channels last, [1, side, side / 32, 32]
    weight = b.reshape(side, side, 1, 1)
    products = (lambda: a @ b, lambda: torch.nn.functional.conv2d(picture, weight))
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for product in products:
            start = time.perf_counter()
            product()
            wait(device)
            best = max(best, 2 * side**3 / (time.perf_counter() - start) / 1e9)
    return best


def wait(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
