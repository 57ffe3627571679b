"""FID of two folders of PNG files: ours against torch-fidelity's command line, same files, same weights.

    python benchmarks/quality.py [--images 200] [--size 32] [--weights weights-inception-2015-12-05-6726825d.pth]

Without the published weights the network has random ones: the number then means nothing, but must be the same. Both
decode the files and use all threads; the command line's time includes its start, ours does not, and so the time of its
run over almost nothing is measured too and subtracted. Ours is timed twice: over whole folders, and as scores of
generators do it, batch by batch with running moments.

With fewer images than features the covariances are singular, and torch-fidelity's formula, by eigenvalues, is some
1e-5 off the exact distance of its own features. So that is computed of them too (by singular values, as ours is). Ends
with 1 when this differs by more than 1e-6.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

from shared.nn.device import choose_device, describe_device
from shared.weights import WeightFile, WeightSource
from stylegan2_ada import Ranks
from synth.scores import features, quality
from synth.scores.features import Extractor
from synth.scores.moments import Features, Moments, frechet_distance
from synth.scores.quality import Images, to_features

SAME = 1e-6
FIRST = 2  # images of the run whose time is its start


def random_weights(path: Path) -> Path:
    """Write the state of torch-fidelity's network with random weights, which keep the scale of what passes through."""
    torch.manual_seed(0)
    with (
        patch.object(nn.Module, "load_state_dict", lambda *_: None),
        patch("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {}),
    ):
        network = FeatureExtractorInceptionV3("random", ["2048"])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(network.state_dict(), path)
    return path


def draw(folder: Path, count: int, size: int, seed: int) -> None:
    """Write smooth random pictures: noise of a few pixels, enlarged."""
    folder.mkdir()
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    for index, image in enumerate(coarse):
        Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{index:05}.png")


def read(folder: Path) -> Images:
    """Decode a folder's files, in order."""
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())])


def stream(fakes: Images, real: Moments, extractor: Extractor, device: torch.device) -> tuple[float, float]:
    """Return the FID of fakes that are looked at as a generator's are, when no feature is kept; and its seconds."""
    with patch.object(quality, "KEPT", 0):
        meter = quality.QualityMeter.__new__(quality.QualityMeter)
        meter.extractor, meter.fakes, meter.ranks = extractor, len(fakes), Ranks()
        meter.at_once = quality.draw_at_once(device)
        started = time.perf_counter()
        found = meter.look_at(lambda first, count: fakes[first - quality.FIRST_SEED :][:count])
        return frechet_distance(found.moments, real), time.perf_counter() - started


def their_features(folder: Path, weights: Path, device: torch.device) -> Features:
    """Return what torch-fidelity's own pipeline makes of a folder: [N, 2048]."""
    how = {"input1": str(folder), "cuda": device.type == "cuda", "verbose": False, "feature_extractor_compile": False}
    extractor = create_feature_extractor(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights), **how
    )
    found = extract_featuresdict_from_input_id(1, extractor, **how)
    return np.asarray(found["2048"].cpu().numpy(), np.float64)


def theirs(a: Path, b: Path, weights: Path, device: torch.device) -> tuple[float, float]:
    """Return the FID of torch-fidelity's command line, and its seconds."""
    command = [sys.executable, "-m", "torch_fidelity.fidelity", "--fid", "--json", "--silent", "--no-cache"]
    command += ["--input1", str(a), "--input2", str(b), "--feature-extractor-weights-path", str(weights)]
    command += ["--gpu", "0"] if device.type == "cuda" else ["--cpu"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["frechet_inception_distance"]), time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="a folder")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = options.weights or random_weights(folder / "random.pth")
        draw(folder / "a", options.images, options.size, 0)
        draw(folder / "b", options.images, options.size, 1)
        draw(folder / "few", FIRST, options.size, 2)
        features.WEIGHTS["inception"] = WeightFile(name=weights.name)
        extractor = features.inception(WeightSource(folder=weights.parent, offline=True), device)
        to_features(read(folder / "few"), extractor)  # warms up
        started = time.perf_counter()
        moments = [Moments.of(to_features(read(folder / part), extractor)) for part in ("a", "b")]
        ours = frechet_distance(*moments)
        seconds = time.perf_counter() - started
        streamed, stream_seconds = stream(read(folder / "a"), moments[1], extractor, device)
        exact = frechet_distance(*(Moments.of(their_features(folder / part, weights, device)) for part in ("a", "b")))
        _, start_seconds = theirs(folder / "few", folder / "few", weights, device)
        fid, their_seconds = theirs(folder / "a", folder / "b", weights, device)
    result = {
        "ours": ours,
        "theirs": fid,
        "exact_of_their_features": exact,
        "relative_difference": abs(ours - exact) / exact,
        "streamed_relative_difference": abs(streamed - exact) / exact,
        "their_formula_off": abs(fid - exact) / exact,
        "our_images_per_s": 2 * options.images / seconds,
        "our_streamed_images_per_s": options.images / stream_seconds,
        "their_images_per_s": 2 * (options.images - FIRST) / (their_seconds - start_seconds),
        "their_start_s": start_seconds,
        "images": options.images,
        "size": options.size,
        "device": describe_device(device),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    same = max(result["relative_difference"], result["streamed_relative_difference"]) <= SAME
    sys.exit(0 if same else "the numbers differ")


if __name__ == "__main__":
    main()
