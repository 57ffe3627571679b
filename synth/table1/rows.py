"""Table 1: every cell of a grid with its quality, the paper's rows beside ours, and the losses as curves."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from shared.errors import UserError
from shared.files import read_json, write_json, write_text
from synth.scores.certainty import Certainty, Compared
from synth.scores.ranking import leads
from synth.table1.markdown import render
from synth.training.cells import Cell, paper_cells
from synth.training.run_folder import Log, RunFolder
from synth.training.run_log import criterion

FORMAT = "rarescreen-table1"
VERSION = 1

SPACE = ("extractor", "layer", "resizer", "weights_sha256")  # what makes a feature space
CERTAIN = tuple(field.name for field in dataclasses.fields(Certainty))
Row = dict[str, Any]


def write_table1(out: Path, rows: Sequence[Row], protocol: str, kimg: float = 0.0) -> str:
    """Write table1.json, table1.md and curves.png for the cells of one grid that are done; return the best one's name.

    Curves are drawn of the runs whose folders are here. Of those that ended before `kimg` the table says so.

    Raises `UserError`: their scores cannot be compared, or read.
    """
    with unreadable(out):
        table = table_of(out, rows, protocol, kimg)
        text = render(table)
        _draw_runs(out, table["rows"])
    write_text(out / "table1.md", text)
    write_json(out / "table1.json", table)  # last: who finds it finds the others
    return str(table["best"])


@contextlib.contextmanager
def unreadable(out: Path) -> Iterator[None]:
    """Say in one sentence that runs in `out` tell something else of their scores than runs do."""
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{out}: what a run there says of its scores cannot be read ({type(error).__name__}: {error}); remove the "
            "folder of the damaged run to train it again."
        ) from error


def table_of(out: Path, rows: Sequence[Row], protocol: str, kimg: float = 0.0) -> dict[str, Any]:
    """Return Table 1 as JSON has it; raises as `write_table1`."""
    cells = ranked(rows)
    rows = [row for group in cells for row in group]
    spaces = {tuple(row["quality"][name] for name in SPACE) for row in rows}
    if len(spaces) > 1:
        differ = next(column for column in zip(*spaces, strict=True) if len(set(column)) > 1)
        raise UserError(
            f"{out}: its cells were scored in different feature spaces ({', '.join(sorted(set(differ)))}) and cannot "
            "be ranked; give --features and another --out."
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "best": rows[0]["run"],
        "protocol": protocol,
        "kimg": max(kimg, *(row["ended_at_kimg"] for row in rows)),
        "rows": rows,
        "leads": _leads(out, cells),
        "paper": [{"gamma": c.gamma, "lr": c.lr, "target": c.target, "fid": c.paper_fid} for c in paper_cells()],
    }


def _draw_runs(out: Path, rows: Sequence[Row]) -> None:
    """Draw the curves of the runs whose folders are in `out`."""
    folders = {label: RunFolder(out / row["run"]) for label, row in zip(labels(rows), rows, strict=True)}
    logs = {label: folder.read_log() for label, folder in folders.items() if folder.log.exists()}
    if logs:
        _draw_curves(out / "curves.png", logs)


def _leads(out: Path, cells: Sequence[Sequence[Row]]) -> list[dict[str, Any] | None]:
    """Return by how much the best cell is nearer than each of the others, None where run folders are not here."""
    paths = [[RunFolder(out / row["run"]).compared for row in cell] for cell in cells]
    found = leads([[Compared.read(path) if path.exists() else None for path in cell] for cell in paths])
    return [None if lead is None else dataclasses.asdict(lead) for lead in found]


def ranked(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each cell, one a seed, best first: cells by their mean criterion, seeds by their own."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: float(row["criterion"])):
        groups.setdefault((row["gamma"], row["lr"], row["target"]), []).append(row)
    return sorted(groups.values(), key=lambda group: fmean(row["criterion"] for row in group))


def row_of(out: Path, folder: RunFolder) -> Row:
    """Return a run's best checkpoint as one row; its first score is that of the networks it began with.

    Raises `UserError`: a file of the run is damaged.
    """
    config, log = folder.read_config(), folder.read_log()
    with folder.damage(folder.log):
        scored = [line for line in log if "quality" in line]
        best = min(scored, key=lambda line: criterion(line["quality"]))
    certainty = None
    if folder.certainty.exists():
        with folder.damage(folder.certainty):
            told = read_json(folder.certainty)
            certainty = {name: None if told[name] is None else float(told[name]) for name in CERTAIN}
    with folder.damage(folder.config):
        return _row_of(out, folder, config, log, best) | {"certainty": certainty}


def _row_of(out: Path, folder: RunFolder, config: dict[str, Any], log: Log, best: dict[str, Any]) -> Row:
    scored = [line for line in log if "quality" in line]
    cell = Cell(**config["cell"])
    return {
        "run": os.path.relpath(folder.path, out),
        "gamma": None if config["training"]["loss"] == "hinge" else cell.gamma,  # which has no R1
        "lr": cell.lr,
        "target": None if config["training"]["augpipe"] in ("diffaug", "none") else cell.target,
        "kimg": best["kimg"],
        "quality": best["quality"],
        "quality_at_start": scored[0]["quality"],
        "criterion": criterion(best["quality"]),
        "collapsed_at_kimg": [line["kimg"] for line in scored if line.get("collapsed")],
        "paper_fid": cell.paper_fid,
        "seconds": log[-1]["seconds"],
        "ended_at_kimg": log[-1]["kimg"],
        "seed": config["seed"],
        "fold": config["fold"],
        "method": config["method"],
        "start": config["start"]["name"],
        "device": config["environment"]["device"],
    }


def labels(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return what each run is called beside the others: its cell, and which seed of it.

    The cell is told by the hyper-parameters that differ between runs, or by all that its method has.
    """
    names = [name for name in ("gamma", "lr", "target") if any(row[name] is not None for row in rows)]
    differ = [name for name in names if len({row[name] for row in rows}) > 1] or names
    several = len({row["seed"] for row in rows}) > 1
    return [
        (
            ", ".join(f"{name} {row[name]:g}" for name in differ if row[name] is not None),
            f", seed {row['seed']}" if several else "",
        )
        for row in rows
    ]


def _draw_curves(path: Path, logs: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Draw scores with their intervals, losses, R1 and the augmentation strength, over the images shown."""
    from shared.plots import Panel, Series, curves

    scored = {name: [line for line in log if "quality" in line] for name, log in logs.items()}
    quality = next(line["quality"] for lines in scored.values() for line in lines)

    def scores(value: str, low: str | None = None, high: str | None = None, sd: str | None = None) -> list[Series]:
        drawn = []
        for name, lines in scored.items():
            known = [line for line in lines if line["quality"].get(value) is not None]
            y = np.array([line["quality"][value] for line in known])
            band = None
            if low is not None and high is not None and all(low in line["quality"] for line in known):
                band = [[line["quality"][edge] for line in known] for edge in (low, high)]
            elif sd is not None and all(sd in line["quality"] for line in known):
                deviations = np.array([line["quality"][sd] for line in known])
                band = [y - deviations, y + deviations]
            drawn.append(Series("".join(name), [line["kimg"] for line in known], y, family=name[0], band=band))
        return drawn

    def losses(key: str) -> list[Series]:
        points = {name: [(line["kimg"], line[key]) for line in log if key in line] for name, log in logs.items()}
        return [
            Series("".join(name), [x for x, _ in row], [y for _, y in row], family=name[0])
            for name, row in points.items()
        ]

    floor = {} if quality["floor"] is None else {"reals against reals": quality["floor"]}
    panels = [
        Panel(f"quality: {quality['name']}", "kimg", "distance", scores("value")),
        Panel(
            f"at equal n = {quality['n_equal']}, ± SD", "kimg", "distance", scores("equal_n", sd="equal_n_sd"), floor
        ),
        Panel("KID to validation, 95 %", "kimg", "KID", scores("kid_validation", "kid_low", "kid_high"), shows=(0.0,)),
        Panel("generator loss", "kimg", "loss", losses("loss_G")),
        Panel("discriminator loss", "kimg", "loss", losses("loss_D")),
        Panel("R1 penalty, without gamma / 2", "kimg", "squared norm", losses("r1"), shows=(0.0,)),
        Panel("augmentation strength p", "kimg", "p", losses("p"), shows=(0.0, 0.1)),
    ]
    has_strength = any(line.get("p") for log in logs.values() for line in log)  # diffaug has none
    shown = [panel for panel in panels if any(len(np.asarray(series.x)) for series in panel.series)]
    curves(path, [panel for panel in shown if has_strength or panel.ylabel != "p"])
