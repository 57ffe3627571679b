import json
import re
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from classify.settings import FitConfig
from classify.tables import summarize, write_table
from shared.errors import UserError
from shared.records import append_record


def record(
    right: tuple[int, int] = (90, 90),
    n: tuple[int, int] = (95, 95),
    *,
    set_name: str = "balanced",
    source: str = "photographs",
    **changes: Any,
) -> dict[str, Any]:
    """What `classify evaluate` writes of `right` positives and negatives of `n`, with `changes` of its settings."""
    tp, tn = right
    fn, fp = n[0] - tp, n[1] - tn
    defaults = FitConfig("custom_cnn", "none", "strict", 0, 0, 32, None, 3, 0.1, 32, "adam", "c" * 64, None)
    config = asdict(defaults) | {name: value for name, value in changes.items() if hasattr(defaults, name)}
    made = {
        "key": {name: config[name] for name in ("model", "ratio", "protocol", "fold", "seed")} | {"set": set_name},
        "n": sum(n),
        "left_out": 0,
        "confusion": {"tp": tp, "fp": fp, "tn": tn, "fn": fn},
        "metrics": {
            "precision": tp / (tp + fp) if tp + fp else None,
            "sensitivity": tp / n[0] if n[0] else None,
            "specificity": tn / n[1] if n[1] else None,
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
            "accuracy": (tp + tn) / sum(n),
            "balanced_accuracy": None,
        },
        "times": {"train_s": 10.0, "test_s": 1.0, "image_s": 0.01},
        "parameters": {"total": 1_041_314, "trainable": 1_041_314, "imagenet": None},
        "allow_seen": False,
        "seen": 0,
        "fit": config,
        "cohort": {"sha256": config["cohort"], "source": source},
        "environment": {
            "python": "3",
            "platform": "P",
            "device": "cpu",
            "versions": {"torch": "2"},
            "commit": "a" * 40,
        },
    }
    return made | {name: value for name, value in changes.items() if name not in config}


def cells(markdown: str, number: int = 0) -> list[list[str]]:
    """Return the table `number` of a document as rows of cells, header first, rule left out."""
    grids = re.findall(r"(?:^\|.*\|\n?)+", markdown, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in grids[number].strip().split("\n")]
    return [row for row in rows if not set("".join(row)) <= set("-: ")]


def written(tmp_path: Path, records: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    for each in records:
        append_record(tmp_path / "r.jsonl", each)
    write_table([tmp_path / "r.jsonl"], out=tmp_path / "t.md", force=True)
    return (tmp_path / "t.md").read_text(), json.loads((tmp_path / "t.json").read_text())


def test_one_fold_stands_beside_the_papers_values(tmp_path: Path) -> None:
    external = record((0, 180), (0, 188), set_name="external", ratio="1:2")
    markdown, document = written(tmp_path, [record((91, 94), ratio="1:2"), external])
    header, row = cells(markdown)
    assert header == [
        "Model", "Parameters", "Ratio", "Precision", "Sensitivity", "F1", "Accuracy", "n", "Folds", "External right",
        "Paper: Precision, Sensitivity, F1, Accuracy", "Paper: external",
    ]  # fmt: skip
    assert row == [
        "Custom CNN", "1.04 M, all train", "1:2", "98.9", "95.8", "97.3", "97.4", "190", "1 (fold 0)",
        "180/188 (95.7)", "99.1±0.9, 96.2±1, 97.6±0.7, 97.7±0.6", "183/188 (97.3)",
    ]  # fmt: skip
    (only,) = document["rows"]
    assert only["balanced"]["metrics"]["accuracy"] == {"mean": pytest.approx(185 / 190), "std": None}
    assert only["external"]["metrics"]["sensitivity"] is None
    assert only["balanced"]["n"] == 190


def test_several_folds_give_mean_and_sample_standard_deviation(tmp_path: Path) -> None:
    right = [(90, 91), (85, 94), (93, 95)]
    markdown, document = written(tmp_path, [record(each, fold=fold) for fold, each in enumerate(right)])
    accuracies = [100 * sum(each) / 190 for each in right]
    row = cells(markdown)[1]
    assert row[6] == f"{statistics.mean(accuracies):.1f}±{statistics.stdev(accuracies):.1f}"
    assert row[7:9] == ["570", "3"]
    assert document["rows"][0]["balanced"]["confusion"]["tp"] == 90 + 85 + 93
    assert document["rows"][0]["train_s"] == 10.0


def test_undefined_is_null_and_a_dash(tmp_path: Path) -> None:
    markdown, document = written(tmp_path, [record((0, 95))])
    assert cells(markdown)[1][3:7] == ["–", "0.0", "0.0", "50.0"]
    assert document["rows"][0]["balanced"]["metrics"]["precision"] is None


def test_a_metric_that_is_undefined_in_one_fold_has_no_mean(tmp_path: Path) -> None:
    markdown, _ = written(tmp_path, [record((0, 95)), record((90, 90), fold=1)])
    assert cells(markdown)[1][3] == "–"
    assert cells(markdown)[1][4].startswith("47.4±")


def test_rows_stand_in_the_papers_order_and_the_rest_of_the_paper_follows(tmp_path: Path) -> None:
    keys = [
        ("resnet50", "none"),
        ("timm:resnet18", "none"),
        ("custom_cnn", "1:2"),
        ("custom_cnn", "none"),
        ("custom_cnn", "1:5"),
    ]
    markdown, document = written(tmp_path, [record(model=model, ratio=ratio) for model, ratio in keys])
    assert [(row[0], row[2]) for row in cells(markdown)[1:]] == [
        ("Custom CNN", "none"),
        ("Custom CNN", "1:5"),
        ("Custom CNN", "1:2"),
        ("ResNet50", "none"),
        ("timm:resnet18", "none"),
    ]
    assert cells(markdown)[-1][-2:] == ["–", "–"]  # the paper says nothing of it
    others = cells(markdown, 1)[1:]
    assert [row[:2] for row in others[:3]] == [["InceptionV3", r] for r in ("none", "1:5", "1:2")]
    assert len(others) == len(document["not_run"]) == 15 - 4


def test_images_that_were_seen_stamp_row_and_table(tmp_path: Path) -> None:
    honest, _ = written(tmp_path, [record(ratio="1:5")])
    assert not {"†", "‡"} & set(honest)
    markdown, document = written(tmp_path, [record(ratio="1:2", allow_seen=True, seen=38)])
    assert [row[0] for row in cells(markdown)[1:]] == ["Custom CNN", "Custom CNN†"]
    assert "**† evaluated with --allow-seen: 38 test images had been seen before" in markdown
    assert any("38 test images" in warning for warning in document["warnings"])


def test_the_papers_protocol_stamps_row_and_table(tmp_path: Path) -> None:
    markdown, _ = written(tmp_path, [record(protocol="paper"), record()])
    assert [row[0] for row in cells(markdown)[1:]] == ["Custom CNN‡", "Custom CNN"]
    assert "**‡ protocol paper: " in markdown


def test_what_may_not_be_compared_is_said(tmp_path: Path) -> None:
    assert summarize([record(), record(fold=1)], command="").warnings == ()
    (mixed,) = summarize([record(), record(fold=1, lr=0.2)], command="").warnings
    assert "folds were fitted with different settings" in mixed
    (cohorts,) = summarize([record(), record(ratio="1:2", cohort="d" * 64)], command="").warnings
    assert "different cohort files" in cohorts
    (phantom,) = summarize([record(source="phantom")], command="").warnings
    assert "phantom" in phantom


def test_the_words_claim_an_effect_only_beyond_chance(tmp_path: Path) -> None:
    """95 % intervals (Wilson): 170/190 [84.3, 93.1], 176/190 [88.0, 95.6], 189/190 [97.1, 99.9]."""
    near, _ = written(tmp_path / "near", [record((85, 85)), record((88, 88), ratio="1:5")])
    assert "89.5 % [84.3, 93.1] without synthetic images, 92.6 % [88.0, 95.6] at 1:5" in near
    assert "Beside that without, it is at 1:5 3.2 points higher, which chance among 190 test images may explain" in near
    far, _ = written(tmp_path / "far", [record((85, 85)), record((94, 95), ratio="1:2"), record((88, 88), ratio="1:5")])
    assert "it is at 1:5 3.2 points higher and at 1:2 10.0 points higher; at 1:2 that is more than chance among" in far
    worse, _ = written(tmp_path / "worse", [record((94, 95)), record((85, 85), ratio="1:2")])
    assert "it is at 1:2 10.0 points lower; at 1:2 that is more than chance among 190 test images explains" in worse
    same, _ = written(tmp_path / "same", [record((85, 85)), record((85, 85), ratio="1:2")])
    assert "At 1:2 it is the same as without." in same


def test_the_origin_names_seed_device_versions_commit_and_command(tmp_path: Path) -> None:
    markdown, _ = written(tmp_path, [record(seed=4)])
    assert markdown.rstrip().split("\n")[-1] == (
        f"Seed 4; device cpu, Python 3, P, torch 2, commit {'a' * 12}. Printed by `classify table r.jsonl --out t.md`."
    )


def test_an_existing_table_needs_force_and_no_record_is_refused(tmp_path: Path) -> None:
    written(tmp_path, [record()])
    records = tmp_path / "r.jsonl"
    with pytest.raises(UserError, match="exists already; give --force"):
        write_table([records], out=tmp_path / "t.md")
    with pytest.raises(UserError, match=r"^--out .*t.txt: not a Markdown file"):
        write_table([records], out=tmp_path / "t.txt")
    empty = tmp_path / "none.jsonl"
    empty.write_text("")
    with pytest.raises(UserError, match="no record of an evaluation"):
        write_table([empty], out=tmp_path / "u.md")
    lacking = record()
    del lacking["confusion"]
    append_record(tmp_path / "old.jsonl", lacking)
    with pytest.raises(UserError, match="a record lacks 'confusion'"):
        write_table([tmp_path / "old.jsonl"], out=tmp_path / "v.md")
    assert not (tmp_path / "v.json").exists()
