"""Optimiser steps only with gradients that are finite; what is left out is counted, never repaired.

On a GPU the decision stays there, unless singular values are trained: to ask for it would make the host wait, four
times a step, until all that is under way is done.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2_ada.optimizers import Optimizer

MAX_BAD_STEPS = 20  # in a row and of one phase, with gradients that are not finite


class TrainingDivergedError(RuntimeError):
    """Gradients of one phase were not finite for `MAX_BAD_STEPS` optimiser steps in a row."""


class FiniteSteps:
    """Takes optimiser steps, and counts those that it left out.

    It counts by phase: a good one must not hide another that never is.

    Args:
        phases: their names.
        device: of the gradients.
    """

    def __init__(self, phases: Sequence[str], device: torch.device) -> None:
        self.phases = tuple(phases)
        self.total = 0  # steps left out until the last look
        self.in_a_row = dict.fromkeys(self.phases, 0)  # of each phase's last steps, without one that was taken between
        self._total = torch.zeros(len(phases), dtype=torch.int64, device=device)
        self._in_a_row = torch.zeros(len(phases), dtype=torch.int64, device=device)

    def take(self, optimizer: Optimizer, gradients: list[Tensor], phase: str) -> None:
        """Step with the gradients of the optimiser's parameters, unless one of them is not finite."""
        bad = ~torch.stack(torch._foreach_norm(gradients, torch.inf)).isfinite().all()
        if isinstance(optimizer, torch.optim.Adam) and optimizer.param_groups[0]["fused"]:
            # As torch's gradient scaler says it: the kernel then writes nothing.
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
            optimizer.step()
        elif not bad:
            optimizer.step()
        index = self.phases.index(phase)
        self._total[index] += bad
        self._in_a_row[index] = (self._in_a_row[index] + 1) * bad

    def look(self) -> None:
        """Bring the counts up to date, which waits for the device."""
        self.total = int(self._total.sum())
        self.in_a_row = dict(zip(self.phases, self._in_a_row.tolist(), strict=True))

    def check(self, kimg: float) -> None:
        """Look, and raise `TrainingDivergedError` when a phase has had no good step for long, at `kimg` images."""
        self.look()
        for phase, count in self.in_a_row.items():
            if count >= MAX_BAD_STEPS:
                raise TrainingDivergedError(
                    f"gradients of the {phase} phase were not finite for {count} optimiser steps in a row after "
                    f"{kimg:.1f} kimg; lower the learning rate or raise gamma"
                )

    def load(self, total: int, in_a_row: dict[str, int]) -> None:
        """Go on counting from here."""
        self._total.zero_()
        self._total[0] = total
        self._in_a_row.copy_(torch.tensor([in_a_row.get(phase, 0) for phase in self.phases]))
        self.look()
