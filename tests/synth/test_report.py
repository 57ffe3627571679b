"""The report of photographs, a generator and a selection: what is in it, and what may not be."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner
from runs import colours_extractor

from shared.cohort import POSITIVE, Cohort, read_cohort, write_cohort
from shared.document import Grid, Heading, Paragraph, Picture, to_markdown
from shared.errors import UserError
from shared.markdown import read_page
from shared.splits import parts
from synth.cli import cli
from synth.cohorts.page import cohort_page, find_duplicates
from synth.generate import GenerateOptions, generate
from synth.report import ReportOptions, report
from synth.select import select
from synth.selecting.options import SelectOptions
from synth.train import train
from synth.training.cells import product
from synth.training.options import TrainOptions


@pytest.fixture(scope="module")
def made(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and a bundle of it, as the commands leave them."""
    folder = tmp_path_factory.mktemp("made of photographs")
    assert cohort.path is not None
    options = TrainOptions(
        cohort=cohort.path, out=folder / "gan", gamma=(0.1,), cfg="tiny", kimg=0.008, batch=8, checkpoint_every=0.008,
        quality_fakes=16, features="offline", device="cpu", offline=True,
    )  # fmt: skip
    train(options, product([0.1], [0.6], [0.002]))
    generate(GenerateOptions(network=folder / "gan", out=folder / "candidates.h5", count=12))
    with mock.patch("synth.selecting.scored.open_extractor", return_value=colours_extractor()):
        select(
            SelectOptions(
                candidates=folder / "candidates.h5", cohort=cohort.path, network=folder / "gan", sigma=9.0,
                out=folder / "bundle.h5",
            )
        )  # fmt: skip
    return folder / "gan", folder / "bundle.h5"


@pytest.fixture
def write(cohort: Cohort, made: tuple[Path, Path], tmp_path: Path) -> Callable[..., str]:
    def call(**options: object) -> str:
        run, bundle = made
        defaults = {"cohort": cohort.path, "out": tmp_path / "r.html", "runs": (run,), "bundles": (bundle,)}
        report(ReportOptions(**(defaults | options)))
        return (tmp_path / "r.html").read_text()

    return call


def test_it_leads_from_the_photographs_to_what_was_kept(
    write: Callable[..., str], made: tuple[Path, Path], cohort: Cohort, tmp_path: Path
) -> None:
    html, page = write(), read_page(tmp_path / "r.md")
    sections = [block.text for block in page if isinstance(block, Heading) and block.level == 2]
    assert sections == [
        "The photographs", "The generator, fold 0", "The selection, fold 0", "Limits of the images",
        "Where the images come from",
    ]  # fmt: skip
    table = json.loads((made[0] / "table1.json").read_text())
    text = (tmp_path / "r.md").read_text()
    assert f"(n = {table['rows'][0]['quality']['n_fake']} against" in text
    assert " of 12 generated images were kept by the rule *union*" in text
    assert cohort.sha256 in text
    pictures = [block for block in page if isinstance(block, Picture)]
    assert all((tmp_path / picture.file).is_file() for picture in pictures)
    assert {Path(picture.file).name for picture in pictures} == {
        "best.png", "curves.png", "bundle_sheet.png", "bundle_copies.png", "bundle_scores.png", "bundle_borders.png",
    }  # fmt: skip
    assert html.count("data:image/webp") == len(pictures)
    assert "phantom, rendered skin" in html
    assert "photographs of patients: keep it" not in html


def test_without_a_selection_nothing_is_said_of_one(write: Callable[..., str], tmp_path: Path) -> None:
    write(bundles=())
    text = (tmp_path / "r.md").read_text()
    assert "are thrown away" not in text
    assert "That no copy was found" not in text
    assert "Nobody looked for copies of photographs among the images here" in text
    assert "(./" not in text
    assert " ./" not in text
    assert "from scratch" in text
    assert "method scratch" not in text
    assert text.startswith("# Synthetic images of ")
    write(bundles=(), runs=(), force=True)
    text = (tmp_path / "r.md").read_text()
    assert text.startswith("# Photographs of ")
    assert "copies" not in text.partition("Limits of the images")[2]


def test_photographs_stay_out_where_they_are_not_wanted(
    cohort: Cohort, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dataclasses.replace(cohort, source="photographs")
    folder = shutil.copytree(made[1].parent, tmp_path / "made", ignore=shutil.ignore_patterns("gan"))
    with (folder / "bundle_audit.md").open("a") as stream:
        stream.write("\n| seed | distance | by its pixels | photograph | which was |\n|--:|--:|---|---|---|\n")
        stream.write("| 5 | 0.10 | no | ward/jane.jpg | trained on |\n")
    monkeypatch.setattr("synth.report.read_cohort", lambda _: real)
    options = ReportOptions(tmp_path / "c.h5", tmp_path / "r.html", made[:1], (folder / "bundle.h5",))
    report(options)
    assert "shows photographs of patients: keep it where these are" in (tmp_path / "r.html").read_text()
    assert "jane.jpg" in (tmp_path / "r.md").read_text()
    report(dataclasses.replace(options, photographs=False, force=True))
    text, page = (tmp_path / "r.md").read_text(), read_page(tmp_path / "r.md")
    assert "photographs of patients: keep" not in text
    # No picture of skin: neither photographs, nor what nobody compared with them, nor what was rejected as a copy.
    shown = {Path(block.file).name for block in page if isinstance(block, Picture)}
    assert shown == {"curves.png", "bundle_scores.png"}
    copies = page[page.index(Heading("Limits of the images", 2)) - 1]
    assert copies == Grid(["seed", "distance", "by its pixels", "which was"], [["5", "0.10", "no", "trained on"]], 0)
    assert "jane" not in text
    assert "--no-photographs" in (tmp_path / "r.html").read_text()


def test_counts_groups_and_parts_are_those_of_the_cohort(cohort: Cohort) -> None:
    blocks = cohort_page(cohort)
    counts, folds = (block for block in blocks if isinstance(block, Grid))
    assert not find_duplicates(cohort)
    assert "No photograph was found twice" in to_markdown(blocks)
    assert counts.rows == [["herpeticum", "30", "15"], ["eczema", "24", "12"], ["external negatives", "4", "2"]]
    for fold, row in enumerate(folds.rows):
        part = parts(cohort, fold)
        for rows, shown in zip((part.train, part.validation, part.test), row[1:], strict=True):
            positives = int((cohort.label[rows] == POSITIVE).sum())
            assert shown == f"{positives} + {len(rows) - positives}"


def test_the_same_photograph_twice_is_found_and_a_wrong_label_named(cohort: Cohort, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (58, 16, 16, 3), dtype=np.uint8)
    noise[40] = noise[3, ::-1]  # one is a positive, the other a negative
    twice = dataclasses.replace(cohort, images=noise, source="photographs")
    write_cohort(tmp_path / "c.h5", twice)
    blocks = cohort_page(read_cohort(tmp_path / "c.h5"))
    (told,) = (block.text for block in blocks if isinstance(block, Paragraph) and "same photograph" in block.text)
    assert told.startswith("1 pairs show the same photograph")
    assert "**1 of them are in different groups: prepare the cohort again.**" in told
    assert "**1 of them have one image in each class, so that one label is wrong.**" in told
    assert ["3.png", "40.png", "1.000"] in [row for block in blocks if isinstance(block, Grid) for row in block.rows]
    unnamed = cohort_page(read_cohort(tmp_path / "c.h5"), named=False)
    assert Paragraph(told) in unnamed
    assert ".png" not in to_markdown(unnamed)


@pytest.mark.parametrize("named", [False, True])
def test_duplicates_are_no_word_on_who_the_patients_are(cohort: Cohort, tmp_path: Path, named: bool) -> None:
    """Where nothing but two copies of a photograph is together, nobody said which photographs are of one patient."""
    noise = np.random.default_rng(5).integers(0, 256, (58, 16, 16, 3), dtype=np.uint8)
    noise[3] = noise[2, ::-1]
    group = np.arange(58)
    group[3] = 2
    if named:
        group[11] = 10
    alone = dataclasses.replace(cohort, images=noise, source="photographs", group_id=group)
    write_cohort(tmp_path / "c.h5", alone)
    page = to_markdown(cohort_page(read_cohort(tmp_path / "c.h5")))
    assert ("Nobody said which photographs are of one patient" in page) == (not named)
    assert ("stay together on one side of every split" in page) == named


@pytest.mark.parametrize("run", ["../../../etc", "/etc", "a\u0000b", 3, None])
def test_a_table_leads_to_no_other_folder(
    write: Callable[..., str], made: tuple[Path, Path], tmp_path: Path, run: object
) -> None:
    table = json.loads((made[0] / "table1.json").read_text())
    table["rows"][0]["run"] = run
    (tmp_path / "table1.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"table1\.json: names no cell of this grid"):
        write(runs=(tmp_path,))
    assert not (tmp_path / "r.html").exists()


def test_what_is_missing_or_of_another_cohort_is_one_sentence(
    write: Callable[..., str], made: tuple[Path, Path], cohort: Cohort, tmp_path: Path
) -> None:
    bundle = made[1]
    other = tmp_path / "other.h5"
    write_cohort(other, dataclasses.replace(cohort, seed=7))
    with pytest.raises(UserError, match=r"of another cohort than .*other\.h5; give the bundles that belong to it"):
        write(cohort=other)
    with pytest.raises(UserError, match=r"table1\.json: no such file; the table of the run or grid must be"):
        write(runs=(tmp_path,))
    (tmp_path / "table1.json").write_text('{"rows": [{}]}')
    with pytest.raises(UserError, match=r"table1\.json: damaged; run the same `synth train` command again"):
        write(runs=(tmp_path,))
    table = json.loads((made[0] / "table1.json").read_text())
    del table["rows"][0]["seconds"]
    (tmp_path / "table1.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"table1\.json: damaged"):
        write(runs=(tmp_path,))
    with pytest.raises(
        UserError, match=r"candidates\.h5: candidates, of which nothing is selected; give what `synth sel"
    ):
        write(bundles=(bundle.with_name("candidates.h5"),))
    assert not (tmp_path / "r.html").exists()
    alone = tmp_path / "alone.h5"
    alone.write_bytes(bundle.read_bytes())
    with pytest.raises(UserError, match=r"alone_audit\.md: no such file, and the report tells what is in it; leave"):
        write(bundles=(alone,))


def test_the_command_refuses_with_two_and_writes_with_zero(
    made: tuple[Path, Path], cohort: Cohort, tmp_path: Path
) -> None:
    arguments = ["report", str(cohort.path), "--run", str(made[0]), "--out", str(tmp_path / "r.html")]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 2
    assert "exists already; give --force" in again.output
