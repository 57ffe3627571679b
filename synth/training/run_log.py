"""What a run tells of itself: averaged losses, scores, and which checkpoint is the best."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shared.errors import UserError
from synth.training.checkpoints import Score, best_of


class RunLog:
    """The lines of log.jsonl, and the losses since the last of them."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._scored: list[dict[str, Any]] = []  # those with a score: every step asks for them
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, line: dict[str, Any]) -> None:
        """Add a line."""
        self.lines.append(line)
        if "quality" in line:
            self._scored.append(line)

    def observe(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of a step to the next average; they stay on their device."""
        for name, value in losses.items():
            self._sums[name].append(value)

    def averages(self) -> dict[str, float]:
        """Return the mean of each loss since the last call."""
        means = {name: float(torch.stack(values).mean()) for name, values in self._sums.items()}
        self._sums.clear()
        return means

    def scores(self) -> list[Score]:
        """Return all scores, in order."""
        return [
            Score(_nimg(line), criterion(line["quality"]), "bad_steps_in_a_row" not in line) for line in self._scored
        ]

    def best(self) -> dict[str, Any]:
        """Return the line of the best checkpoint."""
        nimg = best_of(self.scores()).nimg
        return next(line for line in self._scored if _nimg(line) == nimg)

    def last_scored(self) -> dict[str, Any] | None:
        """Return the line of the last score, None before the first."""
        return self._scored[-1] if self._scored else None

    def note(self, p: float, bad_steps: int) -> str:
        """Return where the run stands, for the progress bar."""
        last = self.last_scored()
        return (
            f"p {p:.2f}"
            + (f", distance {last['quality']['value']:.1f}" if last else "")
            + (f", {bad_steps} bad {'step' if bad_steps == 1 else 'steps'}" if bad_steps else "")
        )

    def require_space(self, space: dict[str, str], path: Path) -> None:
        """Raise `UserError` when new scores, of feature space `space`, could not be compared with those of the run."""
        there = self._scored[-1]["quality"] if self._scored else space
        for name, now in space.items():
            if there[name] != now:
                raise UserError(
                    f"{path}: its scores have {name} {there[name]} and new ones would have {now}; "
                    "give the --features and --weights of then, or another --out."
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` goes on from."""
        return {"lines": self.lines, "sums": dict(self._sums)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go back to a state that `state_dict` gave; losses are kept on `device`."""
        self.lines, self._scored = [], []
        for line in state["lines"]:
            self.add(line)
        self._sums.clear()
        for name, values in state["sums"].items():
            self._sums[name] = [value.to(device) for value in values]


def _nimg(line: dict[str, Any]) -> int:
    nimg: int = round(line["kimg"] * 1000)
    return nimg


def writable(values: dict[str, float]) -> dict[str, Any]:
    """Return the finite values, and the names of the others as `not_finite`: JSON has no word for them."""
    finite: dict[str, Any] = {name: value for name, value in values.items() if math.isfinite(value)}
    missing = sorted(values.keys() - finite.keys())
    return finite | ({"not_finite": missing} if missing else {})


def criterion(quality: dict[str, Any]) -> float:
    """Return what checkpoints and cells are chosen by, smaller is better: KID to validation, else the distance."""
    kid = quality.get("kid_validation")
    return float(quality["value"] if kid is None else kid)


def in_words(quality: dict[str, Any]) -> str:
    """Return a score in words."""
    return f"{quality['name']} {quality['value']:.1f} ({quality['n_fake']} against {quality['n_real']} images)"
