import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classify import backbones
from classify.evaluate import evaluate, predict
from classify.fit import fit
from classify.fitting.folder import CONFIG, HISTORY, MODEL, SEEN, model_folders, read_model
from classify.fitting.settings import FitOptions
from classify.place import Place
from classify.tested import test_set
from shared.bundle import Bundle
from shared.cohort import EXTERNAL, Cohort
from shared.errors import UserError
from shared.records import read_records
from shared.splits import balanced_test_set, external_test_set, parts
from shared.weights import WeightSource

test_set.__test__ = False  # a function of ours, not a test
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(cohort: Cohort, make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest model, and one whose synthetic images come from a generator that saw test images."""
    out = tmp_path_factory.mktemp("models")
    options = FitOptions(model="efficientnet_lite0", image_size=32, epochs=1)
    place = Place(device=CPU, weights=WeightSource(offline=True), cache=out / "cache")
    common: dict[str, Any] = {"folds": [0], "place": place}
    fit(cohort, options=options, out=out / "honest", **common)
    leak = make_bundle(cohort, seen=balanced_test_set(cohort, 0)[:3])
    fit(cohort, options=replace(options, ratio="1:2"), bundles=[leak], out=out / "leaky", **common)
    return out


def run(model: Path, cohort: Cohort, records: Path, sets: tuple[str, ...] = ("balanced",), **more: Any) -> list[Any]:
    return evaluate(model, cohort=cohort, sets=sets, records=records, device=CPU, **more)


def test_a_record_counts_the_verdicts_on_both_test_sets(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    made = run(models / "honest", cohort, tmp_path / "r.jsonl", ("balanced", "external"))
    assert made == json.loads(json.dumps(read_records(tmp_path / "r.jsonl")), object_hook=_tuples(made))
    classifier = read_model(models / "honest").load()
    for record, rows in zip(made, (balanced_test_set(cohort, 0), external_test_set(cohort)[0]), strict=True):
        with torch.inference_mode():
            logits = classifier(torch.from_numpy(np.asarray(cohort.images[rows])))
        verdict, truth = logits.argmax(1).numpy(), cohort.label[rows]
        expected = [int(((verdict == v) & (truth == t)).sum()) for v, t in ((1, 1), (1, 0), (0, 0), (0, 1))]
        assert [record["confusion"][name] for name in ("tp", "fp", "tn", "fn")] == expected
        assert record["n"] == len(rows)
        assert record["times"]["image_s"] == pytest.approx(record["times"]["test_s"] / len(rows))
    balanced, external = made
    assert balanced["key"] == {
        "model": "efficientnet_lite0", "ratio": "none", "control": "none", "synthetic": "positive",
        "protocol": "strict", "fold": 0, "seed": 0, "set": "balanced",
    }  # fmt: skip
    assert external["metrics"]["sensitivity"] is None
    head = 1280 * 512 + 512 + 512 * 256 + 256 + 256 * 2 + 2
    assert balanced["parameters"]["trainable"] == head
    assert balanced["parameters"]["imagenet"] == 4_652_008
    assert balanced["parameters"]["total"] == 4_652_008 - (1280 * 1000 + 1000) + head
    assert (balanced["allow_seen"], balanced["seen"]) == (False, 0)


def _tuples(made: list[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """JSON has lists alone: give the class names back as the record has them."""
    return lambda value: value | ({"classes": made[0]["cohort"]["classes"]} if "classes" in value else {})


def test_the_same_key_replaces(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    for _ in range(2):
        run(models / "honest", cohort, tmp_path / "r.jsonl")
    assert len(read_records(tmp_path / "r.jsonl")) == 1


def test_seen_test_images_are_refused_unless_allowed(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    records = tmp_path / "r.jsonl"
    tested = balanced_test_set(cohort, 0)
    expected = np.isin(cohort.group_id[tested], cohort.group_id[tested[:3]]).sum()
    with pytest.raises(UserError, match=rf"leaky: {expected} of the {len(tested)} images .* --allow-seen"):
        run(models / "leaky", cohort, records)
    assert not records.exists()
    (record,) = run(models / "leaky", cohort, records, allow_seen=True)
    assert (record["allow_seen"], record["seen"]) == (True, expected)


def test_images_that_a_model_learnt_from_are_refused(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    """A cohort with other folds, as another seed makes them, puts training images into the test fold."""
    train = parts(cohort, 0).train
    fold = np.where(cohort.role == EXTERNAL, -1, 1).astype(np.int8)
    fold[np.isin(cohort.group_id, cohort.group_id[train])] = 0
    other, folder = "0" * 64, shutil.copytree(models / "honest", tmp_path / "m")
    _edit(CONFIG, cohort.sha256, other)(folder)  # as if the model were of this cohort
    with pytest.raises(UserError, match="by the classifier"):
        run(folder, replace(cohort, fold=fold, folds=2, sha256=other), tmp_path / "r.jsonl")


@pytest.mark.parametrize("allow_seen", [False, True])
def test_another_cohort_than_the_one_fitted_on_is_refused(
    models: Path, cohort: Cohort, tmp_path: Path, allow_seen: bool
) -> None:
    """Its record would have the key of the right one's, and replace it."""
    records = tmp_path / "r.jsonl"
    run(models / "honest", cohort, records)
    before = records.read_bytes()
    with pytest.raises(
        UserError, match=r"honest: fitted on another cohort than .*cohort\.h5, .*; give the cohort that .*\.$"
    ) as raised:
        run(models / "honest", replace(cohort, sha256="f" * 64), records, allow_seen=allow_seen)
    assert "\n" not in str(raised.value)
    assert records.read_bytes() == before


def test_loading_needs_no_imagenet_weights(models: Path, monkeypatch: pytest.MonkeyPatch, cohort: Cohort) -> None:
    images = np.asarray(cohort.images)[:3]
    expected = predict(read_model(models / "honest").load(), images)
    monkeypatch.setattr(backbones, "find_weights", lambda *_: pytest.fail("looked for weights"))
    monkeypatch.setattr("shared.nn.backbone.find_weights", lambda *_: pytest.fail("looked for weights"))
    np.testing.assert_array_equal(predict(read_model(models / "honest").load(), images), expected)


def test_other_classes_and_missing_sets_are_refused(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tells rash and herpeticum apart, where the cohort has mole and herpeticum"):
        run(models / "honest", replace(cohort, classes=("mole", "herpeticum")), tmp_path / "r.jsonl")
    study = np.flatnonzero(cohort.role != EXTERNAL)
    names = ("images", "label", "image_id", "group_id", "fold", "role", "source_path")
    without = replace(cohort, **{name: np.asarray(getattr(cohort, name))[study] for name in names})
    with pytest.raises(UserError, match=r"^--set external: .* has no external images"):
        run(models / "honest", without, tmp_path / "r.jsonl", ("balanced", "external"))
    with pytest.raises(UserError, match=r"^--set all: no such test set"):
        run(models / "honest", cohort, tmp_path / "r.jsonl", ("all",))
    assert not (tmp_path / "r.jsonl").exists()


def test_a_folder_of_folds_is_evaluated_whole(models: Path, cohort: Cohort, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(models / "honest", both / "fold0")
    assert model_folders(both) == [both / "fold0"]
    assert model_folders(models / "honest") == [models / "honest"]
    (record,) = run(both, cohort, tmp_path / "r.jsonl")
    assert record["key"]["fold"] == 0
    (both / "fold1").mkdir()
    with pytest.raises(UserError, match="fold1: holds no model"):
        run(both, cohort, tmp_path / "r.jsonl")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def _without(name: str, key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        del document[key]
        (folder / name).write_text(json.dumps(document))

    return change


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: _cut(folder / CONFIG), "config.json: damaged"),
        (lambda folder: _cut(folder / SEEN), "seen.json: damaged"),
        (lambda folder: _cut(folder / MODEL), "model.safetensors: not the tensors of this model"),
        (lambda folder: (folder / HISTORY).unlink(), "history.json: no such file"),
        (lambda folder: (folder / MODEL).unlink(), "holds a fit that is not done"),
        (lambda folder: (folder / CONFIG).unlink(), "holds no model"),
        (_edit(CONFIG, '"version": 2', '"version": 3'), "of model version 3, and this is version 2; update"),
        (_edit(CONFIG, '"version": 2', '"version": 1'), "of model version 1, .* fit it again with --force"),
        (_edit(CONFIG, "rarescreen-model", "another-model"), "damaged, or not a model's file"),
        (_edit(CONFIG, '"epochs": 1', '"epochs": "1"'), "config.json: damaged"),
        (_edit(CONFIG, '"image_size": 32', '"image_size": 64'), None),
        (_edit(CONFIG, '"efficientnet_lite0"', '"resnet50"'), "not the tensors of this model"),
        (_edit(SEEN, '"group_id"', '"groups"'), "seen.json: damaged"),
        (_edit(SEEN, '"group_id": [', f'"group_id": [{10**30}, '), "seen.json: damaged"),
        *((_without(CONFIG, name), "config.json: damaged") for name in ("parameters", "classes", "counts")),
        (_without(CONFIG, "environment"), "config.json: damaged"),
        *((_without(HISTORY, name), "history.json: damaged") for name in ("epochs", "best_epoch", "train_s")),
        *((_without(HISTORY, name), "history.json: damaged") for name in ("validation", "synthetic_probe")),
        (_without(HISTORY, "peak_bytes"), "history.json: damaged"),
        (_edit(CONFIG, '"trainable": ', '"trained": '), "config.json: damaged"),
        (_edit(CONFIG, '"real_positives": ', '"positives": '), "config.json: damaged"),
        (_edit(HISTORY, '"best_epoch": 1', '"best_epoch": 2'), "history.json: damaged"),
        (_edit(HISTORY, '"score": [', '"score": [0.5, '), "history.json: damaged"),
        (_edit(HISTORY, '"accuracy": ', '"right": '), "history.json: damaged"),
        (_edit(HISTORY, '"balanced_accuracy": ', '"balanced": '), "history.json: damaged"),
    ],
)
def test_a_damaged_model_is_refused_in_one_sentence(
    models: Path, cohort: Cohort, tmp_path: Path, damage: Callable[[Path], None], problem: str | None
) -> None:
    folder = shutil.copytree(models / "honest", tmp_path / "m")
    damage(folder)
    if problem is None:  # a backbone that pools takes any size
        assert run(folder, cohort, tmp_path / "r.jsonl")
        return
    with pytest.raises(UserError, match=problem) as raised:
        run(folder, cohort, tmp_path / "r.jsonl")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "r.jsonl").exists()
