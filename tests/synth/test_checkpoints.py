"""Which states are kept, and what a damaged one does."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from shared.nn.resume import save_state
from synth.training.checkpoints import Checkpoints, Score, kept


def naive_kept(nimgs: list[int], scores: list[Score]) -> set[int]:
    result = set()
    for nimg in sorted(nimgs)[-2:]:
        result.add(nimg)
        best, good = None, None
        for score in scores:
            if score.nimg > nimg:
                break
            if best is None or score.criterion < best.criterion:
                best = score
            if good is None or score.good:
                good = score
        result |= {score.nimg for score in (best, good) if score is not None}
    return result


@given(st.lists(st.integers(0, 40), min_size=1), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8))
def test_what_is_kept_against_a_loop(nimgs: list[int], rows: list[tuple[int, bool]]) -> None:
    scores = [Score(5 * index, float(value), good) for index, (value, good) in enumerate(rows)]
    assert kept(nimgs, scores) == naive_kept(list(nimgs), scores)


def test_the_last_two_and_the_best_stay(tmp_path: Path) -> None:
    checkpoints, scores = Checkpoints(tmp_path), []
    for nimg, criterion in ((0, 9.0), (4000, 2.0), (8016, 5.0), (12000, 3.0), (16000, 4.0)):
        scores.append(Score(nimg, criterion))
        checkpoints.save(nimg, {"nimg": nimg}, scores)
    checkpoints.save(17504, {"nimg": 17504}, scores)  # between two scores
    checkpoints.save(18000, {"nimg": 18000}, scores)
    assert checkpoints.nimgs() == [4000, 16000, 17504, 18000]
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "state-0000004.000.pt"
    newest = checkpoints.load_newest()
    assert newest is not None
    assert newest["nimg"] == 18000


def test_no_states_are_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "missing").load_newest() is None


def test_damaged_states_are_removed_only_when_an_older_one_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    for nimg in (1000, 2000, 3000):
        checkpoints.save(nimg, {"x": torch.arange(3)}, [Score(1000, 1.0)])
    for nimg in (3000, 2000):
        path = checkpoints.path(nimg)
        path.write_bytes(path.read_bytes()[:-1])
    state = checkpoints.load_newest()
    assert state is not None
    assert torch.equal(state["x"], torch.arange(3))
    assert checkpoints.nimgs() == [1000]
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "damaged; going on from the checkpoint before it"
    ] * 2
    checkpoints.path(1000).write_bytes(b"")
    with pytest.raises(UserError, match=r"all 1 checkpoints are damaged; remove the run folder to train anew\.$"):
        checkpoints.load_newest()
    assert checkpoints.nimgs() == [1000]


def test_states_of_another_version_are_refused_and_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, {}, [])
    save_state(checkpoints.path(1000), {"format": "rarescreen-gan-state", "version": 99})
    with pytest.raises(UserError, match="of format rarescreen-gan-state 99"):
        checkpoints.load_newest()
    assert checkpoints.nimgs() == [0, 1000]
