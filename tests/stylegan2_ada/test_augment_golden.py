"""Every augmentation against the reference numbers, at two settings each, and the two published pipes."""

import json
from typing import Any

import pytest
import torch
from reference import load_golden, relative_error
from torch import Tensor

from stylegan2_ada import spectrum
from stylegan2_ada.augment import AugmentParameters, augment

GOLDEN = load_golden("augmentations_r32")
CASES = json.loads(str(GOLDEN["cases"]))


def _parameters(values: dict[str, Any], count: int) -> AugmentParameters:
    def each(value: float) -> Tensor:
        return torch.full((count,), float(value))

    fields: dict[str, Tensor] = {}
    for name, value in values.items():
        if name in ("xint", "xfrac"):
            fields[name] = torch.stack([each(value["pixels_x"]), each(value["pixels_y"])], dim=1)
        elif name == "rotate":
            fields["rotate_pre"], fields["rotate_post"] = each(value["theta_pre"]), each(value["theta_post"])
        elif name == "imgfilter":
            strength = torch.exp2(each(value["log2_gain_per_band"]))
            gains = [spectrum.normalized_gain(strength, band) for band in range(spectrum.BANDS)]
            fields["imgfilter"] = torch.stack(gains).prod(dim=0)
        elif name == "cutout":
            fields["cutout_centre"] = torch.full((count, 2), value["centre"])
            fields["cutout_size"] = each(value["size"])
        else:
            (number,) = value.values()
            fields[name] = each(number)
    return AugmentParameters(**fields)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{'+'.join(case['on'])[:20]}-{case['percentile']}")
def test_golden_augmentation(case: dict[str, Any]) -> None:
    pictures = torch.from_numpy(GOLDEN["input"])
    result = augment(pictures, _parameters(case["parameters"], len(pictures)))
    assert relative_error(result, GOLDEN[f"out_{case['index']}"]) < 1e-4
