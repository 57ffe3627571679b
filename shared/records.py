"""records.jsonl: one evaluation a line, found again by its key."""

import json
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import locked, parse_json, require_file, write_text

FORMAT = "rarescreen-record"
VERSION = 2
MAX_BYTES = 1 << 28

Record = dict[str, Any]


def append_record(path: Path, record: Record) -> None:
    """Add `record` to the file at `path`; a record of the same `record["key"]` is replaced where it stands.

    Several processes may append at once. The file is written anew, so that it is whole at any moment.

    Raises `ValueError`: the record holds NaN or infinity, which JSON has not (undefined is null).
    Raises `UserError`: what stands in the file is not a list of records, or no further one has room in it.
    """
    assert isinstance(record.get("key"), dict), "a record needs a key"
    path = Path(path)
    with locked(path):
        records = {key_of(old): old for old in read_records(path)} if path.exists() else {}
        records[key_of(record)] = record
        text = "".join(_line(each) for each in records.values())
        if len(text.encode()) > MAX_BYTES:
            raise UserError(f"{path}: would have more than {MAX_BYTES} bytes with this one; give another --records.")
        write_text(path, text)


def _line(record: Record) -> str:
    return json.dumps({"format": FORMAT, "version": VERSION} | record, ensure_ascii=False, allow_nan=False) + "\n"


def key_of(record: Record) -> str:
    """Return what tells a record from others, as text."""
    return json.dumps(record["key"], sort_keys=True)


def read_records(path: Path) -> list[Record]:
    """Return the records at `path` as they were appended; of several with one key the last counts.

    Raises `UserError`: no such file, or a line that is not a record or of another version.
    """
    path = require_file(path, "records file")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES} bytes, which no records file has; give the right --records.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a records file (not UTF-8 text); give the right --records.") from error
    records: dict[str, Record] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            record = _parse(line, where=f"{path}, line {number}")
            records[key_of(record)] = record
    return list(records.values())


def _parse(line: str, *, where: str) -> Record:
    way_out = "remove the line or give another file of records, and evaluate again."
    try:
        record = parse_json(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON, so the file is no records file or damaged; {way_out}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("key"), dict):
        raise UserError(f"{where}: not a record of an evaluation; {way_out}")
    version = record.get("version")
    if version != VERSION:
        older = isinstance(version, int) and version < VERSION
        mend = "evaluate again, into another --records" if older else "update Rarescreen"
        raise UserError(f"{where}: of record version {version}, and this is version {VERSION}; {mend}.")
    return {name: value for name, value in record.items() if name not in ("format", "version")}
