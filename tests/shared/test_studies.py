"""A study of cells that are nobody's but this test's: claimed once, done again when more is wanted, or chosen."""

from collections import Counter

import pytest
from small_study import CELLS, Fit, Fits, do_all, open_study, trials

from shared.errors import UserError
from shared.studies.study import require_same_plan
from shared.studies.values import Budget

NAMES = [cell.name for cell in CELLS]


def test_a_grid_is_done_once_and_its_cells_are_what_was_given(address):
    study = open_study(address)
    assert study.left() == len(CELLS)
    with study.claim() as claim:
        assert claim.cell == CELLS[0]
        other = open_study(address).claim()
        assert other.cell == CELLS[1]
        other.give_back("stopped")
        claim.finish(0.5, {"cell": claim.cell.name})
    assert sorted(do_all(study)) == sorted(NAMES[1:])
    assert [row["cell"] for row in study.rows()] == NAMES
    assert study.left() == 0
    assert all(Fit(**t.params).name == t.user_attrs["cell"] for t in trials(address))


def test_the_amount_is_kept_by_the_name_of_its_unit(tmp_path):
    address = f"sqlite:///{tmp_path}/study.db"
    do_all(open_study(address, epochs=20))
    assert do_all(open_study(address, epochs=10)) == []
    assert do_all(open_study(address, epochs=30)) == NAMES
    assert Counter(t.user_attrs["epochs"] for t in trials(address)) == {20: len(CELLS), 30: len(CELLS)}


def test_what_is_chosen_ends_with_the_budget(tmp_path):
    address = f"sqlite:///{tmp_path}/study.db"
    search = Fits(budget=Budget.read("90epochs", "epochs"))
    assert len(set(do_all(open_study(address, search, epochs=20)))) == 5  # the fifth begins when 80 are used
    assert do_all(open_study(address, search, epochs=20)) == []


def test_only_what_may_differ_of_a_plan_does(tmp_path):
    study = open_study(f"sqlite:///{tmp_path}/study.db")
    plan = {"cells": NAMES}
    require_same_plan(study.storage, "s", plan | {"rate": 1}, may_differ={"rate"})
    with pytest.raises(UserError, match=r"another grid or cohort \(rate unset there, 1 asked\)"):
        require_same_plan(study.storage, "s", plan | {"rate": 1})
    require_same_plan(study.storage, "another", {})
