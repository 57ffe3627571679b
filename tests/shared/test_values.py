"""Ranges and budgets as the command line writes them."""

import pytest

from shared.errors import UserError
from shared.studies.values import Budget, Range, read_value


def test_values_and_ranges_are_read():
    assert read_value("0.1") == 0.1
    assert read_value("0.05:1:log") == Range(0.05, 1.0, log=True)
    assert read_value("1e-4:2e-3") == Range(1e-4, 2e-3)
    for text in ("x", "1:0", "0:1:log", "1:2:3", "1:1", ":", "0.1:", "1:2:LOG"):
        with pytest.raises(UserError, match=r"give"):
            read_value(text)


@pytest.mark.parametrize("unit", ["kimg", "epochs"])
def test_budgets_are_read(unit):
    assert Budget.read("20cells", unit) == Budget(cells=20)
    assert Budget.read("1.5h", unit) == Budget(hours=1.5)
    assert Budget.read(f"500{unit}", unit) == Budget(amount=500.0, unit=unit)
    for text in ("20", "0cells", "1.5cells", "h", "-1h", f"5 {unit}", "5nights"):
        with pytest.raises(UserError, match=f"not a budget; give 20cells, 5000{unit} or"):
            Budget.read(text, unit)


def test_a_budget_says_its_limit_and_keeps_it():
    for text, words in (("20cells", "20 cells"), ("500kimg", "500 kimg"), ("1.5h", "1.5 h")):
        assert str(Budget.read(text, "kimg")) == words
    assert Budget(amount=30.0, unit="epochs").allows(100, 29.0, 100.0)
    assert not Budget(amount=30.0, unit="epochs").allows(0, 30.0, 0.0)
