"""The file of records that a study adds to: which of its evaluations are there, and those of other places."""

from collections.abc import Sequence
from pathlib import Path

from classify.fitting.folder import as_plain
from classify.fitting.settings import FitConfig
from shared.records import Record, append_record, key_of, read_records


class RecordsFile:
    """Records of evaluations on one cohort, as they stand in a file."""

    def __init__(self, path: Path, cohort: str, *, allow_seen: bool) -> None:
        """Take the file at `path`, which need not be there, and the SHA-256 of the cohort."""
        self.path, self._cohort, self._allow_seen = path, cohort, allow_seen
        self._state: tuple[int, int] | None = None  # of the file when it was read: time and size
        self._records: list[Record] = []

    def of(self, config: FitConfig, sets: Sequence[str]) -> dict[str, Record]:
        """Return the records of a model on `sets` that are there, by test set."""
        wanted = as_plain(config)
        return {
            record["key"]["set"]: record
            for record in self._read()
            if record.get("fit") == wanted
            and record["key"].get("set") in sets
            and record.get("cohort", {}).get("sha256") == self._cohort
            and record.get("allow_seen") == self._allow_seen
        }

    def add(self, records: Sequence[Record]) -> None:
        """Add what was evaluated in other places, in the place of what another fit has left there."""
        known = {key_of(record): record for record in self._read()}
        for record in records:
            there = known.get(key_of(record), {})
            if any(there.get(name) != record[name] for name in ("fit", "cohort", "allow_seen")):
                append_record(self.path, record)

    def _read(self) -> list[Record]:
        """Return all records; a file that has not changed is not read again for the next cell."""
        if not self.path.is_file():
            return []
        about = self.path.stat()
        state = about.st_mtime_ns, about.st_size
        if state != self._state:
            self._state, self._records = state, read_records(self.path)
        return self._records
