"""The stage `classify table`: records become Table 2, the paper's values beside ours."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rich.box
import rich.table

from classify.markdown import SHORT, console_cells, render, sentences
from classify.mixing import Ratio
from classify.presets import Published, paper_values
from classify.registry import MODELS, model_label
from classify.statistics import METRICS, Confusion, Spread, spread, wilson_interval
from shared.console import console, say
from shared.errors import UserError
from shared.files import require_new, write_json, write_text
from shared.records import Record, read_records

FORMAT = "rarescreen-table2"
VERSION = 1


@dataclass(frozen=True)
class SetResult:
    """A model at a ratio on one test set, over folds."""

    folds: tuple[int, ...]
    n: int  # test images, all folds together
    confusion: Confusion  # all folds together
    metrics: dict[str, Spread | None]  # over folds, 0..1; None where undefined in one of them
    interval: tuple[float, float]  # 95 %, of the accuracy of all folds together
    left_out: int  # external images whose group holds a study image, at most of one fold
    seen: int  # test images that were seen before


@dataclass(frozen=True)
class Row:
    """One row of Table 2."""

    model: str
    label: str
    ratio: str
    protocol: str
    seed: int
    parameters: Mapping[str, int | None]  # total, trainable, imagenet
    balanced: SetResult | None
    external: SetResult | None
    allow_seen: bool
    train_s: float | None  # mean over folds
    image_s: float | None  # test time an image, mean over records
    paper: Mapping[str, Published]


@dataclass(frozen=True)
class Table:
    """Table 2 and what must be known to read it."""

    rows: tuple[Row, ...]
    missing: Mapping[tuple[str, str], Mapping[str, Published]]  # rows of the paper that were not run
    warnings: tuple[str, ...]
    environments: tuple[Mapping[str, Any], ...]
    command: str


def write_table(records: Sequence[Path], *, out: Path, force: bool = False) -> Table:
    """Write Table 2 of all `records` files to `out` (.md), and the same as JSON beside it.

    Raises `UserError`: no record, a damaged file, an `out` that is no .md file, or one that exists without `force`.
    """
    if out.suffix != ".md":
        raise UserError(f"--out {out}: not a Markdown file; give a name that ends in .md.")
    document = out.with_suffix(".json")
    for path in (out, document):
        require_new(path, force=force)
    by_key = {json.dumps(record["key"], sort_keys=True): record for path in records for record in read_records(path)}
    found = list(by_key.values())  # one evaluation may stand in several files
    if not found:
        raise UserError(f"{', '.join(map(str, records))}: no record of an evaluation; run `classify evaluate` first.")
    names = " ".join(path.name for path in records)
    try:
        table = summarize(found, command=f"classify table {names} --out {out.name}")
    except (LookupError, TypeError) as error:
        raise UserError(f"{names}: a record lacks {error}; evaluate again with this version.") from error
    write_text(out, render(table))
    write_json(document, {"format": FORMAT, "version": VERSION} | _as_json(table))  # last: who finds it finds both
    return table


def summarize(records: Sequence[Record], *, command: str) -> Table:
    """Return Table 2 of `records`: one row for each model, ratio, protocol and seed, in the paper's order."""
    names = ("model", "ratio", "protocol", "seed")
    groups = {
        key: list(group)
        for key, group in itertools.groupby(
            sorted(records, key=_order), key=lambda r: tuple(r["key"][n] for n in names)
        )
    }
    published = paper_values()
    rows = tuple(_row(group, published) for group in groups.values())
    run = {(row.model, row.ratio) for row in rows}
    environments: list[Mapping[str, Any]] = []
    for record in records:
        if record["environment"] not in environments:
            environments.append(record["environment"])
    return Table(
        rows=rows,
        missing={key: values for key, values in published.items() if key not in run},
        warnings=tuple(_warnings(records, list(groups.values()))),
        environments=tuple(environments),
        command=command,
    )


def _order(record: Record) -> tuple[Any, ...]:
    key = record["key"]
    known = list(MODELS)
    ratio = Ratio.parse(key["ratio"])
    place = known.index(key["model"]) if key["model"] in known else len(known)
    return place, key["model"], ratio.synthetic / ratio.real, key["protocol"], key["seed"], key["fold"]


def _row(records: Sequence[Record], published: Mapping[tuple[str, str], Mapping[str, Published]]) -> Row:
    key = records[0]["key"]
    by_set = {name: [record for record in records if record["key"]["set"] == name] for name in ("balanced", "external")}
    fitted = {record["key"]["fold"]: record["times"]["train_s"] for record in records}
    train, image = spread(list(fitted.values())), spread([record["times"]["image_s"] for record in records])
    return Row(
        model=key["model"],
        label=model_label(key["model"]),
        ratio=key["ratio"],
        protocol=key["protocol"],
        seed=key["seed"],
        parameters=records[0]["parameters"],
        balanced=_set_result(by_set["balanced"]),
        external=_set_result(by_set["external"]),
        allow_seen=any(record["allow_seen"] for record in records),
        train_s=train.mean if train else None,
        image_s=image.mean if image else None,
        paper=published.get((key["model"], key["ratio"]), {}),
    )


def _set_result(records: Sequence[Record]) -> SetResult | None:
    if not records:
        return None
    confusion = sum((Confusion(**record["confusion"]) for record in records), Confusion(0, 0, 0, 0))
    return SetResult(
        folds=tuple(record["key"]["fold"] for record in records),
        n=confusion.n,
        confusion=confusion,
        metrics={name: spread([record["metrics"][name] for record in records]) for name in METRICS},
        interval=wilson_interval(confusion.right, confusion.n),
        left_out=max(record["left_out"] for record in records),
        seen=sum(record["seen"] for record in records),
    )


def _warnings(records: Sequence[Record], rows: Sequence[Sequence[Record]]) -> list[str]:
    """Return what a reader must know before believing a figure."""
    found = []
    if any(record["allow_seen"] for record in records):
        seen = sum(record["seen"] for record in records)
        found.append(
            f"† evaluated with --allow-seen: {seen} test images had been seen before, so these figures flatter."
        )
    if any(record["key"]["protocol"] == "paper" for record in records):
        found.append(
            "‡ protocol paper: turned twins lie on both sides of training and validation, and the epoch was chosen on "
            "the test images, so these figures flatter."
        )
    if len({record["cohort"]["sha256"] for record in records}) > 1:
        found.append("The rows come from different cohort files, so they may not be compared.")
    by_fold = ("fold", "bundle", "cohort")
    for group in rows:
        settings = [{k: v for k, v in record["fit"].items() if k not in by_fold} for record in group]
        if any(each != settings[0] for each in settings):
            key = group[0]["key"]
            found.append(
                f"{model_label(key['model'])} at {key['ratio']}: its folds were fitted with different settings."
            )
    if any(record["cohort"]["source"] == "phantom" for record in records):
        found.append(
            "The cohort is the phantom, rendered skin: these figures test the software and say nothing of patients."
        )
    return found


def _as_json(table: Table) -> dict[str, Any]:
    missing = [{"model": m, "ratio": ratio, "paper": dict(values)} for (m, ratio), values in table.missing.items()]
    rows = [asdict(row) for row in table.rows]
    return {
        "rows": rows,
        "sentences": sentences(table.rows),
        "not_run": missing,
        "warnings": list(table.warnings),
        "environments": [dict(each) for each in table.environments],
        "command": table.command,
    }


def report(table: Table, out: Path) -> None:
    """Show the table on the console, and say in plain words what it shows and where it is."""
    shown = rich.table.Table(
        title="Table 2 in %, mean ± standard deviation over folds",
        box=rich.box.SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in ("model", "ratio", *SHORT.values(), "paper: acc."):
        shown.add_column(column, justify="left" if column in ("model", "ratio") else "right")
    for row in table.rows:
        shown.add_row(*console_cells(row))
    console().print(shown)
    for line in (*sentences(table.rows), *table.warnings, f"written: {out} and {out.with_suffix('.json').name}"):
        say(line)
