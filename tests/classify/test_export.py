"""The command: what it leaves, what it tells of the model, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from fitting import QUICK, run
from PIL import Image, ImageOps
from tabled import grid, grids
from torch.nn import functional

from classify import export as stage
from classify.cli import cli
from classify.evaluate import evaluate, predict
from classify.explain import explain
from classify.explaining.explained import ExplainOptions
from classify.export import ExportOptions, export
from classify.exporting import files
from classify.exporting.card import card
from classify.exporting.check import TOLERANCE, Differences
from classify.fitting.folder import CONFIG, MODEL, read_model
from classify.measuring.calibration import fit_temperature
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.document import to_markdown
from shared.errors import UserError
from shared.html.report import to_report
from shared.images import to_square
from shared.markdown import from_markdown, plain, read_page

EXAMPLE = Path(__file__).parents[2] / "examples" / "ask_classifier.py"
NAMES = ["model.html", "model.json", "model.md", "model.onnx", "model.pt2"]


@pytest.fixture(scope="module")
def fitted(cohort: Cohort, make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with synthetic images, and its evaluations in records.jsonl."""
    out = tmp_path_factory.mktemp("fitted")
    run(cohort, out / "model", replace(QUICK, ratio="1:2"), bundles=[make_bundle(cohort, seen=range(9))])
    evaluate(
        out / "model",
        cohort=cohort,
        sets=("balanced", "external"),
        records=out / "records.jsonl",
        device=torch.device("cpu"),
        allow_seen=True,
    )
    return out


@pytest.fixture(scope="module")
def exported(fitted: Path, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "out"
    export(ExportOptions(fitted / "model", out, records=(fitted / "records.jsonl",)), cohort)
    return out


def answers(exported: Path, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})


def about(exported: Path) -> dict[str, Any]:
    return json.loads((exported / "model.json").read_text(), parse_constant=pytest.fail)


def test_the_files_are_there_and_nothing_else(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == NAMES


def test_the_probability_is_calibrated_and_the_thresholds_are_those_of_validation(
    exported: Path, fitted: Path, cohort: Cohort
) -> None:
    model = read_model(fitted / "model")
    label, score = (np.array(model.history["validation"][name]) for name in ("label", "score"))
    told = about(exported)
    assert told["temperature"] == fit_temperature(score.astype(float), label)
    assert told["classes"][1] == told["positive"] == cohort.positive
    images = np.asarray(cohort.images[:20])
    expected = predict(model.load(), images)
    probability, found, evidence = answers(exported, images)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected / told["temperature"])), atol=TOLERANCE)
    assert evidence.shape == (20, 32, 32)
    # The last validation positive that must be found lies just above the threshold, and no further than an export errs.
    calibrated = np.sort(1 / (1 + np.exp(-score[label == 1] / told["temperature"])))[::-1]
    enough = int(np.ceil(0.95 * len(calibrated)))
    last = calibrated[enough - 1]
    assert last - 1e-3 < told["threshold_sensitive"] < last
    assert told["threshold"] == 0.5


def test_the_reasons_in_the_onnx_file_are_what_classify_explain_draws(
    exported: Path, fitted: Path, cohort: Cohort, tmp_path: Path
) -> None:
    """The same model and images by both commands: evidence, enlarged as heat maps are, is the map of every tile."""
    options = ExplainOptions(count=50, checks=0)
    device = torch.device("cpu")
    (explained,) = explain(
        fitted / "model", cohort=cohort, out=tmp_path / "out", device=device, options=options, allow_seen=True
    )
    tiles = [tile for sheet in explained.sheets for tile in sheet.tiles]
    assert len(tiles) == explained.facts["n"] > 10  # every image of the test set is shown
    heat = np.stack([tile.heat for tile in tiles])
    probability, score, evidence = answers(exported, np.stack([tile.photo for tile in tiles]))
    drawn = functional.interpolate(
        torch.from_numpy(evidence)[:, None], heat.shape[1:], mode="bilinear", align_corners=False
    )[:, 0].numpy()
    assert heat.max() > 0
    np.testing.assert_allclose(drawn / heat.max(), heat / heat.max(), atol=TOLERANCE)
    np.testing.assert_allclose(score, [tile.score for tile in tiles], rtol=TOLERANCE, atol=TOLERANCE)
    temperature = explained.judge.temperature
    expected = [1 / (1 + np.exp(-tile.score / temperature)) for tile in tiles]
    np.testing.assert_allclose(probability, expected, atol=TOLERANCE)


def test_the_onnx_file_tells_the_same_of_itself(exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    held = session.get_modelmeta().custom_metadata_map
    told = about(exported)
    stored = {"": ""} | {files.ABOUT: ""}
    torch.export.load(exported / "model.pt2", extra_files=stored)
    archived = json.loads(stored[files.ABOUT])
    checks = told.pop("check")
    assert archived == told
    assert held.keys() == told.keys()
    for name, value in told.items():
        assert held[name] == value if isinstance(value, str) else json.loads(held[name]) == value
    assert told["notice"].startswith("Not a medical device")
    assert checks.keys() == {"model.onnx", "model.pt2"}
    for name, found in checks.items():
        assert found["bytes"] == (exported / name).stat().st_size
        assert found["source"] == "the cohort"
        assert 0 <= max(found[of] for of in ("probability", "score", "evidence")) <= TOLERANCE


def test_no_folder_of_this_machine_is_in_a_file(exported: Path) -> None:
    for path in exported.iterdir():
        held = path.read_bytes()
        for folder in (Path(files.__file__).parents[1], Path(torch.__file__).parent, exported.parent):
            assert str(folder).encode() not in held


def test_who_was_seen_is_told(exported: Path, fitted: Path) -> None:
    parts = read_model(fitted / "model").seen
    everybody = set().union(*(each.image_id.tolist() for each in parts))
    seen = about(exported)["seen"]
    assert seen["photographs"] == len(everybody)
    assert seen["by"] == {each.by: len(set(each.image_id.tolist())) for each in parts}
    assert len(seen["by"]) == 2


def test_the_card_has_the_figures_of_the_record(exported: Path, fitted: Path, cohort: Cohort) -> None:
    card = (exported / "model.md").read_text()
    (record, _) = [json.loads(line) for line in (fitted / "records.jsonl").read_text().splitlines()]
    (row, *_) = grid(card, "Accuracy")
    assert (row["Test set"], row["Verdict"], row["n"]) == ("balanced", "likelier class", str(record["n"]))
    for name in ("accuracy", "sensitivity", "specificity"):
        assert row[name.capitalize()].split(" ")[0] == f"{100 * record['metrics'][name]:.1f}"
    assert "† evaluated with --allow-seen" in card
    assert "Not a medical device" in card
    counts = {each["Photographs"]: each["Images"] for each in grid(card, "Photographs")}
    assert counts == {cohort.positive: "30", cohort.classes[0]: "41", "external": "5"}
    assert "It learnt from 9 synthetic positives and 0 synthetic negatives" in card
    assert "saw 9 photographs" in card
    assert {each["File"] for each in grid(card, "File")} == {"model.onnx", "model.pt2"}
    assert "their licence is not recorded" in card


def test_the_card_as_a_page_says_the_same_and_needs_nothing_else(exported: Path) -> None:
    page = (exported / "model.html").read_text()
    assert page == to_report(read_page(exported / "model.md"), folder=exported, command="classify export")
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|\son\w+=|https?://", page)
    assert page.index("Not a medical device") < page.index("<section")  # first of all


def test_names_of_classes_have_no_effect_on_the_card(exported: Path, fitted: Path) -> None:
    names = ["[rash](https://e.org)", "<b>*herpeticum*|"]
    told = about(exported) | {"classes": names, "positive": names[1]}
    blocks = from_markdown(to_markdown(card(told, read_model(fitted / "model").history, None, [])))
    assert plain(blocks[0].text) == f"Model card: Custom CNN for {names[1]}"
    page = to_report(blocks, folder=exported, command="classify export")
    assert not re.search("<b>|<a href=.http|<em>", page)


def test_the_card_of_the_papers_protocol_says_what_flatters(exported: Path, fitted: Path) -> None:
    told, history = about(exported), read_model(fitted / "model").history
    strict = to_markdown(card(told, history, None, []))
    assert "the best on the validation images" in strict
    assert "Protocol paper" not in strict
    told["fit"] |= {"protocol": "paper", "control": "augmentation"}
    paper = to_markdown(card(told, history, None, []))
    assert "the best on the balanced test images: what they measure flatters" in paper
    assert "turned twins of the training images are among the validation images" in paper
    assert "then under random changes of light" in paper


def test_what_is_unknown_is_said_to_be(fitted: Path, tmp_path: Path) -> None:
    export(ExportOptions(fitted / "model", tmp_path / "alone.pt2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.html", "alone.json", "alone.md", "alone.pt2"]
    card = (tmp_path / "alone.md").read_text()
    assert "is **unknown** here" in card
    assert "its make-up stays unknown here" in card
    assert not [rows for rows in grids(card) if "Accuracy" in rows[0]]
    assert json.loads((tmp_path / "alone.json").read_text())["check"]["alone.pt2"]["source"] == "random pixels"


def test_another_application_asks_without_torch_and_without_us(exported: Path, fitted: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (52, 75, 4), dtype=np.uint8)
    pixels[:, :40, 3] = 0  # see-through: white, as for `synth prepare`
    photograph = Image.fromarray(pixels).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees, which undoes the 90
    photograph.save(tmp_path / "photograph.png", exif=exif)
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['', {str(exported / 'model.onnx')!r}, 'photograph.png', 'reasons.png']\n"
        f"runpy.run_path({str(EXAMPLE)!r})\n"
        "ours = {'torch', 'torchvision', 'classify', 'shared', 'synth', 'onnx'}\n"
        "assert not ours & {name.partition('.')[0] for name in sys.modules}, 'imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    over_white = np.round(255 + pixels[..., 3:] / 255.0 * (pixels[..., :3] - 255.0)).astype(np.uint8)
    prepared = to_square(over_white, 32, "crop")[None]
    expected = answers(exported, prepared)
    match = re.fullmatch(r"herpeticum: (yes|no), probability ([\d.]+)\. Not a medical device.*\n", done.stdout)
    assert match is not None
    assert match[2] == f"{expected[0][0]:.3f}"
    assert (match[1] == "yes") == (expected[0][0] > 0.5)
    with Image.open(tmp_path / "reasons.png") as reasons:
        assert reasons.size == (448, 448)
        assert not np.array_equal(*np.asarray(reasons)[..., :2].transpose(2, 0, 1))  # there is red in it
    ask = EXAMPLE.read_text().partition("def ask")[2].partition("\n\n\n")[0]
    assert len(ask.splitlines()) == 2 + 11  # as the documentation says, which shows it
    assert f"def ask{ask}\n```" in (EXAMPLE.parents[1] / "docs" / "export.md").read_text()
    (tmp_path / "text.png").write_text("no photograph")
    for file, words in (("photograph.png", "File exists: 'reasons.png'"), ("text.png", "cannot identify image file")):
        again = subprocess.run(
            [sys.executable, str(EXAMPLE), str(exported / "model.onnx"), file, "reasons.png"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert again.stderr.startswith("error: ")
        assert words in again.stderr
        assert "Traceback" not in again.stderr


def test_pillow_prepares_as_we_do() -> None:
    """So that an application may square photographs by itself, in one call."""
    photograph = np.random.default_rng(5).integers(0, 256, (75, 52, 3), dtype=np.uint8)
    fit = ImageOps.fit(Image.fromarray(photograph), (32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.array(fit), to_square(photograph, 32, "crop"))


def test_the_same_export_gives_the_same_bytes(exported: Path, fitted: Path, cohort: Cohort, tmp_path: Path) -> None:
    export(ExportOptions(fitted / "model", tmp_path / "out", records=(fitted / "records.jsonl",)), cohort)
    for name in NAMES:
        assert (tmp_path / "out" / name).read_bytes() == (exported / name).read_bytes(), name


def test_existing_files_are_replaced_only_when_asked(exported: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.pt2"
    out.write_text("mine")
    with pytest.raises(UserError, match="exists already; give --force"):
        export(ExportOptions(fitted / "model", out))
    assert out.read_text() == "mine"
    export(ExportOptions(fitted / "model", out, force=True))
    assert out.read_bytes()[:2] == b"PK"


def refused(fitted: Path, out: Path, match: str, **options: Any) -> None:
    """Assert that an export is refused in a sentence and leaves nothing."""
    cohort = options.pop("cohort", None)
    with pytest.raises(UserError, match=match) as error:
        export(ExportOptions(fitted, out, **options), cohort)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    assert not out.exists() or not list(out.iterdir())


def test_what_is_no_model_is_refused(fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(tmp_path / "nowhere", out, "holds no model; give a folder that `classify fit` wrote")
    copy = tmp_path / "copy"
    shutil.copytree(fitted / "model", copy)
    (copy / MODEL).rename(tmp_path / "tensors")
    refused(copy, out, "a fit that is not done")
    (copy / MODEL).write_bytes((tmp_path / "tensors").read_bytes()[:-50])
    refused(copy, out, "not the tensors of this model")
    config = (copy / CONFIG).read_text()
    (copy / CONFIG).write_text(config.replace('"version": 2', '"version": 3', 1))
    refused(copy, out, "of model version 3, and this is version 2; update Rarescreen")
    (copy / CONFIG).write_text(config[:100])
    refused(copy, out, "damaged")


def test_one_of_several_folds_must_be_named(fitted: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        shutil.copytree(fitted / "model", tmp_path / "folds" / f"fold{number}")
        if number == 0:
            assert stage.one_folder(tmp_path / "folds", None) == tmp_path / "folds" / "fold0"  # the only one
    refused(tmp_path / "folds", tmp_path / "out", r"holds 2 models \(fold0, fold1\).* give --fold N")
    refused(tmp_path / "folds", tmp_path / "out", r"^--fold 2: .* holds fold0, fold1", fold=2)
    assert stage.one_folder(tmp_path / "folds", 1) == tmp_path / "folds" / "fold1"
    assert stage.one_folder(fitted / "model", 0) == fitted / "model"
    refused(fitted / "model", tmp_path / "out", r"^--fold 1: .* is the model of fold 0", fold=1)


@pytest.mark.parametrize("name", ["x.pt", "x.md", "x.json", "x.ort", "x.zip"])
def test_other_kinds_of_files_are_refused(fitted: Path, tmp_path: Path, name: str) -> None:
    refused(fitted / "model", tmp_path / name, "no kind of file that is written; give a folder")


def test_a_file_is_no_folder(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file; give a folder"):
        export(ExportOptions(fitted / "model", tmp_path / "file"))


def test_the_cohort_must_be_the_models_own(fitted: Path, tmp_path: Path, small: Cohort) -> None:
    refused(fitted / "model", tmp_path / "out", "fitted on another cohort", cohort=small)


def test_records_of_other_models_tell_nothing(fitted: Path, tmp_path: Path) -> None:
    lines = (fitted / "records.jsonl").read_text()
    other = tmp_path / "other.jsonl"
    other.write_text(lines.replace('"lr": 0.001', '"lr": 0.002'))
    refused(fitted / "model", tmp_path / "out", "no evaluation of .*; run `classify evaluate", records=(other,))
    other.write_text(lines.replace('"confusion"', '"confused"'))
    refused(fitted / "model", tmp_path / "out", "a record cannot be used", records=(other,))
    refused(fitted / "model", tmp_path / "out", "no such file", records=(tmp_path / "none.jsonl",))


def test_a_package_that_is_missing_is_named(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PACKAGES", ("no_such_onnx",))
    refused(fitted / "model", tmp_path / "out", r"no_such_onnx is not installed.* with its extra export ")
    files.require_packages((files.ARCHIVE,))  # which needs none


def test_a_network_that_cannot_be_exported_is_refused(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(network: object) -> None:
        raise RuntimeError("Unsupported operation: aten::magic\nand a page of advice")

    monkeypatch.setattr(files, "trace", fail)
    refused(fitted / "model", tmp_path / "out", r"custom_cnn cannot be exported \(Unsupported operation: aten::magic\)")


def test_a_file_that_says_something_else_is_not_kept(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Differences(probability=2e-4, score=0.0, evidence=0.0, images=1, source="random pixels")
    monkeypatch.setattr(stage, "compare", lambda *given, **named: wrong)
    refused(fitted / "model", tmp_path / "out", r"says something else than the model \(by 0.0002, where 0.0001 is")
    for place in range(3):
        differences = [0.0, 0.0, 0.0]
        differences[place] = float("nan")
        assert not Differences(*differences, 1, "random pixels").within


@pytest.mark.parametrize("output", range(3))
@pytest.mark.parametrize("call", range(4))
def test_an_answer_that_is_no_number_is_seen_wherever_it_stands(
    fitted: Path, cohort: Cohort, output: int, call: int
) -> None:
    """The check asks for images together, alone, and for photographs of two other shapes."""
    classifier = read_model(fitted / "model").load()
    images = np.asarray(cohort.images[:4])
    network = stage.ExportedClassifier(classifier, size=32, temperature=1.0)
    calls = []

    def answer(images: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            found = [each.numpy().copy() for each in network(torch.tensor(images))]
        if len(calls) == call:
            found[output].flat[-1] = np.nan
        calls.append(len(images))
        return found

    assert not stage.compare(answer, classifier, network, images, "x").within
    assert len(calls) == 4


def test_the_check_finds_a_network_that_says_something_else(fitted: Path, tmp_path: Path, cohort: Cohort) -> None:
    """A wrong temperature moves probabilities alone, wrong preparation the scores, too."""
    model = read_model(fitted / "model")
    classifier = model.load()
    images = np.asarray(cohort.images[:4])
    network = stage.ExportedClassifier(classifier, size=32, temperature=1.0)
    for wrong, moves in (
        (stage.ExportedClassifier(classifier, size=32, temperature=1.1), {"probability"}),
        (stage.ExportedClassifier(classifier, size=31, temperature=1.0), {"probability", "score", "evidence"}),
    ):
        answer = stage.eager_answer(wrong)
        found = stage.compare(
            lambda images, answer=answer: [each.numpy() for each in answer(images)], classifier, network, images, "x"
        )
        assert {name for name in ("probability", "score", "evidence") if getattr(found, name) > TOLERANCE} == moves
        assert not found.within


def test_the_command_exports_and_tells(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classify.exporting.speed.REPEATS", 3)
    cli(["export", str(fitted / "model"), "--out", str(tmp_path / "m.pt2"), "--latency"])
    shown = capsys.readouterr()
    assert "torch.export" in shown.out
    assert "is allowed" in shown.err
    with pytest.raises(SystemExit) as ended:
        cli(["export", str(tmp_path), "--out", str(tmp_path / "n.pt2")])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_coarse_heat_map_is_told_on_the_card_and_the_console(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = run(cohort, tmp_path / "coarse", replace(QUICK, depth=6, epochs=1))
    export(ExportOptions(model, tmp_path / "out"))
    sentence = "the heat map has 2 x 2 cells, too few to tell where in a photograph something is"
    assert f"note: {sentence}" in " ".join(capsys.readouterr().err.split())
    assert sentence in (tmp_path / "out" / "model.md").read_text()
    assert json.loads((tmp_path / "out" / "model.json").read_text())["evidence_cells"] == [2, 2]
