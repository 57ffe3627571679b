"""A study of Table 2: each cell once, again what is gone or has changed, and nothing else."""

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from table_studies import (
    BURSTS,
    NAMES,
    QUICK,
    ROWS,
    command_line,
    figures,
    fits,
    options_in,
    trials,
    verdicts,
    write_files,
    write_preset,
)

from classify.cli import cli
from classify.fitting.folder import read_model
from classify.study import study
from classify.studying.options import StudyOptions
from shared.bundle import Bundle, write_bundle
from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.records import read_records


@pytest.fixture
def options(tmp_path: Path, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]) -> StudyOptions:
    """A study of five cells, a moment each."""
    return write_files(tmp_path / "study", make_cohort, make_bundle)


def run(options: StudyOptions, *more: str) -> Result:
    return CliRunner().invoke(cli, command_line(options, *more))


def sentence(result: Result) -> str:
    """Return the last line of a command that ended with exit code 2, which is its one sentence."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    said = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert result.stderr.splitlines()[-1] == said[0]
    assert said[0].endswith((".", ")"))
    return said[0]


HEAD_ONLY = 'model = "efficientnet_lite0", image_size = 32, epochs = 1, fold = "all"'
PAIRS = [("none", "none"), ("1:2", "none"), ("1:2", "oversampling")]  # ratio and control
SEEDS = ("--seed", "0", "--seed", "1", "--seed", "0")  # one of them twice


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]
) -> StudyOptions:
    """A study of twelve cells that is done; tests leave it so."""
    options = write_files(tmp_path_factory.mktemp("done") / "study", make_cohort, make_bundle)
    rows = (f'{HEAD_ONLY}, ratio = "{ratio}", control = "{control}"' for ratio, control in PAIRS)
    write_preset(options.cohort.parent, *rows)
    first = run(options, *SEEDS)
    assert first.exit_code == 0, first.output
    assert "12 cells, 12 to do" in first.stderr
    return options


def test_every_cell_is_fitted_tested_and_laid_out(done: StudyOptions) -> None:
    rows = ("none", "1to2", "1to2-oversampling")
    cells = {
        f"efficientnet_lite0/{row}/fold{fold}{seed}"
        for row, fold, seed in itertools.product(rows, (0, 1), ("", "-seed1"))
    }
    assert set(fits(done.out)) == cells
    places = set(itertools.product(PAIRS, (0, 1), (0, 1), ("balanced", "external")))
    records = read_records(done.records)
    keys = [record["key"] for record in records]
    found = [((key["ratio"], key["control"]), key["fold"], key["seed"], key["set"]) for key in keys]
    assert len(found) == len(places)
    assert set(found) == places
    assert {record["n"] for record in records if record["key"]["set"] == "external"} == {2}
    table = figures(done.table)
    assert [(row["key"]["ratio"], row["key"]["control"]) for row in table["rows"]] == PAIRS
    for row in table["rows"]:
        assert row["balanced"]["folds"] == [0, 1]
        assert row["balanced"]["seeds"] == [0, 1]
    assert len({json.dumps(row["verdicts"]["score"]) for row in records}) == len(records)  # no two models are the same
    assert [path.name for path in sorted(done.table.parent.glob("t_*.png"))]
    assert [(trial.state.name, trial.params["ratio"]) for trial in trials(done)].count(("COMPLETE", "1:2")) == 8


def test_the_same_command_again_does_nothing(done: StudyOptions) -> None:
    files = [*done.out.rglob("*.json"), *done.out.rglob("*.safetensors"), done.records]
    before = {path: path.stat().st_mtime_ns for path in files}
    table = figures(done.table)
    again = run(done, *SEEDS)
    assert again.exit_code == 0
    assert "12 cells, 0 to do" in again.stderr
    assert "images/s" not in again.stderr  # no line of a training, or of a test
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert figures(done.table) == table


def test_what_is_gone_is_made_again_and_nothing_else(done: StudyOptions) -> None:
    """A model's folder: it is fitted again, to the same bits, and tested. A record: its model is only tested again."""
    before, records, table = fits(done.out), verdicts(done.records), figures(done.table)
    gone = "efficientnet_lite0/1to2/fold1-seed1"
    tensors = load_file(done.out / gone / "model.safetensors")
    shutil.rmtree(done.out / gone)
    lines = done.records.read_text().splitlines()
    lost = next(line for line in lines if json.loads(line)["key"]["ratio"] == "none")
    done.records.write_text("".join(f"{line}\n" for line in lines if line != lost))
    again = run(done, *SEEDS)
    assert again.exit_code == 0, again.output
    assert "12 cells, 2 to do" in again.stderr
    assert again.stderr.count("done before") == 1
    after = fits(done.out)
    assert {name for name in before if before[name] != after[name]} == {gone}
    refitted = load_file(done.out / gone / "model.safetensors")
    assert refitted.keys() == tensors.keys()
    assert all(torch.equal(refitted[name], tensors[name]) for name in tensors)
    assert verdicts(done.records) == records
    assert figures(done.table) == table


def test_a_study_in_slices_of_folds_is_the_whole_one(options: StudyOptions, tmp_path: Path) -> None:
    """Beside each other in one folder: the records come to the same table, and no cell is fitted twice."""
    study(options)
    sliced = replace(options, out=tmp_path / "m", records=tmp_path / "r.jsonl", table=tmp_path / "t.md")
    for fold, cells in ((1, 2), (0, 3)):
        bundles = tuple(path for path in options.bundles if path.stem == f"bundle{fold}")
        made = run(replace(sliced, bundles=bundles), "--fold", str(fold))
        assert made.exit_code == 0, made.output
        assert f"{cells} cells, {cells} to do" in made.stderr
    assert verdicts(sliced.records) == verdicts(options.records)
    assert figures(sliced.table) == figures(options.table)
    before = fits(sliced.out)
    assert "2 cells, 0 to do" in run(sliced, "--fold", "1").stderr
    assert fits(sliced.out) == before
    assert set(before) == set(NAMES)


def test_a_dry_run_writes_nothing_and_refuses_what_the_run_would(options: StudyOptions) -> None:
    before = sorted(options.cohort.parent.rglob("*"))
    shown = run(options, "--dry-run")
    assert shown.exit_code == 0
    assert "…" not in shown.stderr  # names are whole, on however many lines
    assert [line.split()[0] for line in shown.stderr.splitlines() if "/fold" in line and " 1 " in line] == NAMES[:4]
    assert sorted(options.cohort.parent.rglob("*")) == before
    assert "names a study in --storage" in sentence(run(options, "--dry-run", "--study", "s"))
    assert "not a storage" in sentence(run(options, "--dry-run", "--storage", "nonsense"))
    study(options)
    done = {path: path.stat().st_mtime_ns for path in options.out.rglob("*") if not path.name.startswith(".")}
    write_preset(options.cohort.parent, *ROWS[:2])
    assert f"cells {NAMES[-1]} only there" in sentence(run(options, "--dry-run"))
    assert {path: path.stat().st_mtime_ns for path in options.out.rglob("*") if path in done} == done


def test_another_preset_needs_force_and_keeps_what_is_the_same(options: StudyOptions) -> None:
    study(options)
    before = fits(options.out)
    place = options.cohort.parent
    write_preset(place, ROWS[0], ROWS[1].replace("1e-3", "2e-3"))
    with pytest.raises(UserError, match=r"another configuration \(lr 0.001, not 0.002\); give --force to replace it"):
        study(options)
    write_preset(place, *ROWS[:2])
    with pytest.raises(
        UserError, match=rf"another grid or cohort \(cells {NAMES[-1]} only there; .*\); give --force to replace it"
    ):
        study(options)
    write_preset(place, ROWS[0], ROWS[1].replace("1e-3", "2e-3"))
    study(replace(options, force=True))
    after = fits(options.out)
    assert {name for name in before if before[name] != after[name]} == set(NAMES[2:4])
    rates = {record["fit"]["ratio"]: record["fit"]["lr"] for record in read_records(options.records)}
    assert rates["none"] == 1e-3
    assert {r["fit"]["lr"] for r in read_records(options.records) if r["key"]["control"] == "none"} == {1e-3, 2e-3}
    study(options)
    assert fits(options.out) == after


def test_another_bundle_needs_force_and_concerns_its_cells_alone(
    options: StudyOptions, make_bundle: Callable[..., Bundle]
) -> None:
    study(options)
    before = fits(options.out)
    cohort = read_cohort(options.cohort)
    write_bundle(options.bundles[1], make_bundle(cohort, fold=1, count=9))
    with pytest.raises(UserError, match=r"1to2/fold1: holds a fit of another configuration \(bundles \w{12}…, not \w"):
        study(options)
    study(replace(options, force=True))
    after = fits(options.out)
    assert {name for name in before if before[name] != after[name]} == {NAMES[3]}


def test_a_damaged_model_needs_force_and_is_fitted_again(options: StudyOptions) -> None:
    write_preset(options.cohort.parent, ROWS[0])
    study(options)
    before, records = fits(options.out), verdicts(options.records)
    (options.out / NAMES[1] / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"none/fold1/config.json: damaged, .*; fit the model again with --force"):
        study(options)
    study(replace(options, force=True))
    after = fits(options.out)
    assert {name for name in before if before[name] != after[name]} == {NAMES[1]}
    assert verdicts(options.records) == records


def test_a_cell_that_fails_leaves_the_others_and_their_table(options: StudyOptions) -> None:
    """Its sentence is the last line; the same command tries it again."""
    write_preset(options.cohort.parent, *ROWS, f'{BURSTS}, ratio = "1:1"')
    for to_do in (6, 1):
        ended = run(options)
        assert f"6 cells, {to_do} to do" in ended.stderr
        expected = "error: custom_cnn/1to1/fold0: --lr 1e+06: the loss is no longer finite in epoch 1"
        assert sentence(ended).startswith(expected)
        assert sorted(fits(options.out)) == sorted(NAMES)
        rows = [(row["key"]["ratio"], row["key"]["control"]) for row in figures(options.table)["rows"]]
        assert rows == PAIRS
    write_preset(options.cohort.parent, *(row.replace(QUICK, BURSTS) for row in ROWS))
    none_left = run(replace(options, out=options.out / "x", records=options.out / "r", table=options.out / "t.md"))
    assert sentence(none_left).endswith("(4 more failed.)")
    assert not (options.out / "t.md").exists()


def test_a_batch_of_one_that_cannot_be_learnt_from_ends_no_other_cell(options: StudyOptions) -> None:
    """Batch normalisation has no spread of one image whose last layers are one pixel, which the first step shows."""
    pixel = 'model = "efficientnet_lite0", image_size = 32, unfreeze = 2, epochs = 1, fold = 0'
    write_preset(options.cohort.parent, f"{pixel}, batch = 1", f'{QUICK}, ratio = "none", fold = "all"')
    ended = run(options)
    assert sentence(ended).startswith("error: efficientnet_lite0/none/fold0: --batch 1: leaves a step with one image")
    assert sorted(fits(options.out)) == NAMES[:2]


def test_bundles_of_negatives_are_for_rows_that_say_so(
    options: StudyOptions, make_bundle: Callable[..., Bundle]
) -> None:
    cohort = read_cohort(options.cohort)
    negatives = make_bundle(cohort, label=0, class_name=cohort.classes[0])
    write_bundle(options.cohort.parent / "bundle2.h5", negatives)
    row = f'{QUICK}, ratio = "1:2", fold = 0'
    write_preset(options.cohort.parent, row, f'{row}, synthetic = "both"')
    options = options_in(options.cohort.parent)
    assert f"note: {options.bundles[2]} is not used" not in run(options).stderr
    made = {name: read_model(options.out / "custom_cnn" / name / "fold0") for name in ("1to2", "1to2-both")}
    counts = {name: model.document["counts"] for name, model in made.items()}
    extra = counts["1to2"]["synthetic_positives"]
    assert extra > 0
    assert [each["synthetic_negatives"] for each in counts.values()] == [0, extra]
    assert counts["1to2"]["negatives"] == counts["1to2-both"]["negatives"] + extra
    assert [row["key"]["synthetic"] for row in figures(options.table)["rows"]] == ["positive", "both"]


def test_values_of_the_paper_in_a_preset_of_ones_own_are_told_to_be_of_no_use(options: StudyOptions) -> None:
    write_preset(options.cohort.parent, f"{QUICK}, fold = 1, paper = {{ accuracy = [12.3] }}")
    ended = run(options)
    assert (
        f"note: {options.preset}: `paper` is not used, since tables print what the preset paper holds" in ended.stderr
    )
    assert "12.3" not in options.table.read_text()


def test_a_bundle_that_no_cell_uses_is_told(options: StudyOptions) -> None:
    """For example one of another fold."""
    write_preset(options.cohort.parent, f'{QUICK}, ratio = "1:2", fold = 1')
    said = run(options).stderr
    assert f"note: {options.bundles[0]} is not used" in said
    assert f"note: {options.bundles[1]}" not in said
