"""`synth serve` with networks: pictures and bundles are the bytes that `generate` and `select` write."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import serving
from runs import colours_extractor

from shared.cohort import Cohort
from shared.errors import UserError
from synth.generate import GenerateOptions, generate
from synth.networks import shipped_network
from synth.select import select
from synth.selecting.options import SelectOptions
from synth.service.artist import ArtistProcess, Picture

PATIENCE_S = 300


@pytest.fixture(scope="module")
def artist() -> Iterator[ArtistProcess]:
    made = ArtistProcess("cpu")
    yield made
    made.close()


def test_a_picture_is_the_one_that_generate_writes(artist: ArtistProcess, tmp_path: Path) -> None:
    path = shipped_network("phantom-skin-32")
    assert path is not None
    seeds = (0, 7, 31, 4294967295)
    options = GenerateOptions(
        network="phantom-skin-32",
        out=tmp_path / "c.h5",
        seeds=",".join(map(str, seeds)),
        truncation=0.7,
        png=tmp_path / "png",
        device="cpu",
    )
    generate(options)
    facts = artist.describe(path)
    assert (facts.name, facts.size, facts.licence, facts.saw_photographs) == (
        "phantom-skin-32",
        32,
        "Apache-2.0",
        False,
    )
    for seed in seeds:
        expected = (tmp_path / "png" / f"seed{seed:04d}.png").read_bytes()
        assert artist.draw(path, Picture(facts.sha256, seed, 0.7, None)) == expected


def test_what_a_network_says_of_itself_is_told(
    artist: ArtistProcess, run_folder: Path, make_network: Callable[..., Path], cohort: Cohort
) -> None:
    facts = artist.describe(run_folder / "network.safetensors")
    assert (facts.size, facts.classes, facts.class_name, facts.cohort) == (16, (), "herpeticum", cohort.sha256)
    assert facts.licence == "your own"
    assert facts.photographs > 0
    two = artist.describe(make_network(c_dim=2) / "network.safetensors")
    assert two.classes == cohort.classes
    assert cohort.path is not None
    with pytest.raises(UserError, match="not a complete network file"):
        artist.describe(cohort.path)
    with pytest.raises(UserError, match="changed while it was offered"):
        artist.draw(run_folder / "network.safetensors", Picture("0" * 64, 1, None, None))


@pytest.fixture
def expected(run_folder: Path, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bundle that the two commands write."""
    monkeypatch.setattr("synth.selecting.scored.open_extractor", lambda *_, **__: colours_extractor())
    monkeypatch.setattr("synth.selecting.audit.shareable", lambda *_: (True, "because"))
    candidates, out = tmp_path / "by_hand" / "candidates.h5", tmp_path / "by_hand" / "bundle.h5"
    generate(GenerateOptions(network=run_folder, out=candidates, count=serving.COUNT, seed=5, device="cpu"))
    assert cohort.path is not None
    select(
        SelectOptions(candidates, cohort.path, run_folder, out, sigma=1000.0, rule="union", device="cpu", offline=True)
    )
    return out.read_bytes()


class Served:
    """The service in a process of its own."""

    def __init__(self, folder: Path, network: Path, cohort: Path) -> None:
        address, self.log = folder / "address.json", folder / "log.txt"
        address.unlink(missing_ok=True)
        root = Path(__file__).parents[2]
        surroundings = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, (root, root / "vendor" / "stylegan2-ada"))),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("a") as stream:
            command = [sys.executable, serving.__file__, "serve", str(folder), str(network), str(cohort)]
            self.process = subprocess.Popen(command, stderr=stream, env=surroundings)
        self.wait(address.exists)
        host, port = json.loads(address.read_text())
        self.client = httpx.Client(base_url=f"http://{host}:{port}", timeout=PATIENCE_S)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait for the end."""
        self.client.close()
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def served(*arguments: Path) -> Iterator[Served]:
    server = Served(*arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.mark.slow
def test_an_order_killed_in_the_middle_ends_with_the_bytes_of_the_commands(
    run_folder: Path, cohort: Cohort, tmp_path: Path, expected: bytes
) -> None:
    assert cohort.path is not None
    folder = tmp_path / "service"
    folder.mkdir()
    with served(folder, run_folder, cohort.path) as server:
        networks = server.client.get("/networks").json()["networks"]
        own = next(each for each in networks if each["orders"])
        assert not own["draws"]
        asked = {"network": own["id"], "count": serving.COUNT, "seed": 5, "sigma": 1000.0}
        order = server.client.post("/orders", json=asked).json()["id"]

        def is_scoring() -> bool:
            told = server.client.get(f"/orders/{order}").json()
            assert told["state"] in ("queued", "running"), server.log.read_text()
            return told["what"] == "scoring" and told["progress"] > 0

        server.wait(is_scoring)
        server.end(signal.SIGKILL)
    with served(folder, run_folder, cohort.path) as server:
        server.wait(lambda: server.client.get(f"/orders/{order}").json()["state"] not in ("queued", "running"))
        told = server.client.get(f"/orders/{order}").json()
        assert told["state"] == "done", server.log.read_text()
        assert server.client.get(f"/orders/{order}/bundle").content == expected
        server.end(signal.SIGTERM)
    left = {path.name for path in (folder / "store" / "work").iterdir() if order in path.name}
    assert left == {
        f"{order}{end}" for end in ("_audit.md", "_borders.png", "_copies.png", "_scores.png", "_sheet.png")
    }
    assert "Traceback" not in server.log.read_text()
