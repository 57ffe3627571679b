"""Steps that are left out: by the host's decision, and within the optimiser's kernel as on a GPU."""

import pytest
import torch
from torch import nn

from stylegan2_ada.finite_steps import MAX_BAD_STEPS, FiniteSteps, TrainingDivergedError

CPU = torch.device("cpu")
PHASES = ("one", "other")


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_a_bad_step_changes_nothing_and_the_next_is_as_if_it_had_not_been(fused: bool, bad: float) -> None:
    gradients = [torch.tensor([1.0, -2.0]), torch.tensor([bad, 0.5]), torch.tensor([0.25, 3.0])]

    def train(steps: list[int]) -> tuple[torch.Tensor, FiniteSteps]:
        p = nn.Parameter(torch.tensor([1.0, 1.0]))
        adam = torch.optim.Adam([p], lr=0.1, betas=(0.0, 0.99), fused=fused)
        finite = FiniteSteps(PHASES, CPU)
        for step in steps:
            p.grad = gradients[step].clone()
            finite.take(adam, [p.grad], "one")
        finite.look()
        return p.detach(), finite

    with_bad, finite = train([0, 1, 2])
    without, _ = train([0, 2])
    assert torch.equal(with_bad, without)
    assert not torch.equal(with_bad, torch.ones(2))
    assert (finite.total, finite.in_a_row) == (1, {"one": 0, "other": 0})


def test_one_phase_s_good_steps_do_not_hide_another_s_bad_ones() -> None:
    p = nn.Parameter(torch.ones(1))
    adam = torch.optim.Adam([p])
    finite = FiniteSteps(PHASES, CPU)
    for _ in range(MAX_BAD_STEPS - 1):
        for phase, gradient in (("one", 1.0), ("other", torch.nan)):
            p.grad = torch.tensor([gradient])
            finite.take(adam, [p.grad], phase)
    finite.check(1.0)
    finite.take(adam, [torch.tensor([torch.nan])], "other")
    with pytest.raises(TrainingDivergedError, match=r"of the other phase .* 20 .* after 2\.0 kimg"):
        finite.check(2.0)


def test_counts_go_on_from_a_state() -> None:
    finite = FiniteSteps(PHASES, CPU)
    finite.load(5, {"other": 3})
    p = nn.Parameter(torch.ones(1))
    finite.take(torch.optim.Adam([p]), [torch.tensor([torch.nan])], "other")
    finite.look()
    assert (finite.total, finite.in_a_row) == (6, {"one": 0, "other": 4})
