"""A photograph in, a probability and the reasons out: onnxruntime, numpy and Pillow, nothing of ours.

python ask_classifier.py model.onnx photograph.jpg reasons.png
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, file, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
photograph = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
probability, evidence = session.run(["probability", "evidence"], {"image": np.asarray(photograph)[None]})
verdict = "yes" if probability[0] > float(about["threshold"]) else "no"
print(f"{about['positive']}: {verdict}, probability {probability[0]:.3f}. {about['notice']}")
heat = Image.fromarray(np.uint8(160 * evidence[0] / max(evidence.max(), 1e-9)))
square = ImageOps.fit(photograph, (448, 448))
Image.composite(Image.new("RGB", square.size, "red"), square, heat.resize(square.size)).save(picture)
