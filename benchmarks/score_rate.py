"""Speed of what a quality score does: draw pictures, look at them through a network, both one after the other.

    python benchmarks/score_rate.py [--size 256] [--images 2000] [--device cpu|cuda]

The generator is the `auto` configuration with random weights, and draws with noise, as scores do; the network is
EfficientNet-Lite0.
"""

import argparse
import json
import time

import torch

from shared.nn.backbone import OfflineBackbone
from shared.nn.device import choose_device, describe_device
from stylegan2_ada import Networks, resolve
from synth.drawing.pictures import draw

WARM_UP = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    generator, discriminator, _ = resolve("auto", options.size)
    G = Networks.build(generator, discriminator, 0).to(device).G_ema.eval()
    extractor = OfflineBackbone(0, device=device)
    extractor(draw(G, range(WARM_UP), noise="random"))

    started = time.perf_counter()
    images = draw(G, range(options.images), noise="random")
    drawn = time.perf_counter()
    extractor(images)  # its result is on the host: all is done when it is there
    seen = time.perf_counter()
    result = {
        "size": options.size,
        "images": options.images,
        "draw_images_per_s": options.images / (drawn - started),
        "extract_images_per_s": options.images / (seen - drawn),
        "score_images_per_s": options.images / (seen - started),
        "device": describe_device(device),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
