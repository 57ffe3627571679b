import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import records
from shared.errors import UserError
from shared.records import append_record, read_records

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def record(model: str, fold: int, **values: Any) -> dict[str, Any]:
    key = {"model": model, "ratio": "1:5", "protocol": "strict", "fold": fold, "seed": 0, "set": "balanced"}
    return {"key": key, **values}


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), VALUES), min_size=1, max_size=8))
def test_records_behave_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, appended: list[tuple[str, int, Any]]
) -> None:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    expected: dict[tuple[str, int], dict[str, Any]] = {}
    for model, fold, value in appended:
        append_record(path, record(model, fold, value=value))
        expected[model, fold] = record(model, fold, value=value)
    assert read_records(path) == list(expected.values())


def test_the_order_inside_a_key_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_record(path, {"key": {"model": "a", "fold": 0}, "n": 1})
    append_record(path, {"n": 2, "key": {"fold": 0, "model": "a"}})
    assert [each["n"] for each in read_records(path)] == [2]


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda fold: append_record(path, record("a", fold)), range(40)))
    assert sorted(each["key"]["fold"] for each in read_records(path)) == list(range(40))


def test_files_may_be_joined_and_the_last_record_of_a_key_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    append_record(first, record("a", 0, n=1))
    append_record(second, record("a", 0, n=2))
    append_record(second, record("b", 0, n=3))
    first.write_text(first.read_text() + "\n" + second.read_text())
    assert [each["n"] for each in read_records(first)] == [2, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_not_is_not_written(value: float, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_record(path, record("a", 0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_record(path, record("b", 0, f1=value))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ('{"key": {}, "f1": NaN}', "line 2: not JSON"),
        ("[1]", "line 2: not a record"),
        ('{"key": {}}', "line 2: not a record"),
        ('{"format": "rarescreen-record", "version": 2, "key": 3}', "line 2: not a record"),
        (
            '{"format": "rarescreen-record", "version": 3, "key": {}}',
            "line 2: of record version 3, and this is version 2; update Rarescreen.$",
        ),
        (  # whose key tells neither control nor synthetic: two rows of today would be one
            '{"format": "rarescreen-record", "version": 1, "key": {"model": "a", "ratio": "1:2"}}',
            "line 2: of record version 1, and this is version 2; evaluate again, into another --records.$",
        ),
        ('{"format": "rarescreen-record", "version": "2", "key": {}}', "line 2: of record version 2, .* update"),
        ('{"format": "rarescreen-record", "version": 2, "key": {}, "score": 1e999}', "line 2: not JSON, so the file"),
    ],
)
def test_a_line_that_is_no_record_is_named_and_nothing_is_lost(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_record(path, record("a", 0))
    path.write_text(path.read_text() + line + "\n")
    before = path.read_bytes()
    for use in (lambda: read_records(path), lambda: append_record(path, record("b", 0))):
        with pytest.raises(UserError, match=sentence):
            use()
    assert path.read_bytes() == before


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_records(tmp_path / "binary")
    with pytest.raises(UserError, match="no such file; the records file must"):
        read_records(tmp_path / "missing")


def test_each_line_says_what_it_is(tmp_path: Path) -> None:
    append_record(tmp_path / "records.jsonl", record("a", 0))
    line = json.loads((tmp_path / "records.jsonl").read_text())
    assert (line["format"], line["version"]) == ("rarescreen-record", 2)


def test_a_record_for_which_there_is_no_room_is_refused_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    append_record(path, record("a", 0))
    size = path.stat().st_size
    monkeypatch.setattr(records, "MAX_BYTES", 2 * size)
    append_record(path, record("b", 0))  # as long as the first
    with pytest.raises(UserError, match=f"more than {2 * size} bytes with this one; give another --records"):
        append_record(path, record("c", 0))
    assert read_records(path) == [record("a", 0), record("b", 0)]
