"""Speed of a classifier's training step and of its answer to one image, against the machine's own peak.

    python benchmarks/classify_step.py --model custom_cnn [--size 256] [--batch 32] [--json]
        [--precision fp32|tf32|bf16] [--device cpu|cuda] [--unfreeze N] [--pixels]

Training is what `classify fit` does in a step, with the model's own optimizer, learning rate and batch: images and
labels from the device, flips and turns, forward, backward, optimizer. Where first layers are frozen their features are
kept, as in a fit, and computed before anything is timed; with --pixels the whole network runs in every step, as it does
in a fit whose features memory does not hold. What a fit does between its steps (validation, saving) is not in it.
Latency is of one image as `classify evaluate` treats it. GFLOP are counted by torch's FLOP counter (matrix
products and convolutions). The fraction of the peak is images/s x GFLOP an image / peak; the peak is the best rate of a
matrix product seen in this process, before and after (float32 on a CPU, bfloat16 on a GPU).
"""

import argparse
import json
import platform
import resource
import statistics
import time

import numpy as np
import torch
from machine import matrix_peak, wait
from torch.utils.flop_counter import FlopCounterMode

from classify.fitting.features import FeatureStore
from classify.fitting.inputs import FeatureInputs, choose_inputs
from classify.fitting.mixing import Mixture, six_fold
from classify.fitting.prefix import cut
from classify.fitting.schedule import TrainSettings
from classify.fitting.training import Training
from classify.inference import for_inference
from classify.models import Classifier, build_model, set_trainable
from classify.registry import ModelSpec, find_model
from shared.choices import PRECISIONS
from shared.nn.device import choose_device, choose_precision, reproducible

IMAGES = 64


def make_training(
    classifier: Classifier, spec: ModelSpec, size: int, batch: int, dtype: torch.dtype, *, pixels: bool
) -> Training:
    """A fit of random images on the classifier's device, as its row of the registry says."""
    rng = np.random.default_rng(0)
    entries = six_fold(np.arange(IMAGES))
    images = rng.integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
    mixture = Mixture(
        read=lambda: images,
        label=rng.integers(0, 2, IMAGES),
        synthetic=np.zeros(IMAGES, bool),
        group=np.arange(IMAGES),
        train=entries,
        validation=entries,
        choice=entries,
        counts={},
        fitted_rows=np.arange(IMAGES),
    )
    settings = TrainSettings(epochs=1, lr=spec.lr, batch=batch, optimizer=spec.optimizer, seed=0, dtype=dtype)
    parts = None if pixels else cut(classifier)
    inputs = choose_inputs(classifier, parts, mixture, FeatureStore(), settings)
    return Training(classifier, inputs, mixture, settings)


def time_steps(training: Training, batch: int, steps: int) -> list[float]:
    """Images/s of each step."""
    device, rates = training.classifier.mean.device, []
    training.classifier.train()
    with reproducible():
        for step in range(steps):
            rows = np.random.default_rng(step).permutation(len(training.mixture.train))[:batch]
            start = time.perf_counter()
            training.step(training.mixture.train[rows])
            wait(device)
            rates.append(batch / (time.perf_counter() - start))
    return rates


def time_answers(classifier: Classifier, size: int, count: int) -> list[float]:
    """Seconds from a uint8 image to its logits, one at a time."""
    device, found = classifier.mean.device, []
    image = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for _ in range(count):
            start = time.perf_counter()
            classifier(image.to(device)).cpu()
            found.append(time.perf_counter() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="custom_cnn")
    parser.add_argument("--size", type=int, help="side of the images, px [default: the model's, or 256]")
    parser.add_argument("--batch", type=int, help="images a step [default: the model's]")
    parser.add_argument("--unfreeze", type=int, help="modules of the backbone that train [default: the model's]")
    parser.add_argument("--pixels", action="store_true", help="keep no features of frozen layers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = choose_device(options.device)
    dtype = choose_precision(options.precision, device)
    torch.manual_seed(0)
    spec = find_model(options.model)
    size = options.size or spec.image_size or 256
    classifier = build_model(options.model, image_size=size).to(device)
    if options.unfreeze is not None:
        set_trainable(classifier, options.unfreeze, name=options.model)
    batch = options.batch or spec.batch
    training = make_training(classifier, spec, size, batch, dtype, pixels=options.pixels)
    with FlopCounterMode(display=False) as counter:
        time_steps(training, batch, 1)
    step_gflop = counter.get_total_flops() / batch / 1e9
    time_steps(training, batch, 1)  # warms up
    peak = matrix_peak(device)
    rates = time_steps(training, batch, options.steps)
    peak = max(peak, matrix_peak(device))
    fast = for_inference(classifier)
    with FlopCounterMode(display=False) as counter:
        time_answers(classifier.eval(), size, 1)
    answer_gflop = counter.get_total_flops() / 1e9
    time_answers(fast, size, 3)
    answers = time_answers(fast, size, 20)
    peak = max(peak, matrix_peak(device))
    rate, latency_s = statistics.median(rates), statistics.median(answers)
    result = {
        "model": options.model,
        "size_px": size,
        "batch": batch,
        "optimizer": spec.optimizer,
        "kept_features": isinstance(training.inputs, FeatureInputs),
        "precision": options.precision,
        "peak_gflops": peak,
        "train_images_per_s": rate,
        "train_images_per_s_range": [min(rates), max(rates)],
        "train_gflop_per_image": step_gflop,
        "train_fraction_of_peak": rate * step_gflop / peak,
        "latency_ms": 1e3 * latency_s,
        "latency_ms_range": [1e3 * min(answers), 1e3 * max(answers)],
        "latency_gflop": answer_gflop,
        "latency_fraction_of_peak": answer_gflop / latency_s / peak,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peak_device_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name:26} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
