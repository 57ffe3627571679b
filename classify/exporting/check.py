"""Whether an exported file says what the classifier says in PyTorch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from classify.exporting.graph import INPUT, ExportedClassifier
from classify.models import Classifier
from shared.cohort import Cohort

TOLERANCE = 1e-4
FAINT = 1e-3  # log-odds, below which evidence says nothing
IMAGES = 16  # of prepared ones
OTHERS = ((2, 1.2, 1.5), (1, 1.5, 0.8))  # photographs: how many, and height and width in sides of a prepared image

Images = npt.NDArray[np.uint8]
Outputs = Sequence[npt.NDArray[np.float32]]
Answer = Callable[[Images], Outputs]
"""From photographs uint8 [N, H, W, 3] to an exported classifier's outputs, in their order."""


@dataclass(frozen=True)
class Differences:
    """The largest differences between an exported file and PyTorch, over `images` prepared images and others.

    Attributes:
        probability: of probabilities.
        score: of log-odds, each divided by its size where that is above 1.
        evidence: of evidence, divided by the largest that these images have, at least `FAINT`; None without evidence.
        images: how many prepared images were compared.
        source: what these are: "the cohort" or "random pixels".
    """

    probability: float
    score: float
    evidence: float | None
    images: int
    source: str

    @property
    def largest(self) -> float:
        """The largest of all."""
        return float(np.max([self.probability, self.score, self.evidence or 0.0]))  # Python's max drops what is NaN

    @property
    def within(self) -> bool:
        """Whether all are within the tolerance; what is no number is not."""
        return bool(self.largest <= TOLERANCE)


def images_to_check(size: int, cohort: Cohort | None) -> Images:
    """Return uint8 [16, S, S, 3]: images of the cohort from its first to its last, or random ones."""
    if cohort is None:
        return np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), dtype=np.uint8)
    rows = np.unique(np.linspace(0, len(cohort) - 1, IMAGES).astype(np.int64))
    return np.asarray(cohort.images[rows])


def compare(
    answer: Answer, classifier: Classifier, network: ExportedClassifier, images: Images, source: str
) -> Differences:
    """Return how far `answer` is from `classifier` on `images`, alone and together, and from `network` on others.

    The classifier itself is the measure where it can be: on prepared images, for probability and score.
    """
    found = [_differences(answer(images), _expected(classifier, network, images))]
    found.append(_differences(answer(images[:1]), _expected(classifier, network, images[:1])))
    size = images.shape[1]
    for count, height, width in OTHERS:
        shape = (count, round(size * height) + 1, round(size * width), 3)
        others = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        with torch.inference_mode():
            expected = [each.numpy() for each in network(torch.from_numpy(others))]
        found.append(_differences(answer(others), expected))
    probability, score, *evidence = np.max(found, axis=0).tolist()
    return Differences(probability, score, evidence[0] if evidence else None, len(images), source)


def _expected(classifier: Classifier, network: ExportedClassifier, images: Images) -> Outputs:
    batch = torch.tensor(images)
    with torch.inference_mode():
        logits = classifier(batch)
        score = logits[:, 1] - logits[:, 0]
        evidence = network(batch)[2:]
    return [each.numpy() for each in (torch.sigmoid(score / network.temperature), score, *evidence)]


def _differences(found: Outputs, expected: Outputs) -> list[float]:
    probability, score, *evidence = (abs(ours - theirs) for ours, theirs in zip(found, expected, strict=True))
    largest = [float(probability.max()), float((score / np.maximum(1, abs(expected[1]))).max())]
    return largest + [float(each.max() / max(expected[2].max(), FAINT)) for each in evidence]


def onnx_answer(path: Path, threads: int | None = None) -> Answer:
    """Return onnxruntime's answers with the ONNX file at `path`, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answer(images: Images) -> Outputs:
        found: Any = session.run(None, {INPUT: images})
        return list(found)

    return answer


def archive_answer(path: Path) -> Answer:
    """Return PyTorch's answers with the archive at `path`."""
    with path.open("rb") as stream:
        module = torch.export.load(stream).module()

    def answer(images: Images) -> Outputs:
        with torch.inference_mode():
            return [each.numpy() for each in module(torch.tensor(images))]

    return answer
