"""Many requests, one model: images that wait are judged together. Who asks bounds how many wait."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classify.explaining.heatmap import METHODS, choose_method
from classify.inference import for_inference
from classify.models import Classifier
from classify.screening.quality import Image
from shared.console import say
from shared.nn.backbone import OfflineBackbone

AT_ONCE = 16  # images in a batch
MOST_EVIDENCE_S = 2.0  # of a heat map by occlusion, during which other photographs wait


@dataclass(frozen=True, eq=False)
class Scored:
    """An image's log-odds, its features [D] for the reference, and where the evidence is [S, S] if that was asked."""

    score: float
    features: npt.NDArray[np.float32]
    evidence: npt.NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class _Asked:
    image: Image
    evidence: bool
    answer: Future[Scored]


class Engine:
    """Runs a classifier in a thread of its own.

    Args:
        classifier: as it is loaded; a fused copy of it scores, and itself it is asked for evidence.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._plain, self._fused = classifier.eval(), for_inference(classifier)
        self._method = _affordable_method(self._plain)
        self._space = OfflineBackbone(device=classifier.mean.device)
        self._waiting: queue.Queue[_Asked | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, image: Image, *, evidence: bool) -> Future[Scored]:
        """Let an image, uint8 [S, S, 3], be scored."""
        asked = _Asked(image, evidence, Future())
        self._waiting.put(asked)
        return asked.answer

    @property
    def is_working(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = [first], False
            with contextlib.suppress(queue.Empty):
                while len(batch) < AT_ONCE and not last:
                    asked = self._waiting.get_nowait()
                    last = asked is None
                    if asked is not None:
                        batch.append(asked)
            batch = [each for each in batch if each.answer.set_running_or_notify_cancel()]
            if batch:
                self._answer(batch)
            if last:
                return

    def _answer(self, batch: list[_Asked]) -> None:
        try:
            images = torch.from_numpy(np.stack([each.image for each in batch])).to(self._fused.mean.device)
            with torch.inference_mode():
                logits = self._fused(images).double()
                features = self._space.features(images).cpu().numpy()
            scores = (logits[:, 1] - logits[:, 0]).cpu().numpy()
            maps = self._evidence(images, [each.evidence for each in batch])
            for row, each in enumerate(batch):
                each.answer.set_result(Scored(float(scores[row]), features[row], maps.get(row)))
        except Exception as error:  # noqa: BLE001 - told to whoever asked; the next batch is another one
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(error)

    def _evidence(self, images: Tensor, wanted: list[bool]) -> dict[int, npt.NDArray[np.float32]]:
        rows = [row for row, each in enumerate(wanted) if each]
        if not rows or self._method is None:
            return {}
        maps = METHODS[self._method](self._plain, images[rows]).cpu().numpy()
        return dict(zip(rows, maps, strict=True))


def _affordable_method(classifier: Classifier) -> str | None:
    """Return the method of heat maps, None where it is occlusion and would keep other photographs waiting."""
    method, _ = choose_method(classifier)
    size = classifier.image_size
    blank = torch.zeros(1, size, size, 3, dtype=torch.uint8, device=classifier.mean.device)
    seconds = 0.0
    for _ in range(2):  # the first is slower: libraries are read
        start = time.monotonic()
        METHODS[method](classifier, blank)
        seconds = time.monotonic() - start
        if method == "grad-cam" or seconds <= MOST_EVIDENCE_S:
            return method
    say(f"no heat maps: this network's last map cannot tell where, and occlusion takes {seconds:.0f} s a photograph.")
    return None
