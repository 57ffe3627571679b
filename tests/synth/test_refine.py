"""Choices after a training: what is tried, what is chosen, and what the network then says of itself."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import CONFIG, colours_extractor, make_trainer

from shared.bundle import read_candidates
from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.nn.resume import save_state
from shared.splits import parts
from stylegan2_ada import load_networks, read_header
from stylegan2_ada.averages import exponent_of
from synth.generate import GenerateOptions, generate
from synth.networks.provenance import find_network
from synth.refine import RefineOptions, Trial, most_diverse, nearest_or_usual, refine
from synth.scores.halvings import Spread
from synth.selecting.comparison import Comparison
from synth.train import train
from synth.training.averages import AverageFolder, thinned
from synth.training.cells import product
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder
from synth.training.training_set import TrainingSet

CELL = product([0.1], [0.6], [0.002])


@pytest.fixture(autouse=True)
def small_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.scores.quality.open_extractor", lambda *_, **__: colours_extractor())


@pytest.fixture(scope="module")
def run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """A run of six steps and three checkpoints, whose last is the best of all by decree."""
    assert cohort.path is not None
    options = TrainOptions(
        cohort=cohort.path,
        out=tmp_path_factory.mktemp("refined") / "run",
        gamma=(0.1,),
        cfg="tiny",
        kimg=0.024,
        batch=4,
        lr=(0.02,),
        checkpoint_every=0.008,
        quality_fakes=16,
        features="offline",
        device="cpu",
        offline=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synth.scores.quality.open_extractor", lambda *_, **__: colours_extractor())
        later = itertools.count()
        patch.setattr("synth.training.run_log.criterion", lambda _: -next(later))
        train(options, product([0.1], [0.6], [0.02]))
    return options


def _asked(trained: TrainOptions, tmp_path: Path, **changes: Any) -> RefineOptions:
    asked = RefineOptions(
        trained.out,
        trained.cohort,
        tmp_path / "refined.safetensors",
        width=(0.05, 0.08),
        truncation=(0.5, 1.0),
        fakes=100,
        device="cpu",
    )
    return dataclasses.replace(asked, **changes)


def _best_nimg(run: TrainOptions) -> int:
    return round(1000 * read_header(find_network(run.out))["about"]["generator"]["kimg"])


@pytest.mark.parametrize(("width", "truncation"), [(None, 1.0), (0.05, 0.5), (0.08, 1.0)])
def test_what_is_chosen_is_written(
    run: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: float | None, truncation: float
) -> None:
    """Whatever it is, and whyever it is chosen."""
    monkeypatch.setattr(
        "synth.refine.nearest_or_usual", lambda *trials: _where([trials[0], *trials[1]], "width", width)
    )
    monkeypatch.setattr("synth.refine.most_diverse", lambda trials: _where(trials, "truncation", truncation))
    asked = _asked(run, tmp_path)
    trials = refine(asked)
    nimg = _best_nimg(run)
    assert nimg == 24
    tried = [(None, 1.0), (0.05, 1.0), (0.08, 1.0), (width, 0.5)]
    assert [(trial.width, trial.truncation) for trial in trials] == tried
    chosen = next(trial for trial in trials if (trial.width, trial.truncation) == (width, truncation))

    about = read_header(asked.out)["about"]
    original = read_header(find_network(run.out))["about"]
    assert about["refined"]["width"] == width
    assert about["refined"]["truncation"] == truncation
    assert about["quality"] == json.loads(json.dumps(chosen.quality))
    assert {name: about[name] for name in original if name != "quality"} == {
        name: original[name] for name in original if name != "quality"
    }
    written, before = load_networks(asked.out), load_networks(find_network(run.out))
    like = before.G_ema
    folder = AverageFolder(RunFolder(run.out).averages)
    expected = like if width is None else folder.of_widths(nimg, [width], like)[0]
    changed = [name for name, p in expected.named_parameters() if not torch.equal(p, like.state_dict()[name])]
    assert bool(changed) == (width is not None)
    for name, tensor in written.G_ema.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name
    for name, tensor in written.D.state_dict().items():
        assert torch.equal(tensor, before.D.state_dict()[name]), name
    table = json.loads(asked.out.with_suffix(".json").read_text())
    assert (len(table["width"]), len(table["truncation"])) == (3, 2)
    assert asked.out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def _where(trials: Sequence[Trial], name: str, value: float | None) -> Trial:
    return next(trial for trial in trials if getattr(trial, name) == value)


def test_pictures_are_truncated_as_was_chosen(run: TrainOptions, tmp_path: Path) -> None:
    asked = _asked(run, tmp_path, truncation=(0.5,))
    refine(asked)
    for truncation, wanted in ((None, 0.5), (0.8, 0.8)):
        out = tmp_path / f"{wanted}.h5"
        generate(GenerateOptions(network=asked.out, out=out, count=2, truncation=truncation))
        assert read_candidates(out).generator["truncation"] == wanted
    explicit, chosen = tmp_path / "explicit.h5", tmp_path / "chosen.h5"
    generate(GenerateOptions(network=asked.out, out=explicit, count=3, truncation=0.5))
    generate(GenerateOptions(network=asked.out, out=chosen, count=3))
    assert np.array_equal(read_candidates(explicit).images, read_candidates(chosen).images)


@pytest.mark.parametrize("refined", [None, [], {"truncation": "x"}, {"truncation": 1e9}, {"truncation": True}])
def test_nonsense_truncates_nothing(make_network: Any, tmp_path: Path, refined: Any) -> None:
    network = make_network(refined=refined)
    generate(GenerateOptions(network=network, out=tmp_path / "c.h5", count=2))
    assert read_candidates(tmp_path / "c.h5").generator["truncation"] == 1.0


def _trial(truncation: float, mean: float, sd: float) -> Trial:
    spread = Spread(mean, sd, 0.0, 0.0)
    return Trial(None, truncation, Comparison(10, spread, spread, spread, 0.0, 0.0, 0.0, 0.0), {"kid_validation": None})


def test_of_equals_the_most_diverse_is_chosen() -> None:
    """0.9 lies within one deviation of the least, 1.0 does not."""
    trials = [_trial(0.5, 12.0, 1.0), _trial(0.7, 10.0, 1.0), _trial(0.9, 10.9, 0.1), _trial(1.0, 11.2, 5.0)]
    assert most_diverse(trials).truncation == 0.9


@pytest.mark.parametrize(("gain", "width"), [(2.5, 0.1), (1.9, None), (0.0, None), (-5.0, None)])
def test_another_width_must_be_better_by_more_than_the_noise(gain: float, width: float | None) -> None:
    usual = _trial(1.0, 1.0, 1.0)
    unsure = dataclasses.replace(usual, width=0.2, nearer=(9.0, 5.0))
    other = dataclasses.replace(usual, width=0.1, nearer=(gain, 1.0))
    assert nearest_or_usual(usual, [unsure, other]).width == width
    assert (
        nearest_or_usual(usual, [other, unsure, dataclasses.replace(other, width=0.3, nearer=(9.0, 4.0))]).width == 0.3
    )
    assert nearest_or_usual(usual, []) is usual


def test_a_width_that_few_averages_cannot_make_is_left_out(
    run: TrainOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = refine(_asked(run, tmp_path, width=(0.08, 0.25)))
    assert {trial.width for trial in trials} == {None, 0.08}
    said = " ".join(capsys.readouterr().err.split())
    assert "too few averages until 0.024 kimg for a width of 0.25; a smaller --checkpoint-every keeps more" in said


def test_a_run_s_own_folder_is_not_written_into(run: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"within the run's own folder"):
        refine(_asked(run, tmp_path, out=run.out / "config.safetensors", force=True))


def test_fewer_fakes_than_half_of_the_photographs_are_one_sentence(
    run: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TrainingSet.of(read_cohort(run.cohort), 0, run)
    many = dataclasses.replace(data, images=np.repeat(data.images, 20, axis=0))
    monkeypatch.setattr(TrainingSet, "of", lambda *_: many)
    with pytest.raises(UserError, match=rf"--quality-fakes 100: fewer than half of the {len(many.images)} photographs"):
        refine(_asked(run, tmp_path))


def test_only_photographs_of_the_run_are_compared_with(
    run: TrainOptions, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    class Spy:
        def __call__(self, images: np.ndarray) -> torch.Tensor:
            seen.append(np.asarray(images))
            return colours_extractor()(images)

        def __getattr__(self, name: str) -> Any:
            return getattr(colours_extractor(), name)

    monkeypatch.setattr("synth.scores.quality.open_extractor", lambda *_, **__: Spy())
    refine(_asked(run, tmp_path, width=()))
    test = cohort.images[parts(cohort, 0).test]
    drawn = {image.tobytes() for images in seen for image in images}
    assert not {np.ascontiguousarray(image).tobytes() for image in test} & drawn
    train_part = parts(cohort, 0).train
    positives = cohort.images[train_part[cohort.label[train_part] == 1]]
    assert {np.ascontiguousarray(image).tobytes() for image in positives} <= drawn


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": (0.5,)}, "--width 0.5: out of range; give 0.01 to 0.28"),
        ({"width": (float("nan"),)}, "--width nan"),
        ({"truncation": (0.0,)}, "--truncation 0: out of range"),
        ({"truncation": ()}, "--truncation: none given"),
        ({"fakes": 10}, "--quality-fakes 10: out of range"),
        ({"out": Path("refined.json")}, "--out refined.json: .* let its name end in .safetensors"),
    ],
)
def test_bad_options_are_one_sentence(run: TrainOptions, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _asked(run, tmp_path, **changes)


def test_what_is_no_run_is_one_sentence(run: TrainOptions, run_folder: Path, tmp_path: Path) -> None:
    for other in (run_folder, "phantom-skin-32", "nvidia-ffhq-256"):
        with pytest.raises(UserError, match=r"not a run of `synth train`; give the folder of a finished run"):
            refine(_asked(run, tmp_path, run=other))
    refine(_asked(run, tmp_path, width=()))
    with pytest.raises(UserError, match=r"refined.safetensors: exists"):
        refine(_asked(run, tmp_path))


def test_the_best_checkpoint_is_never_thinned_out() -> None:
    nimgs = list(range(1000, 201_000, 1000))
    for best in (1000, 100_000, 199_000):
        assert best in thinned(nimgs, {best})
    assert 199_000 not in thinned(nimgs)


def test_an_average_of_a_width_follows_the_weights_of_every_step(cohort: Cohort, tmp_path: Path) -> None:
    """The weights of 40 steps, recorded as they were, with the profile's mass between two steps each."""
    trainer = make_trainer(dataclasses.replace(CONFIG, lr=0.05))
    folder = AverageFolder(tmp_path)
    path = []
    for step in range(1, 41):
        trainer.train_step()
        path.append({name: p.detach().clone() for name, p in trainer.G.named_parameters()})
        if step % 4 == 0:
            folder.save(trainer)
    width, exponent = 0.13, exponent_of(0.13)
    mass = np.diff((np.arange(41) / 40) ** (exponent + 1))
    made = dict(folder.of_widths(trainer.cur_nimg, [width], trainer.G_ema)[0].named_parameters())
    for name in path[0]:
        expected = sum(m * step[name].double() for m, step in zip(mass, path, strict=True))
        spread = torch.stack([step[name] for step in path]).double().std(dim=0).norm()
        assert float((made[name].double() - expected).norm()) < 0.1 * float(spread) + 1e-3 * float(expected.norm()), (
            name
        )
    usual = folder.usual(trainer.cur_nimg, trainer.G_ema).state_dict()
    for name, tensor in trainer.G_ema.state_dict().items():
        torch.testing.assert_close(usual[name], tensor, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 40, 41, 200])
def test_averages_are_thinned_evenly_by_ratio(count: int) -> None:
    nimgs = list(range(1000, 1000 * (count + 1), 1000))
    left = thinned(nimgs)
    assert len(left) == min(count, 40)
    assert (left[0], left[-1]) == (nimgs[0], nimgs[-1])
    assert sorted(set(left) & set(nimgs)) == left
    if count == 200:  # from 1,000 to 200,000 in 39 steps: a ratio of 1.15 each, where the list is fine enough
        ratios = [b / a for a, b in itertools.pairwise(left) if a > 20_000]
        assert min(ratios) > 1.05
        assert max(ratios) < 1.25


def test_damaged_averages_are_one_sentence(run: TrainOptions, tmp_path: Path) -> None:
    folder = AverageFolder(RunFolder(run.out).averages)
    like = load_networks(find_network(run.out)).G_ema
    last = folder.nimgs()[-1]
    path = folder.path(last)
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-9])
        with pytest.raises(UserError, match=r"damaged; train the run again, or move .* away"):
            folder.of_widths(last, [0.1], like)
        path.unlink()
        with pytest.raises(UserError, match=r"no averages of 0.024 kimg"):
            folder.of_widths(last, [0.1], like)
        for odd in ({}, {"averages": {"0.05": {}, "0.1": []}}, {"averages": 3, "usual": 4}, {"buffers": [1]}):
            save_state(path, {"format": "rarescreen-gan-averages", "version": 1} | odd)
            for read in (lambda: folder.of_widths(last, [0.1], like), lambda: folder.usual(last, like)):
                with pytest.raises(UserError, match="does not fit the run's generator"):
                    read()
    finally:
        path.write_bytes(content)
    usual = folder.usual(last, like)
    made, other = folder.of_widths(last, [0.1, 0.2], like)
    assert any(not torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))
    assert all(torch.isfinite(tensor).all() for tensor in made.state_dict().values())
    assert usual.state_dict().keys() == made.state_dict().keys()


def test_few_or_no_averages_are_kept_when_that_is_asked(tmp_path: Path) -> None:
    trainer = make_trainer(CONFIG)
    none, few = AverageFolder(tmp_path / "none"), AverageFolder(tmp_path / "few")
    few.folder.mkdir()
    for _ in range(6):
        trainer.train_step()
        none.save(trainer, {8}, 0)
        few.save(trainer, {8}, 3)
    assert not none.folder.exists()
    assert few.nimgs() == [4, 8, 24]
    few.save(trainer, {8}, 1)
    assert few.nimgs() == [4, 8, 24]  # the first, the last and what is to be kept
