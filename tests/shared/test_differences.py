"""What differs between two configurations, in words that show it."""

import pytest

from shared.studies.differences import MAX_DIFFERENCES, in_words

LONG = "/a/folder/that/is/far/away/"


@pytest.mark.parametrize(
    ("stored", "asked", "words"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, ""),
        ({"b": {"c": 2}}, {"b": {"c": 3}}, "b.c 2 there, 3 asked"),
        ({}, {"a": 3}, "a unset there, 3 asked"),
        ({"z": 1, "fold": 0}, {"z": 2, "fold": 1}, "fold 0 there, 1 asked; z 1 there, 2 asked"),
        ({"cells": ["a", "b", "c"]}, {"cells": ["a", "d"]}, "cells b, c only there, d only asked"),
        ({"cells": ["a", "b"]}, {"cells": ["a"]}, "cells b only there"),
        ({"cells": ["a", "b"]}, {"cells": ["b", "a"]}, "cells in another order"),
        ({}, {"cells": ["a"]}, "cells a only asked"),
        ({"cells": list("abcdef")}, {"cells": []}, "cells a, b, c and 3 more only there"),
        ({"x": f"{LONG}one.h5"}, {"x": f"{LONG}two.h5"}, "x …/away/one.h5 there, …/away/two.h5 asked"),
        ({"x": "0123456789abcdefghijklmnop"}, {"x": "z" * 40}, "x 0123456789ab… there, zzzzzzzzzzzz… asked"),
    ],
)
def test_the_difference_is_shown(stored, asked, words):
    assert in_words(stored, asked, may_change=frozenset()) == words


def test_what_may_change_is_no_difference():
    assert in_words({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 2}}, may_change={"a.b"}) == "a.c 1 there, 2 asked"
    assert in_words({"a": {"b": 1}}, {"a": {"b": 2}}, may_change={"a"}) == ""


def test_many_differences_are_counted():
    many = {f"n{number}": number for number in range(MAX_DIFFERENCES + 2)}
    assert in_words(many, {}, may_change=frozenset()).endswith("and 2 more")
