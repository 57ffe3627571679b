"""What a reader is warned of: each warning when there is cause, and only then."""

from typing import Any

import pytest
from recorded import record

from classify.table2.caveats import caveats_of
from classify.table2.gather import rows_of

PAPER = "‡ protocol paper"
PHANTOM = "The cohort is the phantom"
COHORTS = "The rows come from different cohort files"


def said(*records: dict[str, Any]) -> list[str]:
    return caveats_of(rows_of(records))


def test_a_table_that_may_be_believed_has_no_warning() -> None:
    rows = [
        record(fold=fold, seed=seed, ratio=ratio, control=control, bundles=(ratio[-1] * 64,))
        for fold in range(2)
        for seed in range(2)
        for ratio, control in (("none", "none"), ("1:2", "none"), ("1:2", "oversampling"))
    ]
    external = record((0, 9), (0, 9), set_name="external")
    other = record(model="vgg16", lr=0.5, epochs=2)  # another model may have settings of its own
    assert said(*rows, external, other, record(protocol="strict", ratio="1:5", synthetic="both")) == []


def test_images_that_were_seen_are_counted_once_however_many_models_saw_them() -> None:
    """38 images of fold 0 at two ratios and two seeds, and 2 of fold 1; what another fold saw is nothing of these."""
    rows = [record(ratio=ratio, seed=seed, allow_seen=True, seen=38) for ratio in ("1:5", "1:2") for seed in range(2)]
    assert said(*rows, record(fold=1, allow_seen=True, seen=2), record()) == [
        "† evaluated with --allow-seen: 40 test images had been seen before, so these figures flatter."
    ]


def test_a_leave_that_was_not_needed_is_said_without_an_accusation() -> None:
    assert said(record(allow_seen=True)) == ["† evaluated with --allow-seen: no test image had been seen before."]


def test_the_papers_protocol_is_named_when_a_row_has_it() -> None:
    (warning,) = said(record(protocol="paper"), record())
    assert warning.startswith(PAPER)


def test_different_cohort_files_are_named() -> None:
    (warning,) = said(record(), record(ratio="1:2", cohort="d" * 64))
    assert warning.startswith(COHORTS)


def test_the_phantom_is_named() -> None:
    (warning,) = said(record(), record(ratio="1:2", source="phantom"))
    assert warning.startswith(PHANTOM)


def test_folds_of_different_seeds_are_named() -> None:
    assert said(record(ratio="1:2"), record(ratio="1:2", fold=1), record(ratio="1:2", fold=1, seed=1)) == [
        "Custom CNN, 1:2: its folds have different seeds; each fold counts once."
    ]
    assert said(*(record(fold=fold, seed=seed) for fold in range(2) for seed in range(2))) == []


@pytest.mark.parametrize("change", [{"lr": 0.2}, {"precision": "bf16"}, {"head": (64,)}, {"patience": 3}])
def test_folds_of_different_settings_are_named_by_their_row(change: dict[str, Any]) -> None:
    assert said(record(ratio="1:2"), record(ratio="1:2", fold=1, **change)) == [
        f"Custom CNN, 1:2: its folds were fitted with different settings ({', '.join(change)})."
    ]


def test_rows_of_different_settings_are_named_with_these() -> None:
    assert said(record(), record(ratio="1:2", lr=0.2, batch=8)) == [
        "Custom CNN: its rows were fitted with different settings (lr, batch), which may be why they differ."
    ]
    assert said(record(), record(ratio="1:2", protocol="paper", lr=0.2))[1:] == []  # these are not compared


def test_more_epochs_are_what_that_control_is() -> None:
    control = [record(ratio="1:2", control="epochs", epochs=count, fold=fold) for fold, count in enumerate((4, 5))]
    assert said(record(), record(fold=1), *control) == []
    assert said(*control, record(), record(ratio="1:2", epochs=5)) == [
        "Custom CNN: its rows were fitted with different settings (epochs), which may be why they differ."
    ]
    (warning,) = said(record(ratio="1:2", epochs=4), record(ratio="1:2", epochs=5, fold=1))
    assert warning.startswith("Custom CNN, 1:2: its folds")
