"""Where studies are kept: which storages there are, and what is refused and left as it is."""

import json
from pathlib import Path

import pytest
from small_study import CELLS, do_all, open_study

from shared.errors import UserError
from shared.studies.storage import WholeLines, network_file_system, open_existing, open_storage


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "tri', b"{", b"x" * 100_000])
def test_a_half_written_line_of_a_journal_is_taken_away(tmp_path, torn):
    path = tmp_path / "journal"
    address = f"journal:{path}"
    study = open_study(address)
    with study.claim() as claim:
        claim.finish(1.0, {"cell": claim.cell.name})
    whole = path.read_bytes()
    with path.open("ab") as journal:
        journal.write(torn)
    assert do_all(study) == [cell.name for cell in CELLS[1:]]
    assert path.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert open_study(address).standing().done == len(CELLS)


def test_the_lock_of_an_empty_journal_leaves_it_empty(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b"no line at all")
    lock = WholeLines(path)
    lock.acquire()
    lock.release()
    assert path.read_bytes() == b""


MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw 0 0
/dev/sdb1 /home/scratch xfs rw 0 0
lustre@o2ib:/x /mnt/my\\040disk lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/x", None), ("/home/me/runs", "nfs4"), ("/home/scratch/runs", None), ("/mnt/my disk/a", "lustre")],
)
def test_network_file_systems_are_recognised(tmp_path, path, kind):
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert network_file_system(Path(path), table) == kind
    assert network_file_system(Path(path), tmp_path / "none") is None


def test_sqlite_on_a_network_file_system_is_refused_and_a_journal_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.studies.storage.network_file_system", lambda path: "nfs4")
    with pytest.raises(UserError, match=r"SQLite on a network file system \(nfs4\)"):
        open_storage(f"sqlite:///{tmp_path}/study.db", tmp_path)
    assert open_storage(None, tmp_path).name == str(tmp_path / "study.journal")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nonsense", "not a storage"),
        ("mysql://me@here/db", "not a storage for studies"),
        ("sqlite://", "not a storage for studies"),
        ("postgresql://me:secret@127.0.0.1:1/db", "cannot be used"),
        ("postgresql://me:secret@127.0.0.1:port/db", "not a storage"),
    ],
)
def test_a_wrong_storage_is_one_sentence_without_the_password(address, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        open_storage(address, Path())
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_study_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("x,y\n1,2\n")
    for address in (f"sqlite:///{path}", f"journal:{path}"):
        with pytest.raises(UserError, match=str(path)):
            open_storage(address, tmp_path)
    assert path.read_text() == "x,y\n1,2\n"


@pytest.mark.parametrize("content", [b"my notes", b"\xff\xfe\x00", b'{"a": 1}\n{"b": 2}', b"x,y\n1,2"])
def test_a_foreign_file_loses_no_byte_to_a_journal(tmp_path, content):
    """Though its last line may have no end, as that of a journal whose writer was killed."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no studies of Optuna's, or damaged"):
        open_storage(f"journal:{path}", tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["run?a", "p%41x", "{SCHEMA_VERSION}", "a#b c", "é"])
def test_a_study_lies_in_the_very_folder_that_was_named(tmp_path, name):
    """Of an address of SQLAlchemy these would be signs, of another file."""
    out = tmp_path / name
    out.mkdir()
    assert Path(open_storage(None, out).name) == out / "study.db"
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.db")} == {f"{name}/study.db"}
    assert open_existing(None, out) is not None
