"""`synth bundle info`, `export`, `verify`: candidates of an untrained network, and a bundle made of them by hand."""

import csv
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from torchvision.datasets import ImageFolder

import shared.stored
from shared.bundle import Bundle, Candidates, read_bundle, read_candidates, write_bundle, write_candidates
from shared.errors import UserError
from synth.bundles.export import ExportOptions, defused, export, folder_name
from synth.bundles.info import InfoOptions, describe, info
from synth.bundles.verify import Verification, VerifyOptions, verify
from synth.cli import cli
from synth.drawing.pictures import draw
from synth.generate import GenerateOptions, generate

COUNT = 9
SELECTED = [6, 1, 4]  # in the order that a rule chose


def to_bundle(candidates: Candidates, rows: list[int] = SELECTED, **changes: Any) -> Bundle:
    """Return a bundle of some candidates, with scores that are a function of the seed."""
    seed, images = candidates.seed, np.asarray(candidates.images)
    similarity, discriminator = (seed / 100).astype(np.float32), (-seed - 0.5).astype(np.float32)
    selected = np.isin(np.arange(len(seed)), rows)
    order = np.full(len(seed), -1, np.int64)
    order[rows] = np.arange(len(rows))
    shared_fields = {
        each.name: getattr(candidates, each.name) for each in dataclasses.fields(Candidates) if each.name != "path"
    }
    fields: dict[str, Any] = shared_fields | {
        "images": images[rows],
        "seed": seed[rows],
        "similarity": similarity[rows],
        "discriminator": discriminator[rows],
        "candidates": {
            "seed": seed,
            "similarity": similarity,
            "discriminator": discriminator,
            "selected": selected,
            "by_similarity": seed % 2 == 0,
            "by_discriminator": seed > 100,
            "is_copy": (seed % 3 == 0) & ~selected,
            "order": order,
            "kind": np.array([f"photo {each}" for each in seed]),
        },
        "reference": {
            "image_id": candidates.seen_image_id[:4],
            "similarity": np.zeros(4, np.float32),
            "discriminator": np.zeros(4, np.float32),
        },
        "rule": "typical-and-diverse",
        "sigma": 2.5,
        "thresholds": {"similarity": 0.25, "control": {"n": 3, "kept": {"union": 2}}},
        "features": {"extractor": "colours", "weights_sha256": "ef" * 32},
    }
    return Bundle(**(fields | changes))


@pytest.fixture(scope="module")
def candidates_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "candidates.h5"
    generate(GenerateOptions(network=run_folder, out=path, seeds="100-107,4000000000", truncation=0.7, noise="random"))
    return path


@pytest.fixture(scope="module")
def bundle_file(candidates_file: Path) -> Path:
    path = candidates_file.with_name("bundle.h5")
    write_bundle(path, to_bundle(read_candidates(candidates_file)))
    return path


@pytest.fixture
def rewrite(bundle_file: Path, candidates_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the bundle, or the candidates, with other fields; pixels are changed by `spoil`."""

    def write(
        *,
        spoil: Callable[[np.ndarray], None] | None = None,
        selected: bool = True,
        generator: Any = None,
        **fields: Any,
    ) -> Path:
        drawn = read_bundle(bundle_file) if selected else read_candidates(candidates_file)
        images = np.array(drawn.images)
        if spoil is not None:
            spoil(images)
        generator = drawn.generator | (generator or {})
        changed = dataclasses.replace(drawn, **({"images": images, "generator": generator} | fields))
        path = tmp_path / "changed.h5"
        if isinstance(changed, Bundle):
            write_bundle(path, changed)
        else:
            write_candidates(path, changed)
        return path

    return write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["bundle", *(str(each) for each in arguments)])


def assert_refused(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    sentence = result.stderr.strip().splitlines()[-1]
    assert sentence.startswith("error: ")
    assert sentence.endswith(".")
    assert "Traceback" not in result.output
    for word in named:
        assert word in sentence


def read_table(folder: Path) -> list[dict[str, str]]:
    with (folder / "images.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_info_of_a_bundle_is_its_fields(bundle_file, run_folder, cohort):
    result = run("info", bundle_file, "--json")
    assert result.exit_code == 0
    about, bundle = json.loads(result.stdout), read_bundle(bundle_file)
    network = hashlib.sha256((run_folder / "network.safetensors").read_bytes()).hexdigest()
    body = hashlib.sha256(bundle_file.read_bytes()[512:]).hexdigest()
    assert about == {
        "file": str(bundle_file),
        "bytes": len(bundle_file.read_bytes()),
        "sha256": body,
        "format": "rarescreen-bundle",
        "version": 1,
        "images": 3,
        "size": 16,
        "class_name": "herpeticum",
        "label": 1,
        "fold": 0,
        "protocol": "strict",
        "cohort": cohort.sha256,
        "seen": {"images": len(set(bundle.seen_image_id)), "groups": len(set(bundle.seen_group_id))},
        "generator": {
            "network": network,
            "gamma": 0.1,
            "target": 0.6,
            "lr": 0.002,
            "kimg": 1.0,
            "truncation": 0.7,
            "noise": "random",
            "class": None,
        },
        "quality": {"name": "Frechet distance (colours)", "value": 12.5},
        "rule": "typical-and-diverse",
        "sigma": 2.5,
        "thresholds": {"similarity": 0.25, "control": {"n": 3, "kept": {"union": 2}}},
        # seeds 100 to 107 and 4000000000: the even ones, those above 100, and 102, 105 as copies (4000000000 = 3k + 1)
        "candidates": {"total": 9, "selected": 3, "by_similarity": 5, "by_discriminator": 8, "is_copy": 2},
        "reference": 4,
        "features": {"extractor": "colours", "weights_sha256": "ef" * 32},
        "shareable": False,
        "shareable_reason": "nobody has looked for copies of photographs",
        "memorization": {},
        "audit": {},
    }
    assert info(InfoOptions(bundle_file)) == describe(bundle_file) == about


def test_info_of_candidates_has_the_same_keys(candidates_file, bundle_file):
    about, selected = describe(candidates_file), describe(bundle_file)
    assert list(about) == list(selected)
    assert (about["format"], about["images"]) == ("rarescreen-candidates", COUNT)
    none = [name for name, value in about.items() if value is None]
    assert none == ["rule", "sigma", "thresholds", "candidates", "reference", "features", "memorization", "audit"]
    assert about["shareable"] is False
    for name in ("cohort", "seen", "generator", "quality", "fold", "protocol", "class_name"):
        assert about[name] == selected[name]


def test_info_is_a_table_for_people(bundle_file, rewrite):
    result = run("info", bundle_file)
    lines = [line.split() for line in result.stdout.splitlines()]
    for line in (
        ["class", "herpeticum"],
        ["is_copy", "2", "of", "9"],
        ["candidates", "selected", "3", "of", "9"],
        ["thresholds.similarity", "0.25"],
        ["truncation", "0.7"],
        ["sharing", "may", "be", "passed", "on", "no"],
        ["because", "nobody", "has", "looked", "for", "copies", "of", "photographs"],
    ):
        assert line in lines
    assert result.stderr == ""
    shared_file = rewrite(shareable=True, shareable_reason="no copies were found", fold=-1)
    lines = [line.split() for line in run("info", shared_file).stdout.splitlines()]
    assert ["sharing", "may", "be", "passed", "on", "yes"] in lines
    assert ["fold", "all"] in lines


def test_what_a_file_says_commands_no_terminal(rewrite):
    path = rewrite(class_name="[red]\x1b]0;owned\x07 \u202e", generator={"\x1b[2J": "\x1b[31m", "licence": "[b]MIT"})
    output = run("info", path).stdout
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "[red]" in output
    assert "[b]MIT" in output
    assert json.loads(run("info", path, "--json").stdout)["class_name"] == "[red]\x1b]0;owned\x07 \u202e"


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


@pytest.mark.parametrize("batch", [2, 32])
def test_all_images_are_drawn_again(bundle_file, candidates_file, run_folder, capsys, batch):
    for path, count in ((bundle_file, 3), (candidates_file, COUNT)):
        found = verify(VerifyOptions(path, run_folder, batch=batch, device="cpu"))
        assert found.images == count == found.exact + found.rounded
        assert found.largest <= 1
        if batch == 32:  # as they were drawn
            assert found == Verification(count, exact=count)
            assert f"{path}: {count} of {count} images are bit for bit what" in capsys.readouterr().err


def test_what_is_read_and_drawn_at_a_time_is_a_batch(candidates_file, run_folder, monkeypatch):
    monkeypatch.setattr(shared.stored, "CACHE_BYTES", 0)
    drawn: list[int] = []

    def counting(G, seeds, **how):
        drawn.append(len(seeds))
        return draw(G, seeds, **how)

    monkeypatch.setattr("synth.generate.draw", counting)
    verify(VerifyOptions(candidates_file, run_folder, batch=4, device="cpu"))
    assert drawn == [4, 4, 1]


def shift(row: int, levels: int) -> Callable[[np.ndarray], None]:
    """Return what changes one value of one image, towards the middle."""

    def change(images: np.ndarray) -> None:
        value = int(images[row, 3, 5, 1])
        images[row, 3, 5, 1] = value + levels if value < 128 else value - levels

    return change


@pytest.mark.parametrize("selected", [True, False])
def test_a_changed_value_is_found(rewrite, run_folder, selected):
    path = rewrite(spoil=shift(1, 3), selected=selected)
    seed, count = (101, 3) if selected else (101, COUNT)
    result = run("verify", path, "--network", run_folder, "--device", "cpu")
    assert_refused(result, f"1 of {count} images", f"(seed {seed};", "up to 3 of 255", "--device")
    result = run("verify", path, "--network", run_folder, "--device", "cpu", "--tolerance", 2)
    assert_refused(result, "--tolerance allows 2")
    found = verify(VerifyOptions(path, run_folder, tolerance=3, device="cpu"))
    assert found == Verification(count, exact=count - 1, rounded=1, largest=3)


def test_a_level_is_rounding_unless_none_is_allowed(rewrite, run_folder, capsys):
    path = rewrite(spoil=shift(2, 1))
    found = verify(VerifyOptions(path, run_folder, device="cpu"))
    assert found == Verification(3, exact=2, rounded=1, largest=1)
    said = capsys.readouterr().err
    assert "2 of 3 images are bit for bit" in said
    assert "1 within rounding (values differ by up to 1 of 255)" in said
    with pytest.raises(UserError, match=r"1 of 3 images .*\(seed 104;"):
        verify(VerifyOptions(path, run_folder, tolerance=0, device="cpu"))


def test_other_images_are_counted_and_the_first_named(rewrite, run_folder):
    path = rewrite(spoil=lambda images: np.subtract(255, images, out=images), selected=False)
    with pytest.raises(UserError, match=r"9 of 9 images .*\(seeds 100, 101, 102, 103, 104, …; values differ by up to"):
        verify(VerifyOptions(path, run_folder, device="cpu"))


def test_the_class_of_a_conditional_network_is_drawn(make_network, tmp_path):
    network, path = make_network(c_dim=2), tmp_path / "drawn.h5"
    for class_index in (0, 1):
        generate(GenerateOptions(network, path, count=3, class_index=class_index, device="cpu", force=True))
        assert verify(VerifyOptions(path, network, device="cpu")).exact == 3
    drawn = read_candidates(path)
    for wrong, named in ((0, "3 of 3 images are not what"), *((each, "the class of") for each in (None, 2, True, "1"))):
        generator = drawn.generator | {"class": wrong}
        write_candidates(tmp_path / "wrong.h5", dataclasses.replace(drawn, generator=generator))
        with pytest.raises(UserError, match=named):
            verify(VerifyOptions(tmp_path / "wrong.h5", network, device="cpu"))


def test_another_network_is_refused(bundle_file, make_network, run_folder):
    result = run("verify", bundle_file, "--network", make_network(seed=1), "--device", "cpu")
    stated = read_bundle(bundle_file).generator["network"]
    assert_refused(result, "did not draw", stated[:16])


@pytest.mark.parametrize(
    ("generator", "named"),
    [
        ({"network": None}, "which network"),
        ({"network": ["x"]}, "which network"),
        ({"truncation": "0.7"}, "truncation of its generator is '0.7'"),
        ({"truncation": None}, "truncation of its generator is None"),
        ({"truncation": True}, "truncation"),
        ({"truncation": 3}, "truncation of its generator is 3"),
        ({"truncation": 10**400}, "truncation"),
        ({"truncation": [[0.7]]}, "truncation of its generator is no single value"),
        ({"noise": "loud\x1b[31m"}, r"noise of its generator is 'loud\x1b[31m'"),
        ({"noise": {"const": 1}}, "noise of its generator is no single value"),
        ({"noise": None}, "noise"),
        ({"class": 0}, "class of its generator is 0"),
    ],
)
def test_what_a_file_says_of_its_generator_must_make_sense(rewrite, run_folder, generator, named):
    path = rewrite(generator=generator)
    assert_refused(run("verify", path, "--network", run_folder, "--device", "cpu"), "changed.h5", named)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_what_is_no_seed_is_refused(rewrite, run_folder, seed):
    path = rewrite(selected=False, seed=np.array([*range(8), seed]))
    assert_refused(run("verify", path, "--network", run_folder, "--device", "cpu"), f"has the seed {seed}")


def test_images_of_another_size_are_refused(rewrite, run_folder):
    path = rewrite(selected=False, images=np.zeros((COUNT, 8, 8, 3), np.uint8))
    assert_refused(run("verify", path, "--network", run_folder, "--device", "cpu"), "8 px", "16 px")


def test_no_images_are_all_right(candidates_file, run_folder, tmp_path, capsys):
    path = tmp_path / "none.h5"
    write_bundle(path, to_bundle(read_candidates(candidates_file), rows=[]))
    assert verify(VerifyOptions(path, run_folder, device="cpu")) == Verification(0)
    assert "nothing to compare" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "export", "verify"])
def test_damaged_and_missing_files_are_one_sentence(command, bundle_file, run_folder, tmp_path):
    rest = {"info": (), "export": ("--png", tmp_path / "png"), "verify": ("--network", run_folder)}[command]
    content = bundle_file.read_bytes()
    for damage, named in (
        (content[:-100], "truncated"),
        (content[:-500] + bytes([content[-500] ^ 1]) + content[-499:], "damaged"),
        (content.replace(b"bundle/1", b"bundle/9", 1), "version 9"),
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(1000), "not one of Rarescreen's"),
    ):
        (tmp_path / "damaged.h5").write_bytes(damage)
        assert_refused(run(command, tmp_path / "damaged.h5", *rest), "damaged.h5", named)
    assert_refused(run(command, tmp_path / "missing.h5", *rest), "missing.h5", "no such file")
    assert not (tmp_path / "png").exists()


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("info", ("--xml",)),
        ("export", ("--pdf", "x")),
        ("verify", ("--network", "x", "--tolerance", "17")),
        ("verify", ("--network", "x", "--tolerance", "-1")),
        ("verify", ("--network", "x", "--batch", "0")),
        ("verify", ("--network", "nowhere")),
        ("verify", ()),
    ],
)
def test_bad_options(bundle_file, command, asked):
    assert_refused(
        run(command, bundle_file, *asked), asked[0] if len(asked) == 1 else asked[-1] if asked else "--network"
    )


@pytest.mark.parametrize("command", ["info", "export", "verify"])
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "FILE" in result.stdout


def test_info_needs_no_torch(bundle_file):
    code = "import sys; from synth.bundles.info import describe; describe(sys.argv[1]); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, bundle_file], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
