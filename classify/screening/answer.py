"""One photograph from bytes to an answer, and the answer as JSON."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, Field
from scipy.special import expit

from classify.screening.engine import Engine, Heat, Scored
from classify.screening.judgement import Judge, Judgement
from classify.screening.words import ALWAYS, REHEARSAL, headline, reasons
from shared.decoding import Decoded, Decoders

WARM = np.array((214, 47, 39), np.float64)  # of evidence for the disease
SHOWN_PX = 384  # side of pictures in an answer


class Interval(BaseModel):
    """The two ends of a probability."""

    low: float
    high: float


class Result(BaseModel):
    """What the model says of a photograph; where it cannot judge one, `problems` or `familiar` say why."""

    verdict: Literal["above", "below", "none"] = Field(description="Of the threshold; none: it is not judged.")
    headline: str = Field(description="The verdict in a sentence for people.")
    explanation: list[str] = Field(description="What it rests on, a sentence each.")
    notice: str = Field(description="To be shown beside every answer.")
    probability: float | None = Field(description="That it shows the disease, at `prevalence`; null where not judged.")
    interval: Interval | None = Field(description="Of the probability (Venn-Abers).")
    prevalence: float = Field(description="Share of patients with the disease that the probability is for.")
    threshold: float = Field(description="Of `score`, above which the verdict is above.")
    sensitivity: float = Field(description="Share of validation positives that the threshold finds.")
    problems: list[str] = Field(description="What is wrong with the photograph, a sentence each.")
    familiar: bool = Field(description="Whether it is like the photographs that the model knows.")
    distance: float = Field(description="To those photographs, in the features of EfficientNet-Lite0.")
    limit: float | None = Field(description="Of `distance`, above which it is not familiar.")
    score: float | None = Field(description="The model's own, 0 to 1, which the threshold is for; not a probability.")
    evidence: str | None = Field(description="Heat map as a data URI, if one was made and anything in it is warm.")
    explained: bool = Field(description="Whether a heat map was made; for some models none is.")
    photograph: str | None = Field(description="What the model was shown, as a data URI, beside `evidence`.")
    disease: str = Field(description="What `probability` is of.")
    model: str = Field(description="SHA-256 of the model's tensors.")
    fold: int = Field(description="Of which this is the model: one, and no mean of several.")


@dataclass(frozen=True, eq=False)
class Service:
    """All that answers need.

    Attributes:
        decoders: which turn bytes into prepared images.
        engine: which scores them.
        judge: which says what a score means.
        disease: name of the positive class, as people read it.
        sensitivity: for which the threshold was chosen.
        model: SHA-256 of its tensors.
        fold: of the cohort, whose test photographs it has not seen.
        rehearses: whether the model knows rendered skin alone, so that nothing it says may be used.
    """

    decoders: Decoders
    engine: Engine
    judge: Judge
    disease: str
    sensitivity: float
    model: str
    fold: int
    rehearses: bool = False

    async def answer(self, content: bytes, *, evidence: bool) -> Result:
        """Return what the model says of the photograph that `content` is.

        Raises `BadPhotoError`: it is none.
        """
        decoded = await asyncio.to_thread(self.decoders.decode, content)
        scored = await asyncio.wrap_future(self.engine.score(decoded.image))
        judgement = await asyncio.to_thread(self._judge, decoded, scored)
        shown = evidence and judgement.probability is not None  # else no map is made, which takes the longest
        heat: Heat | None = None
        if shown and self.engine.explains:
            heat = await asyncio.wrap_future(self.engine.explain(decoded.image))
        # Pictures take a while, and others wait.
        return await asyncio.to_thread(self._result, decoded, scored.score, judgement, shown=shown, heat=heat)

    def _judge(self, decoded: Decoded, scored: Scored) -> Judgement:
        return self.judge.judge(decoded.image, side_px=decoded.side_px, score=scored.score, features=scored.features)

    def _result(
        self, decoded: Decoded, score: float, judgement: Judgement, *, shown: bool, heat: Heat | None
    ) -> Result:
        found, limit = judgement.probability, self.judge.reference.limit
        warm = heat if heat is not None and heat.max() > 0 else None
        return Result(
            verdict=judgement.verdict.value,
            headline=headline(judgement, self.disease),
            explanation=reasons(
                judgement, prevalence=self.judge.prevalence, disease=self.disease, sensitivity=self.sensitivity
            ),
            notice=f"{REHEARSAL} {ALWAYS}" if self.rehearses else ALWAYS,
            probability=None if found is None else found.single,
            interval=None if found is None else Interval(low=found.low, high=found.high),
            prevalence=self.judge.prevalence,
            threshold=self.judge.threshold,
            sensitivity=self.sensitivity,
            problems=list(judgement.problems),
            familiar=judgement.is_known,
            distance=judgement.distance,
            limit=limit if np.isfinite(limit) else None,
            score=None if found is None else float(expit(score)),
            evidence=None if warm is None else as_uri(overlay(decoded.image, warm)),
            explained=heat is not None,
            photograph=as_uri(decoded.image) if shown else None,
            disease=self.disease,
            model=self.model,
            fold=self.fold,
        )


def overlay(image: npt.NDArray[np.uint8], evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return an image, uint8 [S, S, 3], under its evidence [S, S] >= 0: grey without any, red where it is largest."""
    strength = evidence / max(float(evidence.max()), 1e-12)
    alpha = 0.65 * strength[..., None].astype(np.float64)
    grey = np.repeat(image.astype(np.float64).mean(axis=2, keepdims=True), 3, axis=2)
    shown: npt.NDArray[np.uint8] = np.round((1 - alpha) * grey + alpha * WARM).astype(np.uint8)
    return shown


def as_uri(image: npt.NDArray[np.uint8]) -> str:
    """Return an image as a data URI of a PNG, enlarged to `SHOWN_PX` if it is smaller."""
    picture = Image.fromarray(image)
    side = max(SHOWN_PX, picture.width)
    stream = io.BytesIO()
    picture.resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
