"""What an examination found, and how it is told."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from rich.table import Table
from rich.text import Text

from shared.console import say, tabulate
from shared.errors import UserError


class State(str, Enum):
    """Whether something is as it should be, worth knowing, not known, or in the way of the job."""

    GOOD = "ok"
    NOTE = "note"
    UNKNOWN = "?"
    BAD = "stop"


STYLES = {State.GOOD: "green", State.NOTE: "yellow", State.UNKNOWN: "yellow", State.BAD: "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, its state, and a sentence, with the way out where there is one."""

    about: str
    state: State
    text: str


def good(about: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(about, State.GOOD, text)


def note(about: str, text: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(about, State.NOTE, text)


def unknown(about: str, text: str) -> Finding:
    """Return a finding of what was not looked at, and may be in the way of the job."""
    return Finding(about, State.UNKNOWN, text)


def bad(about: str, text: str) -> Finding:
    """Return a finding that is in the way of the job."""
    return Finding(about, State.BAD, text)


def tell(findings: Iterable[Finding], job: str, *, as_json: bool = False) -> None:
    """Print findings on standard output, and what follows for `job` ("synth train …") on standard error.

    Raises `UserError`: something is in its way, so that the command ends with exit code 2.
    """
    found = list(findings)
    if as_json:
        rows = [{"about": each.about, "state": each.state.value, "text": each.text} for each in found]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for each in found:
            table.add_row(Text(each.state.value, style=STYLES[each.state]), Text(each.about), Text(each.text))
        tabulate(table)
    ways = [each for each in found if each.state is State.BAD]
    if ways:
        more = f" (and {len(ways) - 1} more, above)" if len(ways) > 1 else ""
        raise UserError(f"{job} would not run: {ways[0].text.rstrip('.')}{more}.")
    open_questions = [each.about for each in found if each.state is State.UNKNOWN]
    if open_questions:
        say(f"Nothing of what was looked at is in the way of {job}; not tried: {', '.join(open_questions)}.")
    else:
        say(f"Nothing is in the way of {job}.")
