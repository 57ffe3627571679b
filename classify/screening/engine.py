"""Many requests, one model: images that wait are judged together, and heat maps are made when none waits.

Who asks bounds how many wait.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from classify.explaining.heatmap import METHODS, choose_method
from classify.inference import for_inference
from classify.models import Classifier
from classify.screening.quality import Image
from shared.console import say
from shared.nn.backbone import OfflineBackbone

AT_ONCE = 16  # images in a batch
MOST_OCCLUSION_S = 0.5  # of a processor, for a heat map by occlusion: others wait behind it

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scored:
    """An image's log-odds, and its features [D] for the reference."""

    score: float
    features: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Asked:
    image: Image
    is_map: bool
    answer: Future[Any]


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

    @property
    def explains(self) -> bool:
        """Whether it makes heat maps."""
        return self._method is not None

    def score(self, image: Image) -> Future[Scored]:
        """Let an image, uint8 [S, S, 3], be scored."""
        return self._ask(image, is_map=False)

    def explain(self, image: Image) -> Future[Heat]:
        """Let the evidence in an image be mapped, float32 [S, S], where it `explains`."""
        assert self._method is not None
        return self._ask(image, is_map=True)

    @property
    def is_working(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Answer what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _ask(self, image: Image, *, is_map: bool) -> Future[Any]:
        asked = _Asked(image, is_map, Future())
        self._waiting.put(asked)
        return asked.answer

    def _work(self) -> None:
        scores: deque[_Asked] = deque()
        maps: deque[_Asked] = deque()
        is_open = True
        while is_open or scores or maps:
            is_open = self._take(scores, maps, wait=not (scores or maps)) and is_open
            if scores:
                self._answer(scores, AT_ONCE, self._scored)
            elif maps:
                self._answer(maps, AT_ONCE if self._method == "grad-cam" else 1, self._mapped)

    def _take(self, scores: deque[_Asked], maps: deque[_Asked], *, wait: bool) -> bool:
        """Sort out what waits, for at least one if told to `wait`; return whether more may come."""
        while True:
            try:
                asked = self._waiting.get(block=wait)
            except queue.Empty:
                return True
            if asked is None:
                return False
            (maps if asked.is_map else scores).append(asked)
            wait = False

    def _answer(self, asked: deque[_Asked], most: int, work: Callable[[torch.Tensor], list[Any]]) -> None:
        """Answer the first of those that asked, together."""
        batch = [asked.popleft() for _ in range(min(most, len(asked)))]
        batch = [each for each in batch if each.answer.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            found = work(torch.from_numpy(np.stack([each.image for each in batch])).to(self._fused.mean.device))
            for each, result in zip(batch, found, strict=True):
                each.answer.set_result(result)
        except Exception as error:  # noqa: BLE001 - told to whoever asked; the next batch is another one
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(error)

    def _scored(self, images: torch.Tensor) -> list[Scored]:
        with torch.inference_mode():
            logits = self._fused(images).double()
            features = self._space.features(images).cpu().numpy()
        scores = (logits[:, 1] - logits[:, 0]).cpu().numpy()
        return [Scored(float(score), row) for score, row in zip(scores, features, strict=True)]

    def _mapped(self, images: torch.Tensor) -> list[Heat]:
        assert self._method is not None
        return list(METHODS[self._method](self._plain, images).cpu().numpy())


def _affordable_method(classifier: Classifier) -> str | None:
    """Return the method of heat maps, None where it is occlusion and takes too long."""
    method, _ = choose_method(classifier)
    size = classifier.image_size
    blank = torch.zeros(1, size, size, 3, dtype=torch.uint8, device=classifier.mean.device)
    seconds = 0.0
    for _ in range(2):  # the first is slower: libraries are read
        start = time.process_time()
        METHODS[method](classifier, blank)
        seconds = time.process_time() - start
        if method == "grad-cam" or seconds <= MOST_OCCLUSION_S:
            return method
    say(f"no heat maps: this network's last map cannot tell where, and occlusion takes {seconds:.0f} s a photograph.")
    return None
