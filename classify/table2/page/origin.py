"""Where the figures come from: data, settings, seeds, devices, versions, and the command that printed them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classify.table2.wording import UNDEFINED, row_name
from shared.document import Block, Grid, Heading, Paragraph, escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classify.table2.summary import Row, Table

SHORT_HASH = 12  # digits, where many stand side by side
# Columns of the table of settings, and the settings of a fit that they show.
SETTINGS = {
    "Input, px": "image_size",
    "Epochs, at most": "epochs",
    "Learning rate": "lr",
    "Batch": "batch",
    "Optimizer": "optimizer",
    "Precision": "precision",
    "Layers that train": "unfreeze",
    "Dropout": "dropout",
    "Folds": "fold",
    "Seeds": "seed",
    "Bundles (SHA-256)": "bundles",
}


def origin(table: Table) -> list[Block]:
    """Return cohort, seeds, devices, versions, commits, the command (the paper's Table 5), and how rows were fitted."""
    commits: dict[str, list[str]] = {}
    for each in table.environments:
        versions = ", ".join(f"{name} {version}" for name, version in each["versions"].items())
        where = f"device {each['device']}, Python {each['python']}, {each['platform']}, {versions}"
        commits.setdefault(where, []).append(_short_commit(each["commit"]))
    lines = [f"{where}, commit {', '.join(found)}" for where, found in commits.items()]
    results = [each for row in table.rows for each in (row.balanced, row.external) if each is not None]
    seeds = sorted({seed for each in results for seed in each.seeds})
    named = f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    machines = "; ".join(map(_machine, table.hardware))
    return [
        Heading("Where these figures come from", 2),
        Paragraph(f"Photographs: {'; '.join(map(_cohort, table.cohorts))}."),
        Paragraph(
            f"Environment (the paper's Table 5): tested on {machines}; {named}; fitted and tested with "
            f"{'; and '.join(lines)}. Printed by `{table.command}`."
        ),
        Heading("How each row was fitted", 3),
        Grid(["Row", *SETTINGS], [_fit_cells(row) for row in table.rows]),
    ]


def _cohort(cohort: Mapping[str, Any]) -> str:
    classes = " and ".join(escaped(str(name)) for name in cohort["classes"])
    return f"{classes}, {cohort['size']} px, from {escaped(str(cohort['source']))}, cohort `{cohort['sha256']}`"


def _fit_cells(row: Row) -> list[str]:
    return [row_name(row.key), *(_distinct([fit.get(name) for fit in row.fits], name) for name in SETTINGS.values())]


def _distinct(values: Sequence[Any], name: str) -> str:
    """Return the values of a setting in the fits of a row, each once."""
    shown = (words for value in values for words in _words(value, name))
    return ", ".join(dict.fromkeys(shown)) or UNDEFINED


def _words(value: Any, name: str) -> list[str]:
    match name, value:
        case "bundles", [*hashes]:
            return [str(each)[:SHORT_HASH] for each in hashes]
        case "unfreeze", None:
            return ["all"]
        case "unfreeze", 0:
            return ["head alone"]
        case "unfreeze", _:
            return [f"head and last {value}"]
        case _, float():
            return [f"{value:g}"]
    return [escaped(str(value))]


def _machine(hardware: Mapping[str, Any]) -> str:
    known = {"threads": "threads", "memory_gib": "GiB"}
    parts = [f"{hardware[name]:g} {unit}" for name, unit in known.items() if hardware[name] is not None]
    return ", ".join([hardware["processor"], *parts])


def _short_commit(commit: str | None) -> str:
    if not commit:
        return "unknown"
    digits, _, state = commit.partition("-")
    return digits[:SHORT_HASH] + (f"-{state}" if state else "")
