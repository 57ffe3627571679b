"""Every model as ONNX and as PyTorch's archive says what it says in PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exporting import LAST_MAPS, moved, pictures
from torch import nn

from classify.exporting import files
from classify.exporting.about import coarse_words
from classify.exporting.check import TOLERANCE
from classify.exporting.graph import INPUT, ExportedClassifier
from classify.models import Classifier, build_model

TEMPERATURE = 1.7
STORED = 48


def expected(classifier: Classifier, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probability and score by the classifier itself."""
    with torch.inference_mode():
        logits = classifier(torch.from_numpy(images)).double()
    score = (logits[:, 1] - logits[:, 0]).numpy()
    return 1 / (1 + np.exp(-score / TEMPERATURE)), score


def check(answer: Any, classifier: Classifier, network: ExportedClassifier) -> None:
    for images in (pictures(3, STORED, STORED), pictures(1, STORED, STORED, seed=1)):
        probability, score, *_ = found = answer(images)
        assert probability == pytest.approx(expected(classifier, images)[0], abs=TOLERANCE)
        assert score == pytest.approx(expected(classifier, images)[1], rel=TOLERANCE, abs=TOLERANCE)
        _same(found, network, images)
    for height, width in ((70, 51), (37, 90), (STORED, STORED + 1)):
        images = pictures(2, height, width)
        _same(answer(images), network, images)


def _same(found: list[np.ndarray], network: ExportedClassifier, images: np.ndarray) -> None:
    with torch.inference_mode():
        asked = [each.numpy() for each in network(torch.from_numpy(images))]
    assert [each.shape for each in found] == [each.shape for each in asked]
    for ours, theirs in zip(found, asked, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST_MAPS)
def test_exported_files_say_what_the_model_says(name: str, tmp_path: Path) -> None:
    classifier = moved(name, LAST_MAPS[name][0])
    network = ExportedClassifier(classifier, size=STORED, temperature=TEMPERATURE)
    assert network.no_evidence is None
    program = files.trace(network)
    files.write_onnx(tmp_path / "m.onnx", program, network.outputs, {"positive": "fever"})
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"positive": "fever"}
    assert [each.shape for each in session.get_inputs()] == [["N", "H", "W", 3]]
    assert [each.name for each in session.get_outputs()] == list(network.outputs)
    check(lambda images: session.run(None, {INPUT: images}), classifier, network)
    files.write_archive(tmp_path / "m.pt2", program, {"positive": "fever"})
    told = {files.ABOUT: ""}
    module = torch.export.load(tmp_path / "m.pt2", extra_files=told).module()
    assert told[files.ABOUT] == '{"positive": "fever"}'
    check(lambda images: [each.numpy() for each in module(torch.from_numpy(images))], classifier, network)
    for path in (tmp_path / "m.onnx", tmp_path / "m.pt2"):
        assert str(Path(files.__file__).parents[1]).encode() not in path.read_bytes()
        assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


def test_a_heat_map_that_cannot_tell_where_is_told() -> None:
    coarse = ExportedClassifier(build_model("custom_cnn", image_size=32), size=32, temperature=TEMPERATURE)
    assert coarse.evidence_cells == (2, 2)
    assert coarse_words(coarse.evidence_cells).startswith("the heat map has 2 x 2 cells, too few to tell where")
    assert coarse_words((4, 4)) == coarse_words(None) == ""


@pytest.mark.slow
def test_a_network_without_evidence_is_exported_too(tmp_path: Path) -> None:
    classifier = moved("timm:vit_tiny_patch16_224", 224)
    network = ExportedClassifier(classifier, size=STORED, temperature=TEMPERATURE)
    files.write_onnx(tmp_path / "m.onnx", files.trace(network), network.outputs, {})
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["probability", "score"]
    check(lambda images: session.run(None, {INPUT: images}), classifier, network)


def test_the_classifier_itself_is_left_as_it_was() -> None:
    classifier = moved("custom_cnn", 32, depth=3)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    ExportedClassifier(classifier, size=STORED, temperature=TEMPERATURE)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())
