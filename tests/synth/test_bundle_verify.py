"""`synth bundle verify`: images are drawn again, and whatever differs by more than rounding is found."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from bundling import COUNT, assert_refused, run, to_bundle

import shared.stored
from shared.bundle import read_bundle, read_candidates, write_bundle, write_candidates
from shared.errors import UserError
from synth.bundles.verify import Verification, VerifyOptions, verify
from synth.drawing.pictures import draw
from synth.generate import GenerateOptions, generate


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

    monkeypatch.setattr("synth.drawing.recipe.draw", counting)
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
