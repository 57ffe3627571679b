"""From scores to a choice, by rows of numbers: what comes first, what is left out, what happens to many candidates."""

import dataclasses

import numpy as np
import pytest

from shared.phantom import render_phantom
from shared.progress import progress
from synth.selecting.diversity import farthest_first
from synth.selecting.scoring import Judged
from synth.selecting.selection import TYPICAL, ScoreTable, Thresholds, passes
from synth.selecting.verdict import Choice, Pool, choose

COUNT = 60
LIMITS = Thresholds(0.5, 0.0, 1.0, 3.0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return render_phantom(positives=COUNT, negatives=0, externals=0, size=32, seed=1).images


@pytest.fixture(scope="module")
def judged() -> Judged:
    rng = np.random.default_rng(0)
    scores = ScoreTable(*(rng.uniform(0, 4, COUNT).astype(np.float32) for _ in range(3)))
    distance = rng.uniform(1, 9, COUNT).astype(np.float32)
    rows = np.zeros(COUNT, np.int64)
    same = np.where(np.arange(COUNT) == 7, 3, -1)
    return Judged(scores, rows, distance, distance, distance, same, rows, distance)


def _choose(images: np.ndarray, judged: Judged, rule: str, keep: int | None = None, every: int = 1) -> Choice:
    rows = np.arange(0, COUNT, every)
    pool = Pool(rows, np.random.default_rng(1).normal(size=(COUNT, 3))[rows])
    by = passes(judged.scores, LIMITS)
    with progress("looking", COUNT, unit="images") as bar:
        return choose(images, judged, by, LIMITS, pool, rule=rule, gate=2.0, keep=keep, bar=bar)


def test_what_is_near_or_the_same_is_left_out_whatever_the_rule(images, judged) -> None:
    for rule in ("union", TYPICAL):
        choice = _choose(images, judged, rule)
        assert choice.copies.tolist() == [d < 2 or row == 7 for row, d in enumerate(judged.distance.tolist())]
        assert 0 < choice.copies.sum() < COUNT
        assert not (choice.selected & choice.copies).any()
        assert choice.selected.sum() == len(choice.rows)


def test_the_first_is_the_most_typical_and_the_next_the_farthest(images, judged) -> None:
    choice = _choose(images, judged, TYPICAL)
    eligible = np.flatnonzero(choice.by.typicality & ~choice.copies & ~choice.twins)
    assert sorted(choice.rows.tolist()) == eligible.tolist()
    assert choice.rows[0] == eligible[np.abs(judged.scores.typicality[eligible] - 2.0).argmin()]
    features = np.random.default_rng(1).normal(size=(COUNT, 3))[eligible]
    first = eligible.tolist().index(choice.rows[0])
    assert choice.rows.tolist() == eligible[farthest_first(features, first, COUNT)].tolist()


def test_of_many_a_part_is_in_order_and_the_others_follow(images, judged, monkeypatch) -> None:
    whole = _choose(images, judged, TYPICAL, every=2)
    in_pool = whole.rows[whole.rows % 2 == 0]
    assert whole.rows.tolist() == [*in_pool.tolist(), *sorted(whole.rows[whole.rows % 2 == 1].tolist())]
    monkeypatch.setattr("synth.selecting.verdict.MOST_ORDERED", 3)
    few = _choose(images, judged, TYPICAL, every=2)
    assert few.rows[:3].tolist() == in_pool[:3].tolist()
    assert few.rows[3:].tolist() == sorted(set(whole.rows.tolist()) - set(in_pool[:3].tolist()))


@pytest.mark.parametrize("keep", [1, 5, 1000])
def test_keep_is_a_beginning(images, judged, keep) -> None:
    whole = _choose(images, judged, TYPICAL)
    assert _choose(images, judged, TYPICAL, keep=keep).rows.tolist() == whole.rows[:keep].tolist()


def test_twins_are_found_among_what_the_rule_keeps(images, judged) -> None:
    plain = _choose(images, judged, "union")
    one, other = plain.rows[2], plain.rows[9]
    doubled = images.copy()
    doubled[other] = np.rot90(images[one])
    choice = _choose(doubled, judged, "union")
    assert np.flatnonzero(choice.twins).tolist() == [other]
    assert set(plain.rows.tolist()) - set(choice.rows.tolist()) == {other}


def test_nothing_passes(images, judged) -> None:
    nothing = ScoreTable(*(np.full(COUNT, -9, np.float32) for _ in range(3)))
    rejected = dataclasses.replace(judged, scores=nothing)
    for rule in ("union", TYPICAL):
        assert len(_choose(images, rejected, rule).rows) == 0
