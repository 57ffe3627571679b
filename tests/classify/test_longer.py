"""A longer fit goes on from the end of a shorter one, to the bits that it has alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fitting import CPU, QUICK, here, run, same
from table_studies import QUICK as QUICK_ROW
from table_studies import figures, options_in, verdicts, write_files, write_preset

from classify import fit as stage
from classify.fit import fit_fold
from classify.fitting.folder import END, read_model
from classify.fitting.longer import beginning, has_longer, shorter
from classify.fitting.plan import plan
from classify.fitting.settings import FitConfig, FitOptions
from classify.fitting.training import Training
from classify.study import study
from shared.bundle import Bundle
from shared.cohort import Cohort

LONGER = replace(QUICK, ratio="1:2", control="epochs")  # 3 epochs become 4 or 5


def fit_among(cohort: Cohort, out: Path, options: FitOptions, others: dict[Path, FitConfig]) -> Path:
    fit_fold(cohort, plan(cohort, 0, options=options, device=CPU), out, here(), force=False, others=others)
    return out


def config_of(cohort: Cohort, options: FitOptions) -> FitConfig:
    return plan(cohort, 0, options=options, device=CPU).config


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every batch that is trained on."""
    taken: list[Any] = []
    step = Training.step

    def counted(own: Training, entries: Any) -> Any:
        taken.append(entries)
        return step(own, entries)

    monkeypatch.setattr(Training, "step", counted)
    return taken


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_more_epochs_go_on_from_fewer_to_the_same_bits(
    small: Cohort, tmp_path: Path, steps: list[Any], optimizer: str
) -> None:
    """Steps are those of the epochs that are left."""
    short, long = (replace(options, optimizer=optimizer) for options in (QUICK, LONGER))
    alone = run(small, tmp_path / "alone", long)
    own = len(steps)
    others = {tmp_path / "none": config_of(small, short), tmp_path / "more": config_of(small, long)}
    first = fit_among(small, tmp_path / "none", short, others)
    assert same(first, run(small, tmp_path / "unshared", short))
    assert (first / END).exists()
    before = len(steps)
    second = fit_among(small, tmp_path / "more", long, others)
    epochs = others[second].epochs
    assert epochs > others[first].epochs
    assert same(second, alone)
    assert (len(steps) - before) * epochs == own * (epochs - others[first].epochs)
    history = read_model(second).history
    assert history["train_s"] > read_model(first).history["train_s"]  # it is the time of all epochs
    assert not list(tmp_path.rglob(END))  # nobody goes on from either any more


@pytest.mark.parametrize("spoil", ["cut", "gone", "another", "versions", "commit", "environment"])
def test_an_end_that_is_of_no_use_is_left_alone(
    small: Cohort, tmp_path: Path, spoil: str, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(small, tmp_path / "alone", LONGER)
    own = len(steps)
    others = {tmp_path / "none": config_of(small, QUICK), tmp_path / "more": config_of(small, LONGER)}
    end = fit_among(small, tmp_path / "none", QUICK, others) / END
    if spoil == "cut":
        end.write_bytes(end.read_bytes()[:-1])
    elif spoil == "gone":
        end.unlink()
    elif spoil == "another":
        run(small, tmp_path / "none", replace(QUICK, seed=1), force=True)
        assert not end.exists()  # it went with its fit
    elif spoil == "environment":  # not told
        path = end.with_name("config.json")
        document = json.loads(path.read_text())
        del document["environment"]["platform"]
        path.write_text(json.dumps(document))
    else:
        environment = stage.environment
        monkeypatch.setattr(stage, "environment", lambda device: environment(device) | {spoil: {"torch": "another"}})
    before = len(steps)
    assert same(fit_among(small, tmp_path / "more", LONGER, others), alone)
    assert len(steps) - before == own


CONFIG_CHANGES = [{"seed": 1}, {"lr": 2e-3}, {"batch": 8}, {"precision": "tf32"}, {"head": (4,)}, {"protocol": "paper"}]


def test_only_what_begins_alike_is_gone_on_from(small: Cohort) -> None:
    """Ends may not be used where the images, the random numbers or the end itself would be others."""
    short, long = config_of(small, QUICK), config_of(small, LONGER)
    longest = config_of(small, replace(LONGER, ratio="1:1"))
    fits = {Path("a"): short, Path("b"): long, Path("c"): longest}
    assert [shorter(config, fits) for config in fits.values()] == [[], [Path("a")], [Path("b"), Path("a")]]
    assert [has_longer(config, fits) for config in fits.values()] == [True, True, False]
    for change in CONFIG_CHANGES:
        assert not shorter(long, {Path("a"): replace(short, **change)})
        assert not has_longer(replace(short, **change), fits)
    for change in ({"patience": 5}, {"control": "augmentation", "ratio": "1:2"}):
        assert beginning(replace(short, **change)) is None
        assert not shorter(replace(long, **change), fits | {Path("d"): replace(short, **change)})
    oversampled = config_of(small, replace(LONGER, control="oversampling"))
    assert not shorter(replace(oversampled, epochs=9), fits)
    assert shorter(replace(oversampled, epochs=9), {Path("d"): oversampled}) == [Path("d")]


def test_an_end_stays_until_the_last_longer_fit_is_done(small: Cohort, tmp_path: Path) -> None:
    options = {"none": QUICK, "more": LONGER, "most": replace(LONGER, ratio="1:1")}
    others = {tmp_path / name: config_of(small, each) for name, each in options.items()}
    left = {}
    for name in ("none", "most", "more"):
        fit_among(small, tmp_path / name, options[name], others)
        left[name] = sorted(path.parent.name for path in tmp_path.rglob(END))
    assert left == {"none": ["none"], "most": ["none"], "more": []}


def test_a_study_trains_the_epochs_that_its_cells_share_once(
    tmp_path: Path,
    make_cohort: Callable[..., Cohort],
    make_bundle: Callable[..., Bundle],
    steps: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And comes to the records of studies of single cells."""
    whole = write_files(tmp_path / "whole", make_cohort, make_bundle)
    place = whole.cohort.parent
    quick = QUICK_ROW.replace("epochs = 1", "epochs = 2")
    rows = [f'{quick}, fold = 0, ratio = "none"'] + [
        f'{quick}, fold = 0, control = "epochs", ratio = "{ratio}"' for ratio in ("1:2", "1:1")
    ]
    write_preset(place, *rows)
    study(whole)
    shared = len(steps)
    assert capsys.readouterr().err.count("goes on from the") == 2
    assert not list(whole.out.rglob(END))
    records = place / "apart.jsonl"
    for row in rows:
        write_preset(place, row)
        study(options_in(place, out=place / "apart" / str(rows.index(row)), records=records, table=place / "a.md"))
    assert verdicts(records) == verdicts(whole.records)
    assert figures(place / "a.md") == figures(whole.table)
    assert shared == 4 * (len(steps) - shared) / (2 + 3 + 4)
