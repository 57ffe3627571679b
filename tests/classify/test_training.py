"""The loop of a fit: reproducible, resumable to the bit, and the best epoch is kept."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from fitting import QUICK, here, run, same, tensors

from classify.fit import fit
from classify.fitting import training
from classify.fitting.folder import CHECKPOINT, MODEL, read_model
from classify.fitting.mixing import Entries
from classify.fitting.schedule import batch_ends
from classify.fitting.score import Score
from classify.fitting.settings import FitOptions
from classify.fitting.training import Training
from classify.models import Classifier
from classify.place import working
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.interruption import EXIT_CODES, Interruption, StopAskedError
from shared.nn.ranks import Ranks
from shared.nn.resume import load_state, save_state


@pytest.fixture(scope="module")
def done(make_cohort: Callable[..., Cohort], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three epochs of the cohort `small`, without any interruption; tests copy it before they change it."""
    cohort = make_cohort(positives=10, negatives=12, externals=2, folds=2)
    return run(cohort, tmp_path_factory.mktemp("models") / "done")


def test_the_same_seed_gives_the_same_tensors_and_another_seed_others(
    small: Cohort, done: Path, tmp_path: Path
) -> None:
    first = tensors(done)
    torch.manual_seed(99)  # whatever the caller's generator is, it is neither used nor moved
    state = torch.random.get_rng_state()
    again = tensors(run(small, tmp_path / "again"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = tensors(run(small, tmp_path / "other", replace(QUICK, seed=1, epochs=1)))
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [
        (7, 3, [3, 4]),
        (8, 3, [3, 3, 2]),
        (9, 3, [3, 3, 3]),
        (5, 2, [2, 3]),
        (3, 4, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_single_image_that_is_left_over_goes_with_the_batch_before(count: int, batch: int, sizes: list[int]) -> None:
    assert np.diff([0, *batch_ends(count, batch)]).tolist() == sizes


# At 32 px the last layers, which train, are a single pixel.
PIXEL = FitOptions(model="efficientnet_lite0", image_size=32, unfreeze=2, epochs=1, head=(), precision="fp32")


def test_a_batch_norm_of_one_pixel_learns_when_one_image_is_left_over(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    step = Training.step
    monkeypatch.setattr(Training, "step", lambda own, each: (sizes.append(len(each)), step(own, each))[1])
    images = read_model(run(small, tmp_path / "m", replace(PIXEL, batch=47))).document["counts"]["train"]
    assert images % 47 == 1
    assert sizes == [images]


def test_a_batch_of_one_is_refused_where_batch_norm_sees_one_pixel_and_nowhere_else(
    small: Cohort, tmp_path: Path
) -> None:
    message = r"^--batch 1: leaves a step with one image, .*; give --batch 2 or more, or a larger --image-size\.$"
    with pytest.raises(UserError, match=message):
        run(small, tmp_path / "m", replace(PIXEL, batch=1))
    run(small, tmp_path / "larger", replace(PIXEL, batch=1, image_size=64))  # two pixels by two


class Second(Ranks):
    """A process beside a first one, which finds every epoch better than the one before it."""

    def from_first(self, make: Callable[[], Any]) -> Any:
        found = make()
        if isinstance(found, dict) and isinstance(found.get("validation"), Score):
            self.judged.append(found["validation"])
            better = len(self.judged) / 10
            return {"validation": replace(found["validation"], balanced_accuracy=better)}
        return found

    judged: ClassVar[list[Score]] = []


def test_all_processes_end_when_the_first_one_does(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though by its own scores, which never get better, this one would have ended after two epochs."""
    same_score = Score(loss=0.5, accuracy=0.5, balanced_loss=0.5, balanced_accuracy=0.5)
    monkeypatch.setattr(Training, "score", lambda *_: same_score)
    options = replace(QUICK, patience=1)
    assert len(read_model(run(small, tmp_path / "alone", options)).history["epochs"]) == 2
    place = replace(here(), ranks=Second())
    fit(small, options=options, folds=[0], out=tmp_path / "m", place=place)
    told = read_model(tmp_path / "m").history
    assert [row["validation"]["balanced_accuracy"] for row in told["epochs"]] == [0.1, 0.2, 0.3]
    assert told["best_epoch"] == 3


class StopAfter:
    """Asks a fit to stop during one of its steps, as a signal would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        self.interruption = Interruption()
        self.steps = 0
        original = Training.step

        def counted(fit: Training, entries: Entries) -> object:
            self.steps += 1
            if self.steps == step:
                self.interruption.receive(signal.SIGTERM, None)
            return original(fit, entries)

        monkeypatch.setattr(Training, "step", counted)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 9])
def test_a_fit_that_was_asked_to_stop_goes_on_to_the_same_bits(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Of three steps an epoch; dropout is at work, so the random numbers within an epoch must go on too."""
    assert read_model(done).config.dropout > 0
    stop = StopAfter(monkeypatch, step)
    with pytest.raises(StopAskedError):
        run(small, tmp_path / "m", interruption=stop.interruption)
    assert stop.steps == step  # it stops behind the step, not behind the epoch
    assert not (tmp_path / "m" / MODEL).exists()
    with pytest.raises(UserError, match="a fit that is not done; run the same"):
        read_model(tmp_path / "m")
    within = load_state(tmp_path / "m" / CHECKPOINT)["progress"]
    assert (len(within["history"]), len(within["losses"])) == divmod(step, 3)
    place = run(small, tmp_path / "m")
    assert stop.steps == 9  # no step was taken twice
    assert same(done, place)
    assert sorted(path.name for path in place.iterdir() if not path.name.startswith(".")) == [
        "config.json",
        "history.json",
        "model.safetensors",
        "seen.json",
    ]


def test_a_fit_may_be_interrupted_again_and_again(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        stop = StopAfter(monkeypatch, 2)
        with pytest.raises(StopAskedError):
            run(small, tmp_path / "m", interruption=stop.interruption)
        monkeypatch.undo()
    assert same(done, run(small, tmp_path / "m"))


def test_a_fit_with_random_changes_and_kept_features_resumes_to_the_bit_too(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = FitOptions(
        model="efficientnet_lite0", image_size=32, ratio="1:2", control="augmentation", epochs=2, batch=16, head=(8,)
    )
    straight = run(small, tmp_path / "straight", options)
    stop = StopAfter(monkeypatch, 7)
    with pytest.raises(StopAskedError):
        run(small, tmp_path / "m", options, interruption=stop.interruption)
    assert same(straight, run(small, tmp_path / "m", options))


SAVES_ALWAYS = """
import sys
from classify.fitting import training
from classify.cli import cli

saved = 0

def tell_and_wait(path, state):
    global saved
    save_state(path, state)
    saved += 1
    if saved == 5:
        print("saved", flush=True)
        sys.stdin.read()  # until it is killed

save_state, training.save_state, training.CHECKPOINT_EVERY_S = training.save_state, tell_and_wait, 0.0
cli()
"""


def test_a_fit_that_was_killed_goes_on_to_the_same_bits(small: Cohort, done: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort.h5", small)
    (tmp_path / "saves_always.py").write_text(SAVES_ALWAYS)
    settings = "--depth 1 --head 8 --epochs 3 --batch 16 --lr 1e-3 --precision fp32 --device cpu --offline --out m"
    command = ["fit", "cohort.h5", *settings.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    with subprocess.Popen(
        [sys.executable, "saves_always.py", *command],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    within = load_state(tmp_path / "m" / CHECKPOINT)["progress"]
    assert (len(within["history"]), len(within["losses"])) == (1, 2)
    assert same(done, run(read_cohort(tmp_path / "cohort.h5"), tmp_path / "m"))


@pytest.mark.parametrize("name", EXIT_CODES)
def test_a_signal_ends_the_command_with_its_code_and_a_sentence(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    original = Training.step

    def signalled(fit: Training, entries: Entries) -> object:
        os.kill(os.getpid(), getattr(signal, name))
        return original(fit, entries)

    monkeypatch.setattr(Training, "step", signalled)
    with pytest.raises(SystemExit) as ended, working("cpu", offline=True) as place:
        run(small, tmp_path / "m", interruption=place.interruption)
    assert ended.value.code == EXIT_CODES[name]
    assert capsys.readouterr().err.endswith("stopped; the state is saved, and the same command goes on.\n")
    assert (tmp_path / "m" / CHECKPOINT).exists()


def test_the_state_is_saved_whenever_the_last_one_is_old(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []

    def counted(path: Path, state: dict[str, Any]) -> None:
        saved.append((len(state["progress"]["history"]), len(state["progress"]["losses"])))

    monkeypatch.setattr(training, "save_state", counted)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 3600.0)
    run(small, tmp_path / "never")
    assert saved == []  # an hour has not passed
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    run(small, tmp_path / "always")
    assert saved == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]


def halfway(cohort: Cohort, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Interrupt a fit in its second epoch and return its state."""
    stop = StopAfter(monkeypatch, 4)
    with pytest.raises(StopAskedError):
        run(cohort, out, interruption=stop.interruption)
    monkeypatch.undo()
    return load_state(out / CHECKPOINT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state | {"now": {}}, "it holds other tensors"),
        (lambda state: state | {"own": state["own"] * 2}, "2 processes were at work; go on with as many"),
        (lambda state: state | {"progress": {"weeks": 3}}, "unexpected keyword"),
        (lambda state: {}, "now"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any], problem: str
) -> None:
    state = halfway(small, tmp_path / "m", monkeypatch)
    save_state(tmp_path / "m" / CHECKPOINT, change(state))
    with pytest.raises(UserError, match=rf"checkpoint.pt: not a checkpoint of this fit \(.*{problem}.*\); delete it"):
        run(small, tmp_path / "m")


def test_a_fit_that_goes_on_with_inputs_of_another_kind_says_that_its_last_digits_may_differ(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = halfway(small, tmp_path / "m", monkeypatch)
    assert state["inputs"] == "pixels"  # QUICK freezes nothing
    save_state(tmp_path / "m" / CHECKPOINT, state | {"inputs": "features"})
    run(small, tmp_path / "m")
    assert "was begun with features and goes on with pixels" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_refused(small: Cohort, done: Path, tmp_path: Path) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    (place / MODEL).unlink()
    (place / CHECKPOINT).write_bytes(b"half a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint.pt: .* remove it"):
        run(small, place)


class Scored:
    """Gives a fit the scores that a test sets, by epoch, and remembers its tensors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, scores: list[tuple[float, float]]) -> None:
        self.states: dict[int, dict[str, torch.Tensor]] = {}

        def scored(fit: Training, entries: Entries) -> Score:
            epoch, classifier = fit.progress.epoch, fit.classifier
            assert isinstance(classifier, Classifier)
            self.states[epoch] = {name: value.clone() for name, value in classifier.state_dict().items()}
            accuracy, loss = scores[epoch - 1]
            return Score(loss=9.0, accuracy=0.0, balanced_loss=loss, balanced_accuracy=accuracy)

        monkeypatch.setattr(Training, "score", scored)

    def is_kept(self, place: Path, epoch: int) -> bool:
        """Tell whether a folder holds the tensors of `epoch`."""
        found = tensors(place)
        return all(torch.equal(found[name], self.states[epoch][name]) for name in found)


def test_the_best_epoch_is_kept(small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of scores that are set here, the highest balanced accuracy wins, ties go to the smaller balanced loss."""
    scored = Scored(monkeypatch, [(0.5, 0.1), (0.9, 0.6), (0.9, 0.4), (0.9, 0.4), (0.7, 0.1)])
    place = run(small, tmp_path / "m", replace(QUICK, epochs=5))
    assert read_model(place).history["best_epoch"] == 3
    assert scored.is_kept(place, 3)
    assert not scored.is_kept(place, 4)


@pytest.mark.parametrize("stop_at", [None, 4, 7, 8, 12])
def test_patience_ends_a_fit_whose_best_epoch_is_long_ago(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int | None
) -> None:
    """Interrupted or not: three steps make an epoch, the second is the best, and two more in vain end it."""
    scored = Scored(monkeypatch, [(0.5, 0.1), (0.9, 0.4), (0.8, 0.1), (0.9, 0.4), *[(1.0, 0.0)] * 5])
    options = replace(QUICK, epochs=9, patience=2)
    if stop_at is not None:
        stop = StopAfter(monkeypatch, stop_at)
        with pytest.raises(StopAskedError):
            run(small, tmp_path / "m", options, interruption=stop.interruption)
    history = read_model(run(small, tmp_path / "m", options)).history
    assert (history["best_epoch"], len(history["epochs"])) == (2, 4)
    assert scored.is_kept(tmp_path / "m", 2)


def test_patience_changes_nothing_while_epochs_get_better(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scored(monkeypatch, [(0.5, 0.5), (0.5, 0.4), (0.6, 0.9), (0.6, 0.8), (0.6, 0.8)])
    history = read_model(run(small, tmp_path / "m", replace(QUICK, epochs=5, patience=1))).history
    assert (history["best_epoch"], len(history["epochs"])) == (4, 5)


def test_the_history_holds_each_epoch_and_training_learns(done: Path) -> None:
    epochs = read_model(done).history["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    assert all(row.keys() == {"epoch", "train", "validation"} for row in epochs)
    losses = [row["train"]["loss"] for row in epochs]
    assert losses == sorted(losses, reverse=True)


def test_protocol_paper_chooses_on_the_test_images(small: Cohort, tmp_path: Path) -> None:
    fitted = read_model(run(small, tmp_path / "m", replace(QUICK, protocol="paper")))
    epochs = fitted.history["epochs"]
    best = max(epochs, key=lambda row: (row["test"]["balanced_accuracy"], -row["test"]["balanced_loss"]))
    assert fitted.history["best_epoch"] == best["epoch"]
    assert all(row["validation"] is not None for row in epochs)
