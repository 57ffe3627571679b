"""Table 2 as Markdown: its cells parsed back, beside what the records hold."""

import statistics
from typing import Any

import numpy as np
import pytest
from recorded import ENVIRONMENT, record
from tabled import grid, grids, shown

from classify.measuring.measured import Measured


def test_several_folds_give_mean_and_sample_standard_deviation() -> None:
    right = [(90, 91), (85, 94), (93, 95)]
    markdown, table = shown(*(record(each, fold=fold) for fold, each in enumerate(right)))
    accuracies = [100 * sum(each) / 190 for each in right]
    (row,) = grid(markdown, "External right")
    assert row["Accuracy"] == f"{statistics.mean(accuracies):.1f}±{statistics.stdev(accuracies):.1f}"
    assert (row["n"], row["Folds"]) == ("570", "3")
    assert table.rows[0].balanced is not None
    assert table.rows[0].balanced.confusion.tp == 90 + 85 + 93
    assert table.rows[0].train_s == 10.0


def test_seeds_are_within_a_row() -> None:
    right = {(fold, seed): (80 + 5 * fold + seed, 90) for fold in range(2) for seed in range(3)}
    records = [record(each, fold=fold, seed=seed) for (fold, seed), each in right.items()]
    markdown, table = shown(*records)
    (row,) = grid(markdown, "External right")
    means = [100 * statistics.mean(sum(right[fold, seed]) / 190 for seed in range(3)) for fold in range(2)]
    assert row["Accuracy"] == f"{statistics.mean(means):.1f}±{statistics.stdev(means):.1f}"
    assert (row["n"], row["Folds"]) == ("380", "2, 3 seeds")
    assert table.rows[0].by_fold == pytest.approx([mean / 100 for mean in means])
    assert "seeds 0, 1, 2; fitted" in markdown


def test_an_external_image_that_all_folds_judge_counts_once() -> None:
    records = [record((0, right), (0, 188), set_name="external", fold=f) for f, right in enumerate((180, 184))]
    markdown, _ = shown(*records)
    (row,) = grid(markdown, "External right")
    assert row["External right"].startswith("182/188, 96.8 (")
    assert (row["Accuracy"], row["n"], row["Folds"]) == ("–", "–", "2")


def test_undefined_is_null_and_a_dash() -> None:
    markdown, table = shown(record((0, 95)), record((0, 95), ratio="1:2", fold=1))
    row = grid(markdown, "External right")[0]
    assert [row[name] for name in ("Precision", "Sensitivity", "F1", "Accuracy")] == ["–", "0.0", "0.0", "50.0"]
    assert table.rows[0].balanced is not None
    assert table.rows[0].balanced.metrics["precision"] is None
    assert table.rows[0].balanced.measured["precision"] == Measured(None, None)


def test_a_metric_that_is_undefined_in_one_fold_has_no_mean() -> None:
    markdown, _ = shown(record((0, 95)), record((90, 90), fold=1))
    (row,) = grid(markdown, "External right")
    assert row["Precision"] == "–"
    assert row["Sensitivity"].startswith("47.4±")


def test_rows_stand_in_the_papers_order_and_the_rest_of_the_paper_follows() -> None:
    keys = [
        ("resnet50", "none", {}),
        ("timm:resnet18", "none", {}),
        ("custom_cnn", "1:2", {"synthetic": "both"}),
        ("custom_cnn", "1:2", {"control": "epochs"}),
        ("custom_cnn", "1:2", {}),
        ("custom_cnn", "none", {}),
        ("custom_cnn", "1:5", {}),
        ("inception_v3", "1:2", {"control": "oversampling"}),
    ]
    markdown, table = shown(*(record(model=model, ratio=ratio, **more) for model, ratio, more in keys))
    rows = grid(markdown, "External right")
    assert [(row["Model"], row["Ratio"]) for row in rows] == [
        ("Custom CNN", "none"),
        ("Custom CNN", "1:5"),
        ("Custom CNN", "1:2"),
        ("Custom CNN", "1:2, both classes"),
        ("Custom CNN", "1:2, epochs"),
        ("InceptionV3", "1:2, oversampling"),
        ("ResNet50", "none"),
        ("timm:resnet18", "none"),
    ]
    paper = [row["Paper: Precision, Sensitivity, F1, Accuracy"] for row in rows]
    assert [values == "–" for values in paper] == [False] * 3 + [True] * 3 + [False, True]  # it has no controls
    (others,) = (rows for rows in grids(markdown) if {"Model", "Ratio"} <= rows[0].keys() and "Folds" not in rows[0])
    assert [(row["Model"], row["Ratio"]) for row in others[:3]] == [("InceptionV3", r) for r in ("none", "1:5", "1:2")]
    assert len(others) == len(table.missing) == 15 - 4


def test_images_that_were_seen_stamp_row_and_table() -> None:
    honest = record(ratio="1:5")
    assert not {"†", "‡"} & set(shown(honest)[0])
    markdown, table = shown(honest, record(ratio="1:2", allow_seen=True, seen=38))
    assert [row["Model"] for row in grid(markdown, "External right")] == ["Custom CNN", "Custom CNN†"]
    assert "**† evaluated with --allow-seen: 38 test images had been seen before" in markdown
    assert any("38 test images" in warning for warning in table.warnings)


def test_the_papers_protocol_stamps_row_and_table_and_is_told_apart_everywhere() -> None:
    markdown, _ = shown(record(protocol="paper"), record())
    assert [row["Model"] for row in grid(markdown, "External right")] == ["Custom CNN", "Custom CNN‡"]
    assert "**‡ protocol paper: " in markdown
    for column in ("AUC", "Verdict", "Peak memory, MiB"):
        assert {row["Row"] for row in grid(markdown, column)} == {
            "Custom CNN, none, protocol paper",
            "Custom CNN, none",
        }


def test_comparisons_stand_with_counts_and_corrected_p_values() -> None:
    """Of 190 images 19 turn right at 1:2, and 3 wrong and 7 right at 1:5: McNemar's p is 2 / 2^19 and 0.34."""
    mixed = [*np.repeat([2.0, -2.0], [82, 13]), *np.repeat([-2.0, 2.0], [92, 3])]
    none = record((85, 85))
    some = record(score=mixed, label=np.repeat([1, 0], 95), ratio="1:5")
    control = record((85, 85), ratio="1:2", control="epochs")
    markdown, table = shown(none, some, record((94, 95), ratio="1:2"), control)
    against_none, against_controls = (rows for rows in grids(markdown) if "only this" in rows[0])
    assert [(row["Row"], row["against"], row["only this"], row["only that"]) for row in against_none] == [
        ("Custom CNN, 1:5", "none", "7", "3"),
        ("Custom CNN, 1:2", "none", "19", "0"),
        ("Custom CNN, 1:2, epochs", "none", "0", "0"),
    ]
    assert [row["p (images)"] for row in against_none] == ["0.34", "< 0.001", "1"]
    assert [row["by Holm"] for row in against_none] == ["0.69", "< 0.001", "1"]  # four comparisons, two of p < 0.001
    assert [row["p (folds)"] for row in against_none] == ["–"] * 3
    assert "p (images), McNemar's exact test over images, asks whether they are as many." in markdown
    assert "Holm's method corrects each over all comparisons that have it: 4 and 0." in markdown
    ((row,), found) = against_controls, table.contrasts.against_controls
    assert (row["Row"], row["against"], row["n"]) == ("Custom CNN, 1:2", "1:2, epochs", "190")
    low, high = (f"{100 * end:+.1f}" for end in found[0].gain_interval)
    assert row["Gain"] == f"+10.0 points ({low} to {high})"


def test_the_cost_is_that_of_models_and_the_peak_the_most() -> None:
    times = {"train_s": 20.0, "test_s": 1.0, "image_s": 0.02}
    frozen = {"seconds": 6.0, "computed": 20, "kept": 40}  # 18 s for all of them
    records = [record(), record(fold=1, times=times, peak_bytes={"train": 9 * 2**20, "test": None}, frozen=frozen)]
    (row,) = grid(shown(*records)[0], "Peak memory, MiB")
    del row["*"]
    assert row == {
        "Row": "Custom CNN, none", "Frozen layers, s a model": "18", "Training, s a model": "15", "Epochs": "3",
        "Kept": "2, 2", "Validation": "88.0", "Test": "94.7",
        "Difference": "-6.7 points",
        "Test, ms an image": "15.0", "Peak memory, MiB": "9", "Parameters": "1,041,314",
        "of these train": "1,041,314",
    }  # fmt: skip
    nothing = [record(peak_bytes={"train": None, "test": None}, fold=fold, best_epoch=0) for fold in range(2)]
    (row,) = grid(shown(*nothing)[0], "Peak memory, MiB")
    assert {row[name] for name in ("Peak memory, MiB", "Validation", "Difference", "Frozen layers, s a model")} == {"–"}
    assert row["Kept"] == "–, –"


def test_the_origin_names_machine_seed_devices_versions_commits_and_command() -> None:
    fitted = ENVIRONMENT | {"device": "cuda", "commit": "b" * 40 + "-dirty"}
    machine = {"processor": "Abacus 9", "threads": None, "memory_gib": None}
    markdown, _ = shown(record(seed=4), record(seed=4, fold=1, fitted_on=fitted, hardware=machine))
    assert markdown.split("\n").count(
        "Environment (the paper's Table 5): tested on Abacus 9, 2 threads, 7.5 GiB; Abacus 9; seed 4; fitted and "
        f"tested with device cpu, Python 3, P, torch 2, commit {'a' * 12}; and device cuda, Python 3, P, torch 2, "
        f"commit {'b' * 12}-dirty. Printed by `classify table`."
    )


def test_probes_stand_with_their_means_and_what_they_may_mean() -> None:
    def found(auc: float, low: float) -> dict[str, Any]:
        return {"auc": auc, "interval": [low, 1.0], "n_one": 20, "n_other": 20}

    records = [record(ratio="1:2", fold=f, synthetic_probe=found(0.8 + 0.1 * f, 0.6 + 0.1 * f)) for f in range(2)]
    both = record(ratio="1:2", synthetic="both", synthetic_probe=found(0.9, 0.8))
    weak = record(ratio="1:5", synthetic_probe=found(0.6, 0.4))
    outside = record((0, 9), (0, 9), set_name="external", source_probe=found(0.7, 0.5) | {"interval": None})
    markdown, _ = shown(*records, both, weak, outside)
    rows = {row["Row"]: row for row in grid(markdown, "synthetic or real positive")}
    assert rows["Custom CNN, 1:2"]["synthetic or real positive"] == "0.85 (0.65 to 1.00)"
    assert rows["Custom CNN, none"]["external or study negative"] == "0.70"
    assert rows["Custom CNN, none"]["synthetic or real positive"] == "–"
    assert "The features of Custom CNN at 1:2 tell synthetic from real positives." in markdown
    assert "Shortcut" not in shown(record())[0]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, ""),
        (1, "1 value has fewer than 5 images, too few to say anything, and is left out.\n\n"),
        (2, "2 values have fewer than 5 images, too few to say anything, and are left out.\n\n"),
    ],
)
def test_attributes_stand_with_what_was_hidden(count: int, words: str) -> None:
    tone = ["1"] * 100 + ["2"] * (90 - count) + [str(3 + number) for number in range(count)]
    markdown, _ = shown(record(attributes={"tone": tone}), least=5)
    assert f"## By attribute\n\n{words}| Row" in markdown
    assert [(row["Value"], row["n"]) for row in grid(markdown, "Attribute")] == [("1", "100"), ("2", str(90 - count))]
    assert "By attribute" not in shown(record())[0]


def test_who_is_served_worst_and_best_comes_before_every_value() -> None:
    """The last 5 of 95 positives and of 95 negatives are wrong, all of tone 3; a single sex is not compared."""
    tone = ([*["1"] * 45, *["2"] * 42, *["3"] * 8]) * 2
    markdown, _ = shown(record((90, 90), attributes={"tone": tone, "sex": ["*f*"] * 190}), least=5)
    (worst,) = grid(markdown, "Lowest")
    assert (worst["By"], worst["Values"], worst["Lowest"]) == ("tone", "3", "3 (n = 16)")
    assert worst["Highest"] == "2 (n = 84)"  # as high as 1, without a wrong one
    assert "| 3 (n = 16) | 37.5 (" in markdown
    rest = markdown.partition("## By attribute")[2]
    assert rest.index("Lowest") < rest.index("### Every value") < rest.index("37.5 (", rest.index("### Every value"))
    assert r"\*f\*" in rest
