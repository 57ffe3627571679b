"""A worker whose bundle follows from the order alone; the order's sigma says what befalls it."""

import time
from pathlib import Path

from small_service import make_bundle

from synth.service.child import Server, be_child

FAILS, DIES, WITHHELD, SLOW, FLOODS, EMPTY = 101.0, 102.0, 103.0, 104.0, 105.0, 106.0


def work(server: Server) -> None:
    job = next(server.messages())
    request, folder, sigma = job["request"], Path(job["folder"]), job["request"]["sigma"]
    print("what a library prints")
    with (folder / "begun.txt").open("a") as stream:
        stream.write(f"{job['name']}\n")
    if sigma == SLOW:
        for step in range(10_000):
            server.tell(what="drawing", progress=step / 10_000)
            if (folder / "go on").exists():
                break
            time.sleep(0.02)
    if sigma == FLOODS:
        for _ in range(5000):
            server.tell(what="x" * 500, progress=7)
    if sigma == FAILS:
        server.tell(error=f"{job['cohort']}: something about a patient.")
        return
    if sigma == DIES:
        raise SystemExit("died")
    (folder / f"{job['name']}_candidates.h5").write_text("drawn")
    (folder / f"{job['name']}_copies.png").write_text("photographs")
    make_bundle(
        folder / f"{job['name']}.h5",
        request["seed"],
        0 if sigma == EMPTY else request["count"],
        shareable=sigma not in (WITHHELD, EMPTY),
        network=job["sha256"],
    )
    server.tell(done=True)


if __name__ == "__main__":
    be_child(work)
