"""The stage `classify explain`: what is shown, what is written, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fitting import CPU, QUICK, here
from fitting import run as fit_one
from PIL import Image
from scipy.special import expit, logit

from classify.cli import cli
from classify.explain import explain, explain_photographs
from classify.explaining.deletion import area
from classify.explaining.explained import ExplainOptions, Tile
from classify.explaining.heatmap import grad_cam
from classify.fit import fit
from classify.fitting.folder import CONFIG, read_model
from classify.measuring.calibration import fit_temperature, threshold_for_sensitivity
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.document import Grid
from shared.errors import UserError
from shared.images import image_id, read_photo
from shared.markdown import plain, read_page
from shared.splits import balanced_test_set, external_test_set, parts

COARSE = 6  # convolutions, of whose maps of 32 px few cells are left
FEW = ExplainOptions(count=3, checks=4)


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_one(cohort, tmp_path_factory.mktemp("model") / "m", replace(QUICK, depth=2, epochs=6, lr=3e-3))


@pytest.fixture(scope="module")
def explained(model: Path, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("explained") / "out"
    run(model, cohort, out)
    return out


def run(model: Path, cohort: Cohort, out: Path, options: ExplainOptions = FEW, **more: Any) -> list[Any]:
    return explain(model, cohort=cohort, out=out, device=CPU, options=options, **more)


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "explain.json").read_text())
    return document


def scores(model: Path, cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        logits = read_model(model).load()(torch.from_numpy(np.asarray(cohort.images[rows]))).double()
    return (logits[:, 1] - logits[:, 0]).numpy()


def test_every_test_image_is_of_one_kind_at_the_validation_threshold(
    model: Path, cohort: Cohort, explained: Path
) -> None:
    rows, document = balanced_test_set(cohort, 0), read(explained)
    score, label = scores(model, cohort, rows), cohort.label[rows]
    validation = parts(cohort, 0).validation
    on_validation = scores(model, cohort, validation), cohort.label[validation]
    threshold = threshold_for_sensitivity(*on_validation, 0.95)
    assert document["judge"]["threshold"] == pytest.approx(threshold, rel=1e-5)
    assert document["judge"]["temperature"] == pytest.approx(fit_temperature(*on_validation), rel=1e-3)
    called = expit(score) > document["judge"]["threshold"]
    expected = {
        "true_positives": int((called & (label == 1)).sum()),
        "false_positives": int((called & (label == 0)).sum()),
        "false_negatives": int((~called & (label == 1)).sum()),
        "true_negatives": int((~called & (label == 0)).sum()),
    }
    assert document["counts"] == expected
    known = dict(zip(cohort.image_id[rows].tolist(), zip(score, label, strict=True), strict=True))
    for kind, sheet in document["sheets"].items():
        assert len(sheet["images"]) == min(3, expected[kind])
        for image in sheet["images"]:
            own, truth = known[image["name"]]
            assert image["score"] == pytest.approx(own, abs=1e-4)
            assert image["label"] == truth == int(kind in ("true_positives", "false_negatives"))
            assert image["called"] == (kind in ("true_positives", "false_positives"))


def test_the_files_are_there_and_the_page_says_in_words_what_the_pictures_show(explained: Path) -> None:
    document, page = read(explained), (explained / "explain.md").read_text()
    kinds = [kind for kind, sheet in document["sheets"].items() if sheet["images"]]
    assert {path.name for path in explained.iterdir()} == {
        "explain.md", "explain.json", "deletion.png", *(f"{kind}.png" for kind in kinds)
    }  # fmt: skip
    for kind, sheet in document["sheets"].items():
        assert (f"]({kind}.png)" in page) == (kind in kinds) == (sheet["picture"] is not None)
        assert f"## {sheet['title']}" in page
        for image in sheet["images"]:
            assert f"| {image['name'][:8]} | {image['shown']} | {image['probability']:.3f} |" in page
    for check in document["checks"].values():
        assert check["sentence"] in page
    assert document["checks"]["randomized"]["n"] <= 4


def test_the_checks_have_the_numbers_of_the_maps(model: Path, cohort: Cohort, explained: Path) -> None:
    deletion = read(explained)["checks"]["deletion"]
    assert deletion["n"] == 4
    assert np.mean(deletion["area_by_map"]) == pytest.approx(float(area(np.array(deletion["by_map"]))))
    gains = np.array(deletion["area_at_random"]) - deletion["area_by_map"]
    assert deletion["gain"] == pytest.approx(gains.mean())


def test_the_shown_peaks_are_those_of_the_public_function(model: Path, cohort: Cohort, explained: Path) -> None:
    classifier, document = read_model(model).load(), read(explained)
    row = {name: number for number, name in enumerate(cohort.image_id.tolist())}
    shown = [image for sheet in document["sheets"].values() for image in sheet["images"]]
    images = np.asarray(cohort.images[[row[image["name"]] for image in shown]])
    peaks = grad_cam(classifier, torch.from_numpy(images)).amax((1, 2))
    assert [image["peak"] for image in shown] == pytest.approx(peaks.tolist(), rel=1e-3, abs=1e-5)
    assert document["scale"] == pytest.approx(float(peaks.max()), rel=1e-3)


def test_an_existing_folder_needs_force_and_gets_the_same_bytes(model: Path, cohort: Cohort, explained: Path) -> None:
    before = {path.name: path.read_bytes() for path in explained.iterdir()}
    with pytest.raises(UserError, match="exists already; give --force"):
        run(model, cohort, explained)
    run(model, cohort, explained, force=True)
    assert {path.name: path.read_bytes() for path in explained.iterdir()} == before


def test_it_is_said_that_a_model_knows_no_patient(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "rendered")
    config = tmp_path / "rendered" / "config.json"
    document = json.loads(config.read_text())
    assert document["cohort"]["source"] == "photographs"
    config.write_text(json.dumps(document | {"cohort": document["cohort"] | {"source": "phantom"}}))
    for fitted, told in ((model, False), (tmp_path / "rendered", True)):
        out = tmp_path / f"of {fitted.name}"
        (found,) = run(fitted, cohort, out, replace(FEW, count=1, checks=0))
        assert any("rendered skin: nothing here says anything of patients" in line for line in found.sentences) == told
        assert ("rendered skin" in (out / "explain.md").read_text()) == told


def test_a_models_own_folder_is_never_replaced(model: Path, cohort: Cohort) -> None:
    with pytest.raises(UserError, match="something else would be lost"):
        run(model, cohort, model, force=True)


def test_all_folds_have_folders_of_their_own_and_a_page_that_leads_to_them(small: Cohort, tmp_path: Path) -> None:
    fit(small, options=replace(QUICK, epochs=1), folds=[0, 1], out=tmp_path / "m", place=here())
    found = run(tmp_path / "m", small, tmp_path / "out", replace(FEW, checks=0))
    assert [each.facts["model"]["fold"] for each in found] == [0, 1]
    assert read(tmp_path / "out")["folders"] == ["fold0", "fold1"]
    assert "(fold1/explain.md)" in (tmp_path / "out" / "explain.md").read_text()
    assert read(tmp_path / "out" / "fold1")["checks"] is None
    assert "Nothing was checked" in (tmp_path / "out" / "fold1" / "explain.md").read_text()


def test_a_map_that_cannot_tell_where_is_not_drawn_unless_asked_for(cohort: Cohort, tmp_path: Path) -> None:
    model = fit_one(cohort, tmp_path / "m", replace(QUICK, depth=COARSE, epochs=1))
    options = replace(FEW, count=1, checks=0)
    (by_itself,) = run(model, cohort, tmp_path / "out", options)
    assert by_itself.options.method == "occlusion"
    page = (tmp_path / "out" / "explain.md").read_text()
    assert "Occlusion. An image is called" in page
    assert "cells, too few to tell where." in page
    assert "half of a window, a twelfth of the side" in page
    (asked,) = run(model, cohort, tmp_path / "asked", replace(options, method="grad-cam"))
    assert asked.options.method == "grad-cam"
    assert asked.sentences[-1].startswith("warning: the network's last map has")


def test_external_images_have_no_positives(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    run(model, cohort, tmp_path / "out", replace(FEW, threshold=0.999), test="external")
    document = read(tmp_path / "out")
    assert (document["n"], document["left_out"]) == (len(external_test_set(cohort)[0]), 1)
    assert document["sheets"]["false_negatives"]["images"] == []
    assert "of 4 without herpeticum" in document["sheets"]["true_negatives"]["title"]
    assert document["judge"] == {
        "threshold": 0.999,
        "reason": "as given",
        "temperature": document["judge"]["temperature"],
    }


def test_seen_images_are_refused_unless_allowed_and_then_it_says_so(
    cohort: Cohort, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    leak = make_bundle(cohort, seen=balanced_test_set(cohort, 0)[:3])
    folder = fit_one(cohort, tmp_path / "m", replace(QUICK, epochs=1, ratio="1:2"), bundles=[leak])
    with pytest.raises(UserError, match="were seen before"):
        run(folder, cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(folder, cohort, tmp_path / "out", replace(FEW, checks=0), allow_seen=True)
    assert read(tmp_path / "out")["seen"] > 0
    assert "were seen before (--allow-seen)" in (tmp_path / "out" / "explain.md").read_text()


def test_another_cohort_is_refused(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fitted on another cohort"):
        run(model, replace(cohort, sha256="f" * 64), tmp_path / "out")


def test_a_photograph_from_outside_gets_the_verdict_of_its_square(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    image = np.asarray(cohort.images[balanced_test_set(cohort, 0)[0]])
    Image.fromarray(image).save(tmp_path / "visit.png")
    explain_photographs(model, [tmp_path / "visit.png"], out=tmp_path / "out", device=CPU, options=FEW)
    (shown,) = read(tmp_path / "out")["sheets"]["photographs"]["images"]
    assert shown["score"] == pytest.approx(scores(model, cohort, balanced_test_set(cohort, 0)[:1])[0], abs=1e-4)
    assert (shown["name"], shown["label"]) == ("visit.png", None)
    assert shown["shown"] == ("Called herpeticum" if shown["called"] else "Not called so")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"explain.md", "explain.json", "photographs.png"}


def test_a_photographs_name_has_no_effect_on_the_page(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    name = "_a_ [b](c) *d* x.png"
    Image.fromarray(np.asarray(cohort.images[0])[::-1]).save(tmp_path / name)
    explain_photographs(model, [tmp_path / name], out=tmp_path / "out", device=CPU, options=FEW)
    (table,) = (block for block in read_page(tmp_path / "out" / "explain.md") if isinstance(block, Grid))
    assert [plain(row[0]) for row in table.rows] == [name]


def test_a_photograph_that_was_seen_or_is_none_is_refused(model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (200, 150, 130)).save(tmp_path / "x.png")
    (tmp_path / "notes.png").write_text("no photograph")
    folder = shutil.copytree(model, tmp_path / "m")
    seen = json.loads((folder / "seen.json").read_text())
    seen["seen"][0]["image_id"][0] = image_id(read_photo(tmp_path / "x.png"))
    (folder / "seen.json").write_text(json.dumps(seen))
    for file, problem in (("x.png", "has seen this photograph before"), ("notes.png", "not a JPEG")):
        with pytest.raises(UserError, match=problem):
            explain_photographs(folder, [tmp_path / file], out=tmp_path / "out", device=CPU)
    assert not (tmp_path / "out").exists()
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"cohort": {"size": "big"}}))
    with pytest.raises(UserError, match="does not tell the size"):
        explain_photographs(folder, [tmp_path / "x.png"], out=tmp_path / "out", device=CPU)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--out", "o"), "--cohort, --image: give one of them"),
        (("--cohort", "c.h5", "--image", "x.png", "--out", "o"), "--cohort, --image: give one of them"),
        (("--image", "x.png", "--set", "external", "--out", "o"), "--set external: of a cohort"),
        (("--image", "x.png", "--out", "o", "--method", "tea-leaves"), "--method tea-leaves: not known"),
        (("--image", "x.png", "--out", "o", "--fit", "bend"), "Invalid value for '--fit'"),
        (("--image", "x.png", "--out", "o", "--count", "0"), "--count 0: out of range"),
        (("--image", "x.png", "--out", "o", "--checks", "-1"), "--checks -1: out of range"),
        (("--image", "x.png", "--out", "o", "--threshold", "1"), "--threshold 1: not a threshold"),
        (("--image", "x.png", "--out", "o", "--sensitivity", "2"), "--sensitivity 2: not a share"),
        (("--image", "x.png", "--out", "o"), "m: holds no model"),
        (("--image", "x.png"), "Missing option '--out'"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    Path("c.h5").touch()
    result = CliRunner().invoke(cli, ["explain", "m", *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"m", "c.h5"}
    assert not list(Path("m").iterdir())


@pytest.mark.parametrize(("row", "column", "name"), [(0, 0, "upper left"), (16, 15, "centre"), (31, 20, "bottom")])
def test_places_in_words(row: int, column: int, name: str) -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[row, column] = 2
    tile = Tile("x", np.zeros((32, 32, 3), np.uint8), heat, float(logit(0.3)), None)
    assert (tile.place, tile.half) == (name, 1 / 1024)
    blank = replace(tile, heat=np.zeros((32, 32), np.float32))
    assert (blank.place, blank.half) == ("nowhere", None)
    even = replace(tile, heat=np.ones((32, 32), np.float32))
    assert even.half == pytest.approx(0.5)


class LeftHalf:
    """Known masks: the left half of every image."""

    name = "known masks"

    def __call__(
        self, images: np.ndarray, *, whole: bool = False, advance: Callable[[float], None] = lambda _: None
    ) -> np.ndarray:
        assert not whole
        masks = np.zeros(images.shape[:3], bool)
        masks[:, :, : images.shape[2] // 2] = True
        return masks


def test_the_share_of_evidence_on_masks(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    options = replace(FEW, checks=200)  # all images that are called positive
    run(model, cohort, tmp_path / "out", options, segmenter=LeftHalf())
    found, rows = read(tmp_path / "out"), balanced_test_set(cohort, 0)
    called = rows[expit(scores(model, cohort, rows)) > found["judge"]["threshold"]]
    heat = grad_cam(read_model(model).load(), torch.from_numpy(np.asarray(cohort.images[called]))).double()
    heat = heat[heat.sum((1, 2)) > 0]
    expected = float((heat[:, :, :16].sum((1, 2)) / heat.sum((1, 2))).mean())
    mask = found["checks"]["mask"]
    assert (mask["segmenter"], mask["n"], mask["area"]) == ("known masks", len(heat), 0.5)
    assert mask["inside"] == pytest.approx(expected, rel=1e-3)
    assert mask["sentence"] in (tmp_path / "out" / "explain.md").read_text()
    assert (tmp_path / "out" / "masks.png").is_file()


def test_masks_want_a_cohort_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cohort: Cohort) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    for arguments, sentence in (
        (("--image", "x.png"), "--segmentation: one of the checks"),
        (("--cohort", str(cohort.path), "--checks", "0"), "--segmentation: one of the checks"),
        (("--cohort", str(cohort.path)), "--segmentation s: config.json is missing; download"),
    ):
        result = CliRunner().invoke(cli, ["explain", "m", "--segmentation", "s", "--out", "o", *arguments])
        assert result.exit_code == 2
        assert f"error: {sentence}" in result.stderr
        assert result.stderr.count("\n") == 1
