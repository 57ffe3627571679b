import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from synth.drawing.seeds import MAX_SEED, choose_seeds, parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("42", [42]),
        ("0-7,42", [0, 1, 2, 3, 4, 5, 6, 7, 42]),
        ("5-5", [5]),
        ("9, 1-2", [9, 1, 2]),
        (f"{MAX_SEED}", [MAX_SEED]),
    ],
)
def test_lists(text, seeds):
    assert parse_seeds(text).tolist() == seeds


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", "a", "1-", "-1", "3-1", "1--2", "1.5", "1e3", "0x10", "²", "٣", "1;2", "1-2-3", "4294967296"],
)
def test_everything_else_is_refused(text):
    with pytest.raises(UserError, match=r"^--seeds .*0-7"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1,1", "twice"), ("0-5,3", "twice"), ("0-9999999,10000000", "at most"), ("1," * 600_000, "longer than")],
)
def test_too_many(text, reason):
    with pytest.raises(UserError, match=reason) as error:
        parse_seeds(text)
    assert len(str(error.value)) < 200


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=30))
def test_any_list_comes_back(seeds):
    assert parse_seeds(",".join(map(str, seeds))).tolist() == list(seeds)


def test_count_from_seed_on():
    assert choose_seeds(seeds=None, seed=0, count=60).tolist() == list(range(60))
    assert choose_seeds(seeds=None, seed=7, count=2).tolist() == [7, 8]
    np.testing.assert_array_equal(choose_seeds(seeds=None, seed=None, count=None), np.arange(1000))
    assert choose_seeds(seeds=None, seed=MAX_SEED, count=1).tolist() == [MAX_SEED]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"count": 0}, "--count 0"),
        ({"count": 10_000_001}, "--count"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": MAX_SEED, "count": 2}, "--seed"),
        ({"seeds": "1", "count": 5}, "combined"),
        ({"seeds": "1", "seed": 0}, "combined"),
    ],
)
def test_out_of_range(asked, reason):
    with pytest.raises(UserError, match=reason):
        choose_seeds(**({"seeds": None, "seed": None, "count": None} | asked))
