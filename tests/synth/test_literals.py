"""Cells with lists and dictionaries: what Python prints is read back, and nothing else gets as far as a parser."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.cohorts.literals import MAX_CHARS, MAX_ENTRIES, read_texts, read_weights

NAMES = st.text(min_size=1, max_size=12).filter(lambda name: " ".join(name.split()) == name and name.isprintable())


@given(st.lists(NAMES, max_size=8))
def test_a_list_that_python_printed_is_read_back(names: list[str]) -> None:
    assert list(read_texts(repr(names))) == names


@given(st.dictionaries(NAMES, st.integers(0, 100).map(lambda each: each / 100), max_size=8))
def test_a_dictionary_that_python_printed_is_read_back(weights: dict[str, float]) -> None:
    assert read_weights(repr(weights)) == weights


@given(st.text("[]{}()'\",:\\0.1eE- \nabx*", max_size=24))
def test_any_other_text_is_refused_or_is_what_python_reads(cell: str) -> None:
    for read, kind in ((read_texts, list), (read_weights, dict)):
        try:
            found = read(cell)
        except ValueError:
            continue
        if cell:
            value = ast.literal_eval(cell)
            assert isinstance(value, kind)
            assert set(found) == {" ".join(name.split()) for name in value}


def test_nothing_said_is_nothing_found() -> None:
    assert (read_texts(""), read_texts("[]"), read_weights(""), read_weights("{}"), read_weights("{ }")) == (
        (), (), {}, {}, {},
    )  # fmt: skip


def test_odd_but_good_names() -> None:
    assert read_weights("""{"Bowen's disease": 0.5, 'O/E - ecchymoses': 1, 'a  b': 5e-1}""") == {
        "Bowen's disease": 0.5, "O/E - ecchymoses": 1.0, "a b": 0.5,
    }  # fmt: skip
    assert read_texts(r"['Herpes\xa0Simplex', 'L\'Hoist', 'odd \d']") == ("Herpes Simplex", "L'Hoist", r"odd \d")


BAD = {
    "a call": "__import__('os').system('touch x')",
    "a call inside": "{'Eczema': __import__('os').system('touch x')}",
    "a call as a name": "[__import__('os').system('touch x')]",
    "a comprehension": "[x for x in (1, 2)]",
    "a format string": "[f'{1 + 1}']",
    "a sum": "{'Eczema': 0.5 + 0.5}",
    "joined texts": "['a' 'b']",
    "nested": "[" * 1000 + "]" * 1000,
    "nested deeper than any parser": "-" * 4000 + "1",
    "a list in a dictionary": "{'Eczema': [0.5]}",
    "a list without quotes": "[Nummular eczema, Psoriasis vulgaris]",
    "not a number": "{'Eczema': nan}",
    "negative": "{'Eczema': -0.5}",
    "infinite": "{'Eczema': 1e999}",
    "above one": "{'Eczema': 1.01}",
    "a truth value": "{'Eczema': True}",
    "a long number": "{'Eczema': " + "1" * 400 + "}",
    "octal": "{'Eczema': 01}",
    "unfinished": "{'Eczema': 0.5",
    "unfinished text": "['Eczema]",
    "bytes": "[b'Eczema']",
    "a bad escape": r"['\x1']",
    "an empty name": "{'': 0.5}",
    "a terminal's command": r"{'\x1b[2J': 0.5}",
    "a long name": repr({"a" * 201: 0.5}),
    "a long name in a list": repr(["a" * 201]),
    "several lines": "['a\nb']",
    "long": "['" + "a" * MAX_CHARS + "']",
    "many": repr([str(number % 10) for number in range(MAX_ENTRIES + 1)]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_flat_literal_is_refused(case: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    for read in (read_texts, read_weights):
        with pytest.raises(ValueError, match=r"^(is not|has) "):
            read(BAD[case])
