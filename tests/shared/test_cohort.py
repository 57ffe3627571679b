import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shared.cohort import Cohort, read_cohort, write_cohort
from shared.errors import UserError

Edit = Callable[[h5py.File], Any]


def test_a_cohort_comes_back_as_it_was_written(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    cohort, path = make_cohort(), tmp_path / "cohort.h5"
    sha256 = write_cohort(path, cohort)
    back = read_cohort(path)
    for field in fields(Cohort):
        old, new = getattr(cohort, field.name), getattr(back, field.name)
        if isinstance(old, np.ndarray):
            new = np.asarray(new)
            assert old.dtype.kind == new.dtype.kind
            np.testing.assert_array_equal(old, new)
        elif field.name not in ("path", "sha256", "attributes"):
            assert old == new
    assert back.attributes.keys() == cohort.attributes.keys()
    for name, column in cohort.attributes.items():
        assert back.attributes[name].dtype.kind == column.dtype.kind
        np.testing.assert_array_equal(back.attributes[name], column)
    assert (back.path, back.sha256, back.size, back.positive, len(back)) == (path, sha256, 8, "herpeticum", len(cohort))


def test_the_file_has_the_columns_of_the_format(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    path = tmp_path / "cohort.h5"
    write_cohort(path, make_cohort())
    with h5py.File(path) as file:
        assert {name: str(file[name].dtype) for name in ("images", "label", "group_id", "fold", "role")} == {
            "images": "uint8",
            "label": "int64",
            "group_id": "int64",
            "fold": "int8",
            "role": "uint8",
        }
        assert file["image_id"].dtype == "S64"
        assert h5py.check_string_dtype(file["source_path"].dtype).encoding == "utf-8"
        assert json.loads(file.attrs["classes"]) == ["eczema", "herpeticum"]
        assert (file.attrs["format"], file.attrs["version"], file.attrs["size"]) == ("rarescreen-cohort", 1, 8)


def _replace(file: h5py.File, name: str, data: Any, **options: Any) -> None:
    del file[name]
    file.create_dataset(name, data=data, **options)


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=file["label"].shape, dtype="int64")
    layout[:] = h5py.VirtualSource("/etc/passwd", "label", shape=file["label"].shape)
    del file["label"]
    file.create_virtual_dataset("label", layout)


def _external_storage(file: h5py.File) -> None:
    count = len(file["label"])
    del file["label"]
    file.create_dataset("label", (count,), "int64", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _link(name: str, link: Any) -> Edit:
    def edit(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = link

    return edit


def _same_object(file: h5py.File) -> None:
    file["attributes/alias"] = file["label"]


def _loop(file: h5py.File) -> None:
    file["attributes/loop"] = file["attributes"]


def _attribute(name: str, value: Any) -> Edit:
    return lambda file: file.attrs.__setitem__(name, value)


def _huge(shape: tuple[int, ...]) -> Edit:
    def edit(file: h5py.File) -> None:
        del file["images"]
        file.create_dataset("images", shape, "uint8", chunks=(1, 8, 8, 3))

    return edit


TAMPERED: dict[str, tuple[Edit, str]] = {
    "missing": (lambda f: f.pop("label"), "label is missing"),
    "group instead": (lambda f: (f.pop("label"), f.create_group("label")), "label is missing"),
    "type": (lambda f: _replace(f, "label", f["label"][:].astype("int32")), "label is of type int32, not int64"),
    "float": (lambda f: _replace(f, "label", f["label"][:].astype("float64")), "label is of type float64"),
    "rank": (lambda f: _replace(f, "label", f["label"][:][:, None]), r"label has shape \(31, 1\), not \[31\]"),
    "scalar": (lambda f: _replace(f, "fold", np.int8(1)), r"fold has shape \(\), not \[31\]"),
    "length": (lambda f: _replace(f, "fold", f["fold"][:-1]), r"fold has shape \(30,\), not \[31\]"),
    "not square": (lambda f: _replace(f, "images", f["images"][:, :4]), r"images has shape .* not \[31, 4, 4, 3\]"),
    "grey": (lambda f: _replace(f, "images", f["images"][..., :1]), "images has shape"),
    "image type": (lambda f: _replace(f, "images", f["images"][:].astype("int8")), "images is of type int8"),
    "too large": (_huge((31, 5000, 5000, 3)), "beyond the limit of 4096"),
    "too many": (_huge((2**40, 8, 8, 3)), "beyond the limit of 10000000"),
    "extra": (lambda f: f.create_dataset("extra", data=1), "holds extra, which the format does not know"),
    "soft link": (_link("label", h5py.SoftLink("/fold")), "label is a link"),
    "dangling link": (_link("attributes/x", h5py.SoftLink("/nowhere")), "attributes/x is a link"),
    "external link": (_link("label", h5py.ExternalLink("/etc/passwd", "/")), "label is a link"),
    "hard link": (_same_object, "is a second name of another object"),
    "loop": (_loop, "attributes/loop is a second name"),
    "virtual": (_virtual, "label is not stored plainly"),
    "external storage": (_external_storage, "label is not stored plainly"),
    "filter": (lambda f: _replace(f, "label", f["label"][:], compression="lzf"), "label is not stored plainly"),
    "vlen text": (lambda f: _replace(f, "image_id", ["a"] * 31, dtype=h5py.string_dtype()), "texts of a fixed length"),
    "id": (lambda f: f["image_id"].__setitem__(0, b"short"), "an image_id is not a SHA-256"),
    "utf8": (lambda f: f["source_path"].__setitem__(0, b"\xff"), "not UTF-8"),
    "label 2": (lambda f: f["label"].__setitem__(0, 2), "label is neither 0 nor 1"),
    "role 2": (lambda f: f["role"].__setitem__(0, 2), "role is neither 0 nor 1"),
    "study without fold": (lambda f: f["fold"].__setitem__(slice(0, 2), -1), "a study image has no fold"),
    "fold too large": (lambda f: f["fold"].__setitem__(slice(0, 2), 3), "a study image has no fold"),
    "external in fold": (lambda f: f["fold"].__setitem__(30, 1), "an external image has a fold"),
    "split group": (lambda f: f["fold"].__setitem__(0, (f["fold"][0] + 1) % 3), "a group is split over folds"),
    "attribute rank": (lambda f: f.create_dataset("attributes/x", data=np.ones((31, 2))), "attributes/x has shape"),
    "attribute type": (lambda f: f.create_dataset("attributes/x", data=np.ones(31, complex)), "is of type complex"),
    "nested attribute": (lambda f: f.create_dataset("attributes/x/y", data=np.ones(31)), "name holds a slash"),
    "no classes": (lambda f: f.attrs.pop("classes"), "attribute classes is missing"),
    "classes not JSON": (_attribute("classes", "{"), "classes is not a JSON list of two names"),
    "three classes": (_attribute("classes", '["a", "b", "c"]'), "classes is not a JSON list of two names"),
    "one class": (_attribute("classes", '["a", "a"]'), "two classes have one name"),
    "positive": (_attribute("positive", "eczema"), "attributes positive and size"),
    "size": (_attribute("size", 9), "attributes positive and size"),
    "folds": (_attribute("folds", 1), "attribute folds is missing or not a whole number from 2"),
    "folds text": (_attribute("folds", "3"), "attribute folds is missing or not a whole number"),
    "folds array": (_attribute("folds", [3, 3]), "attribute folds is missing or not a whole number"),
    "seed": (_attribute("seed", -1), "attribute seed is missing or not a whole number from 0"),
    "source": (_attribute("source", 3), "attribute source is missing or not a text"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_the_format_does_not_allow_is_refused(
    case: str, tmp_path: Path, make_cohort: Callable[..., Cohort], tamper: Callable[[Path, Edit], None]
) -> None:
    edit, sentence = TAMPERED[case]
    path = tmp_path / "cohort.h5"
    write_cohort(path, make_cohort())
    tamper(path, edit)
    with pytest.raises(UserError, match=sentence) as caught:
        read_cohort(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("make the cohort again with `synth prepare`.")


def test_tampering_alone_is_not_what_is_refused(
    tmp_path: Path, make_cohort: Callable[..., Cohort], tamper: Callable[[Path, Edit], None]
) -> None:
    path = tmp_path / "cohort.h5"
    write_cohort(path, make_cohort())
    tamper(path, lambda f: f["images"].__setitem__(0, 0))
    assert not np.asarray(read_cohort(path).images[0]).any()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: {"label": c.label[:-1]}, "label has 30 rows and images 31"),
        (lambda c: {"attributes": {"age": np.ones(3)}}, "attributes/age has 3 rows"),
        (lambda c: {"attributes": {"a/b": np.ones(31)}}, "slash"),
        (lambda c: {"images": c.images.astype(np.float32)}, "images are not uint8"),
        (lambda c: {"label": c.label + 1}, "label is neither 0 nor 1"),
        (lambda c: {"fold": (c.fold + 1).astype(np.int8)}, "fold"),
        (lambda c: {"classes": ("a", "a")}, "one name"),
    ],
)
def test_contradictions_are_not_written(
    change: Callable[[Cohort], dict[str, Any]], problem: str, tmp_path: Path, make_cohort: Callable[..., Cohort]
) -> None:
    cohort = make_cohort()
    with pytest.raises(ValueError, match=problem):
        write_cohort(tmp_path / "cohort.h5", replace(cohort, **change(cohort)))
    assert list(tmp_path.iterdir()) == []
