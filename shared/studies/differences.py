"""What differs between a configuration that is stored and the one that is asked for, in words."""

from collections.abc import Iterator, Set
from itertools import takewhile
from typing import Any

MAX_DIFFERENCES = 5
FIRST = ("method", "cohort", "fold", "cells")  # the difference that others follow from
MAX_SHOWN = 24
MAX_NAMES = 3  # of lists that differ


def in_words(stored: dict[str, Any], asked: dict[str, Any], *, may_change: Set[str]) -> str:
    """Return the first few entries that differ, "" when none does.

    Args:
        stored: nested dictionaries as JSON has them.
        asked: the same.
        may_change: entries whose difference does not matter, as "name" or "outer.name".
    """
    differences = list(_differences(stored, asked, may_change))
    more = f" and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
    return "; ".join(differences[:MAX_DIFFERENCES]) + more


def _differences(stored: dict[str, Any], asked: dict[str, Any], may_change: Set[str]) -> Iterator[str]:
    old, new = dict(_flat(stored)), dict(_flat(asked))
    for name in sorted(old.keys() | new.keys(), key=lambda name: (name not in FIRST, name)):
        if not {name, name.split(".")[0]} & may_change and old.get(name) != new.get(name):
            yield f"{name} {_pair(old.get(name), new.get(name))}"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def _pair(old: Any, new: Any) -> str:
    """Return two values so that their difference is seen."""
    if all(isinstance(each, list | None) for each in (old, new)):
        return _lists(old or [], new or [])
    before, after = ("unset" if value is None else str(value) for value in (old, new))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    return f"{_shown(before, same)} there, {_shown(after, same)} asked"


def _lists(old: list[Any], new: list[Any]) -> str:
    """Return what one list has and the other has not."""
    gone, come = ([each for each in one if each not in other] for one, other in ((old, new), (new, old)))
    parts = [f"{_names(only)} only {where}" for only, where in ((gone, "there"), (come, "asked")) if only]
    return ", ".join(parts) or "in another order"


def _names(items: list[Any]) -> str:
    more = f" and {len(items) - MAX_NAMES} more" if len(items) > MAX_NAMES else ""
    return f"{', '.join(map(str, items[:MAX_NAMES]))}{more}"


def _shown(text: str, same: int) -> str:
    """Return a text whole if it is short; else a part that is not the `same` first characters alone."""
    if len(text) <= MAX_SHOWN:
        return text
    start = max(same - MAX_SHOWN // 4, 0) if same >= MAX_SHOWN // 2 else 0
    end = start + MAX_SHOWN // 2
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
