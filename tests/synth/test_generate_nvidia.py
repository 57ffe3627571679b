"""NVIDIA's snapshots in every command that takes a network: the pictures of their own script, and their licence."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from nvidia_layout import dump, snapshot
from reference import GOLDEN, build_golden, load_golden

import synth.training.starts
from shared.bundle import read_bundle, read_candidates
from shared.cohort import Cohort
from shared.errors import UserError
from stylegan2_ada import load_networks, read_header
from synth.cli import cli
from synth.drawing.pictures import latents
from synth.generate import GenerateOptions, generate
from synth.networks.provenance import find_network
from synth.select import select
from synth.selecting.options import SelectOptions
from synth.train import train
from synth.training.cells import product
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder

FILE = GOLDEN / "nvidia_snapshot_r16.pkl"
LICENCE = "NVIDIA Source Code License (non-commercial)"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def _assert_same_pictures(images: np.ndarray, expected: np.ndarray) -> None:
    """Within one grey level, and of one only where a value falls between two."""
    difference = np.abs(images.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize(("truncation", "name"), [("1", "seeds_0_7_uint8_NHWC"), ("0.7", "seeds_0_7_psi07_uint8_NHWC")])
def test_generate_draws_what_nvidias_script_draws(tmp_path: Path, truncation: str, name: str) -> None:
    out = tmp_path / "candidates.h5"
    result = _run("generate", FILE, "--seeds", "0-7", "--noise", "const", "--truncation", truncation, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(LICENCE) == 1
    candidates = read_candidates(out)
    _assert_same_pictures(np.asarray(candidates.images), load_golden("nvidia_snapshot_r16_expected")[name])
    assert candidates.seed.tolist() == list(range(8))


def test_a_network_of_no_cohort_claims_none(tmp_path: Path) -> None:
    generate(GenerateOptions(network=FILE, out=tmp_path / "c.h5", count=2))
    candidates = read_candidates(tmp_path / "c.h5")
    assert (candidates.cohort, candidates.fold, candidates.class_name) == ("", -1, FILE.name)
    assert len(candidates.seen_image_id) == len(candidates.seen_group_id) == 0
    assert (candidates.quality, candidates.generator["licence"]) == ({}, LICENCE)
    assert "gamma" not in candidates.generator


def test_select_refuses_what_no_cohort_trained(tmp_path: Path, cohort: Cohort) -> None:
    generate(GenerateOptions(network=FILE, out=tmp_path / "c.h5", count=2))
    result = _run(
        "select", tmp_path / "c.h5", "--cohort", cohort.path, "--network", FILE, "--out", tmp_path / "bundle.h5"
    )
    assert result.exit_code == 2
    (sentence,) = result.stderr.strip().splitlines()
    assert "no cohort trained" in sentence
    assert "synth train --start" in sentence
    assert not (tmp_path / "bundle.h5").exists()


def test_shipped_networks_are_drawn_too(tmp_path: Path) -> None:
    generate(GenerateOptions(network="phantom-skin-32", out=tmp_path / "c.h5", count=2))
    candidates = read_candidates(tmp_path / "c.h5")
    assert (candidates.size, candidates.class_name, candidates.cohort) == (32, "phantom-skin-32", "")
    assert candidates.generator["licence"] == "Apache-2.0"


@pytest.mark.parametrize("class_index", [0, 1])
@pytest.mark.parametrize("truncation", [1.0, 0.6])
def test_a_conditional_nvidia_network_draws_the_class(tmp_path: Path, class_index: int, truncation: float) -> None:
    path = tmp_path / "conditional.pkl"
    path.write_bytes(dump(snapshot("networks_cond2_r32")))
    asked = GenerateOptions(
        network=path, out=tmp_path / "c.h5", seeds="3,5", class_index=class_index, truncation=truncation
    )
    candidates = generate(asked)
    assert (candidates.class_name, candidates.generator["class"]) == (
        f"conditional.pkl, class {class_index}",
        class_index,
    )
    G = build_golden("networks_cond2_r32").G  # held to the reference by test_networks_golden.py
    c = torch.nn.functional.one_hot(torch.tensor([class_index] * 2), 2).float()
    with torch.no_grad():
        pictures = G(latents([3, 5], G.z_dim), c, truncation_psi=truncation, noise_mode="const")
    expected = np.clip(np.floor(pictures.permute(0, 2, 3, 1).numpy() * 127.5 + 128), 0, 255)
    _assert_same_pictures(np.asarray(candidates.images), expected)


def test_a_conditional_nvidia_network_needs_its_class(tmp_path: Path) -> None:
    path = tmp_path / "conditional.pkl"
    path.write_bytes(dump(snapshot("networks_cond2_r32")))
    for class_index, named in ((None, "missing"), (2, "--class 2"), (-1, "--class -1")):
        with pytest.raises(UserError, match=f"{named}.* 0 to 1"):
            generate(GenerateOptions(network=path, out=tmp_path / "c.h5", count=2, class_index=class_index))
    assert not (tmp_path / "c.h5").exists()


def test_a_grey_nvidia_network_is_refused(tmp_path: Path, cohort: Cohort) -> None:
    root = snapshot("networks_uncond_r16")
    for network in ("G", "G_ema", "D"):
        root[network].kwargs["img_channels"] = 1
    for size in (4, 8, 16):
        for network in ("G", "G_ema"):
            layer = root[network].at(f"synthesis.b{size}.torgb")
            layer.parameters = {name: torch.nn.Parameter(value[:1].data) for name, value in layer.parameters.items()}
    first = root["D"].at("b16.fromrgb")
    first.parameters["weight"] = torch.nn.Parameter(first.parameters["weight"][:, :1].data)
    path = tmp_path / "grey.pkl"
    path.write_bytes(dump(root))
    with pytest.raises(UserError, match="1 channels, not RGB"):
        generate(GenerateOptions(network=path, out=tmp_path / "c.h5", count=2))
    with pytest.raises(UserError, match="1 channels, not RGB"):
        train(_options(cohort, tmp_path / "run", str(path)), CELL)


CELL = product([0.1], [0.6], [0.002])


def _options(cohort: Cohort, out: Path, start: str, **changes: Any) -> TrainOptions:
    assert cohort.path is not None
    options = TrainOptions(
        gamma=(0.1,),
        cohort=cohort.path,
        out=out,
        start=start,
        accept_licence=True,
        kimg=0.008,
        batch=8,
        quality_fakes=16,
        features="offline",
        device="cpu",
        offline=True,
    )
    return dataclasses.replace(options, **changes)


def test_training_starts_from_an_nvidia_network(
    tmp_path: Path, cohort: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its licence goes with all that is made of it, down to the bundle and to a second network."""
    run = tmp_path / "run"
    options = _options(cohort, run, str(FILE), kimg=0.004, batch=4)
    train(options, product([0.1, 0.5], [0.6], [0.002]))
    assert capsys.readouterr().err.count(LICENCE) == 1  # once for the grid
    cell = find_network(run).parent
    config = RunFolder(cell).read_config()
    assert (config["start"]["name"], config["start"]["licence"]) == (FILE.name, LICENCE)
    assert (config["training"]["ada_kimg"], config["training"]["ema_rampup"]) == (100, None)
    start = read_header(FILE)
    assert (config["generator"], config["discriminator"]) == (start["generator"], start["discriminator"])
    about = read_header(cell / "network.safetensors")["about"]
    assert about["licence"] == about["start"]["licence"] == LICENCE
    _watch_licence_to_the_bundle(tmp_path, cohort, run)
    assert synth.training.starts.build_start(_options(cohort, tmp_path / "second", str(run)), 16, 0).licence == LICENCE


def _watch_licence_to_the_bundle(tmp_path: Path, cohort: Cohort, run: Path) -> None:
    generate(GenerateOptions(network=run, out=tmp_path / "c.h5", count=4))
    assert read_candidates(tmp_path / "c.h5").generator["licence"] == LICENCE
    assert cohort.path is not None
    select(
        SelectOptions(
            candidates=tmp_path / "c.h5",
            cohort=cohort.path,
            network=run,
            out=tmp_path / "bundle.h5",
            features="offline",
            offline=True,
        )
    )
    assert read_bundle(tmp_path / "bundle.h5").generator["licence"] == LICENCE


def test_the_first_pictures_are_those_of_the_nvidia_network(tmp_path: Path, cohort: Cohort) -> None:
    start = synth.training.starts.build_start(_options(cohort, tmp_path, str(FILE)), 16, 0)
    source = load_networks(FILE)
    assert start.left_new == ()
    for name in ("G_ema", "G", "D"):
        ours, theirs = getattr(start.networks, name).state_dict(), getattr(source, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_what_does_not_fit_the_nvidia_network_starts_anew(tmp_path: Path, cohort: Cohort) -> None:
    """Two classes add an embedding and a wider first layer of the mapping; all other tensors are copied."""
    start = synth.training.starts.build_start(_options(cohort, tmp_path, str(FILE), label="both"), 16, 2)
    new = set(start.left_new)
    generator = {"mapping.embed.weight", "mapping.embed.bias", "mapping.fc0.weight"}
    assert {name.partition("/")[2] for name in new if name.startswith("G/")} == generator
    assert {name.partition("/")[2] for name in new if name.startswith("G_ema/")} == generator
    discriminator = {name.partition("/")[2] for name in new if name.startswith("D/")}
    assert {"b4.out.weight", "b4.out.bias", "mapping.embed.weight"} <= discriminator
    assert not any(name.startswith(("b16.", "b8.")) for name in discriminator)
    source = load_networks(FILE)
    assert torch.equal(start.networks.G.mapping.fc1.weight, source.G.mapping.fc1.weight)


def test_a_binding_licence_must_be_accepted(tmp_path: Path, cohort: Cohort) -> None:
    options = _options(cohort, tmp_path / "run", str(FILE), accept_licence=False)
    with pytest.raises(UserError, match=r"whose terms hold for every network .* add --accept-licence"):
        train(options, CELL)
    assert not (tmp_path / "run").exists()


def test_no_licence_no_notice(tmp_path: Path, cohort: Cohort, run_folder: Path) -> None:
    options = _options(cohort, tmp_path / "run", str(run_folder), batch=4, kimg=0.004)
    train(options, CELL)
    about = read_header(tmp_path / "run" / "network.safetensors")["about"]
    assert "licence" not in about
    assert json.loads((tmp_path / "run" / "config.json").read_text())["start"]["licence"] is None


def test_export_keeps_pictures_and_licence_of_an_nvidia_network(tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    result = _run("export", FILE, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(LICENCE) == 1
    assert read_header(out) == read_header(FILE)
    options = GenerateOptions(network=out, out=tmp_path / "c.h5", seeds="0-7")
    expected = load_golden("nvidia_snapshot_r16_expected")["seeds_0_7_uint8_NHWC"]
    _assert_same_pictures(np.asarray(generate(options).images), expected)
    again = _run("export", FILE, "--out", out)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    whole = out.stat().st_size
    assert _run("export", FILE, "--out", out, "--half", "--force").exit_code == 0
    assert 0.4 < out.stat().st_size / whole < 0.7


def test_export_of_a_run_keeps_its_provenance(tmp_path: Path, run_folder: Path) -> None:
    assert _run("export", run_folder, "--out", tmp_path / "n.safetensors").exit_code == 0
    assert (tmp_path / "n.safetensors").read_bytes() == (run_folder / "network.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["generate", "export"])
def test_a_hostile_file_is_one_sentence(tmp_path: Path, command: str) -> None:
    path = tmp_path / "hostile.pkl"
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    result = _run(command, path, "--out", tmp_path / "out.safetensors")
    assert result.exit_code == 2
    (sentence,) = result.stderr.strip().splitlines()
    assert sentence.startswith(f"error: {path}: names os.system")
    assert not (tmp_path / "out.safetensors").exists()
