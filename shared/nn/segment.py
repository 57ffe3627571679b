"""Masks of what stands in the middle of a photograph, by Segment Anything (Kirillov et al. 2023, arXiv:2304.02643).

Its weights are read from a folder that the user fills, by `transformers`: tensors alone (safetensors), no code that
comes with them, and nothing from the network.
"""

import importlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from shared.errors import UserError, with_extra
from shared.weights import WeightFile, WeightSource, find_weights

REPOSITORY = "facebook/sam-vit-base"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
ALTERNATIVES = {"preprocessor_config.json": "processor_config.json"}  # as newer versions of transformers save it
WEIGHTS = WeightFile(name="model.safetensors", licence="Apache-2.0")

Images = npt.NDArray[np.uint8]  # [N, S, S, 3]
Masks = npt.NDArray[np.bool_]  # [N, S, S]


class Segmenter(Protocol):
    """What finds masks; `name` says which network with which weights."""

    @property
    def name(self) -> str:
        """Of the network, with the SHA-256 of its weights."""

    def __call__(self, images: Images, *, whole: bool = False, advance: Callable[[float], None] = ...) -> Masks:
        """Return a mask of what stands in the middle of each image."""


class Sam:
    """Segment Anything, asked for what is at the middle of each image; its tensors are loaded when it is first asked.

    Raises `UserError`, then or now: transformers is not installed, a file is missing, or not of this network.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = Path(folder), device
        _require_files(self._folder)
        _transformers()

    @cached_property
    def name(self) -> str:
        """Of the network, with the SHA-256 of its weights."""
        found = find_weights(WEIGHTS, WeightSource(self._folder, offline=True))
        return f"Segment Anything, sha256 {found.sha256}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The network, and what prepares its images."""
        transformers, common = _transformers(), {"local_files_only": True}
        try:
            processor = transformers.SamProcessor.from_pretrained(self._folder, **common)
            model, told = transformers.SamModel.from_pretrained(
                self._folder, use_safetensors=True, output_loading_info=True, **common
            )
            if told["missing_keys"] or told["mismatched_keys"]:  # which transformers draws at random
                raise ValueError("some of its tensors are missing")
        except Exception as error:  # transformers raises all kinds on files that are not its own
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise UserError(
                f"--segmentation {self._folder}: not a Segment Anything network ({reason}); download {REPOSITORY} "
                "again."
            ) from error
        return model.to(self._device).eval(), processor

    def __call__(
        self, images: Images, *, whole: bool = False, advance: Callable[[float], None] = lambda _: None
    ) -> Masks:
        """Return the mask of what stands in the middle of each of `images` [N, S, S, 3]: bool [N, S, S].

        Of the three masks that it proposes for a point (a part, a larger part, the whole) it is the one that the
        network thinks best, or with `whole` the largest. `advance` is told how many images are done.
        """
        model, processor = self._loaded
        found = np.zeros(images.shape[:3], bool)
        middle = images.shape[1] / 2
        for row, image in enumerate(images):
            picture = Image.fromarray(image)
            asked = processor(images=[picture], input_points=[[[middle, middle]]], return_tensors="pt")
            asked = asked.to(self._device)
            with torch.inference_mode():
                told = model(**asked, multimask_output=True)
            (masks,) = processor.image_processor.post_process_masks(
                told.pred_masks.cpu(), asked["original_sizes"].cpu(), asked["reshaped_input_sizes"].cpu()
            )
            sizes = masks[0].flatten(1).sum(1)
            best = sizes.argmax() if whole else told.iou_scores[0, 0].argmax()
            found[row] = masks[0, int(best)].numpy()
            advance(1)
        return found


def _require_files(folder: Path) -> None:
    missing = [
        name for name in FILES if not any((folder / each).is_file() for each in (name, ALTERNATIVES.get(name, name)))
    ]
    if missing:
        raise UserError(
            f"--segmentation {folder}: {missing[0]} is missing; download {', '.join(FILES[:-1])} and {FILES[-1]} of "
            f"https://huggingface.co/{REPOSITORY} (375 MB, Apache-2.0) into this folder."
        )


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(f"--segmentation: needs the package transformers; {with_extra('segment')}.") from error
