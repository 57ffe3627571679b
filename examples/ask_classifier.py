"""A photograph in, a probability and the reasons out: onnxruntime, numpy and Pillow, nothing of ours.

python ask_classifier.py model.onnx photograph.jpg reasons.png
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def ask(model, file):
    """Return what the model says, and the photograph in grey with red where it finds evidence, if its map can tell."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    photograph = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    photograph = Image.alpha_composite(Image.new("RGBA", photograph.size, "white"), photograph).convert("RGB")
    probability, evidence = session.run(["probability", "evidence"], {"image": np.asarray(photograph)[None]})
    verdict = "yes" if probability[0] > float(about["threshold"]) else "no"
    strength = 160 if min(evidence.shape[1:]) >= 4 else 0  # fewer cells cannot tell where: nothing is painted
    heat = Image.fromarray(np.uint8(strength * evidence[0] / max(evidence.max(), 1e-9)))
    square = ImageOps.fit(photograph, (448, 448)).convert("L").convert("RGB")
    reasons = Image.composite(Image.new("RGB", square.size, "red"), square, heat.resize(square.size))
    return f"{about['positive']}: {verdict}, probability {probability[0]:.3f}. {about['notice']}", reasons


if len(sys.argv) != 4:
    sys.exit(__doc__)
try:
    sentence, reasons = ask(*sys.argv[1:3])
    print(sentence)
    with Path(sys.argv[3]).open("xb") as stream:  # a new file: none is written over
        reasons.save(stream, "PNG")
except Exception as error:  # noqa: BLE001 - of three libraries, for a person to read
    sys.exit(f"error: {error}")
