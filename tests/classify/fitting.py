"""Fits for tests: on the CPU, offline, in seconds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from classify.fit import fit
from classify.fitting.folder import MODEL, read_model
from classify.fitting.settings import FitOptions
from classify.place import Place
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.interruption import Interruption
from shared.weights import WeightSource

CPU = torch.device("cpu")
QUICK = FitOptions(depth=1, head=(8,), epochs=3, batch=16, lr=1e-3, precision="fp32")


def here(*, cache: Path | None = None, interruption: Interruption | None = None) -> Place:
    """Return this machine's CPU as a place, without a network."""
    return Place(CPU, WeightSource(offline=True), cache, interruption=interruption or Interruption())


def run(
    cohort: Cohort,
    out: Path,
    options: FitOptions = QUICK,
    *,
    bundles: Sequence[Bundle] = (),
    force: bool = False,
    **place: Any,
) -> Path:
    """Fit fold 0 and return its folder."""
    return fit(cohort, bundles=bundles, options=options, folds=[0], out=out, place=here(**place), force=force)[0]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a model's folder."""
    return load_file(folder / MODEL)


def same(first: Path, second: Path) -> bool:
    """Tell whether two model folders hold the same bits, and went through the same epochs."""
    ours, theirs = tensors(first), tensors(second)
    went = [read_model(folder).history for folder in (first, second)]
    return (
        ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
        and all(went[0][name] == went[1][name] for name in ("epochs", "best_epoch", "validation"))
    )


def numbers(history: Any) -> Iterator[float]:
    """Give every number of a history, in order."""
    if isinstance(history, dict):
        history = list(history.values())
    if isinstance(history, list):
        for each in history:
            yield from numbers(each)
    elif history is not None:
        yield float(history)


def assert_near(first: Path, second: Path, tolerance: float = 1e-4) -> None:
    """Assert that two model folders tell of the same course but for rounding."""
    ours, theirs = (list(numbers(read_model(folder).history["epochs"])) for folder in (first, second))
    assert ours
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
