"""Table 1 as Markdown, with what its numbers mean."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath
from statistics import fmean, stdev
from typing import Any

from synth.scores.ranking import Lead, in_words

Row = dict[str, Any]

UNKNOWN = "–"
SCRATCH = "scratch"  # the method without a start


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
        f"smaller is better. {_listed('Seed', seeds)}, {_trained_on(rows[0])}, {rows[0]['device']}, "
        f"{how_trained(rows)}.",
        "",
    ]
    leads = [None, *table["leads"]]
    ranked = [
        _cell(rank, of_cell, lead) for rank, (of_cell, lead) in enumerate(zip(cells, leads, strict=True), start=1)
    ]
    told = [name for name in ranked[0] if any(cell[name] != UNKNOWN for cell in ranked)]
    lines += [_line(told), f"|{'--:|' * len(told)}", *(_line([cell[name] for name in told]) for cell in ranked)]
    lines += ["", _legend(table, len(seeds))]
    if len(cells) > 1:
        found = [None if lead is None else Lead(**lead) for lead in table["leads"]]
        lines += ["", in_words(found, min(len(of_cell) for of_cell in cells))]
    lines += ["", *_files(rows), "", "## How sure that is", "", *_sureness(cells)]
    lines += ["", "## The paper's Table 1", ""]
    lines += ["| gamma | lr | target | FID in the paper | ours |", "|--:|--:|--:|--:|--:|"]
    ours = {(of_cell[0]["gamma"], of_cell[0]["lr"], of_cell[0]["target"]): of_cell for of_cell in cells}
    for row in table["paper"]:
        point = (row["gamma"], row["lr"], row["target"])
        value = _distance(ours[point]) if point in ours else "not run"
        lines.append(f"| {point[0]:g} | {point[1]:g} | {point[2]:g} | {row['fid']:g} | {value} |")
    return "\n".join(lines) + "\n"


def _sureness(cells: Sequence[Sequence[Row]]) -> list[str]:
    """Return a table of the scores' intervals, and what its columns are."""
    quality = cells[0][0]["quality"]
    n, held_out = quality["n_equal"], quality["n_validation"]
    lines = [
        f"| rank | {quality['name']} | of infinitely many fakes | equal n ({n}) | precision | recall "
        f"| to {held_out} held out | to {held_out} trained on |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for rank, rows in enumerate(cells, start=1):
        best = [row["quality"] for row in rows]
        columns = [
            _distance(rows),
            _spread([row["certainty"]["infinite"] for row in rows if row["certainty"] is not None]),
            *(_score(best, name, digits) for name, digits in (("equal_n", 1), ("precision", 2), ("recall", 2))),
            *(_score(best, name, 1) for name in ("held_out", "trained_on")),
        ]
        lines.append(f"| {rank} | {' | '.join(columns)} |")
    floors = {name: quality.get(f"{name}_floor") for name in ("precision", "recall")}
    if quality["floor"] is not None:
        precision, recall = (UNKNOWN if value is None else f"{value:.2f}" for value in floors.values())
        floor = _score([quality], "floor", 1)
        lines.append(f"| *reals* | | | {floor} | {precision} | {recall} | | |")
    lines += [
        "",
        "± is what other images of the same kind would change: the standard error of the distance (from halves of "
        "reals and fakes, 2000 of each at most), the standard deviation over 20 halvings of the reals for what stands "
        "at equal n, and over 20 draws for what was held out or trained on; of several seeds the mean of theirs. "
        "*seeds ±* is the standard deviation between seeds. A distance falls with more fakes: the line through "
        "fewer of them meets infinitely many at the value of the third column (arXiv:1911.07023), which takes twice as "
        "many fakes as features. *reals* is one half of them against the other. A network that is nearer than that "
        "draws fewer kinds of pictures, which recall shows, or copies: one that knows its training images by "
        "heart is much nearer to as many of these than to what was held out. The checkpoint was chosen by the images "
        "held out, so their distance and KID are a little too good.",
    ]
    return lines


def _distance(rows: Sequence[Row]) -> str:
    """Return the distance beside its standard error."""
    errors = [row["certainty"]["standard_error"] for row in rows if row["certainty"] is not None]
    return _spread([row["quality"]["value"] for row in rows], errors)


def _score(qualities: Sequence[dict[str, Any]], name: str, digits: int) -> str:
    """Return a score beside its own deviation."""
    values, errors = ([each.get(key) for each in qualities] for key in (name, f"{name}_sd"))
    return _spread(values, errors, digits)


def _files(rows: Sequence[Row]) -> list[str]:
    """Return where the pictures are: names and no links, since the table is copied to another folder."""
    sheets = ", ".join((PurePosixPath(row["run"]) / "best.png").as_posix() for row in rows)
    return [
        "![Scores and losses over the images shown; with ADA the augmentation strength p as well](curves.png)",
        "",
        f"Images of the best checkpoints, in the grid's folder: {sheets}.",
    ]


def how_trained(rows: Iterable[Row]) -> str:
    """Return by which methods networks were trained and what they began with, such as "method ada, from scratch"."""
    methods = " and ".join(sorted({row["method"] for row in rows if row["method"] != SCRATCH}))
    starts = sorted({f"start {row['start']}" if row["start"] else "from scratch" for row in rows})
    return ", ".join([f"method {methods}", *starts] if methods else starts)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(rank: int, rows: Sequence[Row], lead: dict[str, float] | None) -> dict[str, str]:
    """Return the values of one cell by their columns: of several seeds the means and standard deviations."""
    row, best = rows[0], [row["quality"] for row in rows]
    before, after = _excess(each["quality_at_start"] for each in rows), _excess(best)
    excess = UNKNOWN if before == after == UNKNOWN else f"{before} → {after}"
    return {
        "rank": str(rank),
        "gamma": _number(row["gamma"]),
        "lr": f"{row['lr']:g}",
        "target": _number(row["target"]),
        "kimg": " ".join(f"{each['kimg']:g}" for each in sorted(rows, key=lambda each: int(each["seed"]))),
        row["quality"]["name"]: _distance(rows),
        "excess over the floor: start → best": excess,
        "KID to validation": _kid(best),
        "the first's lead in KID": UNKNOWN if lead is None else f"{lead['kid']:.4f} ± {lead['standard_error']:.4f}",
        "p": UNKNOWN if lead is None else f"{lead['p']:.2g}",
        "training, s": f"{sum(each['seconds'] for each in rows):.0f}",
        "FID in the paper": _number(row["paper_fid"]),
    }


def _kid(best: Sequence[dict[str, Any]]) -> str:
    """Return the KID with its 95 % interval."""
    names = ("kid_validation", "kid_low", "kid_high")
    values, lows, highs = ([each[name] for each in best if each[name] is not None] for name in names)
    if not values:
        return UNKNOWN
    seeds = f"; seeds ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):.4f} ({fmean(lows):.4f} to {fmean(highs):.4f}{seeds})"


def _spread(values: Iterable[float | None], errors: Iterable[float | None] = (), digits: int = 1) -> str:
    """Return the mean over seeds, the mean of the errors of each, and how the seeds differ."""
    known, sure = ([each for each in column if each is not None] for column in (values, errors))
    if not known:
        return UNKNOWN
    error = f" ± {fmean(sure):.{digits}f}" if sure else ""
    seeds = f" (seeds ± {stdev(known):.{digits}f})" if len(known) > 1 else ""
    return f"{fmean(known):.{digits}f}{error}{seeds}"


def _excess(qualities: Iterable[dict[str, Any]]) -> str:
    """Return by how much fakes are farther from half of the reals than the other half is."""
    return _spread([None if each["equal_n"] is None else each["equal_n"] - each["floor"] for each in qualities])


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:g}"


def _trained_on(row: dict[str, Any]) -> str:
    fold: int = row["fold"]
    return "all folds together" if fold < 0 else f"fold {fold}"


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
        f"n = {quality['n_equal']}: the floor, which perfect fakes would reach."
    )
    collapsed = [row["run"] for row in table["rows"] if row["collapsed_at_kimg"]]
    sure = (
        "the interval is of 95 %, by a bootstrap over reals and fakes."
        if seeds == 1
        else "intervals are of 95 %, by a bootstrap over reals and fakes (the means of the seeds' ends), *seeds ±* is "
        f"the standard deviation over {seeds} seeds, and kimg is of the best checkpoint of each."
    )
    early = [row["run"] for row in table["rows"] if row["ended_at_kimg"] < table["kimg"]]
    pruned = f" {', '.join(early)} ended early, being far behind." if early else ""
    unchanged = [row["run"] for row in table["rows"] if row["kimg"] == 0 < row["ended_at_kimg"]]
    unimproved = (
        f" No checkpoint of {', '.join(unchanged)} improved on the networks it began with." if unchanged else ""
    )
    collapse = f" Diversity collapsed at some checkpoint of {', '.join(collapsed)}." if collapsed else ""
    return (
        f"{floor} Checkpoints and cells are chosen by {chosen}; {sure} The time is that of training, without the "
        f"scores. {comparable}{collapse}{pruned}{unimproved}"
    )
