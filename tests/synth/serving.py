"""`synth serve` with networks and a worker of its own, but small features and a verdict that lets the result out.

serving.py serve FOLDER NETWORK COHORT       serving.py work
"""

import json
import sys
import time
from pathlib import Path

import torch
from runs import colours_extractor

import synth.selecting.audit
import synth.selecting.scored
from shared.console import user_errors
from shared.web.server import Address, listen
from shared.web.server import serve as answer
from synth.serve import opened
from synth.service import worker
from synth.service.app import application, guarded
from synth.service.artist import ArtistProcess
from synth.service.options import Bounds, ServeOptions

COUNT = 48


def serve(folder: Path, network: str, cohort: str) -> None:
    """Serve until killed; the network is ordered from, and the shipped one drawn with."""
    options = ServeOptions(
        folders=(),
        store=folder / "store",
        networks=(network,),
        cohorts=(Path(cohort),),
        draw=("phantom-skin-32",),
        address=Address(port=0),
        bounds=Bounds(fewest=8),
        offline=True,
        device="cpu",
    )
    command = (sys.executable, __file__, "work")
    with opened(options, ArtistProcess("cpu"), command) as parts, listen(options.address) as listener:
        (folder / "address.json").write_text(json.dumps(listener.getsockname()))
        answer(guarded(application(parts)), listener, what="service")


def work() -> None:
    """Be the worker, slowly, so that somebody can kill it in the middle."""
    torch.set_num_threads(1)
    synth.selecting.scored.open_extractor = lambda *_, **__: colours_extractor()  # type: ignore[assignment]
    synth.selecting.audit.shareable = lambda *_: (True, "because")  # type: ignore[assignment]
    advance = worker._ToldBar.advance

    def slowly(self: worker._ToldBar, amount: float = 1) -> None:
        advance(self, amount)
        time.sleep(0.02 * amount)

    worker._ToldBar.advance = slowly  # type: ignore[method-assign]
    worker.main()


if __name__ == "__main__":
    with user_errors():
        if sys.argv[1] == "work":
            work()
        else:
            serve(Path(sys.argv[2]), *sys.argv[3:])
