"""The conditions of SCIN by name: found whatever their case, suggested where a name is not known, and counted."""

from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

from rich.table import Table
from rich.text import Text

from shared.console import tabulate
from shared.errors import UserError
from synth.cohorts.options import MIN_WEIGHT
from synth.cohorts.scin_tables import Scin, key_of, read_scin

SUGGESTED = 5
MIN_LIKENESS = 0.5


def find_condition(scin: Scin, name: str, option: str) -> str:
    """Return the key of the condition that `name` is, whatever its case; no other name will do.

    Raises `UserError`: no case has a weight for it. What dermatologists called so, and like names, are told.
    """
    key = key_of(name)
    if key in scin.spelling:
        return key
    weighed = Counter(each for case in scin.cases for each in case.weights)
    written = [case for case in scin.cases if key in case.named]
    instead = Counter(each for case in written for each in case.weights)
    known = _shown(scin, [each for each, _ in instead.most_common(SUGGESTED)], instead)
    aside = f"; dermatologists wrote it of {len(written)} cases, whose weights are of {known}" if known else ""
    like = sorted(weighed, key=lambda each: (-_likeness(key, each), each))[:SUGGESTED]
    near = _shown(scin, [each for each in like if _likeness(key, each) >= MIN_LIKENESS], weighed)
    hint = f"; near to it are {near} cases" if near else ""
    raise UserError(
        f"{option} {name}: no case has a weight for it{aside}{hint}; give a name that "
        f"`synth prepare --list-conditions {scin.folder}` lists."
    )


def _shown(scin: Scin, keys: list[str], counts: Counter[str]) -> str:
    return ", ".join(f"{scin.spelling[key]} ({counts[key]})" for key in keys)


def _likeness(asked: str, known: str) -> float:
    """Return how alike two names are, 0 to 1: halfway from the likest pair of words to the mean over words of `asked`.

    So "eczema herpeticum" is near to "herpes simplex", though it shares no word with it.
    """
    best = [max(SequenceMatcher(None, word, other).ratio() for other in known.split()) for word in asked.split()]
    return (max(best) + sum(best) / len(best)) / 2 if best else 0.0


def print_conditions(folder: Path) -> None:
    """Show every condition of a SCIN folder on standard output, with how many usable cases have it.

    Raises `UserError`: as `read_scin` does.
    """
    scin = read_scin(folder)
    usable = [case for case in scin.cases if case.gradable]
    first = Counter(key for case in usable for key, weight in case.weights.items() if weight >= MIN_WEIGHT)
    any_weight = Counter(key for case in usable for key in case.weights)
    table = Table("condition", box=None, padding=(0, 2, 0, 0))
    table.add_column(f"cases of weight {MIN_WEIGHT:g} or more", justify="right")
    table.add_column("of any weight", justify="right")
    for key in sorted(any_weight, key=lambda each: (-first[each], -any_weight[each], each)):
        table.add_row(Text(scin.spelling[key]), str(first[key]), str(any_weight[key]))
    tabulate(table)
