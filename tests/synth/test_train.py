"""Training from end to end on a small cohort: resume, what was seen, and refusals."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import assert_same, trained

from shared.bundle import read_candidates
from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.interruption import Interruption
from shared.splits import parts
from stylegan2_ada import Ranks, Trainer, load_networks, read_header
from synth.generate import GenerateOptions, generate
from synth.networks import SHIPPED, shipped_network
from synth.networks.provenance import find_network, read_provenance
from synth.train import train
from synth.training.cells import product
from synth.training.checkpoints import Checkpoints
from synth.training.fold_grid import FoldGrid
from synth.training.launch import Place
from synth.training.options import Protocol, TrainOptions
from synth.training.run_folder import RunFolder
from synth.training.run_log import criterion
from synth.training.search import plan_search
from synth.training.starts import build_start
from synth.training.training_set import classes

CELL = product([0.1], [0.6], [0.002])


def test_a_run_leaves_everything_it_promises(options: TrainOptions, cohort: Cohort) -> None:
    train(options, CELL)
    run = RunFolder(options.out)
    assert run.network.exists()
    assert list(run.samples.glob("*.png"))
    assert list(options.out.glob("events.out.tfevents*"))
    scored = [line for line in run.read_log() if "quality" in line]
    assert [line["kimg"] for line in scored] == [0.0, 0.024, 0.048]
    about = read_provenance(find_network(options.out))
    best = min(scored, key=lambda line: criterion(line["quality"]))
    assert about["generator"] == {"gamma": 0.1, "target": 0.6, "lr": 0.002, "kimg": best["kimg"]}
    assert about["cohort"] == cohort.sha256
    assert load_networks(run.network).G_ema.img_resolution == cohort.size


def test_the_network_never_sees_the_test_fold(options: TrainOptions, cohort: Cohort) -> None:
    train(dataclasses.replace(options, fold="1", kimg=0.008), CELL)
    about = read_provenance(find_network(options.out))
    split = parts(cohort, 1)
    seen, test = set(about["seen_image_id"]), set(cohort.image_id[split.test])
    positives = np.concatenate([split.train, split.validation])
    positives = positives[cohort.label[positives] == 1]
    assert seen == set(cohort.image_id[positives])
    assert not seen & test
    assert not set(about["seen_group_id"]) & set(cohort.group_id[split.test].tolist())


def test_the_paper_protocol_sees_all_positives_and_says_so(options: TrainOptions, cohort: Cohort) -> None:
    train(dataclasses.replace(options, protocol="paper", kimg=0.008), CELL)
    about = read_provenance(find_network(options.out))
    assert (about["protocol"], about["fold"]) == ("paper", -1)
    assert set(about["seen_image_id"]) == set(cohort.image_id[(cohort.label == 1) & (cohort.role == 0)])


def test_stopped_and_continued_equals_straight_on(options: TrainOptions, tmp_path: Path) -> None:
    train(options, CELL)
    short = dataclasses.replace(options, out=tmp_path / "short", kimg=0.024)
    train(short, CELL)
    train(dataclasses.replace(short, kimg=options.kimg), CELL)
    assert_same(trained(short.out), trained(options.out))
    logs = [
        [line | {"seconds": 0, "processor_seconds": 0} for line in RunFolder(out).read_log()]
        for out in (options.out, short.out)
    ]
    assert logs[0] == logs[1]


def _bytes(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def test_a_complete_run_is_not_touched_again(options: TrainOptions) -> None:
    train(options, CELL)
    before = _bytes(options.out)
    train(options, CELL)
    assert _bytes(options.out) == before


def test_fewer_kimg_of_a_finished_run_change_nothing(options: TrainOptions) -> None:
    train(options, CELL)
    before = _bytes(options.out)
    train(dataclasses.replace(options, kimg=0.024), CELL)
    assert _bytes(options.out) == before
    assert RunFolder(options.out).read_config()["kimg"] == options.kimg


def test_a_damaged_network_of_a_finished_run_is_written_again(options: TrainOptions) -> None:
    train(options, CELL)
    network = RunFolder(options.out).network
    before = network.read_bytes()
    network.write_bytes(before[:100])
    train(options, CELL)
    assert network.read_bytes() == before


def test_moved_files_other_intervals_and_more_kimg_go_on(options: TrainOptions, tmp_path: Path) -> None:
    train(dataclasses.replace(options, kimg=0.024, offline=True), CELL)
    moved = Path(shutil.copy(options.cohort, tmp_path / "moved.h5"))
    shutil.move(options.out, tmp_path / "elsewhere")
    there = dataclasses.replace(options, cohort=moved, out=tmp_path / "elsewhere", checkpoint_every=0.012)
    train(dataclasses.replace(there, save_every_min=5.0), CELL)
    kimg = [line["kimg"] for line in RunFolder(there.out).read_log() if "quality" in line]
    assert kimg == [0.0, 0.024, 0.040, 0.048]


def test_two_trainings_in_one_folder_are_refused(options: TrainOptions) -> None:
    with (
        RunFolder(options.out).claim(),
        pytest.raises(UserError, match=r"run: another process is training here; wait until it ends"),
    ):
        train(dataclasses.replace(options, wait=False), CELL)


def test_a_training_waits_for_another_one_in_its_folder(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as other:
        other.enter_context(RunFolder(options.out).claim())
        monkeypatch.setattr(Interruption, "sleep", lambda *_: other.close())
        train(dataclasses.replace(options, kimg=0.008), CELL)
    assert "another process is training here" in " ".join(capsys.readouterr().err.split())
    assert RunFolder(options.out).network.exists()
    train(dataclasses.replace(options, kimg=0.008), CELL)


def test_two_classes_make_a_conditional_network(options: TrainOptions, cohort: Cohort) -> None:
    train(dataclasses.replace(options, label="both", kimg=0.008), CELL)
    assert load_networks(find_network(options.out)).G_ema.c_dim == 2
    assert read_provenance(find_network(options.out))["classes"] == list(cohort.classes)


def test_start_copies_what_fits(options: TrainOptions, tmp_path: Path) -> None:
    train(dataclasses.replace(options, kimg=0.016), CELL)
    source = load_networks(find_network(options.out))
    adapted = dataclasses.replace(options, out=tmp_path / "adapted", start=str(options.out), cfg=None, kimg=0.008)
    train(adapted, CELL)
    config = RunFolder(adapted.out).read_config()
    assert config["generator"]["channel_max"] == source.G.config.channel_max  # the start's shape, without --cfg
    assert config["training"]["ada_kimg"] == 100
    assert config["training"]["ema_rampup"] is None
    first = RunFolder(adapted.out).read_log()[0]["quality"]["value"]
    assert first == pytest.approx(RunFolder(options.out).read_log()[-1]["quality"]["value"], rel=1e-3)


def test_what_the_start_saw_counts_as_seen(options: TrainOptions, cohort: Cohort, tmp_path: Path) -> None:
    """Adapting fold 0's network for fold 1 would otherwise hide that fold 1's test images were learnt from."""
    train(dataclasses.replace(options, fold="0", kimg=0.008), CELL)
    before = read_provenance(find_network(options.out))
    train(dataclasses.replace(options, fold="1", kimg=0.008, out=tmp_path / "next", start=str(options.out)), CELL)
    after = read_provenance(find_network(tmp_path / "next"))
    pairs = set(zip(after["seen_image_id"], after["seen_group_id"], strict=True))
    assert set(zip(before["seen_image_id"], before["seen_group_id"], strict=True)) < pairs
    assert set(after["seen_image_id"]) & set(cohort.image_id[parts(cohort, 1).test])


def test_a_batch_that_tears_groups_is_refused(options: TrainOptions) -> None:
    with pytest.raises(UserError, match=r"--batch 6: .* multiple of 4"):
        train(dataclasses.replace(options, batch=6), CELL)
    assert not options.out.exists()
    train(dataclasses.replace(options, batch=3, kimg=0.006), CELL)  # one group of three is whole


def test_a_grid_does_not_move_into_a_single_run(options: TrainOptions) -> None:
    train(dataclasses.replace(options, kimg=0.008), CELL)
    with pytest.raises(UserError, match="holds a single run"):
        train(dataclasses.replace(options, kimg=0.008), product([0.1, 0.5], [0.6], [0.002]))


def test_too_little_memory_is_one_sentence(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_: Trainer) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Trainer, "train_step", no_memory)
    with pytest.raises(UserError, match=r"cpu: its memory does not hold .* 8 images of 16 px; give a smaller --batch"):
        train(options, CELL)


def test_a_larger_start_is_cut(options: TrainOptions, capsys: pytest.CaptureFixture[str]) -> None:
    train(dataclasses.replace(options, start="phantom-skin-32", cfg=None, kimg=0.008), CELL)
    said = capsys.readouterr().err
    assert "phantom-skin-32 draws 32 px pictures: cut to 16 px" in " ".join(said.split())
    assert load_networks(find_network(options.out)).G.config.img_resolution == 16


@pytest.mark.parametrize("size", [16, 64])
def test_a_start_of_another_size_gives_what_it_has(options: TrainOptions, size: int) -> None:
    """The generator's small layers and the discriminator's last ones; the layer that reads the picture is new."""
    path = shipped_network("phantom-skin-32")
    assert path is not None
    source = load_networks(path)
    start = build_start(dataclasses.replace(options, start="phantom-skin-32", cfg=None), size, 0)
    common = min(size, 32)
    for name, tensor in start.networks.G.state_dict().items():
        block = name.split(".")[1]
        if not block.startswith("b") or int(block[1:]) <= common:
            assert torch.equal(tensor, source.G.state_dict()[name]), name
    for name, tensor in start.networks.D.state_dict().items():
        if int(name.split(".")[0][1:]) <= common and "fromrgb" not in name:
            assert torch.equal(tensor, source.D.state_dict()[name]), name
    new = {name for name in start.left_new if name.startswith("D/")}
    assert {name.split("/")[1].split(".")[0] for name in new} == {f"b{size}"}


def test_another_configuration_in_the_same_folder_is_refused(options: TrainOptions) -> None:
    train(dataclasses.replace(options, kimg=0.008), CELL)
    with pytest.raises(UserError, match=r"seed 0 there, 1 asked"):
        train(dataclasses.replace(options, kimg=0.008, seed=1), CELL)


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_newest_checkpoint_is_said_and_passed_over(
    options: TrainOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(options, CELL)
    short = dataclasses.replace(options, out=tmp_path / "short", kimg=0.024)
    train(short, CELL)
    newest = Checkpoints(RunFolder(short.out).checkpoints).path(24)
    _damage(newest)
    train(dataclasses.replace(short, kimg=options.kimg), CELL)
    said = capsys.readouterr().err
    assert f"{newest}: damaged; going on from the checkpoint before it\n" in said
    assert f"{short.out}: going on from 0 kimg\n" in said
    assert_same(trained(short.out), trained(options.out))


def test_damaged_states_are_one_sentence(options: TrainOptions) -> None:
    train(dataclasses.replace(options, kimg=0.008), CELL)
    for path in RunFolder(options.out).checkpoints.glob("*.pt"):
        _damage(path)
    with pytest.raises(UserError, match=r"all 2 checkpoints are damaged; remove the run folder to train anew\.$"):
        train(options, CELL)


@pytest.mark.parametrize(
    ("protocol", "problem"), [("strict", "out of range"), ("paper", "protocol paper trains one network for all")]
)
def test_fold_out_of_range(options: TrainOptions, protocol: Protocol, problem: str) -> None:
    with pytest.raises(UserError, match=f"--fold 3: {problem}"):
        train(dataclasses.replace(options, fold="3", protocol=protocol), CELL)


def test_a_refused_grid_leaves_nothing(options: TrainOptions) -> None:
    """Its second cell's folder holds something else."""
    cells = product([0.1, 0.5], [0.6], [0.002])
    (options.out / cells[1].name).mkdir(parents=True)
    (options.out / cells[1].name / "thesis.txt").touch()
    with pytest.raises(UserError, match="not empty and not a run folder"):
        train(options, cells)
    assert sorted(path.name for path in options.out.rglob("*")) == [cells[1].name, "thesis.txt"]


def _grid(options: TrainOptions, features: str | None = None) -> FoldGrid:
    place = Place.choose("fp32", "off", torch.device("cpu"), Ranks())
    cohort = read_cohort(options.cohort)
    start = build_start(options, cohort.size, classes(options))
    return FoldGrid(cohort, 0, options, plan_search(options, CELL), start, place, features)


def test_fakes_of_a_score_by_default(options: TrainOptions) -> None:
    assert _grid(dataclasses.replace(options, quality_fakes=None)).fakes == 1000
    assert _grid(dataclasses.replace(options, quality_fakes=None), features="inception").fakes == 50_000
    assert _grid(dataclasses.replace(options, quality_fakes=77), features="inception").fakes == 77


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_small_and_whole(name: str) -> None:
    path = shipped_network(name)
    assert path is not None
    assert path.stat().st_size <= 4_000_000
    networks = load_networks(path)
    assert networks.G_ema.img_resolution == int(name.rsplit("-", 1)[1])
    log = path.with_suffix(".jsonl").read_text().splitlines()
    assert json.loads(log[-1])["kimg"] == read_header(path)["about"]["kimg"]


def test_pictures_want_the_noise_that_they_were_scored_with(options: TrainOptions, tmp_path: Path) -> None:
    """It goes on from a network to what starts from it, and to what is drawn with either, unless asked otherwise."""
    short = dataclasses.replace(options, kimg=0.008)
    train(dataclasses.replace(short, noise="random"), CELL)
    second = dataclasses.replace(short, start=str(options.out), out=tmp_path / "second")
    train(second, CELL)
    third = dataclasses.replace(second, noise="const", out=tmp_path / "third")
    train(third, CELL)
    for run, noise in ((options.out, "random"), (second.out, "random"), (third.out, "const")):
        assert RunFolder(run).read_config()["quality"]["noise"] == noise
        generate(GenerateOptions(network=run, out=tmp_path / "c.h5", count=2, force=True))
        assert read_candidates(tmp_path / "c.h5").generator["noise"] == noise


def test_what_will_disappoint_is_said_before_it_begins(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    train(dataclasses.replace(options, start="phantom-skin-32", cfg=None, kimg=0.008, ema_kimg=1.0), CELL)
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: 18 images to train on are few" in said
    assert "warning: after 0.008 kimg the average of the weights, with its half-life of 1 kimg, is still much" in said
    assert "give --ema-kimg 0.002." in said


def test_a_training_that_improved_nothing_says_so(
    options: TrainOptions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synth.training.run_log.criterion", lambda _: 0.0)  # the first of equals is the best
    train(dataclasses.replace(options, kimg=0.008), CELL)
    assert "the networks it began with, which no checkpoint improved on" in " ".join(capsys.readouterr().err.split())
