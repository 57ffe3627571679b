"""Table 2 as it is written: Markdown, the JSON and the pictures beside it, and what is refused."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from recorded import record
from tabled import grid, written

from classify.measuring.statistics import wilson_interval
from classify.table2.figures import CAPTIONS
from classify.table2.summary import summarize
from classify.tables import write_table
from shared.errors import UserError
from shared.records import append_record, read_records

MAIN = [
    "Model", "Parameters", "Ratio", "Precision", "Sensitivity", "F1", "Accuracy", "95 % interval", "n", "Folds",
    "External right", "Paper: Precision, Sensitivity, F1, Accuracy", "Paper: external",
]  # fmt: skip


def test_one_fold_stands_beside_the_papers_values(tmp_path: Path) -> None:
    external = record((0, 180), (0, 188), set_name="external", ratio="1:2")
    markdown, document = written(tmp_path, [record((91, 94), ratio="1:2"), external])
    (row,) = grid(markdown, "External right")
    assert row.pop("*").split("|") == MAIN
    low, high = (f"{100 * end:.1f}" for end in wilson_interval(185, 190))
    assert row == dict(zip(MAIN, [
        "Custom CNN", "1.04 M, all train", "1:2", "98.9", "95.8", "97.3", "97.4", f"{low} to {high}", "190",
        "1 (fold 0)", "180/188, 95.7 (91.8 to 97.8)", "99.1±0.9, 96.2±1, 97.6±0.7, 97.7±0.6", "183/188 (97.3)",
    ], strict=True))  # fmt: skip
    (only,) = document["rows"]
    assert only["balanced"]["metrics"]["accuracy"] == {"mean": pytest.approx(185 / 190), "std": None}
    assert only["external"]["metrics"]["sensitivity"] is None
    assert only["balanced"]["n"] == 190


def test_only_pictures_that_were_drawn_are_shown_and_those_of_an_earlier_table_go(tmp_path: Path) -> None:
    markdown, _ = written(tmp_path, [record()])
    names = {f"t_{name}.png" for name in CAPTIONS}
    assert set(re.findall(r"\]\((.*?)\)", markdown)) == {path.name for path in tmp_path.glob("*.png")} == names
    (tmp_path / "r.jsonl").unlink()
    markdown, _ = written(
        tmp_path, [record((0, 9), (0, 9), set_name="external", epochs=0, best_epoch=0) | {"epochs": []}]
    )
    assert "](" not in markdown
    assert list(tmp_path.glob("*.png")) == []


def test_the_json_has_no_number_that_json_has_not(tmp_path: Path) -> None:
    records = [
        record((0, 9), (0, 9), set_name="external", peak_bytes={"train": None, "test": None}),
        record(score=[1.0, 2.0], label=[1, 1]),
        record(score=[1.0, 2.0], label=[1, 1], ratio="1:2"),
    ]
    _, document = written(tmp_path, records)

    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict | list):
            return [n for each in (value.values() if isinstance(value, dict) else value) for n in numbers(each)]
        return [value] if isinstance(value, int | float) else []

    assert all(map(math.isfinite, numbers(document)))
    assert (document["format"], document["version"]) == ("rarescreen-table", 2)
    assert document["against_none"][0]["auc_gain"] is None
    assert document["sentences"] == list(summarize(records).conclusion)


def test_an_existing_table_needs_force_and_no_record_is_refused(tmp_path: Path) -> None:
    written(tmp_path, [record()])
    records = tmp_path / "r.jsonl"
    for name in ("t.md", "t.json", "t_curves.png"):
        (tmp_path / name).rename(tmp_path / "kept")
        for other in tmp_path.glob("t[._]*"):
            other.unlink()
        (tmp_path / "kept").rename(tmp_path / name)
        with pytest.raises(UserError, match=f"{name}: exists already; give --force"):
            write_table([records], out=tmp_path / "t.md")
        written(tmp_path, [record()])
    with pytest.raises(UserError, match=r"^--out .*t.txt: not a Markdown file"):
        write_table([records], out=tmp_path / "t.txt")
    own = records.rename(tmp_path / "own.json")
    for force in (False, True):
        with pytest.raises(UserError, match=r"own\.json: what this command reads .*, which would be lost"):
            write_table([own], out=tmp_path / "own.md", force=force)
    assert read_records(own) == [record()]
    empty = tmp_path / "none.jsonl"
    empty.write_text("")
    with pytest.raises(UserError, match="no record of an evaluation"):
        write_table([empty], out=tmp_path / "u.md")


@pytest.mark.parametrize("name", ["confusion", "verdicts", "validation", "epochs", "hardware", "counts", "environment"])
def test_a_record_without_a_field_is_one_sentence_with_the_way_out(tmp_path: Path, name: str) -> None:
    whole = [record(ratio="1:2"), record()]
    del whole[0][name]
    for each in whole:
        append_record(tmp_path / "old.jsonl", each)
    with pytest.raises(UserError, match=f"^old.jsonl: a record lacks '{name}'; evaluate again with this version.$"):
        write_table([tmp_path / "old.jsonl"], out=tmp_path / "v.md")
    assert not list(tmp_path.glob("v*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": None},
        {"epochs": [], "best_epoch": 2},
        {"key": record()["key"] | {"control": "prayer"}},
        {"key": record()["key"] | {"ratio": "many"}},
        {"verdicts": record()["verdicts"] | {"label": [2] * 190}},
    ],
)
def test_a_record_that_cannot_be_used_is_one_sentence_too(tmp_path: Path, changes: dict[str, Any]) -> None:
    append_record(tmp_path / "odd.jsonl", record() | changes)
    with pytest.raises(UserError, match=r"^odd.jsonl: a record cannot be used \(.*\); evaluate again with") as raised:
        write_table([tmp_path / "odd.jsonl"], out=tmp_path / "v.md")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("v*"))
