"""Table 1 as Markdown, with what its numbers mean."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any

Row = dict[str, Any]


def render(table: dict[str, Any]) -> str:
    """Return the document; the rows of a cell, one a seed, stand together, and cells in the order of their ranks."""
    rows = table["rows"]
    cells = [list(of_cell) for _, of_cell in groupby(rows, key=itemgetter("gamma", "lr", "target"))]
    quality = rows[0]["quality"]
    seeds = sorted({row["seed"] for row in rows})
    lines = [
        "# Table 1: quality over gamma, learning rate and target",
        "",
        f"{quality['name']} of {quality['n_fake']} generated images against {quality['n_real']} training images; "
        f"smaller is better. {_listed('Seed', seeds)}, fold {rows[0]['fold']}, {rows[0]['device']}, "
        f"method {' and '.join(sorted({row['method'] for row in rows}))}, start {rows[0]['start'] or 'from scratch'}.",
        "",
        f"| rank | gamma | lr | target | kimg | {quality['name']} | equal n ({quality['n_equal']}) "
        "| excess over the floor: start → best | KID to validation ± SD | s | FID in the paper |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [_cell(rank, of_cell) for rank, of_cell in enumerate(cells, start=1)]
    lines += ["", _legend(table, len(seeds)), "", "## The paper's Table 1", ""]
    lines += ["| gamma | lr | target | FID in the paper | ours |", "|--:|--:|--:|--:|--:|"]
    ours = {(of_cell[0]["gamma"], of_cell[0]["lr"], of_cell[0]["target"]): of_cell for of_cell in cells}
    for row in table["paper"]:
        point = (row["gamma"], row["lr"], row["target"])
        value = _spread(each["quality"]["value"] for each in ours[point]) if point in ours else "not run"
        lines.append(f"| {point[0]:g} | {point[1]:g} | {point[2]:g} | {row['fid']:g} | {value} |")
    return "\n".join(lines) + "\n"


def _cell(rank: int, rows: Sequence[Row]) -> str:
    """Return the line of one cell: of several seeds the means and standard deviations."""
    row, best = rows[0], [row["quality"] for row in rows]
    point = f"{_number(row['gamma'])} | {row['lr']:g} | {_number(row['target'])}"
    kimg = " ".join(f"{each['kimg']:g}" for each in sorted(rows, key=lambda each: int(each["seed"])))
    equal = _spread(quality["equal_n"] for quality in best)
    excess = f"{_excess(each['quality_at_start'] for each in rows)} → {_excess(best)}"
    return (
        f"| {rank} | {point} | {kimg} | {_spread(quality['value'] for quality in best)} | {equal} | {excess} "
        f"| {_kid(best)} | {sum(each['seconds'] for each in rows):.0f} | {_number(row['paper_fid'])} |"
    )


def _kid(best: Sequence[dict[str, Any]]) -> str:
    """Return the KID: of one seed beside its deviation over subsets, of several beside that over seeds."""
    if best[0]["kid_validation"] is None:
        return "–"
    if len(best) > 1:
        return _spread((quality["kid_validation"] for quality in best), 4)
    return f"{best[0]['kid_validation']:.4f} ± {best[0]['kid_validation_std']:.4f}"


def _spread(values: Iterable[float | None], digits: int = 1) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    sd = f" ± {stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{fmean(known):.{digits}f}{sd}"


def _excess(qualities: Iterable[dict[str, Any]]) -> str:
    """Return by how much fakes are farther from half of the reals than the other half is."""
    return _spread(None if each["equal_n"] is None else each["equal_n"] - each["floor"] for each in qualities)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _legend(table: dict[str, Any], seeds: int) -> str:
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
    sure = (
        "with one seed a cell, close cells cannot be told apart."
        if seeds == 1
        else f"± is the standard deviation over {seeds} seeds, and kimg is of the best checkpoint of each."
    )
    early = [row["run"] for row in table["rows"] if row["ended_at_kimg"] < table["kimg"]]
    pruned = f" {', '.join(early)} ended early, being far behind." if early else ""
    unchanged = [row["run"] for row in table["rows"] if row["kimg"] == 0 < row["ended_at_kimg"]]
    unimproved = (
        f" No checkpoint of {', '.join(unchanged)} improved on the networks it began with." if unchanged else ""
    )
    collapse = f" Diversity collapsed at some checkpoint of {', '.join(collapsed)}." if collapsed else ""
    return f"{floor} Checkpoints and cells are chosen by {chosen}; {sure} {comparable}{collapse}{pruned}{unimproved}"
