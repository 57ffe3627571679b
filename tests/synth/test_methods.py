"""The ways to start and to adapt: what each trains, and which combinations make no sense."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import colours_extractor

from shared.bundle import read_candidates
from shared.cohort import Cohort
from shared.errors import UserError
from shared.weights import ANYWHERE
from stylegan2_ada import Networks, ProjectedDiscriminator, load_networks, network_bytes
from synth.generate import GenerateOptions, generate
from synth.networks import shipped_network
from synth.networks.provenance import find_network
from synth.select import select
from synth.selecting.logits import choose_partners, discriminator_logits
from synth.selecting.options import SelectOptions
from synth.train import train
from synth.training.cells import product
from synth.training.methods import choose_method
from synth.training.options import TrainOptions
from synth.training.projection import attach_backbone
from synth.training.run_folder import RunFolder
from synth.training.starts import build_start

CELL = product([0.1], [0.6], [0.002])
SHIPPED = "phantom-skin-32"


def _short(options: TrainOptions, **changes: Any) -> TrainOptions:
    return dataclasses.replace(options, kimg=0.008, **changes)


def test_methods_are_recorded(options: TrainOptions, tmp_path: Path) -> None:
    train(_short(options), CELL)
    assert RunFolder(options.out).read_config()["method"] == "scratch"
    for method, freeze_d, singular in (("auto", 0, False), ("freeze-d", 7, False), ("svd", 0, True)):
        out = tmp_path / method
        train(_short(options, method=method, start=str(options.out), out=out), CELL)
        config = RunFolder(out).read_config()
        assert config["method"] == ("transfer" if method == "auto" else method)
        assert (config["training"]["freeze_d"], config["training"]["singular"]) == (freeze_d, singular)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "svd"}, "--method svd: adapts a network, and none is given; add --start"),
        ({"method": "transfer"}, "--method transfer: adapts a network"),
        ({"method": "scratch", "start": SHIPPED}, "--method scratch: begins with new networks, .*leave one out"),
        ({"method": "magic"}, "--method magic: unknown; use one of auto, scratch, transfer, freeze-d, svd, projected"),
        ({"method": "freeze-d", "start": SHIPPED, "freeze_d": 0}, "--freeze-d 0: freezes nothing"),
        ({"freeze_d": 2}, "--freeze-d: would freeze layers that nobody has trained"),
        (
            {"method": "projected", "gamma": None, "freeze_d": 2},
            "--freeze-d: the pretrained layers of --method projected are frozen",
        ),
        ({"method": "projected"}, "--gamma: the weight of R1, which --method projected does without; leave it out"),
        ({"augpipe": "diffaug", "target": (0.5,)}, "--target: of ADA, which --augpipe diffaug does without"),
        ({"augpipe": "none", "max_p": 0.5}, "--max-p: of ADA, which --augpipe none does without; leave it out"),
        ({"method": "projected", "gamma": None, "max_p": 1.0}, "--max-p: of ADA, which --augpipe diffaug does without"),
        ({"method": "projected", "label": "both"}, "--method projected: its discriminator knows no classes"),
        # The start draws 32 px, the cohort has 16 px: the layer that reads the picture is new.
        ({"method": "freeze-d", "start": SHIPPED, "cfg": None}, r"--freeze-d 7: would freeze layers .*D/b16.fromrgb"),
        ({"start": SHIPPED, "cfg": None, "freeze_d": 1}, "--freeze-d 1: would freeze layers"),
        ({"method": "svd", "start": SHIPPED, "cfg": None}, "--method svd: adapts what --start phantom-skin-32 has"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options: TrainOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(dataclasses.replace(options, **changes), CELL)
    assert not options.out.exists()


@pytest.mark.parametrize(
    ("changes", "gammas", "targets", "named"),
    [
        ({"method": "projected", "gamma": None}, [0.1, 0.5], [0.6], "gamma and target"),
        ({"method": "projected", "gamma": None}, [0.1], [0.5, 0.6], "gamma and target"),
        ({"augpipe": "diffaug"}, [0.1], [0.5, 0.6], "target"),
        ({"augpipe": "none"}, [0.1], [0.5, 0.6], "target"),
        ({"method": "projected", "gamma": None, "augpipe": "bgc"}, [0.1, 0.5], [0.6], "gamma"),
    ],
)
def test_cells_that_differ_in_nothing_that_is_used_are_one_sentence(
    options: TrainOptions, changes: dict[str, Any], gammas: list[float], targets: list[float], named: str
) -> None:
    with pytest.raises(UserError, match=f"--cells: some differ in {named} alone, which this training does without"):
        train(dataclasses.replace(options, **changes), product(gammas, targets, [0.002]))


def test_a_hyperparameter_that_is_not_used_is_not_in_table1(options: TrainOptions) -> None:
    train(_short(options, gamma=None), product([0.1], [0.6], [0.002, 0.003]))
    rows = json.loads((options.out / "table1.json").read_text())["rows"]
    assert {(row["gamma"], row["target"], row["lr"]) for row in rows} == {(None, None, 0.002), (None, None, 0.003)}
    assert "| rank | lr | kimg |" in (options.out / "table1.md").read_text()


def test_what_a_start_looked_through_flatters_what_starts_from_it(
    projected_run: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even two trainings later; the paper's spaces are nowhere to be had."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    start = projected_run.out
    for name in ("first", "second"):
        out = tmp_path / name
        asked = _short(projected_run, method="transfer", start=str(start), cfg=None, features="auto", out=out)
        train(asked, CELL)
        assert RunFolder(out).read_log()[0]["quality"]["extractor"] == "EfficientNet-Lite1"
        start = out
    generate(GenerateOptions(network=start, out=tmp_path / "candidates.h5", count=3))
    bundle = select(
        SelectOptions(
            candidates=tmp_path / "candidates.h5",
            cohort=projected_run.cohort,
            network=start,
            out=tmp_path / "bundle.h5",
            sigma=100.0,
            offline=True,
        )
    )
    assert bundle.features["extractor"] == "EfficientNet-Lite1"


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "projected"),
        ({"start": SHIPPED}, "projected"),
        ({"gamma": (0.1,)}, "scratch"),
        ({"target": (0.6,)}, "scratch"),
        ({"cells": "paper"}, "scratch"),
        ({"label": "both"}, "scratch"),
        ({"start": SHIPPED, "gamma": (0.1,)}, "transfer"),
        ({"start": SHIPPED, "freeze_d": 2}, "transfer"),
        ({"start": SHIPPED, "label": "both"}, "transfer"),
    ],
)
def test_auto_follows_the_comparison_unless_asked_for_what_it_has_not(changes: dict[str, Any], method: str) -> None:
    assert choose_method(TrainOptions(Path("cohort.h5"), Path("run"), **changes))[0] == method


def test_svd_of_another_number_of_classes_is_one_sentence(options: TrainOptions, tmp_path: Path) -> None:
    train(_short(options), CELL)
    there = _short(options, method="svd", start=str(options.out), out=tmp_path / "svd", label="both")
    with pytest.raises(
        UserError, match=r"which is not all of this network .*give a start of the same size and classes"
    ):
        train(there, CELL)


@pytest.mark.parametrize(("cfg", "expected"), [(None, (0.0, 0.0)), ("auto", (0.9, 2.0))])
def test_a_network_goes_on_as_it_was_trained(
    options: TrainOptions, cfg: str | None, expected: tuple[float, float]
) -> None:
    """The shipped one without mixed styles and path lengths, unless a configuration says otherwise."""
    train(_short(options, start=SHIPPED, cfg=cfg), CELL)
    training = RunFolder(options.out).read_config()["training"]
    assert (training["style_mixing"], training["pl_weight"]) == expected


@pytest.mark.parametrize("training", [None, [], {"style_mixing": "x", "pl_weight": float("1e300")}, {"pl_weight": -1}])
def test_a_start_that_says_nonsense_of_its_training(
    options: TrainOptions, make_network: Callable[..., Path], training: Any
) -> None:
    start = build_start(dataclasses.replace(options, start=str(make_network(training=training)), cfg=None), 16, 0)
    assert start.training == {}


@pytest.mark.parametrize("licence", [3, ["free"], {"name": "free"}])
def test_a_licence_that_cannot_be_read_is_one_sentence(
    options: TrainOptions, make_network: Callable[..., Path], licence: Any
) -> None:
    with pytest.raises(UserError, match=r"what it says of itself \(licence\) cannot be read"):
        train(dataclasses.replace(options, start=str(make_network(licence=licence))), CELL)


@pytest.mark.parametrize(
    "about",
    [
        {"seen_image_id": ["a"], "seen_group_id": []},
        {"seen_image_id": 3, "seen_group_id": 3},
        {"seen_image_id": ["a"], "seen_group_id": ["b"]},
        {"cohort": 7},
        {"generator": []},
        {"generator": {"kimg": "many"}},
        {"label": "x"},
        {"label": 2},
        {"fold": "x"},
        {"fold": True},
        {"protocol": 3},
        {"class_name": 3},
        {"classes": [1, 2]},
        {"quality": "good"},
    ],
)
def test_a_start_that_says_nonsense_of_itself_is_one_sentence(
    options: TrainOptions, make_network: Callable[..., Path], about: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"what it says of itself .* cannot be read"):
        train(dataclasses.replace(options, start=str(make_network(**about))), CELL)


@pytest.mark.parametrize("licence", ["CC BY-NC 4.0", "of our hospital", "NVIDIA Source Code License (non-commercial)"])
def test_terms_must_be_accepted(options: TrainOptions, make_network: Callable[..., Path], licence: str) -> None:
    start = str(make_network(licence=licence))
    with pytest.raises(UserError, match=r"whose terms hold for every network that starts .*; add --accept-licence"):
        train(_short(options, start=start), CELL)
    train(_short(options, start=start, accept_licence=True), CELL)
    assert RunFolder(options.out).read_config()["start"]["licence"] == licence


@pytest.fixture(scope="module")
def projected_run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """A run of two steps whose discriminator is projected."""
    assert cohort.path is not None
    options = TrainOptions(
        cohort=cohort.path,
        out=tmp_path_factory.mktemp("projected") / "run",
        cfg="tiny",
        kimg=0.008,
        batch=4,
        quality_fakes=16,
        features="offline",
        method="projected",
        device="cpu",
        offline=True,
    )
    train(options, CELL)
    return options


def test_the_plain_command_is_projected(options: TrainOptions, capsys: pytest.CaptureFixture[str]) -> None:
    train(_short(options, gamma=None), CELL)
    config = RunFolder(options.out).read_config()
    assert (config["method"], config["cell"]["gamma"]) == ("projected", 0)
    assert "16 px, projected, up to 64 channels, " in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("method", "features", "extractor"),
    [("auto", "auto", 0), ("projected", "auto", 1), ("projected", "offline", 0), ("projected", "lite1", 1)],
)
def test_scores_are_in_a_space_that_training_does_not_look_through(
    options: TrainOptions,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
    features: str,
    extractor: int,
) -> None:
    """The paper's space is nowhere to be had; Lite0 on request, with a warning."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    gamma = None if method == "projected" else (0.1,)
    train(_short(options, method=method, gamma=gamma, features=features), CELL)
    quality = RunFolder(options.out).read_log()[0]["quality"]
    assert quality["extractor"] == f"EfficientNet-Lite{extractor}"
    flattered = method == "projected" and extractor == 0
    said = " ".join(capsys.readouterr().err.split())
    assert ("the same network, which flatters; lite1 does not" in said) == flattered


def test_a_projected_run_is_recorded(projected_run: TrainOptions) -> None:
    config = RunFolder(projected_run.out).read_config()
    training = config["training"]
    assert config["cell"]["gamma"] == training["gamma"] == 0  # no R1
    assert (training["loss"], training["augpipe"], training["pl_weight"]) == ("hinge", "diffaug", 0)
    assert config["discriminator"]["backbone"] == "EfficientNet-Lite0"
    networks = load_networks(find_network(projected_run.out))
    assert isinstance(networks.D, ProjectedDiscriminator)
    assert not any("stem" in name or "stages" in name for name in networks.D.state_dict())


def test_a_projected_run_goes_on(projected_run: TrainOptions, tmp_path: Path) -> None:
    straight = dataclasses.replace(projected_run, out=tmp_path / "straight", kimg=0.016, checkpoint_every=0.008)
    train(straight, CELL)
    train(dataclasses.replace(straight, out=tmp_path / "slices", kimg=0.008), CELL)
    train(dataclasses.replace(straight, out=tmp_path / "slices"), CELL)
    first, second = (find_network(tmp_path / name).read_bytes() for name in ("straight", "slices"))
    assert first == second


def test_select_scores_with_the_projected_discriminator(
    projected_run: TrainOptions, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against its logits, one image at a time, averaged over patches."""
    monkeypatch.setattr("synth.selecting.scored.open_extractor", lambda *_, **__: colours_extractor())
    generate(GenerateOptions(network=projected_run.out, out=tmp_path / "candidates.h5", count=10))
    bundle = select(
        SelectOptions(
            candidates=tmp_path / "candidates.h5",
            cohort=projected_run.cohort,
            network=projected_run.out,
            out=tmp_path / "bundle.h5",
            sigma=100.0,
        )
    )
    D = load_networks(find_network(projected_run.out)).D.eval()
    attach_backbone(D, ANYWHERE)
    with torch.no_grad():
        images = np.array(read_candidates(tmp_path / "candidates.h5").images)
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
        expected = [float(D(picture[None]).mean()) for picture in pictures]
    assert len(expected) == 10
    np.testing.assert_allclose(bundle.candidates["discriminator"], expected, rtol=1e-3, atol=1e-4)


def test_order_and_subset_do_not_matter(projected_run: TrainOptions, cohort: Cohort) -> None:
    D = load_networks(find_network(projected_run.out)).D.eval()
    attach_backbone(D, ANYWHERE)
    images = np.asarray(cohort.images[:7])
    partners = choose_partners(images, D.config.mbstd_group_size, seed=0)
    logits = discriminator_logits(D, images, partners)
    np.testing.assert_allclose(discriminator_logits(D, images[::-1], partners), logits[::-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(discriminator_logits(D, images[2:4], partners), logits[2:4], rtol=1e-4, atol=1e-5)


def test_projected_from_a_network_keeps_its_generator(options: TrainOptions) -> None:
    path = shipped_network(SHIPPED)
    assert path is not None
    source = load_networks(path)
    start = build_start(dataclasses.replace(options, start=SHIPPED, cfg=None, gamma=None, method="projected"), 32, 0)
    assert isinstance(start.networks.D, ProjectedDiscriminator)
    assert start.networks.D.is_attached
    for name, tensor in source.G_ema.state_dict().items():
        assert torch.equal(start.networks.G_ema.state_dict()[name], tensor), name
    assert {name.split("/")[0] for name in start.left_new} == {"D"}


def test_projected_from_projected_keeps_both(options: TrainOptions, projected_run: TrainOptions) -> None:
    asked = dataclasses.replace(options, start=str(projected_run.out), cfg=None, gamma=None, method="projected")
    assert build_start(asked, 16, 0).left_new == ()


def test_transfer_from_projected_begins_a_discriminator(options: TrainOptions, projected_run: TrainOptions) -> None:
    asked = dataclasses.replace(options, start=str(projected_run.out), cfg=None, method="transfer")
    start = build_start(asked, 16, 0)
    assert not isinstance(start.networks.D, ProjectedDiscriminator)
    assert set(start.left_new) == {f"D/{name}" for name in start.networks.D.state_dict()}
    for changes in ({"method": "svd"}, {"method": "freeze-d"}, {"freeze_d": 2}):
        with pytest.raises(UserError, match="has a projected discriminator, of which nothing can be kept otherwise"):
            build_start(dataclasses.replace(asked, **changes), 16, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "ResNet-9000"}, "looks through 'ResNet-9000', which this Rarescreen does not have"),
        ({"backbone_sha256": "0" * 64}, "not those that the network's discriminator was trained with"),
        ({"input_px": 16, "strides": (4, 8, 16, 16)}, "looks through"),
    ],
)
def test_a_discriminator_that_looks_through_something_else(
    projected_run: TrainOptions, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    networks = load_networks(find_network(projected_run.out))
    config = dataclasses.replace(networks.D.config, **change)  # type: ignore[arg-type]
    other = Networks.build(networks.G.config, config, 0)
    path = tmp_path / "network.safetensors"
    path.write_bytes(network_bytes(other, {}))
    with pytest.raises(UserError, match=message):
        attach_backbone(load_networks(path).D, ANYWHERE)
