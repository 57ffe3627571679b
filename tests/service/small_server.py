"""`synth serve` with the small artist and worker: FOLDER names a `Place` that is there already."""

import json
import sys
from pathlib import Path

from small_service import BOUNDS, WORKER, TextArtist

from shared.console import user_errors
from shared.web.server import Address, listen
from shared.web.server import serve as answer
from synth.serve import opened
from synth.service.app import application, guarded
from synth.service.options import ServeOptions


def main(folder: Path) -> None:
    """Serve until killed."""
    options = ServeOptions(
        folders=(folder / "bundles",),
        store=folder / "store",
        networks=(str(folder / "networks"),),
        cohorts=(folder / "cohort.h5",),
        draw=(str(folder / "networks" / "free.safetensors"),),
        tokens=folder / "tokens.json",
        address=Address(port=0),
        bounds=BOUNDS,
    )
    with opened(options, TextArtist(), WORKER) as parts, listen(options.address) as listener:
        written = folder / "address.part"
        written.write_text(json.dumps(listener.getsockname()))
        written.rename(folder / "address.json")  # whoever waits for it never reads a half
        answer(guarded(application(parts)), listener, what="service")


if __name__ == "__main__":
    with user_errors():
        main(Path(sys.argv[1]))
