"""Fits by several processes, as torchrun starts them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fitting import CPU, assert_near, here, run, tensors

from classify.fitting.folder import CHECKPOINT, MODEL, read_model
from classify.fitting.making import make_classifier
from classify.fitting.plan import plan
from classify.fitting.settings import FitOptions
from classify.models import trainable_state
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.interruption import EXIT_CODES
from shared.nn.resume import load_state

pytestmark = pytest.mark.slow

TOGETHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
GIVEN = ("model", "image_size", "dropout", "depth", "epochs", "batch", "lr", "optimizer", "precision")


@pytest.fixture
def cohort(make_cohort: Callable[..., Cohort], tmp_path: Path) -> Cohort:
    """The cohort of `cohort.h5` in the test's folder."""
    write_cohort(tmp_path / "cohort.h5", make_cohort(positives=10, negatives=12, externals=2, folds=2))
    return read_cohort(tmp_path / "cohort.h5")


def together(folder: Path, options: FitOptions, out: str, *program: str) -> subprocess.CompletedProcess[str]:
    """Fit in two processes, into `folder / out`, with `python PROGRAM` or `python -m classify`."""
    given = {name: getattr(options, name) for name in GIVEN if getattr(options, name) is not None}
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    arguments = ["fit", "cohort.h5", *settings, "--device=cpu", "--offline", f"--out={out}"]
    return subprocess.run(
        [sys.executable, *TOGETHER, *(program or ("-m", "classify")), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )


def test_two_processes_go_through_the_epochs_of_one(cohort: Cohort, tmp_path: Path) -> None:
    """Without batch norm in what trains and without dropout, a batch in two shares is the same batch."""
    options = FitOptions(model="efficientnet_lite0", image_size=32, dropout=0.0, epochs=3, batch=15, precision="fp32")
    done = together(tmp_path, options, "together")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("learnt from") == 1  # one of the two speaks
    alone = run(cohort, tmp_path / "alone", options)
    assert_near(alone, tmp_path / "together")
    ours, theirs = tensors(alone), tensors(tmp_path / "together")
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=1e-3, atol=1e-4)
    files = [sorted(path.name for path in folder.iterdir()) for folder in (alone, tmp_path / "together")]
    assert files[0] == files[1]
    before = (tmp_path / "together" / MODEL).read_bytes()
    again = together(tmp_path, options, "together")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("done before") == 1
    assert (tmp_path / "together" / MODEL).read_bytes() == before


def test_two_processes_fit_a_network_with_batch_norm_and_dropout(cohort: Cohort, tmp_path: Path) -> None:
    """Each normalises its own share, so it is another fit than that of one process; the statistics become one."""
    options = FitOptions(epochs=2, batch=16, lr=1e-3)
    done = together(tmp_path, options, "m")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in read_model(tmp_path / "m").history["epochs"]] == [1, 2]
    after = tensors(tmp_path / "m")
    assert all(torch.isfinite(value).all() for value in after.values() if value.is_floating_point())
    begun = make_classifier(plan(cohort, 0, options=options, device=CPU).config, here())
    moved = {name for name, value in after.items() if not torch.equal(value, begun.state_dict()[name])}
    assert moved == trainable_state(begun).keys()


STOPS_ONCE = f"""
import os, signal
from classify.cli import cli
from classify.fitting.training import Training

def step(fit, entries):
    found = original(fit, entries)
    steps.append(1)
    if len(steps) == 5 and fit.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGUSR1)  # to one of the two alone
    return found

original, steps, Training.step = Training.step, [], step
try:
    cli()
except SystemExit as end:
    if end.code != {EXIT_CODES["SIGUSR1"]}:
        raise
    print("ended with the code of the signal", flush=True)
"""


def test_two_processes_stop_together_and_go_on_to_the_same_bits(cohort: Cohort, tmp_path: Path) -> None:
    """In the middle of an epoch each has random numbers and batch statistics of its own."""
    options = FitOptions(depth=1, epochs=3, batch=16, lr=1e-3)
    (tmp_path / "stops_once.py").write_text(STOPS_ONCE)
    stopped = together(tmp_path, options, "m", "stops_once.py")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stdout.count("ended with the code of the signal") == 2
    assert stopped.stderr.count("stopped; the state is saved") == 1
    state = load_state(tmp_path / "m" / CHECKPOINT)
    assert (len(state["progress"]["history"]), len(state["progress"]["losses"])) == (1, 2)
    own = state["own"]
    assert len(own) == 2
    assert not torch.equal(own[0]["cpu"], own[1]["cpu"])
    with pytest.raises(UserError, match="2 processes were at work; go on with as many"):
        run(cohort, tmp_path / "m", options)
    for out in ("m", "straight"):
        done = together(tmp_path, options, out)
        assert done.returncode == 0, done.stderr
    ours, theirs = tensors(tmp_path / "m"), tensors(tmp_path / "straight")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_cannot_be_done_ends_all_with_code_2_and_no_traceback(cohort: Cohort, tmp_path: Path) -> None:
    done = together(tmp_path, FitOptions(depth=1, dropout=0.0, epochs=3, batch=4, lr=1e6, optimizer="sgd"), "m")
    assert "error: " in done.stderr
    assert "--lr 1e+06: the loss is no longer finite in epoch 1" in done.stderr
    assert "exitcode  : 2 " in done.stderr
    assert done.stderr.count("Traceback (most recent call last)") == 1  # torchrun's own
    assert not (tmp_path / "m" / MODEL).exists()
