"""A run folder: what was asked, what happened, and the state to go on from.

config.json  log.jsonl  events.out.tfevents…  samples/  checkpoints/state-….pt  averages/averages-….pt
best.png  certainty.json  compared.npz  network.safetensors
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import (
    LOCK,
    MAX_JSON_BYTES,
    PART,
    claimed,
    parse_json,
    read_json,
    remove_parts,
    write_json,
    write_text,
)
from shared.studies.differences import in_words
from stylegan2_ada import NetworkFileError, read_header
from synth.training.run_log import criterion

FORMAT = "rarescreen-run"
VERSION = 4  # of versions 1 and 2 no state can be taken up, and version 3 scored less
# A run goes on longer, elsewhere, from moved files; what they hold must be the same.
MAY_CHANGE = frozenset({"environment", "precision", "kimg", "checkpoint_every", "save_every_min", "start.name"})

Log = list[dict[str, Any]]
STUDY_FILES = (
    "study.",
    ".study.",
    ".features",
)  # how names begin of what a grid of one cell has in the run's own folder


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """What was asked, everything resolved."""
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        """One JSON object a line: losses, and scores at checkpoints."""
        return self.path / "log.jsonl"

    @property
    def samples(self) -> Path:
        """Folder of sample grids."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """Folder of the states that training goes on from."""
        return self.path / "checkpoints"

    @property
    def averages(self) -> Path:
        """Folder of the averages of the weights at scored checkpoints."""
        return self.path / "averages"

    @property
    def compared(self) -> Path:
        """Features of the finished network's images, by which others are compared with it."""
        return self.path / "compared.npz"

    @property
    def certainty(self) -> Path:
        """How sure the finished network's score is."""
        return self.path / "certainty.json"

    @property
    def pictures(self) -> Path:
        """A sheet of the finished network's images."""
        return self.path / "best.png"

    @property
    def network(self) -> Path:
        """The finished network; it exists only when the run is complete."""
        return self.path / "network.safetensors"

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Make the folder this process's own, and clear away what a killed one left half-written.

        Raises `UserError`: another process has it (`BusyError`), or it holds something else than a run.
        """
        self._refuse_other_contents()
        self.path.mkdir(parents=True, exist_ok=True)
        with claimed(self.path, busy(self.path)):
            for folder in (self.path, self.samples, self.checkpoints, self.averages):
                remove_parts(folder)
            yield

    def open(self, config: dict[str, Any]) -> None:
        """Write the configuration, or check that the folder belongs to the same one.

        A run that has come as far as `config` asks keeps what it was trained with.

        Raises `UserError`: the folder holds another run (the difference is named), or something else.
        """
        self.require_same(config)
        config = _as_stored(config)
        if not self.config.exists() or (self.read_config() != config and not self.is_finished(config["kimg"])):
            write_json(self.config, config)

    def require_same(self, config: dict[str, Any]) -> None:
        """Check that a run of this configuration can begin or go on here, without writing anything.

        Raises `UserError`: the folder holds another run (the difference is named), or something else.
        """
        config = _as_stored(config)
        if not self.config.exists():
            self._refuse_other_contents()
            return
        stored = self.read_config()
        different = in_words(stored, config, may_change=MAY_CHANGE)
        if different:
            raise UserError(
                f"{self.path}: holds a run of another configuration ({different}); "
                "give another --out, or the same options to go on."
            )

    def is_finished(self, kimg: float) -> bool:
        """Tell whether the run has come to `kimg`, and its network is the best of all that the log says."""
        log = self.read_log()
        if not log or log[-1].get("kimg", 0) < kimg or not self.network.exists() or not self.compared.exists():
            return False
        try:
            about = read_header(self.network)["about"]
            best = min((line for line in log if "quality" in line), key=lambda line: criterion(line["quality"]))
            return bool(about["generator"]["kimg"] == best["kimg"])
        except (NetworkFileError, KeyError, TypeError, ValueError):
            return False  # damaged: it is written anew from the checkpoints

    def _refuse_other_contents(self) -> None:
        if not self.path.exists() or self.config.exists():
            return
        names = [entry.name for entry in self.path.iterdir()]
        if any(not is_passing(name) and not name.startswith(STUDY_FILES) for name in names):
            raise UserError(f"{self.path}: not empty and not a run folder; give another --out.")

    def read_config(self) -> dict[str, Any]:
        """Return the stored configuration.

        Raises `UserError`: it is damaged or of another version.
        """
        try:
            stored = read_json(self.config)
        except ValueError as error:
            raise UserError(f"{self.config}: damaged; remove the run folder or give another --out.") from error
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise UserError(f"{self.config}: not the configuration of a run; give another --out.")
        if stored.get("version") != VERSION:
            raise UserError(
                f"{self.config}: of run version {stored.get('version')}, and this Rarescreen knows {VERSION}; "
                "go on with the one that made it, or give another --out."
            )
        return stored

    def write_log(self, lines: Log) -> None:
        """Write all lines of the log."""
        write_text(self.log, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))

    def read_log(self) -> Log:
        """Return all lines of the log, [] when there is none.

        Raises `UserError`: a line is damaged.
        """
        if not self.log.exists():
            return []
        with self.damage(self.log):
            if self.log.stat().st_size > MAX_JSON_BYTES:
                raise ValueError("no log of a training is as large")
            lines = [parse_json(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
            for line in lines:
                float(line["kimg"])
                dict(line.get("quality", {}))
            return lines

    @contextlib.contextmanager
    def damage(self, path: Path) -> Iterator[None]:
        """Say that a file is damaged, of whatever it lacks that the block looks for in it."""
        try:
            yield
        except UserError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged; remove the run folder to train again.") from error


def is_passing(name: str) -> bool:
    """Tell whether a file is there only while somebody works in its folder, or was killed in it."""
    return name == LOCK or name.endswith(PART)


def busy(path: Path) -> str:
    """Return the sentence for a folder that another process trains in."""
    return f"{path}: another process is training here; wait until it ends, or give another --out."


def _as_stored(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as it is read back: stamped, and with lists for tuples."""
    stored: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, "version": VERSION, **config}))
    return stored
