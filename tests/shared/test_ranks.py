"""Processes that take each step together: two of them, joined as torchrun would."""

import json
import socket
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from shared.console import processes, rank
from shared.errors import UserError
from shared.nn.ranks import ALONE, Ranks, joined

WORKER = """
import json
import torch
from torch import nn
from shared.errors import BusyError
from shared.nn.ranks import joined

with joined("cpu") as (ranks, device):
    me = ranks.rank
    told = {"rank": me, "count": ranks.count, "first": ranks.first, "device": str(device)}
    told["most"] = [ranks.most(value) for value in ((3, 8)[me], (15, 0)[me], 0)]

    called = []
    told["from_first"] = ranks.from_first(lambda: called.append(me) or {"by": me})
    told["called"] = called

    def refuse():
        raise BusyError("the first one says no.")

    try:
        ranks.from_first(refuse)
    except BusyError as error:
        told["refused"] = str(error)

    told["gather"] = ranks.gather({"of": me})
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.arange(6.0).reshape(2, 3) * (me + 1)
    if me == 1:
        parameters[1].grad = torch.full((4,), 7.0)
    ranks.add_gradients(parameters)
    told["gradients"] = [parameter.grad.tolist() for parameter in parameters]
    turned = torch.arange(4.0).reshape(2, 2).t() + 10 * me  # not contiguous
    scalar = torch.tensor(float(me))
    ranks.average([turned, scalar])
    told["averages"] = [turned.tolist(), scalar.tolist()]
    ranks.average([])
told["after"] = torch.distributed.is_initialized()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def two() -> list[dict[str, Any]]:
    """What each of two processes found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": ":".join(each for each in sys.path if each)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=180) for process in processes]
    assert all(process.returncode == 0 for process in processes), ended
    return [json.loads(out) for out, _ in ended]


def test_each_knows_its_place_and_leaves_when_it_is_done(two: list[dict[str, Any]]) -> None:
    assert [(told["rank"], told["count"], told["first"], told["device"]) for told in two] == [
        (0, 2, True, "cpu"),
        (1, 2, False, "cpu"),
    ]
    assert not any(told["after"] for told in two)


def test_all_take_the_same_decision(two: list[dict[str, Any]]) -> None:
    assert [told["most"] for told in two] == 2 * [[8, 15, 0]]


def test_what_the_first_makes_all_have_and_what_it_raises_all_raise(two: list[dict[str, Any]]) -> None:
    assert [told["from_first"] for told in two] == 2 * [{"by": 0}]
    assert [told["called"] for told in two] == [[0], []]
    assert [told["refused"] for told in two] == 2 * ["the first one says no."]


def test_parts_are_gathered_in_order(two: list[dict[str, Any]]) -> None:
    assert [told["gather"] for told in two] == 2 * [[{"of": 0}, {"of": 1}]]


def test_gradients_add_up_and_none_is_zero(two: list[dict[str, Any]]) -> None:
    expected = [[[0, 3, 6], [9, 12, 15]], [7, 7, 7, 7], [0]]
    assert [told["gradients"] for told in two] == 2 * [expected]


def test_tensors_become_their_mean_whatever_their_layout(two: list[dict[str, Any]]) -> None:
    assert [told["averages"] for told in two] == 2 * [[[[5, 7], [6, 8]], 0.5]]


def test_one_process_has_everything_to_itself() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    statistics = torch.ones(3)
    assert (ALONE, ALONE.first) == (Ranks(0, 1), True)
    assert (ALONE.most(3), ALONE.gather("x"), ALONE.from_first(lambda: 5)) == (3, ["x"], 5)
    ALONE.add_gradients([parameter])
    assert parameter.grad is None
    ALONE.average([statistics])
    assert statistics.tolist() == [1, 1, 1]


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as (ranks, device):
        assert (ranks, device) == (ALONE, torch.device("cpu"))
        assert not torch.distributed.is_initialized()
    with pytest.raises(UserError, match="--device abacus: no such device"), joined("abacus"):
        pass


def test_an_environment_of_several_processes_that_do_not_meet_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    sentence = "WORLD_SIZE=2: .* RANK, MASTER_ADDR, MASTER_PORT is not set; start them with torchrun"
    with pytest.raises(UserError, match=sentence), joined("cpu"):
        pass


@pytest.mark.parametrize("value", ["abc", "", "-3", "0", "²"])
def test_what_is_no_number_of_processes_was_not_set_by_torchrun(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    monkeypatch.setenv("RANK", value)
    assert (processes(), rank()) == (1, 0)
    with joined("cpu") as (ranks, _):
        assert ranks == ALONE
