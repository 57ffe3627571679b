"""Lists and dictionaries in the cells of a table, as Python prints them: flat and short ones, and nothing else.

A cell is data from outside. Its shape is checked first, so that neither a call nor anything nested reaches a parser,
and what is left is read as literals (`ast.literal_eval`), which are never run.
"""

import ast
import re
import warnings
from typing import Any

MAX_CHARS = 4096
MAX_NAME_CHARS = 200
MAX_ENTRIES = 100  # three dermatologists name some five conditions each

_TEXT = r"""(?:'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")"""
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][-+]?[0-9]{1,3})?"
# Nothing can be matched in two ways, so that no cell takes long.
_ENTRY = rf"{_TEXT}\s*:\s*{_NUMBER}\s*"
_LIST = re.compile(rf"\[\s*(?:{_TEXT}\s*(?:,\s*{_TEXT}\s*)*)?\]")
_DICT = re.compile(rf"\{{\s*(?:{_ENTRY}(?:,\s*{_ENTRY})*)?\}}")


def read_texts(cell: str) -> tuple[str, ...]:
    """Return the texts of a list such as "['Eczema', 'Tinea']"; an empty cell is an empty list.

    Raises `ValueError`: anything else; the text goes on after the name of the cell.
    """
    return tuple(map(_plain, _read(cell, _LIST, "a list of names"))) if cell else ()


def read_weights(cell: str) -> dict[str, float]:
    """Return the weights, each 0 to 1, of a dictionary such as "{'Eczema': 0.67, 'Tinea': 0.33}"; an empty cell is {}.

    Raises `ValueError`: anything else; the text goes on after the name of the cell.
    """
    weights: dict[str, float] = {}
    for name, value in (_read(cell, _DICT, "names with weights") if cell else {}).items():
        if value > 1:
            raise ValueError("has a weight above 1")
        plain = _plain(name)
        weights[plain] = weights.get(plain, 0.0) + value
    return weights


def _plain(name: str) -> str:
    """Return a name with single spaces, which a terminal can be told."""
    plain = " ".join(name.split())
    if not (plain and plain.isprintable() and len(plain) <= MAX_NAME_CHARS):
        raise ValueError("has a name that is empty, too long, or cannot be printed")
    return plain


def _read(cell: str, shape: re.Pattern[str], what: str) -> Any:
    if len(cell) > MAX_CHARS:
        raise ValueError(f"has more than {MAX_CHARS} characters")
    if not shape.fullmatch(cell):
        raise ValueError(f"is not {what}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a backslash that escapes nothing
            value = ast.literal_eval(cell)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"is not {what}") from error
    if len(value) > MAX_ENTRIES:
        raise ValueError(f"has more than {MAX_ENTRIES} entries")
    return value
