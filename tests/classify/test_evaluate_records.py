"""What an evaluation records and says, held to the classifier's own outputs and to loops over images."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import classify.evaluate
from classify.evaluate import evaluate
from classify.fit import fit
from classify.fitting.folder import read_model
from classify.fitting.settings import FitOptions
from classify.measuring.operating import Operating
from classify.place import Place
from shared.bundle import Bundle
from shared.cohort import EXTERNAL, Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.nn.device import describe_device
from shared.splits import balanced_test_set, external_test_set, parts
from shared.weights import WeightSource

CPU = torch.device("cpu")
SETS = ("balanced", "external")


@pytest.fixture(scope="module")
def clinic(make_cohort: Callable[..., Cohort], tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A cohort with attributes, noisy enough for mistakes, whose external images are enough for a probe."""
    cohort = make_cohort(positives=60, negatives=91, externals=24)
    rows = np.arange(len(cohort.label))
    attributes = {
        "tone": (1 + rows % 6).astype(np.int8),
        "age": np.where(rows % 4, 20.5 + rows, np.nan),
        "site": np.array(["arm", "", "Fuß"] * 60)[: len(rows)],
    }
    path = tmp_path_factory.mktemp("clinic") / "cohort.h5"
    noise = np.random.default_rng(0).integers(0, 256, cohort.images.shape)
    blurred = (0.12 * np.asarray(cohort.images) + 0.88 * noise).astype(np.uint8)
    write_cohort(path, replace(cohort, images=blurred, attributes=attributes))
    return read_cohort(path)


@pytest.fixture(scope="module")
def model(clinic: Cohort, make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose synthetic images come from a generator that saw three test images."""
    out = tmp_path_factory.mktemp("model") / "m"
    place = Place(device=CPU, weights=WeightSource(offline=True))
    leak = make_bundle(clinic, count=30, seen=balanced_test_set(clinic, 1)[:3], fold=1)
    options = FitOptions(model="efficientnet_lite0", ratio="1:2", image_size=32, epochs=2, seed=7, lr=1e-4)
    fit(clinic, bundles=[leak], options=options, folds=[1], out=out, place=place)
    return out


@pytest.fixture(scope="module")
def records(model: Path, clinic: Cohort, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The records as they are read from their file, by test set."""
    path = tmp_path_factory.mktemp("records") / "r.jsonl"
    evaluate(model, cohort=clinic, sets=SETS, records=path, device=CPU, allow_seen=True)
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    return {line["key"]["set"]: line for line in lines}


def log_odds(model: Path, images: np.ndarray) -> np.ndarray:
    """Return log p / (1 - p) of the classifier as it was fitted, image by image."""
    classifier = read_model(model).load()
    found = []
    for image in images:
        with torch.inference_mode():
            log_p = classifier(torch.tensor(image[None])).double().log_softmax(1)[0]
        found.append(float(log_p[1] - log_p[0]))
    return np.array(found)


def test_the_verdicts_are_the_classifiers_log_odds_on_the_sets_own_images(
    records: dict[str, dict[str, Any]], model: Path, clinic: Cohort
) -> None:
    for name, rows in (("balanced", balanced_test_set(clinic, 1)), ("external", external_test_set(clinic)[0])):
        said = records[name]["verdicts"]
        np.testing.assert_allclose(said["score"], log_odds(model, clinic.images[rows]), atol=1e-3)
        assert said["image_id"] == clinic.image_id[rows].tolist()
        assert said["group_id"] == clinic.group_id[rows].tolist()
        assert said["label"] == clinic.label[rows].tolist()
        assert said["attributes"]["tone"] == [1 + row % 6 for row in rows]
        assert said["attributes"]["age"] == [20.5 + row if row % 4 else None for row in rows]
        assert said["attributes"]["site"] == [["arm", "", "Fuß"][row % 3] for row in rows]


def test_the_key_tells_rows_folds_and_seeds_apart(records: dict[str, dict[str, Any]]) -> None:
    assert records["external"]["key"] == {
        "model": "efficientnet_lite0", "ratio": "1:2", "control": "none", "synthetic": "positive",
        "protocol": "strict", "fold": 1, "seed": 7, "set": "external",
    }  # fmt: skip


def test_the_validation_scores_are_those_of_the_kept_network(
    records: dict[str, dict[str, Any]], model: Path, clinic: Cohort
) -> None:
    rows = parts(clinic, 1).validation
    for record in records.values():
        assert record["validation"]["label"] == clinic.label[rows].tolist()
        np.testing.assert_allclose(record["validation"]["score"], log_odds(model, clinic.images[rows]), atol=1e-3)


def test_what_was_seen_is_known_image_by_image(records: dict[str, dict[str, Any]], clinic: Cohort) -> None:
    rows = balanced_test_set(clinic, 1)
    seen_groups = set(clinic.group_id[rows[:3]].tolist())
    expected = [group in seen_groups for group in clinic.group_id[rows].tolist()]
    assert records["balanced"]["verdicts"]["seen"] == expected
    assert records["balanced"]["seen"] == sum(expected) > 0
    assert records["external"]["seen"] == sum(records["external"]["verdicts"]["seen"]) == 0


def test_fit_and_machine_are_in_every_record(records: dict[str, dict[str, Any]], model: Path) -> None:
    history = json.loads((model / "history.json").read_text())
    for record in records.values():
        assert record["epochs"] == history["epochs"]
        assert len(record["epochs"]) == 2
        assert record["best_epoch"] in (1, 2)
        assert record["peak_bytes"]["train"] == history["peak_bytes"]
        assert record["peak_bytes"]["test"] is None or record["peak_bytes"]["test"] > 2**20
        assert record["synthetic_probe"] == history["synthetic_probe"]
        assert record["hardware"].keys() == {"processor", "threads", "memory_gib"}
        assert record["fitted_on"]["device"] == record["environment"]["device"] == describe_device(torch.device("cpu"))


def test_external_images_are_probed_against_the_folds_negatives(
    records: dict[str, dict[str, Any]], clinic: Cohort
) -> None:
    found = records["external"]["source_probe"]
    test = parts(clinic, 1).test
    assert found["n_one"] == len(external_test_set(clinic)[0])
    assert found["n_other"] == int((clinic.label[test] == 0).sum())
    assert 0 <= found["auc"] <= 1
    assert records["balanced"]["source_probe"] is None


def test_external_negatives_leave_what_needs_positives_undefined(
    records: dict[str, dict[str, Any]],
    model: Path,
    clinic: Cohort,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    external = records["external"]
    assert external["metrics"]["sensitivity"] is external["metrics"]["balanced_accuracy"] is None
    assert external["metrics"]["specificity"] == pytest.approx(external["confusion"]["tn"] / external["n"])
    evaluate(model, cohort=clinic, sets=("external",), records=tmp_path / "r", device=CPU, allow_seen=True)
    said = capsys.readouterr().err
    (row,) = (line.split() for line in said.splitlines() if "–" in line)
    share = f"{100 * external['metrics']['accuracy']:.1f}"
    assert row == ["EfficientNet-Lite0", "1:2", "1", "external", str(external["n"]), "–", "–", "–", share]
    right = external["confusion"]["tn"]
    assert f"fold 1, external: {right} of {external['n']} images without herpeticum recognised, " in said
    assert "rash" not in said  # they need not be of the study's negative class
    assert "; 1 image left out, since its group holds a study image\n" in said
    assert "at the threshold" not in said


def test_the_line_of_the_threshold_is_that_of_loops_over_images(
    records: dict[str, dict[str, Any]],
    model: Path,
    clinic: Cohort,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = records["balanced"]
    asked = Operating(sensitivity=0.9, prevalence=(0.03, 0.2))
    run: dict[str, Any] = {"records": tmp_path / "r", "device": CPU, "allow_seen": True, "operating": asked}
    evaluate(model, cohort=clinic, sets=("balanced",), **run)
    (line,) = (each for each in capsys.readouterr().err.splitlines() if each.startswith("at the threshold"))
    known = zip(record["validation"]["score"], record["validation"]["label"], strict=True)
    validation = sorted(1 / (1 + math.exp(-score)) for score, label in known if label)
    enough = next(k for k in range(1, len(validation) + 1) if k >= 0.9 * len(validation) - 1e-9)
    lowest = validation[-enough]  # that must be found
    said = record["verdicts"]
    called = [1 / (1 + math.exp(-score)) >= lowest for score in said["score"]]
    found = [call for call, label in zip(called, said["label"], strict=True) if label]
    spared = [not call for call, label in zip(called, said["label"], strict=True) if not label]
    sensitivity, specificity = sum(found) / len(found), sum(spared) / len(spared)
    assert 0 < sensitivity < 1
    assert 0 < specificity < 1  # so that the precision says something

    def precision(share: float) -> str:
        true, false = share * sensitivity, (1 - share) * (1 - specificity)
        return f"{100 * true / (true + false):.1f} % * at a prevalence of {100 * share:g} %"

    assert re.sub(r"\([0-9.]+ to [0-9.]+\)", "*", line) == (
        f"at the threshold {lowest:.3g}, which finds 90 % of the validation positives: sensitivity "
        f"{100 * sensitivity:.1f} % *, specificity {100 * specificity:.1f} % *, precision {precision(0.03)}, "
        f"{precision(0.2)} (95 % intervals)"
    )


def test_the_line_of_counts_names_both_classes(
    records: dict[str, dict[str, Any]], model: Path, clinic: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(model, cohort=clinic, sets=("balanced",), records=tmp_path / "r", device=CPU, allow_seen=True)
    counts = records["balanced"]["confusion"]
    positives, negatives = counts["tp"] + counts["fn"], counts["tn"] + counts["fp"]
    said = capsys.readouterr().err
    assert f"{counts['tp']} of {positives} herpeticum and {counts['tn']} of {negatives} rash recognised, " in said
    assert re.search(r", \d+\.\d ms an image\n", said)
    assert "warning: some test images were seen before (--allow-seen)" in said


def test_records_of_another_version_are_refused_before_anything_is_tested(
    model: Path, clinic: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"format": "rarescreen-record", "version": 1, "key": {}}\n')
    monkeypatch.setattr(classify.evaluate, "predict", lambda *_, **__: pytest.fail("tested"))
    with pytest.raises(UserError, match=r"r.jsonl, line 1: of record version 1, .* another --records\.$"):
        evaluate(model, cohort=clinic, sets=SETS, records=path, device=CPU, allow_seen=True)


def test_a_test_is_in_full_precision_whatever_the_last_fit_was_in(
    model: Path, clinic: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, torch.device]] = []
    predict = classify.evaluate.predict

    def watched(*arguments: Any, **named: Any) -> np.ndarray:
        assert asked == [("fp32", CPU)]
        return predict(*arguments, **named)

    monkeypatch.setattr(classify.evaluate, "choose_precision", lambda *given: asked.append(given))
    monkeypatch.setattr(classify.evaluate, "predict", watched)
    evaluate(model, cohort=clinic, sets=("balanced",), records=tmp_path / "r", device=CPU, allow_seen=True)
    assert asked


def test_few_external_images_are_not_probed(model: Path, clinic: Cohort, tmp_path: Path) -> None:
    kept = np.concatenate([np.flatnonzero(clinic.role != EXTERNAL), np.flatnonzero(clinic.role == EXTERNAL)[:8]])
    names = ("images", "label", "image_id", "group_id", "fold", "role", "source_path")
    fewer = {name: np.asarray(getattr(clinic, name))[kept] for name in names}
    small = replace(clinic, **fewer, attributes={})
    (record,) = evaluate(model, cohort=small, sets=("external",), records=tmp_path / "r", device=CPU, allow_seen=True)
    assert record["source_probe"] is None
    assert record["verdicts"]["attributes"] == {}
