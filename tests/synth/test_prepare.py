import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.cohort import EXTERNAL, STUDY, Cohort, read_cohort
from shared.errors import UserError
from shared.images import image_id, read_photo, to_square
from synth.prepare import PrepareOptions, prepare

CLASSES = {"herpeticum": 7, "eczema": 9, "elsewhere": 4}


def photograph(seed: int, height: int = 40, width: int = 56) -> Image.Image:
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.normal(size=(n, n)).astype(np.float32)).resize((width, height), Image.BICUBIC))
        for n in (4, 8, 16)
    ]
    grey = sum(layers)[..., None] * (25, 20, 15)
    return Image.fromarray(np.clip(grey + np.array((190, 140, 120)), 0, 255).astype(np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders of distinct photographs, some nested."""
    seed = 0
    for name, count in CLASSES.items():
        for number in range(count):
            folder = tmp_path / name / ("nested" if number % 3 == 0 else "")
            folder.mkdir(parents=True, exist_ok=True)
            photograph(seed).save(folder / f"{number:02d}.png")
            seed += 1
    return tmp_path


def options(folders: Path, **changes: object) -> PrepareOptions:
    given = PrepareOptions(
        out=folders / "cohort.h5",
        positive=(folders / "herpeticum",),
        negative=(folders / "eczema",),
        external_negative=(folders / "elsewhere",),
        size=16,
        folds=3,
    )
    return replace(given, **changes)


def folds_by_id(cohort: Cohort) -> dict[str, int]:
    return dict(zip(cohort.image_id.tolist(), cohort.fold.tolist(), strict=True))


def refusal(given: PrepareOptions) -> str:
    with pytest.raises(UserError) as caught:
        prepare(given)
    assert given.force or not given.out.exists()
    return str(caught.value)


def test_folders_become_a_cohort(folders: Path) -> None:
    cohort = prepare(options(folders))
    back = read_cohort(folders / "cohort.h5")
    assert back.sha256 == cohort.sha256
    assert back.classes == ("eczema", "herpeticum")
    assert (back.positive, back.size, back.folds, back.source) == ("herpeticum", 16, 3, "photographs")
    assert np.bincount(back.label[back.role == STUDY]).tolist() == [9, 7]
    assert (back.role == EXTERNAL).sum() == 4
    assert len(np.unique(back.group_id)) == 20
    for row, source_path in enumerate(back.source_path.tolist()):
        photo = read_photo(folders / source_path)
        assert back.image_id[row] == image_id(photo)
        np.testing.assert_array_equal(back.images[row], to_square(photo, 16, "crop"))
        assert back.label[row] == (source_path.split("/")[0] == "herpeticum")
        assert (back.role[row] == EXTERNAL) == (source_path.split("/")[0] == "elsewhere")


def test_the_same_photographs_give_the_same_bytes_anywhere(
    folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = prepare(options(folders))
    copy = tmp_path_factory.mktemp("copy") / "x"
    shutil.copytree(folders, copy)
    (copy / "cohort.h5").unlink()
    second = prepare(options(copy))
    assert second.sha256 == first.sha256
    assert (copy / "cohort.h5").read_bytes() == (folders / "cohort.h5").read_bytes()


def test_folds_depend_on_neither_size_nor_fit_nor_names_nor_the_external_set(
    folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = folds_by_id(prepare(options(folders)))
    renamed = tmp_path_factory.mktemp("renamed") / "x"
    shutil.copytree(folders, renamed)
    (renamed / "cohort.h5").unlink()
    for number, path in enumerate(sorted((renamed / "herpeticum").rglob("*.png"), reverse=True)):
        path.rename(path.parent / f"{number}_new.png")
    cohort = prepare(options(renamed, size=24, fit="pad", external_negative=()))
    assert cohort.size == 24
    study = folds_by_id(cohort)
    assert study == {name: fold for name, fold in expected.items() if fold >= 0}
    assert len(study) == 16


def test_seeds_give_other_folds(folders: Path) -> None:
    first, second = (prepare(options(folders, seed=seed, force=True)) for seed in (0, 1))
    assert (first.fold != second.fold).any()


def test_duplicates_stay_together_and_are_reported(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = Image.open(folders / "herpeticum" / "01.png")
    shutil.copy(folders / "eczema" / "02.png", folders / "eczema" / "copy.png")
    original.transpose(Image.Transpose.ROTATE_90).save(folders / "herpeticum" / "turned.jpg", quality=80)
    Image.open(folders / "eczema" / "01.png").save(folders / "elsewhere" / "again.jpg", quality=70)
    cohort = prepare(options(folders))
    group = dict(zip(cohort.source_path.tolist(), cohort.group_id.tolist(), strict=True))
    assert group["herpeticum/01.png"] == group["herpeticum/turned.jpg"]
    assert group["eczema/02.png"] == group["eczema/copy.png"]
    assert group["eczema/01.png"] == group["elsewhere/again.jpg"]
    assert len(set(group.values())) == len(group) - 3
    text = capsys.readouterr().err
    assert "duplicates: 3 pairs" in text
    assert "eczema/02.png = eczema/copy.png (equal)" in text
    assert re.search(r"herpeticum/01.png = herpeticum/turned.jpg \(r = 0\.9\d\d\)", text)
    assert "1 external images share a group with a study image" in text
    assert "WARNING" not in text


def test_one_photograph_in_both_classes_is_a_warning(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folders / "eczema" / "02.png", folders / "herpeticum" / "wrong.png")
    cohort = prepare(options(folders))
    rows = [cohort.source_path.tolist().index(name) for name in ("herpeticum/wrong.png", "eczema/02.png")]
    assert len(set(cohort.fold[rows].tolist())) == 1
    assert "WARNING: 1 of these pairs have one image in each class" in capsys.readouterr().err


def _spoil(folders: Path) -> None:
    (folders / "eczema" / "text.jpg").write_text("no picture")
    photograph(99, 5, 90).save(folders / "eczema" / "thin.png")
    content = (folders / "herpeticum" / "02.png").read_bytes()
    (folders / "herpeticum" / "cut.png").write_bytes(content[: len(content) // 2])


def test_all_bad_photographs_are_named_at_once(folders: Path) -> None:
    _spoil(folders)
    text = refusal(options(folders))
    assert text.startswith("3 of 23 images cannot be used; mend or remove them, or give --skip-bad")
    assert f"{folders}/eczema/text.jpg: not a JPEG, PNG, WebP, TIFF or BMP image" in text
    assert f"{folders}/eczema/thin.png: 90 x 5 px is too small" in text
    assert f"{folders}/herpeticum/cut.png: " in text


def test_a_long_list_is_cut(folders: Path) -> None:
    for number in range(23):
        (folders / "eczema" / f"bad{number:02d}.jpg").write_text("")
    text = refusal(options(folders))
    assert text.count("\n") == 21
    assert text.endswith("… and 3 more")


def test_bad_photographs_can_be_skipped(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = prepare(options(folders))
    _spoil(folders)
    after = prepare(options(folders, skip_bad=True, force=True))
    assert after.sha256 == before.sha256
    assert "skipped 3 images that cannot be used:" in capsys.readouterr().err


def test_groups_and_attributes_come_from_the_table(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"herpeticum/{number:02d}.png" for number in (1, 2, 4, 5)]
    rows = "".join(f"{name},patient {i % 2},{20 + i}\n" for i, name in enumerate(names))
    (folders / "table.csv").write_text(f"file,group,age\n{rows}")
    cohort = prepare(options(folders, csv=folders / "table.csv"))
    place = [cohort.source_path.tolist().index(name) for name in names]
    groups = cohort.group_id[place]
    assert groups[0] == groups[2] != groups[1] == groups[3]
    assert read_cohort(folders / "cohort.h5").attributes["age"][place].tolist() == [20, 21, 22, 23]
    assert "no --csv" not in capsys.readouterr().err


def test_a_table_without_groups_is_no_word_on_patients(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "table.csv").write_text("file,age\nherpeticum/01.png,20\n")
    prepare(options(folders, csv=folders / "table.csv"))
    assert "no group in --csv: each photograph counts as another patient's" in capsys.readouterr().err


def test_external_photographs_of_a_studys_patient_are_told_without_any_duplicate(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "table.csv").write_text("file,group\nherpeticum/01.png,p\nelsewhere/01.png,p\n")
    prepare(options(folders, csv=folders / "table.csv"))
    told = capsys.readouterr().err
    assert "duplicates: none found" in told
    assert "note: 1 external images share a group with a study image and are left out of evaluation" in told


def test_groups_of_the_table_and_duplicates_join(folders: Path) -> None:
    shutil.copy(folders / "eczema" / "02.png", folders / "eczema" / "copy.png")
    (folders / "table.csv").write_text("file,group\neczema/01.png,p\neczema/copy.png,p\n")
    cohort = prepare(options(folders, csv=folders / "table.csv"))
    group = dict(zip(cohort.source_path.tolist(), cohort.group_id.tolist(), strict=True))
    assert len({group[f"eczema/{name}.png"] for name in ("01", "02", "copy")}) == 1


def test_several_folders_make_one_class(folders: Path) -> None:
    given = options(folders, positive=(folders / "herpeticum", folders / "elsewhere"), external_negative=())
    cohort = prepare(given)
    assert (cohort.label == 1).sum() == 11
    assert cohort.positive == "elsewhere+herpeticum"


def test_folders_of_one_name_are_called_by_their_side(folders: Path) -> None:
    for side in ("p", "n"):
        (folders / side).mkdir()
    (folders / "herpeticum").rename(folders / "p" / "images")
    (folders / "eczema").rename(folders / "n" / "images")
    cohort = prepare(options(folders, positive=(folders / "p" / "images",), negative=(folders / "n" / "images",)))
    assert cohort.classes == ("negative", "positive")


REFUSED: dict[str, tuple[Callable[[Path], dict[str, object]], str]] = {
    "no folder": (lambda f: {"positive": (f / "none",)}, r"none: no such folder; give an existing folder"),
    "a file": (lambda f: {"negative": (f / "eczema" / "01.png",)}, "a file, where a folder of images is expected"),
    "no images": (lambda f: {"negative": (f / "empty",)}, "holds no images"),
    "one image": (lambda f: {"positive": (f / "single",)}, "single: only 1 usable images, and each class needs 2"),
    "few groups": (lambda f: {"folds": 8}, "only 7 independent positive .*give --folds 7 or fewer"),
    "folder in folder": (lambda f: {"external_negative": (f / "eczema" / "nested",)}, "would count twice"),
    "twice": (lambda f: {"external_negative": (f / "eczema",)}, "eczema: is given twice, .*; give it once"),
    "no positive": (lambda f: {"positive": ()}, "--positive: missing"),
    "no negative": (lambda f: {"negative": ()}, "--negative: missing"),
    "size": (lambda f: {"size": 7}, "--size 7: out of range; give 8 to"),
    "large": (lambda f: {"size": 100_000}, "--size 100000: out of range"),
    "folds": (lambda f: {"folds": 1}, "--folds 1: out of range"),
    "seed": (lambda f: {"seed": -1}, "--seed -1: out of range"),
    "fit": (lambda f: {"fit": "squeeze"}, "--fit squeeze: unknown; give one of crop, pad, stretch"),
    "phantom and folders": (lambda f: {"phantom": True}, "--phantom: renders its own images"),
    "no table": (lambda f: {"csv": f / "none.csv"}, "no such file; the CSV must"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(case: str, folders: Path) -> None:
    change, sentence = REFUSED[case]
    (folders / "empty").mkdir()
    (folders / "single").mkdir()
    photograph(77).save(folders / "single" / "1.png")
    text = refusal(options(folders, **change(folders)))
    assert re.search(sentence, text)
    assert text.endswith(".")


def test_a_table_is_looked_at_before_the_photographs(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folders / "t.csv").write_text("file;group\n")
    monkeypatch.setattr("synth.prepare.read_photographs", lambda *_, **__: pytest.fail("photographs are read first"))
    assert "not separated by commas" in refusal(options(folders, csv=folders / "t.csv"))


def test_an_existing_output_needs_force(folders: Path) -> None:
    (folders / "cohort.h5").write_text("precious")
    with pytest.raises(UserError, match="exists already; give --force"):
        prepare(options(folders))
    assert (folders / "cohort.h5").read_text() == "precious"
    prepare(options(folders, force=True))
    assert len(read_cohort(folders / "cohort.h5")) == 20


def test_the_report_tells_counts_sizes_and_folds(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = prepare(options(folders, size=48))
    text = capsys.readouterr().err
    assert re.search(r"herpeticum\W+7\W+7\W+56 x 40", text)
    assert re.search(r"eczema\W+9\W+9\W+56 x 40", text)
    assert re.search(r"external negatives\W+4\W+4\W+56 x 40", text)
    for fold in range(3):
        counts = [((cohort.fold == fold) & (cohort.label == label)).sum() for label in (1, 0)]
        assert re.search(rf"\n\W+{fold}\W+{counts[0]}\W+{counts[1]}\W", text)
    assert "20 photographs are smaller than 48 px and were enlarged" in text
    assert "duplicates: none found" in text
    assert "no --csv: each photograph counts as another patient's" in text
    assert f"{folders / 'cohort.h5'}: 20 images of 48 px, sha256 {cohort.sha256}" in text
    note = "`synth train` takes powers of two alone, and 48 px is none; for a GAN give --size 32 or 64"
    assert note in " ".join(text.split())
    prepare(options(folders, size=32, force=True))
    assert "powers of two" not in capsys.readouterr().err


def test_odd_metadata_does_not_disturb(folders: Path) -> None:
    """Pillow warns of damaged EXIF; a photograph is not worse for it, and the filters are as they were afterwards."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes()
    photograph(50).save(folders / "eczema" / "odd.jpg", exif=content[:-3])
    before = list(warnings.filters)
    assert len(prepare(options(folders))) == 21
    assert warnings.filters == before


def test_the_phantom_is_a_cohort(tmp_path: Path) -> None:
    given = PrepareOptions(out=tmp_path / "c.h5", phantom=True, size=16, seed=3, folds=2, phantom_counts=(6, 8, 4))
    cohort = prepare(given)
    back = read_cohort(tmp_path / "c.h5")
    assert (back.source, back.classes) == ("phantom", ("phantom_negative", "phantom_positive"))
    assert (back.label.sum(), (back.role == EXTERNAL).sum(), len(back)) == (6, 4, 18)
    assert back.source_path[[0, 17]].tolist() == ["phantom/000001", "phantom/000018"]
    assert back.image_id.tolist() == [image_id(image) for image in np.asarray(back.images)]
    assert set(back.attributes["skin_tone"].tolist()) <= set(range(1, 7))
    assert prepare(replace(given, out=tmp_path / "again.h5")).sha256 == cohort.sha256
    assert prepare(replace(given, out=tmp_path / "other.h5", seed=4)).sha256 != cohort.sha256
