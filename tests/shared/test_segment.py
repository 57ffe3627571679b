"""Segment Anything from a folder: a tiny network with random weights, saved by transformers itself."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import UserError
from shared.nn.segment import FILES, Sam

CPU = torch.device("cpu")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam")
    side = {"image_size": 64, "patch_size": 8}
    config = transformers.SamConfig(
        vision_config={
            **side, "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "window_size": 4, "global_attn_indexes": [0], "num_pos_feats": 8, "initializer_range": 0.5,
        },
        prompt_encoder_config={**side, "hidden_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.SamModel(config).save_pretrained(path)
    size = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    transformers.SamImageProcessor(**size).save_pretrained(path)
    return path


def images(count: int = 3, size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def proposals(folder: Path, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the three masks and their scores, by the library as its documentation has it."""
    model = transformers.SamModel.from_pretrained(folder).eval()
    processor = transformers.SamProcessor.from_pretrained(folder)
    asked = processor(Image.fromarray(image), input_points=[[[20, 20]]], return_tensors="pt")
    with torch.no_grad():
        told = model(**asked)
    masks = processor.image_processor.post_process_masks(
        told.pred_masks, asked["original_sizes"], asked["reshaped_input_sizes"]
    )
    return masks[0][0].numpy(), told.iou_scores[0, 0].numpy()


def test_it_gives_the_best_of_the_three_masks_or_the_largest(folder: Path) -> None:
    told: list[float] = []
    some, sam = images(), Sam(folder, CPU)
    found, whole = sam(some, advance=told.append), sam(some, whole=True)
    assert told == [1, 1, 1]
    for image, mask, large in zip(some, found, whole, strict=True):
        masks, scores = proposals(folder, image)
        assert np.array_equal(mask, masks[scores.argmax()])
        assert large.sum() == masks.sum((1, 2)).max()
    assert found.shape == (3, 40, 40)
    assert found.dtype == bool


def test_its_name_says_which_weights(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
    names = {Sam(each, CPU).name for each in (folder, folder, other)}
    assert len(names) == 2
    assert all(len(name.removeprefix("Segment Anything, sha256 ")) == 64 for name in names)


@pytest.mark.parametrize("name", FILES)
def test_without_a_file_one_sentence_says_what_to_download(folder: Path, tmp_path: Path, name: str) -> None:
    broken = shutil.copytree(folder, tmp_path / "s")
    for each in (name, "processor_config.json") if name.startswith("preprocessor") else (name,):
        (broken / each).unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{name} is missing; download .*facebook/sam-vit-base.* into this") as raised:
        Sam(broken, CPU)
    assert "\n" not in str(raised.value)


def test_pickled_weights_are_not_read(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "s")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        Sam(broken, CPU)


@pytest.mark.parametrize("damage", ["tensors", "truncated", "config"])
def test_other_networks_and_damaged_files_are_one_sentence(folder: Path, tmp_path: Path, damage: str) -> None:
    broken = shutil.copytree(folder, tmp_path / "s")
    if damage == "tensors":
        from safetensors.torch import load_file, save_file

        tensors = load_file(broken / "model.safetensors")
        tensors.pop("mask_decoder.iou_token.weight")
        save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    elif damage == "truncated":
        (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:1000])
    else:
        (broken / "config.json").write_text(json.dumps({"model_type": "sam"})[:-1])
    with pytest.raises(UserError, match="not a Segment Anything network") as raised:
        Sam(broken, CPU)(images(1))
    assert "\n" not in str(raised.value)
