"""Several ranks take the steps that one process takes, with the same whole batch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import ddp_worker
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stylegan2_ada import Ranks
from stylegan2_ada.discriminator import minibatch_stddev

STEPS = 7  # several path-length and R1 phases; the controller has updated p once and counts for the next time
MORE = 3


def _run_ranks(
    count: int, folder: Path, steps: int = STEPS, state: Path | None = None, kind: str = "plain"
) -> list[dict[str, Any]]:
    worker = Path(__file__).with_name("ddp_worker.py")
    outs = [folder / f"rank{rank}.pt" for rank in range(count)]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                *map(str, [worker, folder / "store", rank, count, steps, out, kind, *([state] if state else [])]),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, out in enumerate(outs)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    return [torch.load(out, weights_only=True) for out in outs]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return {key: inner for part in value for key, inner in _flat(value[part], f"{name}/{part}").items()}
    return {name: value}


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return _run_ranks(2, tmp_path_factory.mktemp("ddp"))


def test_ddp_two_processes_take_the_steps_of_one(two_ranks: list[dict[str, Any]]) -> None:
    _assert_near(two_ranks[0], ddp_worker.run(Ranks(), STEPS))
    assert two_ranks[0]["state"]["ada"]["p"] != ddp_worker.CONFIG.initial_p
    assert two_ranks[0]["state"]["signs"] != 0


@pytest.mark.parametrize("kind", ["singular", "projected"])
def test_ddp_other_ways_to_train(tmp_path: Path, kind: str) -> None:
    """Singular values are moved by averaged gradients; power iterations of spectral norm are the same everywhere."""
    for result in _run_ranks(2, tmp_path, MORE, kind=kind):
        _assert_near(result, ddp_worker.run(Ranks(), MORE, kind=kind))


def _assert_near(result: dict[str, Any], expected: dict[str, Any]) -> None:
    for ours, theirs in zip(result["losses"], expected["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    left, right = _flat(result["state"]), _flat(expected["state"])
    assert left.keys() == right.keys()
    for name, value in right.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            assert float((value - left[name]).norm()) <= 1e-4 * float(value.norm()) + 1e-6, name
        elif isinstance(value, Tensor):
            assert torch.equal(value, left[name]), name
        else:
            assert value == (pytest.approx(left[name]) if isinstance(value, float) else left[name]), name


def test_ddp_ranks_agree_to_the_bit(two_ranks: list[dict[str, Any]]) -> None:
    first, second = (_flat(each["state"]) for each in two_ranks)
    for name, value in first.items():
        assert torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name], name
    assert two_ranks[0]["losses"] == two_ranks[1]["losses"]


@given(group=st.sampled_from([1, 2, 4]), ranks=st.integers(1, 4), each=st.integers(1, 3))
def test_ddp_shares_are_whole_groups(group: int, ranks: int, each: int) -> None:
    size = group * ranks * each
    whole = torch.randn(size, 2, 2, 2, generator=torch.Generator().manual_seed(size))
    shares = [Ranks(rank, ranks).share(torch.arange(size), group) for rank in range(ranks)]
    assert sorted(torch.cat(shares).tolist()) == list(range(size))
    expected = minibatch_stddev(whole, group)
    for share in shares:
        assert torch.allclose(minibatch_stddev(whole[share], group), expected[share], atol=1e-6)


@given(size=st.integers(0, 20), count=st.integers(1, 6))
def test_ddp_parts_are_the_whole_in_order(size: int, count: int) -> None:
    parts = [list(Ranks(rank, count).part(range(size))) for rank in range(count)]
    assert [each for part in parts for each in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_ddp_ranks_decide_together(two_ranks: list[dict[str, Any]]) -> None:
    for result in two_ranks:
        assert result["most"] == [0, 1]
        assert result["first"] == "of rank 0"
        assert result["gathered"] == [0, 2]


def test_ddp_torn_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 12"):
        ddp_worker.build(Ranks(0, 3))


def test_resume_with_another_number_of_ranks(two_ranks: list[dict[str, Any]], tmp_path: Path) -> None:
    """From two to one and from one to two, beyond the controller's next update."""
    straight = ddp_worker.run(Ranks(), STEPS + MORE)
    straight["losses"] = straight["losses"][STEPS:]
    _assert_near(ddp_worker.run(Ranks(), MORE, two_ranks[0]["state"]), straight)
    torch.save(ddp_worker.run(Ranks(), STEPS)["state"], tmp_path / "state.pt")
    for result in _run_ranks(2, tmp_path, MORE, tmp_path / "state.pt"):
        _assert_near(result, straight)
