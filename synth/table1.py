"""Table 1: every cell of a grid with its quality, the paper's rows beside ours, and the losses as curves."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import write_json, write_text
from synth.cells import Cell, paper_cells
from synth.run_folder import RunFolder
from synth.run_log import criterion

FORMAT = "rarescreen-table1"
VERSION = 1

Row = dict[str, Any]


def write_table1(out: Path, rows: Sequence[Row], protocol: str) -> str:
    """Write table1.json, table1.md and curves.png for the cells of one grid that are done; return the best one's name.

    Curves are drawn of the runs whose folders are here.

    Raises `UserError`: their scores cannot be compared.
    """
    rows = sorted(rows, key=lambda row: float(row["criterion"]))
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
        "rows": rows,
        "paper": [{"gamma": c.gamma, "lr": c.lr, "target": c.target, "fid": c.paper_fid} for c in paper_cells()],
    }
    folders = [RunFolder(out / row["run"]) for row in rows]
    _draw_curves(out / "curves.png", [folder for folder in folders if folder.log.exists()])
    write_text(out / "table1.md", render(table))
    write_json(out / "table1.json", table)  # last: who finds it finds the others
    return str(rows[0]["run"])


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


def render(table: dict[str, Any]) -> str:
    """Return the table as Markdown, with what its numbers mean."""
    rows = table["rows"]
    quality = rows[0]["quality"]
    lines = [
        "# Table 1: quality over gamma, learning rate and target",
        "",
        f"{quality['name']} of {quality['n_fake']} generated images against {quality['n_real']} training images; "
        f"smaller is better. Seed {rows[0]['seed']}, fold {rows[0]['fold']}, {rows[0]['device']}, "
        f"method {' and '.join(sorted({row['method'] for row in rows}))}, start {rows[0]['start'] or 'from scratch'}.",
        "",
        f"| rank | gamma | lr | target | kimg | {quality['name']} | equal n ({quality['n_equal']}) "
        "| excess over the floor: start → best | KID to validation ± SD | s | FID in the paper |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_markdown_row(rank, row) for rank, row in enumerate(rows, start=1)]
    lines += ["", _legend(table), "", "## The paper's Table 1", ""]
    lines += ["| gamma | lr | target | FID in the paper | ours |", "|--:|--:|--:|--:|--:|"]
    ours = {(row["gamma"], row["lr"], row["target"]): row["quality"]["value"] for row in rows}
    for row in table["paper"]:
        point = (row["gamma"], row["lr"], row["target"])
        value = f"{ours[point]:.1f}" if point in ours else "not run"
        lines.append(f"| {point[0]:g} | {point[1]:g} | {point[2]:g} | {row['fid']:g} | {value} |")
    return "\n".join(lines) + "\n"


def _markdown_row(rank: int, row: Row) -> str:
    best, start = row["quality"], row["quality_at_start"]
    kid = "–" if best["kid_validation"] is None else f"{best['kid_validation']:.4f} ± {best['kid_validation_std']:.4f}"
    equal = "–" if best["equal_n"] is None else f"{best['equal_n']:.1f}"
    point = f"{_number(row['gamma'])} | {row['lr']:g} | {_number(row['target'])} | {row['kimg']:g}"
    return (
        f"| {rank} | {point} | {best['value']:.1f} | {equal} | {_excess(start)} → {_excess(best)} "
        f"| {kid} | {row['seconds']:.0f} | {_number(row['paper_fid'])} |"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _excess(quality: dict[str, Any]) -> str:
    """Return by how much fakes are farther from half of the reals than the other half is."""
    return "–" if quality["equal_n"] is None else f"{quality['equal_n'] - quality['floor']:.1f}"


def _legend(table: dict[str, Any]) -> str:
    quality = table["rows"][0]["quality"]
    chosen = "KID to the validation images" if quality["kid_validation"] is not None else "the distance itself"
    comparable = (
        "The paper's FIDs are of other photographs; only the order of the cells can be compared."
        if quality["name"] == "FID"
        else "This is not FID: the features are another network's, and the paper's FIDs cannot be compared with it."
    )
    floor = (
        "There are too few real images for a real-versus-real floor."
        if quality["floor"] is None
        else f"Real images against other real images have a distance of {quality['floor']:.1f} at "
        f"n = {quality['n_equal']}: the floor, which no generator can be expected to beat."
    )
    collapsed = [row["run"] for row in table["rows"] if row["collapsed_at_kimg"]]
    unchanged = [row["run"] for row in table["rows"] if row["kimg"] == 0 < row["ended_at_kimg"]]
    unimproved = (
        f" No checkpoint of {', '.join(unchanged)} improved on the networks it began with." if unchanged else ""
    )
    collapse = f" Diversity collapsed at some checkpoint of {', '.join(collapsed)}." if collapsed else ""
    return (
        f"{floor} Checkpoints and cells are chosen by {chosen}; with one "
        f"seed a cell, close cells cannot be told apart. {comparable}{collapse}{unimproved}"
    )


def _draw_curves(path: Path, folders: list[RunFolder]) -> None:
    from shared.plots import Panel, Series, curves

    if not folders:
        return
    logs = {folder.path.name: folder.read_log() for folder in folders}
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
            tuple(_series(Series, name.replace("_", " "), log, key) for name, log in logs.items()),
            shows=shows,
        )
        for key, title, unit, shows in panels
        if key != "p" or any(line.get("p") for log in logs.values() for line in log)  # diffaug has no strength
    ]
    scores = tuple(
        Series(
            name.replace("_", " "),
            [line["kimg"] for line in log if "quality" in line],
            [line["quality"]["value"] for line in log if "quality" in line],
        )
        for name, log in logs.items()
    )
    curves(path, [Panel(f"quality: {quality['name']}", "kimg", "distance", scores), *drawn])


def _series(kind: Any, name: str, log: list[dict[str, Any]], key: str) -> Any:
    points = [(line["kimg"], line[key]) for line in log if key in line]
    return kind(name, [x for x, _ in points], [y for _, y in points])
