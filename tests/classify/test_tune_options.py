"""What a search of settings is asked for: whatever is in its ranges can be built, and all else is one sentence."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler

from classify.models import MAX_HEAD_LAYERS, build_model, count_parameters
from classify.registry import MAX_IMAGE_SIZE, MODELS
from classify.tuning.options import TuneOptions, plan_trials
from classify.tuning.search import MANY_TRIALS, MOST_OPEN, Trial, TrialSearch
from shared.errors import UserError

OPTIONS = TuneOptions(cohort=Path("cohort.h5"), out=Path("tune"))
SMALLEST = MODELS["custom_cnn"].min_image_size


def build(trial: Trial, size: int) -> int:
    """Build a trial's network without memory for it, let it see an image, and return its parameters."""
    with torch.device("meta"):
        classifier = build_model("custom_cnn", image_size=size, depth=trial.depth, head=trial.head).eval()
        assert classifier(torch.zeros(1, size, size, 3, dtype=torch.uint8)).shape == (1, 2)
    return count_parameters(classifier)["total"]


def drawn(search: TrialSearch, count: int, seed: int) -> list[Trial]:
    """Return points as a study draws them."""
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    trials = [search.cell_of(study.ask(search.distributions()).params) for _ in range(count)]
    assert all(trial is not None for trial in trials)
    return [trial for trial in trials if trial is not None]


SIZES = st.one_of(st.integers(SMALLEST, MAX_IMAGE_SIZE), st.sampled_from([2**n for n in range(5, 11)]))


@given(
    size=SIZES,
    depth=st.none() | st.tuples(st.integers(1, 12), st.integers(0, 12)),
    layers=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    widths=st.lists(st.integers(1, 512), min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_whatever_is_in_the_ranges_can_be_built(
    size: int, depth: tuple[int, int] | None, layers: tuple[int, int], widths: list[int], seed: int
) -> None:
    """Every end and every point: images that cannot be halved so often have fewer convolutions."""
    asked = replace(
        OPTIONS,
        depth=None if depth is None else f"{depth[0]}:{depth[0] + depth[1]}",
        layers=f"{min(layers)}:{max(layers)}",
        width=tuple(widths),
        budget="1cells",
    )
    halvings = next(n for n in range(11) if size % 2 ** (n + 1))
    if depth is not None and depth[0] > min(halvings + 1, 9):
        with pytest.raises(UserError, match=rf"^--depth {asked.depth}: images of {size} px can be halved"):
            plan_trials(asked, size)
        return
    search = plan_trials(asked, size)
    for trial in (*search.corners(), *drawn(search, 3, seed)):
        build(trial, size)
        assert len(trial.head) <= MAX_HEAD_LAYERS
        assert search.cell_of(search.params_of(trial)) == trial
    ends = [(trial.depth, trial.layers, trial.width) for trial in search.corners()]
    assert {each[0] for each in ends} == set(search.depth or ())
    assert {each[1] for each in ends} == set(layers)
    assert {each[2] for each in ends} == {min(widths), max(widths)}


def test_the_usual_ranges_follow_the_images() -> None:
    depths = {256: (3, 6), 96: (3, 6), 36: (3, 3), 34: (2, 2), 33: (1, 1)}  # halved 8, 5, 2, 1 and 0 times
    assert {size: plan_trials(OPTIONS, size).depth for size in depths} == depths
    assert plan_trials(replace(OPTIONS, depth="2:9"), 36).depth == (2, 3)  # what cannot be built is left out
    assert plan_trials(replace(OPTIONS, depth="2"), 64).depth == (2, 2)
    frozen = replace(OPTIONS, model="efficientnet_lite0")
    assert plan_trials(frozen, 32).depth is None
    assert all(trial.depth is None for trial in drawn(plan_trials(frozen, 32), 5, 0))


def test_each_layer_of_a_head_has_half_of_the_one_before() -> None:
    heads = {(0, 64): (), (1, 64): (64,), (3, 64): (64, 32, 16), (4, 8): (8, 4, 2, 2), (2, 1): (1, 1), (2, 3): (3, 2)}
    assert {each: Trial(1e-3, None, *each, "adam").head for each in heads} == heads


def test_two_points_of_one_name_are_one_fit() -> None:
    """So it says all that tells points apart, the learning rate to six digits."""
    search = plan_trials(replace(OPTIONS, lr=("1e-3", "2e-3"), layers="0:2", width=(1, 2, 32)), 64)
    points = {trial.name: trial for trial in drawn(search, 3000, 0)}
    assert len(points) == search.points == 2 * 4 * (1 + 3 + 3) * 3
    fits = {(trial.lr, trial.depth, trial.head, trial.optimizer) for trial in points.values()}
    assert len(fits) == len(points)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "alexnet"}, "--model alexnet: no such model"),
        ({"sampler": "magic"}, "--sampler magic: unknown; use one of tpe, random"),
        ({"pruner": "magic"}, "--pruner magic: unknown; use one of none, median, hyperband"),
        ({"optimizers": ("adam", "adagrad")}, "--optimizer adagrad: not known; give one of adam, "),
        ({"optimizers": ()}, "--optimizer: none given"),
        ({"width": (32, 0)}, "--width 0: out of range; give 1 to 8192"),
        ({"width": (10000,)}, "--width 10000: out of range"),
        ({"layers": "5"}, "--layers 5: more than 4 hidden layers"),
        ({"layers": "2:1"}, "--layers 2:1: not a range of whole numbers"),
        ({"layers": "-1:1"}, "--layers -1:1: not a range of whole numbers"),
        ({"depth": "3:"}, "--depth 3:: not a range of whole numbers"),
        ({"depth": "0:3"}, "--depth 0:3: images of 32 px can be halved 5 times, which is 1 to 6 convolutions"),
        ({"depth": "7:9"}, "--depth 7:9: images of 32 px can be halved 5 times"),
        ({"depth": "3", "model": "vgg16"}, "--depth 3: vgg16 has the layers that it has; leave it out"),
        ({"lr": ("fast",)}, "--lr fast: neither a number nor a range"),
        ({"lr": ("1e-2:1e-5:log",)}, "--lr 1e-2:1e-5:log: an empty range"),
        ({"lr": ("0:1",)}, "--lr 0:1: not within 0 to 1e+06"),
        ({"lr": ("0:1:log",)}, "--lr 0:1:log: numbers up to 0 have no logarithm"),
        ({"lr": ("1e-3", "-1")}, "--lr -1: not a positive number"),
        ({"lr": ("1e-3", "nan")}, "--lr nan: not a positive number"),
        ({"lr": ("1e-3", "inf")}, "--lr inf: not a positive number"),
        ({"lr": ("1e-3", "1e-4:1e-3")}, "--lr 0.0001:0.001: a range and more"),
        ({"lr": ()}, "--lr: none given"),
        ({"epochs": 0}, "--epochs 0: too few"),
        ({"image_size": 0}, "--image-size 0: out of range"),
        ({"image_size": -32}, "--image-size -32: out of range"),
        ({"budget": "20"}, "--budget 20: not a budget; give 20cells, 5000epochs or 12h"),
        ({"budget": "0cells"}, "--budget 0cells: not a budget"),
        ({"budget": "5kimg"}, "--budget 5kimg: not a budget"),
        (
            {"budget": "3cells", "lr": ("1e-3",), "depth": "3", "layers": "0:1", "width": (2,), "optimizers": ("sgd",)},
            "--budget 3cells: more than the 2 trials that the values make",
        ),
        ({"jobs": 0}, "--jobs 0: out of range"),
        ({"grace": 0.5}, "--grace 0.5: out of range; give 1 to 100000 seconds"),
        ({"study_name": "s"}, "--study s: names a study in --storage"),
    ],
)
def test_a_bad_option_is_one_sentence_that_names_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        plan_trials(replace(OPTIONS, **changes), 32)
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith(".")


def rows(count: int, *, epochs: int = 0, seconds: float = 0.0) -> list[dict[str, Any]]:
    return [{"epochs": epochs, "seconds": seconds}] * count


def test_a_budget_counts_what_is_done_and_what_is_under_way() -> None:
    cells, epochs, hours = (plan_trials(replace(OPTIONS, budget=b), 32) for b in ("5cells", "50epochs", "2h"))
    assert cells.allows(4, rows(1), 10)
    assert not cells.allows(5, rows(1), 10)
    assert epochs.allows(4, rows(2, epochs=7), 10)  # 14 and two under way are 34
    assert not epochs.allows(5, rows(2, epochs=10), 10)
    assert hours.allows(9, rows(7, seconds=1000), 10)
    assert not hours.allows(9, rows(8, seconds=900), 10)
    assert [each.most_cells for each in (cells, epochs, hours)] == [5, MANY_TRIALS, MANY_TRIALS]


def test_trials_that_all_fail_end_though_no_budget_of_time_is_used_up() -> None:
    search = plan_trials(replace(OPTIONS, budget="2h"), 32)
    assert search.allows(MOST_OPEN - 1, [], 10)
    assert not search.allows(MOST_OPEN, [], 10)


def test_samplers_and_pruners_are_what_they_are_called() -> None:
    kinds = {"none": NopPruner, "median": MedianPruner, "hyperband": HyperbandPruner}
    for name, kind in kinds.items():
        assert isinstance(plan_trials(replace(OPTIONS, pruner=name), 32).make_pruner(30), kind)
    samplers = [plan_trials(replace(OPTIONS, sampler=name), 32).make_sampler(0) for name in ("tpe", "random")]
    assert [type(each).__name__ for each in samplers] == ["TPESampler", "RandomSampler"]


def test_choices_that_are_given_twice_count_once() -> None:
    search = plan_trials(
        replace(OPTIONS, lr=("1e-3", "0.001"), width=(8, 8), optimizers=("sgd", "sgd"), budget="2h"), 32
    )
    assert (search.lr, search.width, search.optimizers) == ((1e-3,), (8,), ("sgd",))
    assert plan_trials(OPTIONS, 32).points == math.inf
