"""A run folder: what was asked, what happened, and the state to go on from.

config.json  log.jsonl  events.out.tfevents…  samples/  checkpoints/state.pt  network.safetensors
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import write_json, write_text

FORMAT = "rarescreen-run"
VERSION = 1
MAY_CHANGE = frozenset({"environment", "kimg", "checkpoint_every"})  # a run goes on longer, or elsewhere
MAX_DIFFERENCES = 5

Log = list[dict[str, Any]]


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
    def state(self) -> Path:
        """The state that training goes on from."""
        return self.path / "checkpoints" / "state.pt"

    @property
    def best(self) -> Path:
        """The network that scored best so far."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def network(self) -> Path:
        """The finished network; it exists only when the run is complete."""
        return self.path / "network.safetensors"

    def open(self, config: dict[str, Any]) -> None:
        """Create the folder, or check that it belongs to the same configuration.

        Raises `UserError`: the folder holds another run (the difference is named), or something else.
        """
        config = {"format": FORMAT, "version": VERSION} | config
        if self.config.exists():
            stored = self.read_config()
            differences = list(_differences(stored, config))
            if differences:
                shown = "; ".join(differences[:MAX_DIFFERENCES])
                more = f" and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
                raise UserError(
                    f"{self.path}: holds a run of another configuration ({shown}{more}); "
                    "give another --out, or the same options to go on."
                )
        elif self.path.exists() and any(self.path.iterdir()):
            raise UserError(f"{self.path}: not empty and not a run folder; give another --out.")
        write_json(self.config, config)

    def read_config(self) -> dict[str, Any]:
        """Return the stored configuration.

        Raises `UserError`: it is damaged or of another version.
        """
        try:
            stored = json.loads(self.config.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.config}: damaged; remove the run folder or give another --out.") from error
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise UserError(f"{self.config}: not the configuration of a run; give another --out.")
        if stored.get("version") != VERSION:
            raise UserError(f"{self.config}: of run version {stored.get('version')}, not {VERSION}; update Rarescreen.")
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
        try:
            return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise UserError(f"{self.log}: damaged; remove the run folder to train again.") from error


def _differences(stored: dict[str, Any], asked: dict[str, Any]) -> Iterator[str]:
    old, new = dict(_flat(stored)), dict(_flat(asked))
    for name in sorted(old.keys() | new.keys()):
        if name.split(".")[0] not in MAY_CHANGE and old.get(name) != new.get(name):
            yield f"{name} {_shown(old.get(name))} there, {_shown(new.get(name))} asked"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 24 else text[:12] + "…"
