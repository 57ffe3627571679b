"""`synth bundle export`: pictures and their table, whole or not at all, and names that lead nowhere else."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundling import COUNT, assert_refused, run, to_bundle
from PIL import Image
from torchvision.datasets import ImageFolder

import shared.stored
from shared.bundle import read_bundle, read_candidates, write_bundle
from shared.errors import UserError
from synth.bundles.export import ExportOptions, defused, export, folder_name


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "images.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def expected_scores(seed: int) -> dict[str, float]:
    return {"similarity": np.float32(seed / 100), "discriminator": np.float32(-seed - 0.5)}


def test_pngs_and_their_table_are_the_bundle(bundle_file, tmp_path, monkeypatch):
    monkeypatch.setattr(shared.stored, "PIECE_BYTES", 2 * 16 * 16 * 3)  # two images a piece
    folder = tmp_path / "a" / "png"
    assert export(ExportOptions(bundle_file, png=folder)) == [folder]
    bundle = read_bundle(bundle_file)
    rows = read_table(folder)
    assert list(rows[0]) == [
        *("file", "seed", "class", "label", "similarity", "discriminator"),
        *("by_discriminator", "by_similarity", "is_copy", "order"),  # `kind` holds texts
    ]
    assert [int(row["seed"]) for row in rows] == bundle.seed.tolist() == [106, 101, 104]
    for number, (row, image) in enumerate(zip(rows, np.asarray(bundle.images), strict=True)):
        seed = int(row["seed"])
        with Image.open(folder / row["file"]) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(picture), image)
        assert row["file"] == f"seed{seed:04d}.png"
        assert (row["class"], row["label"]) == ("herpeticum", "1")
        for name, value in expected_scores(seed).items():
            assert np.float32(row[name]) == value
        flags = [row[name] for name in ("by_similarity", "by_discriminator", "is_copy", "order")]
        assert flags == [str(int(seed % 2 == 0)), "1", "0", str(number)]
    assert sorted(path.name for path in folder.iterdir()) == [
        "images.csv",
        *sorted(f"seed{each:04d}.png" for each in (106, 101, 104)),
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["png"]


def test_candidates_have_no_scores(candidates_file, tmp_path):
    export(ExportOptions(candidates_file, png=tmp_path / "png"))
    rows = read_table(tmp_path / "png")
    assert [row["seed"] for row in rows] == [*map(str, range(100, 108)), "4000000000"]
    assert rows[8]["file"] == "seed4000000000.png"
    assert {(row["similarity"], row["discriminator"]) for row in rows} == {("", "")}
    assert len(list((tmp_path / "png").glob("*.png"))) == COUNT


def test_imagefolder_reads_both_classes(bundle_file, rewrite, tmp_path):
    root = tmp_path / "images"
    assert export(ExportOptions(bundle_file, imagefolder=root)) == [root / "herpeticum"]
    other = rewrite(class_name="eczema", label=0, spoil=lambda images: np.subtract(255, images, out=images))
    with pytest.raises(UserError, match=f"--imagefolder {root}: not empty.*--force"):
        export(ExportOptions(other, imagefolder=root))
    export(ExportOptions(other, imagefolder=root, force=True))
    read = ImageFolder(root)
    assert read.classes == ["eczema", "herpeticum"]
    found = {
        (read.classes[target], Path(path).name): np.asarray(image)
        for (path, target), (image, _) in zip(read.samples, read, strict=True)
    }
    for path in (bundle_file, other):
        drawn = read_bundle(path)
        for seed, image in zip(drawn.seed, np.asarray(drawn.images), strict=True):
            np.testing.assert_array_equal(found.pop((drawn.class_name, f"seed{seed:04d}.png")), image)
    assert not found


def test_both_kinds_at_once_are_the_same(bundle_file, tmp_path):
    result = run("export", bundle_file, "--png", tmp_path / "png", "--imagefolder", tmp_path / "folder")
    assert result.exit_code == 0, result.output
    contents = [
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "png", tmp_path / "folder" / "herpeticum")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


def test_what_may_not_be_passed_on_is_said(bundle_file, candidates_file, rewrite, tmp_path, capsys):
    export(ExportOptions(bundle_file, png=tmp_path / "1"))
    assert "must not be passed on: nobody has looked for copies of photographs" in capsys.readouterr().err
    export(ExportOptions(candidates_file, png=tmp_path / "2"))
    assert "must not be passed on: candidates are what a network drew" in capsys.readouterr().err
    export(ExportOptions(rewrite(shareable=True, shareable_reason="no copies"), png=tmp_path / "3"))
    assert "passed on" not in capsys.readouterr().err


def test_no_images_are_an_empty_table(rewrite, candidates_file, tmp_path, capsys):
    path = tmp_path / "none.h5"
    write_bundle(path, to_bundle(read_candidates(candidates_file), rows=[]))
    export(ExportOptions(path, png=tmp_path / "png"))
    assert read_table(tmp_path / "png") == []
    assert "holds no images" in capsys.readouterr().err


def test_a_folder_that_holds_something_needs_force(bundle_file, candidates_file, tmp_path):
    folder = tmp_path / "png"
    folder.mkdir()
    for name in ("mine.txt", "seedling.png", "photo.png"):
        (folder / name).write_bytes(b"mine")
    assert_refused(run("export", bundle_file, "--png", folder), "--png", "not empty", "--force")
    assert len(list(folder.iterdir())) == 3
    assert run("export", candidates_file, "--png", folder, "--force").exit_code == 0
    assert run("export", bundle_file, "--png", folder, "--force").exit_code == 0
    kept = {path.name for path in folder.iterdir()}
    assert kept == {
        *("mine.txt", "seedling.png", "photo.png", "images.csv"),
        *("seed0101.png", "seed0104.png", "seed0106.png"),
    }
    assert (folder / "photo.png").read_bytes() == b"mine"


def test_an_empty_folder_is_written_into(bundle_file, tmp_path, monkeypatch):
    (tmp_path / "png").mkdir()
    monkeypatch.chdir(tmp_path / "png")
    assert run("export", bundle_file, "--png", ".").exit_code == 0
    assert len(os.listdir()) == 4  # noqa: PTH208 - what a shell in this folder sees


@pytest.mark.parametrize("existing", [False, True])
def test_an_export_that_fails_leaves_nothing(bundle_file, candidates_file, tmp_path, monkeypatch, existing):
    folder = tmp_path / "png"
    if existing:
        export(ExportOptions(candidates_file, png=folder))
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    save, saved = Image.Image.save, []

    def fill_up(self, path, **how):
        if len(saved) == 2:
            raise OSError(28, "No space left on device", str(path))
        saved.append(path)
        save(self, path, **how)

    monkeypatch.setattr(Image.Image, "save", fill_up)
    both = ("--png", folder, "--imagefolder", tmp_path / "folder", "--force")
    assert_refused(run("export", bundle_file, *both), "No space left")
    assert len(saved) == 2
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == (["png"] if existing else [])


def test_the_table_comes_last(bundle_file, candidates_file, tmp_path, monkeypatch):
    """Where a folder is written into, pictures without a table say that there was no end to it."""
    export(ExportOptions(candidates_file, png=tmp_path / "png"))
    replace, moved = Path.replace, []

    def stop(self, target):
        if target.suffix == ".png":
            moved.append(target.name)
            if len(moved) == 2:
                raise OSError(5, "Input/output error", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(OSError, match="Input/output"):
        export(ExportOptions(bundle_file, png=tmp_path / "png", force=True))
    assert [path.name for path in (tmp_path / "png").iterdir()] == moved[:1]


def test_a_killed_export_leaves_no_folder(bundle_file, tmp_path):
    """The process kills itself at its third picture."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from synth.bundles.export import ExportOptions, export\n"
        "save, saved = Image.Image.save, []\n"
        "def die(self, path, **how):\n"
        "    saved.append(path)\n"
        "    save(self, path, **how)\n"
        "    if len(saved) == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Image.Image.save = die\n"
        "export(ExportOptions(Path(sys.argv[1]), png=Path(sys.argv[2])))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, bundle_file, tmp_path / "png"], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".export.")
    assert len(list(left.iterdir())) == 3
    export(ExportOptions(bundle_file, png=tmp_path / "png"))
    assert len(list((tmp_path / "png").iterdir())) == 4


def test_what_a_killed_export_left_in_a_folder_goes(bundle_file, tmp_path):
    (tmp_path / ".export.0123.part" / "herpeticum").mkdir(parents=True)
    export(ExportOptions(bundle_file, imagefolder=tmp_path, force=True))
    assert ImageFolder(tmp_path).classes == ["herpeticum"]


NAMES = ["herpeticum", "Eczéma herpétiqué 2", "a.b"]
ODD = ["../../evil", "CON", "", ".", "..", "...", " ", "con.txt", "LPT9", "nul ", "/etc", "a/b", r"a\b", "a:b", "a?b"]
ODD += ["x" * 5000, "é" * 300, "\x00", "a\nb", "\ud800", ".hidden", "end.", "<|>", "COM¹", "C:", "~/x", "\u202etxt"]


def test_class_names_are_safe_folders(tmp_path):
    for name in NAMES:
        assert folder_name(name) == name
    made = [folder_name(name) for name in ODD]
    assert len({*made, *NAMES}) == len(ODD) + len(NAMES)
    devices = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³")}
    for name in made:
        assert not set(name) & set('<>:"/\\|?*')
        assert name.isprintable()
        assert name.strip(" .") == name != ""
        assert name.partition(".")[0].rstrip().upper() not in devices
        assert len(name.encode()) <= 120
        (tmp_path / name).mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(made)


@pytest.mark.parametrize("name", ["../../evil", "CON", "", "a/b"])
def test_a_class_name_leads_nowhere_else(rewrite, tmp_path, name):
    path = rewrite(class_name=name)
    root = tmp_path / "deep" / "er" / "images"
    (folder,) = export(ExportOptions(path, imagefolder=root))
    assert folder.parent == root
    assert ImageFolder(root).classes == [folder.name]
    assert {row["class"] for row in read_table(folder)} == {name}
    files = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert files - {path} == set(folder.iterdir())


def test_cells_are_no_formulas(rewrite, tmp_path):
    drawn = read_bundle(rewrite())
    columns = drawn.candidates | {"=cmd()": np.arange(COUNT), "@time": np.full(COUNT, np.nan)}
    path = rewrite(class_name='=HYPERLINK("http://x","y")', candidates=columns)
    export(ExportOptions(path, png=tmp_path / "png"))
    rows = read_table(tmp_path / "png")
    assert {row["class"] for row in rows} == {'\'=HYPERLINK("http://x","y")'}
    assert {name for name in rows[0] if "cmd" in name or "time" in name} == {"'=cmd()", "'@time"}
    assert all(float(row["discriminator"]) < 0 for row in rows)  # a number stays one, whatever it begins with
    for text in ("=1", "+1", "-1", "@x", " =1", "\t=1", "\r\n+1", "＝1"):
        assert defused(text) == f"'{text}"
    for text in ("", "herpeticum", "a=b", "5-1"):
        assert defused(text) == text


def test_exports_that_are_refused(bundle_file, rewrite, tmp_path, cohort):
    assert_refused(run("export", bundle_file), "--png", "--imagefolder")
    for png, other in (("a", "a"), ("a/b", "a"), ("a", "a/b")):
        folders = ("--png", tmp_path / png, "--imagefolder", tmp_path / other)
        assert_refused(run("export", bundle_file, *folders), "not apart")
    assert_refused(run("export", bundle_file, "--png", bundle_file), "--png")
    assert_refused(run("export", cohort.path, "--png", tmp_path / "png"), "rarescreen-cohort", "`synth select`")
    twice = rewrite(selected=False, seed=np.array([*range(8), 7]))
    assert_refused(run("export", twice, "--png", tmp_path / "png"), "seed 7 twice")
    assert [path.name for path in tmp_path.iterdir()] == ["changed.h5"]
