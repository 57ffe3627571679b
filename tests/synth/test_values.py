"""Ranges and budgets as the command line writes them."""

import pytest

from shared.errors import UserError
from synth.values import Budget, Range, read_value


def test_values_and_ranges_are_read():
    assert read_value("0.1") == 0.1
    assert read_value("0.05:1:log") == Range(0.05, 1.0, log=True)
    assert read_value("1e-4:2e-3") == Range(1e-4, 2e-3)
    for text in ("x", "1:0", "0:1:log", "1:2:3", "1:1", ":", "0.1:", "1:2:LOG"):
        with pytest.raises(UserError, match=r"give"):
            read_value(text)


def test_budgets_are_read():
    assert Budget.read("20cells") == Budget(cells=20)
    assert Budget.read("1.5h") == Budget(hours=1.5)
    assert Budget.read("500kimg") == Budget(kimg=500.0)
    for text in ("20", "0cells", "1.5cells", "h", "-1h", "5 kimg"):
        with pytest.raises(UserError, match="not a budget"):
            Budget.read(text)
