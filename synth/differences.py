"""What differs between a configuration that is stored and the one that is asked for, in words."""

from collections.abc import Iterator, Set
from typing import Any

MAX_DIFFERENCES = 5
FIRST = ("method", "cohort", "fold", "cells")  # the difference that others follow from
MAX_SHOWN = 24


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
            yield f"{name} {_shown(old.get(name))} there, {_shown(new.get(name))} asked"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN // 2] + "…"
