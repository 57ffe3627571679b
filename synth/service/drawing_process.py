"""The process that opens networks for the server: it tells what they are, and draws single pictures.

    python -m synth.service.drawing_process

It keeps the network that it drew with last.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from shared.errors import UserError
from shared.files import sha256_of
from shared.nn.device import choose_device, choose_precision
from synth.drawing.pictures import BATCH, draw
from synth.drawing.trained import NO_COHORT, TrainedNetwork, open_network
from synth.networks.provenance import licence_of, read_described
from synth.service.child import Message, Server, be_child


def main() -> None:
    """Answer until the server is gone."""
    be_child(_answer)


def _answer(server: Server) -> None:
    kept: list[tuple[str, TrainedNetwork]] = []
    for message in server.messages():
        try:
            answer = _describe(Path(message["path"])) if message["ask"] == "describe" else _draw(message, kept)
        except UserError as error:
            answer = {"error": str(error)}
        except OSError as error:
            answer = {"error": f"{message['path']}: {error.strerror}"}
        server.tell(number=message["number"], **answer)


def _describe(path: Path) -> Message:
    """Return what a network file says of itself."""
    told, generator = read_described(path)
    about, size, c_dim = NO_COHORT | told, generator["img_resolution"], generator["c_dim"]
    classes = about["classes"] or [f"class {index}" for index in range(c_dim)]
    name = path.parent.name if path.name == "network.safetensors" else path.stem
    return {
        "sha256": sha256_of(path),
        "name": str(about.get("name", name)),
        "size": size,
        "classes": [str(each) for each in classes] if c_dim else [],
        "class_name": str(about.get("class_name", "")),
        "licence": licence_of(about),
        "cohort": about["cohort"],
        "photographs": len(set(about["seen_image_id"])),
    }


def _draw(message: Message, kept: list[tuple[str, TrainedNetwork]]) -> Message:
    """Return the PNGs of some seeds, as `synth generate --png` writes them."""
    path: str = message["path"]
    if not kept or kept[0][0] != message["sha256"]:
        device = choose_device(message["device"])
        choose_precision("fp32", device)  # exact, as `synth generate` draws
        kept[:] = [(message["sha256"], open_network(path, device))]
    trained = kept[0][1]
    if trained.sha256 != message["sha256"]:
        kept.clear()
        return {"error": f"{path}: changed while it was offered."}
    images = draw(
        trained.networks.G_ema,
        message["seeds"],
        truncation=trained.truncation if message["truncation"] is None else message["truncation"],
        noise=trained.noise,
        class_index=message["class_index"],
        batch=BATCH,
    )
    return {"pngs": [_png(image) for image in images]}


def _png(image: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


if __name__ == "__main__":
    main()
