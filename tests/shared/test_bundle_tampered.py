"""Bundles that were edited on purpose and sealed again: each column, each attribute, and what they say together."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bundle_parts import COLUMNS, contents_of, same, seal_again, sentence

from shared.bundle import read_bundle
from shared.errors import UserError

SCORES = [name for name in COLUMNS if name.split("/")[-1] in ("similarity", "discriminator")]
Edit = Callable[[h5py.File], Any]
ColumnEdit = Callable[[h5py.File, str], Any]


def tampered(whole: Path, path: Path, edit: Edit, **seal: Any) -> Path:
    """Put the bundle `whole`, changed by `edit`, to `path` with a seal that is true of it, but for `seal`."""
    shutil.copyfile(whole, path)
    with h5py.File(path, "r+", locking=False) as file:
        edit(file)
    path.write_bytes(seal_again(path.read_bytes(), **seal))
    return path


def _replaced(file: h5py.File, name: str, data: Any = None, **options: Any) -> None:
    del file[name]
    file.create_dataset(name, data=data, **options)


def _rows(change: Callable[[Any], Any], **options: Any) -> ColumnEdit:
    return lambda file, name: _replaced(file, name, change(file[name][()]), **options)


def _other_type(values: Any) -> Any:
    types = {"u": "i1", "b": "u1", "i": "i4", "f": "f8"}
    return np.arange(len(values)) if values.dtype.kind == "S" else values.astype(types[values.dtype.kind])


def _unwritten(dtype: Any = None, **options: Any) -> ColumnEdit:
    def edit(file: h5py.File, name: str) -> None:
        kept, shape = file[name].dtype, file[name].shape
        _replaced(file, name, shape=shape, dtype=kept if dtype is None else dtype, **options)

    return edit


def _soft_link(file: h5py.File, name: str) -> None:
    file.move(name, "candidates/hidden")  # where the format allows a column
    file[name] = h5py.SoftLink("/candidates/hidden")


def _instead(make: Callable[[str], Any]) -> ColumnEdit:
    def edit(file: h5py.File, name: str) -> None:
        del file[name]
        file[name] = make(name)

    return edit


def _virtual(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[...] = h5py.VirtualSource("whole.h5", name, shape=shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


OTHER_TYPE = "NAME (is of type|does not hold texts of a fixed length)"
NOT_PLAIN = "NAME is not stored plainly in the file"
NOT_ALL = "NAME has shape .*, of which the file does not hold all"
COLUMN_EDITS: dict[str, tuple[ColumnEdit, str]] = {
    "missing": (lambda file, name: file.pop(name), "NAME is missing"),
    "group": (lambda file, name: (file.pop(name), file.create_group(name)), "NAME is missing"),
    "named type": (_instead(lambda name: np.dtype("i8")), "NAME is neither a group nor a dataset"),
    "a row more": (_rows(lambda rows: np.concatenate([rows, rows[:1]])), "has shape"),
    "a row fewer": (_rows(lambda rows: rows[:-1]), "has shape"),
    "no row": (_rows(lambda rows: rows[:0]), "has shape"),
    "an axis more": (_rows(lambda rows: rows[..., None]), "NAME has shape"),
    "one value": (_rows(lambda rows: rows[(0,) * rows.ndim]), r"NAME has shape \(\)"),
    "nothing": (lambda file, name: _replaced(file, name, h5py.Empty("f4")), "NAME has shape None"),
    "another type": (_rows(_other_type), OTHER_TYPE),
    "compound": (_unwritten([("a", "i8"), ("b", "f4")]), OTHER_TYPE),
    "variable length": (_unwritten(h5py.vlen_dtype(np.int64)), OTHER_TYPE),
    "texts of any length": (_unwritten(h5py.string_dtype()), OTHER_TYPE),
    "references": (_unwritten(h5py.ref_dtype), OTHER_TYPE),
    "opaque": (_unwritten("V8"), OTHER_TYPE),
    "complex": (_unwritten("c8"), OTHER_TYPE),
    "soft link": (_soft_link, "NAME is a link to another place"),
    "external link": (_instead(lambda name: h5py.ExternalLink("whole.h5", name)), "NAME is a link to another place"),
    "second name": (lambda file, name: file.__setitem__("candidates/again", file[name]), "is a second name of another"),
    "virtual": (_virtual, NOT_PLAIN),
    "external storage": (_unwritten(external=[("whole.h5", 0, h5py.h5f.UNLIMITED)]), NOT_PLAIN),
    "lzf": (_rows(np.array, compression="lzf"), NOT_PLAIN),
    "shuffled": (_rows(np.array, shuffle=True), NOT_PLAIN),
    "not written": (_unwritten(), NOT_ALL),
    "chunks not written": (_unwritten(chunks=True), NOT_ALL),
}


@pytest.mark.parametrize("case", COLUMN_EDITS)
def test_each_column_in_turn(case: str, whole: Path, tmp_path: Path) -> None:
    edit, expected = COLUMN_EDITS[case]
    shutil.copyfile(whole, tmp_path / "whole.h5")  # so that links lead somewhere
    for name in COLUMNS:
        text = sentence(tampered(whole, tmp_path / "bundle.h5", lambda file, name=name: edit(file, name)))
        assert re.search(expected.replace("NAME", name), text)
        assert text.endswith("; make the bundle again with `synth select`.")


def test_a_column_stored_otherwise_is_a_column(whole: Path, tmp_path: Path) -> None:
    """What is refused above is not refused for being written by h5py again, nor for chunks that are whole."""
    expected = contents_of(read_bundle(whole))
    for options in ({}, {"chunks": True}, {"compression": "gzip"}):
        for name in COLUMNS if "compression" not in options else ("images",):
            edit = _rows(np.array, **options)
            bundle = read_bundle(
                tampered(whole, tmp_path / "b.h5", lambda file, name=name, edit=edit: edit(file, name))
            )
            found = contents_of(bundle)
            assert all(same(found[each], expected[each]) for each in expected)


@pytest.mark.parametrize("name", ["seed", "candidates/similarity", "seen/image_id"])
def test_only_images_are_packed(name: str, whole: Path, tmp_path: Path) -> None:
    """Other columns are read at once: a small file must not become gigabytes."""
    path = tampered(whole, tmp_path / "b.h5", lambda file: _rows(np.array, compression="gzip")(file, name))
    with pytest.raises(UserError, match=f"{name} is not stored plainly"):
        read_bundle(path)


def test_images_in_huge_pieces_are_refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.columns.MAX_CHUNK_BYTES", 8 * 8 * 3 * 2)  # two images
    with pytest.raises(UserError, match="images is stored in pieces of more than 384 bytes"):
        read_bundle(whole)


@pytest.mark.parametrize("chunks", [None, True])
def test_many_rows_that_nobody_wrote_take_no_memory(chunks: bool | None, whole: Path, tmp_path: Path) -> None:
    """All lengths agree and are within the limits: 10 million images of 4096 px would be 500 TB."""

    def edit(file: h5py.File) -> None:
        for name in (name for name in COLUMNS if not name.startswith(("seen/", "reference/"))):
            shape, dtype = (10_000_000, *(4096, 4096, 3)[: file[name].ndim - 1]), file[name].dtype
            _replaced(file, name, shape=shape, dtype=dtype, fillvalue=1, chunks=chunks)
        file.attrs["size"] = 4096

    path = tampered(whole, tmp_path / "bundle.h5", edit)
    assert path.stat().st_size < 100_000
    assert "images has shape (10000000, 4096, 4096, 3), of which the file does not hold all" in sentence(path)


TEXTS = ("class_name", "protocol", "cohort", "rule", "shareable", "shareable_reason")
JSON = ("generator", "quality", "thresholds", "features", "memorization", "audit")
GONE = object()
NOT_UTF8 = object()
NO_TEXT = (GONE, NOT_UTF8, 3, 2.5, True, np.bytes_(b"yes"), ["yes", "yes"], h5py.Empty("S1"), "x" * (1 << 20 | 1))
NO_NUMBER = (GONE, "0", 0.5, True, [0, 0], [], h5py.Empty("i8"), -7, 2**40, np.bytes_(b"0"))
WRONG: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("format", *TEXTS), NO_TEXT),
    **dict.fromkeys(JSON, (*NO_TEXT, "", "{", "[]", "null", "1", "{'a': 1}", "[" * 100_000, '{"a": ' * 100_000)),
    "size": (*NO_NUMBER, 0, 7, 4096),
    "label": (*NO_NUMBER, 1.0, 2),
    "fold": (*NO_NUMBER, 0.0, 100),
    "version": (*NO_NUMBER, 1.0, 0, 2),
    "sigma": (GONE, "2", 2, True, [2.0, 2.0], h5py.Empty("f8"), float("nan"), float("inf")),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_attribute_in_turn(name: str, whole: Path, tmp_path: Path) -> None:
    with h5py.File(whole) as file:
        assert set(file.attrs) == set(WRONG)
    for value in WRONG[name]:

        def edit(file: h5py.File, value: Any = value) -> None:
            del file.attrs[name]
            if value is NOT_UTF8:
                file.attrs.create(name, b"\xff\xfe", dtype=h5py.string_dtype())
            elif value is not GONE:
                file.attrs[name] = value

        assert sentence(tampered(whole, tmp_path / "bundle.h5", edit)).endswith("with `synth select`.")


@pytest.mark.parametrize("text", ["", "Yes", "YES", "yes ", "no\n", "true", "1", "maybe"])
def test_shareable_is_yes_or_no(text: str, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.attrs.__setitem__("shareable", text))
    assert "its attribute shareable is neither yes nor no" in sentence(path)
    path = tampered(whole, path, lambda file: file.attrs.__setitem__("shareable", "yes"))
    assert read_bundle(path).shareable  # so it is the text that is refused


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite(name: str, value: float, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file[name].__setitem__(1, value))
    assert "a score is not finite" in sentence(path)


@pytest.mark.parametrize("seeds", [[100, 104, 105], [101, 101, 105], [101, 104, 7], [101, 104, 104]])
def test_images_that_are_not_the_selected_ones(seeds: list[int], whole: Path, tmp_path: Path) -> None:
    """Selected are the seeds 101, 104 and 105."""
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file["seed"].__setitem__(slice(None), seeds))
    assert "the selected candidates are not its images" in sentence(path)


@pytest.mark.parametrize("weight", [True, 0.5, 2])
def test_a_copy_among_the_images(weight: Any, whole: Path, tmp_path: Path) -> None:
    copies = (np.arange(7) == 4) * weight
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset("candidates/is_copy", data=copies))
    assert "a copy of a photograph is selected" in sentence(path)


@pytest.mark.parametrize(
    ("seal", "attribute", "problem"),
    [
        (2, 1, "written in version 2 of the bundle format, of which this program knows versions up to 1; update"),
        (2, 2, "written in version 2 of the bundle format, of which this program knows versions up to 1; update"),
        (999_999_999, 1, "written in version 999999999 of the bundle format"),
        (1, 2, "its attribute version is missing or not a whole number from 1 to 1"),
        (0, 1, "damaged in its first 512 bytes"),
        (0, 0, "damaged in its first 512 bytes"),
        ("01", 1, "damaged in its first 512 bytes"),
        (10**9, 1, "damaged in its first 512 bytes"),
    ],
)
def test_a_version_that_nobody_knows(seal: Any, attribute: int, problem: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.h5"
    tampered(whole, path, lambda file: file.attrs.__setitem__("version", attribute), version=seal)
    assert problem in sentence(path)


def test_a_format_that_is_not_that_of_the_seal(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.h5"
    tampered(whole, path, lambda file: file.attrs.__setitem__("format", "rarescreen-candidates"))
    assert "its attributes format and version are not those of its seal" in sentence(path)
    tampered(whole, path, lambda file: None, format="rarescreen-candidates")
    assert "of format rarescreen-candidates, where the bundle is expected" in sentence(path)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "\u2028", "candidates/tab\t", "x" * 60_000, "../up"])
def test_names_of_the_file_do_not_break_the_sentence(name: str, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset(name, data=np.ones((2, 2))))
    assert len(sentence(path)) < 1000


def test_a_name_that_is_no_text(whole: Path, tmp_path: Path) -> None:
    sentence(
        tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset(b"candidates/\xff", data=[1.0] * 7))
    )
