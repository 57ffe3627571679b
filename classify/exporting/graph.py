"""A classifier as others call it: a photograph in, a probability and the reasons out, in one graph."""

import torch
from torch import Tensor, nn

from classify.exporting.evidence import NoSplit, Split, split
from classify.exporting.pixels import Normalized, Squared
from classify.inference import for_inference
from classify.models import Classifier

INPUT = "image"
PROBABILITY, SCORE, EVIDENCE = OUTPUTS = ("probability", "score", "evidence")


class ExportedClassifier(nn.Module):
    """Maps photographs uint8 [N, H, W, 3] RGB, of any N, H and W, to (probability, score, evidence).

    Without evidence, where a network has no map that could tell, to (probability, score).

    Args:
        classifier: fitted.
        size: side of the images that it was fitted on, to which photographs are brought, px.
        temperature: that calibrates its probability (`classify.measuring.calibration`).
    """

    def __init__(self, classifier: Classifier, *, size: int, temperature: float) -> None:
        super().__init__()
        ready = for_inference(classifier.cpu())
        parts = split(ready)
        self.no_evidence = parts.reason if isinstance(parts, NoSplit) else None
        self.network = nn.Sequential(ready.backbone, ready.head) if isinstance(parts, NoSplit) else parts
        self.squared = Squared(size)
        self.normalized = Normalized(ready, size)
        self.temperature = temperature
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)  # as archives want it
        self.requires_grad_(False).eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it returns."""
        return OUTPUTS if self.no_evidence is None else OUTPUTS[:2]

    @property
    def evidence_cells(self) -> tuple[int, int] | None:
        """Height and width of its heat map; None where it has none."""
        if self.no_evidence is not None:
            return None
        blank = torch.zeros(1, self.squared.size, self.squared.size, 3, dtype=torch.uint8)
        height, width = self(blank)[-1].shape[1:]
        return height, width

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return probability [N], score [N], and evidence [N, h, w] where there is some."""
        found = self.network(self.normalized(self.squared(image)))
        logits, *evidence = found if isinstance(self.network, Split) else (found,)
        score = logits[:, 1] - logits[:, 0]
        return torch.sigmoid(score / self.temperature), score, *evidence
