"""Table 1: every cell of a grid with its quality, the paper's rows beside ours, and the losses as curves."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from shared.errors import UserError
from shared.files import write_json, write_text
from synth.cells import Cell, paper_cells
from synth.run_folder import RunFolder
from synth.run_log import criterion
from synth.table1_markdown import render

FORMAT = "rarescreen-table1"
VERSION = 1

Row = dict[str, Any]


def write_table1(out: Path, rows: Sequence[Row], protocol: str, kimg: float = 0.0) -> str:
    """Write table1.json, table1.md and curves.png for the cells of one grid that are done; return the best one's name.

    Curves are drawn of the runs whose folders are here. Of those that ended before `kimg` the table says so.

    Raises `UserError`: their scores cannot be compared.
    """
    rows = [row for group in ranked(rows) for row in group]
    spaces = sorted({row["quality"]["extractor"] for row in rows})
    if len(spaces) > 1:
        raise UserError(
            f"{out}: its cells were scored in different feature spaces ({', '.join(spaces)}) and cannot be ranked; "
            "give --features and another --out."
        )
    table = {
        "format": FORMAT,
        "version": VERSION,
        "best": rows[0]["run"],
        "protocol": protocol,
        "kimg": max(kimg, *(row["ended_at_kimg"] for row in rows)),
        "rows": rows,
        "paper": [{"gamma": c.gamma, "lr": c.lr, "target": c.target, "fid": c.paper_fid} for c in paper_cells()],
    }
    seeds = len({row["seed"] for row in rows})
    folders = {_label(row, seeds): RunFolder(out / row["run"]) for row in rows}
    logs = {label: folder.read_log() for label, folder in folders.items() if folder.log.exists()}
    if logs:
        _draw_curves(out / "curves.png", logs)
    write_text(out / "table1.md", render(table))
    write_json(out / "table1.json", table)  # last: who finds it finds the others
    return str(rows[0]["run"])


def ranked(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each cell, one a seed, best first: cells by their mean criterion, seeds by their own."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: float(row["criterion"])):
        groups.setdefault((row["gamma"], row["lr"], row["target"]), []).append(row)
    return sorted(groups.values(), key=lambda group: fmean(row["criterion"] for row in group))


def row_of(out: Path, folder: RunFolder) -> Row:
    """Return a run's best checkpoint as one row; its first score is that of the networks it began with."""
    config, log = folder.read_config(), folder.read_log()
    scored = [line for line in log if "quality" in line]
    best = min(scored, key=lambda line: criterion(line["quality"]))
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


def _label(row: Row, seeds: int) -> str:
    """Return what a run is called beside others: the hyper-parameters that its method has, and one of several seeds."""
    names = ("gamma", "lr", "target", *(["seed"] if seeds > 1 else []))
    return ", ".join(f"{name} {row[name]:g}" for name in names if row[name] is not None)


def _draw_curves(path: Path, logs: dict[str, list[dict[str, Any]]]) -> None:
    from shared.plots import Panel, Series, curves

    quality = next(line["quality"] for log in logs.values() for line in log if "quality" in line)
    panels = [
        ("loss_G", "generator loss", "loss", ()),
        ("loss_D", "discriminator loss", "loss", ()),
        ("p", "augmentation strength p", "p", (0, 0.1)),
    ]
    drawn = [
        Panel(
            title,
            "kimg",
            unit,
            tuple(_series(Series, name, log, key) for name, log in logs.items()),
            shows=shows,
        )
        for key, title, unit, shows in panels
        if key != "p" or any(line.get("p") for log in logs.values() for line in log)  # diffaug has no strength
    ]
    scores = tuple(
        Series(
            name,
            [line["kimg"] for line in log if "quality" in line],
            [line["quality"]["value"] for line in log if "quality" in line],
        )
        for name, log in logs.items()
    )
    curves(path, [Panel(f"quality: {quality['name']}", "kimg", "distance", scores), *drawn])


def _series(kind: Any, name: str, log: list[dict[str, Any]], key: str) -> Any:
    points = [(line["kimg"], line[key]) for line in log if key in line]
    return kind(name, [x for x, _ in points], [y for _, y in points])
