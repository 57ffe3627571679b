"""Networks that others publish, by the name that `--start` and `generate` know them by; they are downloaded when used.

Their files are large and under their own licence. Their publisher names no checksums: what was downloaded is recorded
by its own.
"""

from dataclasses import dataclass

from shared.weights import WeightFile

NVIDIA_LICENCE = "NVIDIA Source Code License (non-commercial)"
_NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_SOURCES = _NVIDIA + "transfer-learning-source-nets/"


@dataclass(frozen=True)
class KnownNetwork:
    """A published network: its file, side of its pictures in px, number of classes, licence, and what it draws."""

    file: WeightFile
    size: int
    licence: str
    draws: str
    classes: int = 0


def _nvidia(file: str, size: int, draws: str, *, folder: str = _NVIDIA, classes: int = 0) -> KnownNetwork:
    return KnownNetwork(WeightFile(file, url=folder + file), size, NVIDIA_LICENCE, draws, classes)


KNOWN: dict[str, KnownNetwork] = {
    "nvidia-cifar10-32": _nvidia("cifar10.pkl", 32, "ten kinds of things", classes=10),
    "nvidia-ffhq-256": _nvidia("ffhq-res256-mirror-paper256-noaug.pkl", 256, "faces", folder=_SOURCES),
    "nvidia-ffhq-512": _nvidia("ffhq-res512-mirror-stylegan2-noaug.pkl", 512, "faces", folder=_SOURCES),
    "nvidia-brecahad-512": _nvidia("brecahad.pkl", 512, "breast tissue under the microscope"),
}
