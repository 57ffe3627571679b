"""How far exported classifiers are from PyTorch, and how long an answer takes in each runtime.

    python benchmarks/export_latency.py [--model NAME …] [--size 256] [--threads 1] [--repeats 30] [--json]

Networks have random weights; their last layer is scaled so that they are about as sure as trained ones (3 log-odds).
Photographs are `--size` px, as a cohort has them, or the network's own size with `--size 0`; preparation is in every
time. PyTorch is the classifier as `classify evaluate` runs it, onnxruntime and torch.export the files that `classify
export` writes. They take turns; what is printed is the median of the repeats, with the quartiles. The peak is the best
rate of a matrix product seen in this process, before and after. Differences are the largest over 4 random images, one
at a time and together, and others of other shapes, as the command checks them.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import matrix_peak
from torch import Tensor, nn

from classify.export import eager_answer
from classify.exporting import files
from classify.exporting.check import archive_answer, compare, images_to_check, onnx_answer
from classify.exporting.graph import ExportedClassifier
from classify.exporting.speed import latencies, words
from classify.inference import for_inference
from classify.models import Classifier, build_model
from classify.registry import MODELS, find_model
from shared.provenance import hardware

CPU = torch.device("cpu")
TEMPERATURE = 1.5
SURE = 3.0


def make_sure(classifier: Classifier, images: np.ndarray) -> None:
    """Scale the last layer so that the mean score of `images` is SURE."""
    with torch.no_grad():
        logits = classifier(torch.from_numpy(images))
        factor: Tensor = SURE / (logits[:, 1] - logits[:, 0]).mean()
        last = list(classifier.head.children())[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(factor)
        last.bias.mul_(factor)


def measured(name: str, size: int, repeats: int, folder: Path) -> dict[str, Any]:
    """One model: differences and latencies."""
    torch.manual_seed(0)
    spec = find_model(name)
    classifier = build_model(name, image_size=spec.image_size or size or 256).eval()
    size = size or classifier.image_size
    images = images_to_check(size, None)[:4]
    make_sure(classifier, images)
    network = ExportedClassifier(classifier, size=size, temperature=TEMPERATURE)
    program = files.trace(network)
    onnx, archive = folder / "m.onnx", folder / "m.pt2"
    files.write_onnx(onnx, program, network.outputs, {})
    files.write_archive(archive, program, {})
    answers = {"onnxruntime": onnx_answer(onnx), "torch.export": archive_answer(archive)}
    checks = {key: asdict(compare(each, classifier, network, images, "random")) for key, each in answers.items()}
    answers = {"PyTorch": eager_answer(for_inference(classifier))} | answers
    return {
        "model": name,
        "input_px": classifier.image_size,
        "photographs_px": size,
        "onnx_mb": onnx.stat().st_size / 2**20,
        "evidence": network.no_evidence or "yes",
        "differences": checks,
        "latency": [asdict(each) | {"cell": words(each)} for each in latencies(answers, size, repeats=repeats)],
    }


def rows(result: dict[str, Any]) -> list[str]:
    """A result as rows of a Markdown table."""
    cells = {(each["runtime"], each["batch"]): each["cell"] for each in result["latency"]}
    made = []
    for runtime in dict.fromkeys(each["runtime"] for each in result["latency"]):
        found = result["differences"].get(runtime)
        parts = ("probability", "score", "evidence")
        errors = ["–"] * 3 if found is None else ["–" if found[p] is None else f"{found[p]:.0e}" for p in parts]
        times = [cells[runtime, batch] for batch in (1, 8)]
        made.append(f"| {result['model']} | {result['input_px']} | {runtime} | {' | '.join(errors + times)} |")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="repeatable [default: all, and timm:resnet18]")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = f"{hardware()['processor']}, {options.threads} threads, n = {options.repeats}"
    if not options.json:
        print(f"{machine}; photographs of {options.size or 'the input size in'} px\n")
        print("| model | input px | runtime | Δ probability | Δ score | Δ evidence | batch 1, ms | batch 8, ms |")
        print("|---|--:|---|--:|--:|--:|--:|--:|", flush=True)
    for name in options.model or [*MODELS, "timm:resnet18"]:
        before = matrix_peak(CPU)
        with tempfile.TemporaryDirectory() as folder:
            result = measured(name, options.size, options.repeats, Path(folder))
        result |= {"peak_gflops": [before, matrix_peak(CPU)], "machine": machine, "torch": torch.__version__}
        print(json.dumps(result) if options.json else "\n".join(rows(result)), flush=True)
        if not options.json:
            print(f"<!-- {name}: matrix peak {before:.0f} and {result['peak_gflops'][1]:.0f} GFLOP/s -->", flush=True)


if __name__ == "__main__":
    main()
