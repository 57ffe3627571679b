from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.bundle import read_candidates
from shared.errors import UserError
from stylegan2_ada import load_networks
from synth.drawing.pictures import batch_for, draw
from synth.drawing.png_folder import write_png
from synth.generate import GenerateOptions, generate


def test_candidates_hold_the_pictures_of_their_seeds(run_folder, cohort, tmp_path):
    out = tmp_path / "candidates.h5"
    generate(GenerateOptions(network=run_folder, out=out, seeds="3-5,40", truncation=0.7, noise="random"))
    candidates = read_candidates(out)
    G = load_networks(run_folder / "network.safetensors").G_ema
    expected = draw(G, [3, 4, 5, 40], truncation=0.7, noise="random")
    assert candidates.seed.tolist() == [3, 4, 5, 40]
    np.testing.assert_array_equal(np.asarray(candidates.images), expected)
    assert (candidates.class_name, candidates.label, candidates.fold) == ("herpeticum", 1, 0)
    assert (candidates.protocol, candidates.cohort) == ("strict", cohort.sha256)
    assert candidates.quality["value"] == 12.5
    stated = {"gamma": 0.1, "target": 0.6, "lr": 0.002, "kimg": 1.0, "truncation": 0.7, "noise": "random"}
    assert candidates.generator.items() >= stated.items()
    groups = dict(zip(cohort.image_id.tolist(), cohort.group_id.tolist(), strict=True))
    assert [groups[each] for each in candidates.seen_image_id.tolist()] == candidates.seen_group_id.tolist()


def test_the_same_command_gives_the_same_bytes_and_another_batch_the_same_pictures(run_folder, tmp_path):
    contents = []
    for number in range(2):
        out = tmp_path / f"{number}" / "candidates.h5"
        generate(GenerateOptions(network=run_folder, out=out, count=9))
        contents.append([path.read_bytes() for path in sorted(out.parent.iterdir())])
    assert contents[0] == contents[1]
    images = [np.asarray(read_candidates(tmp_path / "0" / "candidates.h5").images).astype(int)]
    generate(GenerateOptions(network=run_folder, out=tmp_path / "4.h5", count=9, batch=4))
    images.append(np.asarray(read_candidates(tmp_path / "4.h5").images).astype(int))
    assert np.abs(images[0] - images[1]).max() <= 1


def test_pngs_are_the_candidates(run_folder, tmp_path):
    candidates = generate(
        GenerateOptions(network=run_folder, out=tmp_path / "c.h5", seeds="7,12345", png=tmp_path / "png")
    )
    names = ["seed0007.png", "seed12345.png"]
    assert sorted(path.name for path in (tmp_path / "png").iterdir()) == names
    for name, image in zip(names, np.asarray(candidates.images), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png" / name)), image)


def test_all_of_several_batches_have_pngs(run_folder, tmp_path):
    candidates = generate(
        GenerateOptions(network=run_folder, out=tmp_path / "c.h5", count=7, batch=3, png=tmp_path / "png")
    )
    found = sorted((tmp_path / "png").iterdir())
    assert [path.name for path in found] == [f"seed{number:04d}.png" for number in range(7)]
    for path, image in zip(found, np.asarray(candidates.images), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), image)


def test_pngs_that_cannot_be_made_leave_the_earlier_ones(run_folder, tmp_path, monkeypatch):
    options = GenerateOptions(
        network=run_folder, out=tmp_path / "c.h5", count=7, batch=3, png=tmp_path / "png", force=True
    )
    generate(options)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(folder, image, seed):
        if seed == 5:
            raise OSError(28, "No space left on device")
        write_png(folder, image, seed)

    monkeypatch.setattr("synth.generate.write_png", full)
    with pytest.raises(OSError, match="No space left"):
        generate(options)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_pngs_of_an_earlier_call_go_and_other_files_stay(run_folder, tmp_path):
    for seeds in ("1,2,3", "2"):
        generate(
            GenerateOptions(network=run_folder, out=tmp_path / "c.h5", seeds=seeds, png=tmp_path / "png", force=True)
        )
        (tmp_path / "png" / "seedling.png").write_text("not ours")
    assert sorted(path.name for path in (tmp_path / "png").iterdir()) == ["seed0002.png", "seedling.png"]


def test_large_pictures_are_drawn_few_at_once():
    """As many pixels at once as 64 pictures of 256 px have, 32 pictures at most, and as many as are asked for."""
    assert [batch_for(size, None) for size in (64, 256, 512, 1024, 4096)] == [32, 32, 16, 4, 1]
    assert batch_for(1024, 7) == 7


def test_a_conditional_network_needs_its_class(make_network, tmp_path):
    network = make_network(c_dim=2, label=1)
    with pytest.raises(UserError, match=r"--class: missing.*0 \(eczema\), 1 \(herpeticum\)"):
        generate(GenerateOptions(network=network, out=tmp_path / "c.h5", count=2))
    with pytest.raises(UserError, match="--class 2"):
        generate(GenerateOptions(network=network, out=tmp_path / "c.h5", count=2, class_index=2))
    candidates = generate(GenerateOptions(network=network, out=tmp_path / "c.h5", count=2, class_index=0))
    assert (candidates.label, candidates.class_name, candidates.generator["class"]) == (0, "eczema", 0)
    expected = draw(load_networks(network / "network.safetensors").G_ema, [0, 1], class_index=0, batch=32)
    np.testing.assert_array_equal(np.asarray(candidates.images), expected)


def test_an_unconditional_network_has_no_class(run_folder, tmp_path):
    with pytest.raises(UserError, match="leave --class out"):
        generate(GenerateOptions(network=run_folder, out=tmp_path / "c.h5", class_index=1))


@pytest.mark.parametrize("existing", ["c.h5", "c_sheet.png", "png/seed0000.png"])
def test_existing_output_needs_force(run_folder, tmp_path, existing):
    (tmp_path / "png").mkdir()
    (tmp_path / existing).write_bytes(b"mine")
    options = {"network": run_folder, "out": tmp_path / "c.h5", "count": 2, "png": tmp_path / "png"}
    with pytest.raises(UserError, match="--force"):
        generate(GenerateOptions(**options))
    assert (tmp_path / existing).read_bytes() == b"mine"
    generate(GenerateOptions(**options, force=True))
    assert (tmp_path / existing).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"truncation": float("nan")}, "--truncation"),
        ({"truncation": 3.0}, "--truncation"),
        ({"noise": "loud"}, "--noise loud"),
        ({"batch": 0}, "--batch 0"),
        ({"count": 0}, "--count 0"),
        ({"count": 10_000_001}, "--count 10000001: out of range"),
        ({"network": Path("nowhere")}, "nowhere"),
        ({"device": "abacus"}, "--device abacus"),
    ],
)
def test_bad_options(run_folder, tmp_path, asked, reason):
    with pytest.raises(UserError, match=reason):
        generate(GenerateOptions(**({"network": run_folder, "out": tmp_path / "c.h5"} | asked)))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_network_is_one_sentence(run_folder, tmp_path):
    broken = tmp_path / "network.safetensors"
    broken.write_bytes((run_folder / "network.safetensors").read_bytes()[:-100])
    with pytest.raises(UserError, match="not a complete network file"):
        generate(GenerateOptions(network=broken, out=tmp_path / "c.h5", count=2))


def test_seen_images_and_groups_must_belong_together(make_network, tmp_path):
    network = make_network(seen_group_id=[1, 2, 3])
    with pytest.raises(UserError, match=r"what it says of itself \(seen_group_id\) cannot be read"):
        generate(GenerateOptions(network=network, out=tmp_path / "c.h5", count=2))
