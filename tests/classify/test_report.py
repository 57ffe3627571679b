"""The report of a study: the answer first, what was made before it, and where every figure comes from."""

import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from recorded import record
from statsmodels.stats.proportion import proportion_confint

from classify.cli import cli
from classify.measuring.operating import Operating
from classify.report import LIMITS, ReportOptions, blocks_of, report
from classify.table2.summary import summarize
from shared.document import Bullets, Grid, Heading, Paragraph, Picture, escaped, to_markdown
from shared.errors import UserError
from shared.html.report import cohort_words
from shared.records import append_record

RECORDS = [record((85, 85)), record((88, 88), ratio="1:5")]


@pytest.fixture
def options(tmp_path: Path) -> ReportOptions:
    for each in RECORDS:
        append_record(tmp_path / "r.jsonl", each)
    return ReportOptions((tmp_path / "r.jsonl",), tmp_path / "out" / "report.html")


def test_the_answer_comes_first_and_everything_of_the_table_follows(options: ReportOptions, tmp_path: Path) -> None:
    page, table = blocks_of(options, tmp_path), summarize(RECORDS)
    assert page[1:3] == [Paragraph(f"**{table.headline}**"), Paragraph(table.conclusion[0])]
    sections = [block.text for block in page if isinstance(block, Heading) and block.level == 2]
    assert sections[0] == "Test results"
    assert sections[-2:] == ["Where these figures come from", "Limits"]
    assert page[-1] == Bullets(LIMITS)
    pictures = [block.file for block in page if isinstance(block, Picture)]
    assert pictures
    assert all((tmp_path / name).is_file() for name in pictures)
    report(options)
    text = options.out.read_text()
    assert text.count("data:image/webp") == len(pictures)
    assert "<code>classify report r.jsonl --out report.html</code>" in text
    assert [path.name for path in options.out.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("named", ["synth.md", "synth.html"])
def test_a_page_of_the_images_comes_between_answer_and_table(
    options: ReportOptions, tmp_path: Path, named: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "p q.png")
    before = [Heading("The images"), Paragraph("Made."), Heading("The photographs", 2), Picture("p q.png", "Pictures")]
    (tmp_path / "synth.md").write_text(to_markdown(before))
    (tmp_path / "figures").mkdir()
    page = blocks_of(ReportOptions(options.records, options.out, (tmp_path / named,)), tmp_path / "figures")
    here = page.index(Heading("The images", 2))
    assert page[here + 1 : here + 4] == [
        Paragraph("Made."),
        Heading("The photographs", 2),
        Picture("../p q.png", "Pictures"),
    ]
    assert page[here + 4] == Heading("Test results", 2)


def test_results_stand_by_skin_tone_with_their_n_and_interval(tmp_path: Path) -> None:
    """Of 30 images each tone has 15; of 12 of the light and 9 of the dark ones the verdict is right."""
    tones = ["FST2"] * 15 + ["FST6"] * 15
    label = [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1] * 2
    right = [place % 15 < (12 if tone == "FST2" else 9) for place, tone in enumerate(tones)]
    score = [(1.0 if each == good else -1.0) for each, good in zip(map(bool, label), right, strict=True)]
    rare = ["1"] * 28 + ["10"] * 2
    attributes = {"fitzpatrick_skin_type": tones, "monk_skin_tone_label_us": rare}
    append_record(tmp_path / "r.jsonl", record(score=score, label=label, attributes=attributes))
    page = blocks_of(ReportOptions((tmp_path / "r.jsonl",), tmp_path / "r.html", least=10), tmp_path)
    here = page.index(Heading("By attribute", 2))
    assert page[here + 1] == Paragraph("1 value has fewer than 10 images, too few to say anything, and is left out.")
    ends = page[here + 2]
    assert isinstance(ends, Grid)
    ((_, attribute, values, lowest, low_accuracy, highest, high_accuracy),) = ends.rows
    assert (attribute, values) == (escaped("fitzpatrick_skin_type"), "2")
    assert (lowest, low_accuracy.partition(" ")[0]) == ("FST6 (n = 15)", "60.0")
    assert (highest, high_accuracy.partition(" ")[0]) == ("FST2 (n = 15)", "80.0")
    grid = page[page.index(Heading("Every value", 3)) + 1]
    assert isinstance(grid, Grid)
    shown = [(row[1], row[2], row[3], row[4].partition(" ")[0]) for row in grid.rows]
    assert shown == [
        (escaped("fitzpatrick_skin_type"), "FST2", "15", "80.0"),
        (escaped("fitzpatrick_skin_type"), "FST6", "15", "60.0"),
        (escaped("monk_skin_tone_label_us"), "1", "28", f"{100 * sum(right[:28]) / 28:.1f}"),
    ]
    low, high = proportion_confint(9, 15, method="wilson")
    assert f"{100 * low:.1f}" in grid.rows[1][4]
    assert f"{100 * high:.1f}" in grid.rows[1][4]
    report(ReportOptions((tmp_path / "r.jsonl",), tmp_path / "r.html", least=10))
    text = (tmp_path / "r.html").read_text()
    assert "By attribute" in text
    assert "<td>FST6</td>" in text


def test_what_cannot_be_written_is_one_sentence(options: ReportOptions, tmp_path: Path) -> None:
    (tmp_path / "no.md").write_text("Text without a title\n")
    (tmp_path / "foreign.html").write_text("<html></html>")
    with pytest.raises(
        UserError, match=r"foreign\.html: foreign\.md does not stand beside it, as `synth report` writes"
    ):
        report(ReportOptions(options.records, options.out, (tmp_path / "foreign.html",)))
    with pytest.raises(UserError, match=r"no\.md: does not begin with a title; give a page that `synth report` wrote"):
        report(ReportOptions(options.records, options.out, (tmp_path / "no.md",)))
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="no record of an evaluation"):
        report(ReportOptions((tmp_path / "empty.jsonl",), options.out))
    assert not options.out.exists()
    arguments = ["report", str(options.records[0]), "--out", str(options.out)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 2
    assert "exists already; give --force" in again.output


def test_the_command_on_the_page_makes_the_same_page(
    options: ReportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Operating(0.9, (0.01, 0.2))
    report(ReportOptions(options.records, tmp_path / "a report.html", operating=asked, least=5))
    first = (tmp_path / "a report.html").read_bytes()
    (command,) = set(re.findall(r"<code>(classify report [^<]*)</code>", first.decode()))
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(unescape(command))
    assert CliRunner().invoke(cli, [*arguments, "--force"]).exit_code == 0
    assert (tmp_path / "a report.html").read_bytes() == first
    assert CliRunner().invoke(cli, ["report", "r.jsonl", "--out", "a report.html", "--force"]).exit_code == 0
    assert (tmp_path / "a report.html").read_bytes() != first


def test_figures_tell_of_which_photographs_and_fits_they_are(options: ReportOptions, tmp_path: Path) -> None:
    append_record(options.records[0], record((70, 70), ratio="1:5", seed=1, epochs=4, bundles=("b" * 64,)))
    page = blocks_of(options, tmp_path)
    assert any(isinstance(block, Paragraph) and f"cohort `{'c' * 64}`" in block.text for block in page)
    fits = page[page.index(Heading("How each row was fitted", 3)) + 1]
    assert isinstance(fits, Grid)
    rows = {row[0]: dict(zip(fits.header, row, strict=True)) for row in fits.rows}
    assert rows["Custom CNN, none"]["Epochs, at most"] == "3"
    assert rows["Custom CNN, none"]["Bundles (SHA-256)"] == "–"
    assert rows["Custom CNN, 1:5"]["Epochs, at most"] == "3, 4"
    assert rows["Custom CNN, 1:5"]["Seeds"] == "0, 1"
    assert rows["Custom CNN, 1:5"]["Bundles (SHA-256)"] == "b" * 12
    assert rows["Custom CNN, 1:5"]["Layers that train"] == "all"


def test_a_page_of_other_photographs_is_refused(options: ReportOptions, tmp_path: Path) -> None:
    for name, sha256 in (("own", "c" * 64), ("other", "d" * 64)):
        page = [Heading("The images"), Bullets([f"{cohort_words(sha256)}, phantom, seed 0."])]
        (tmp_path / f"{name}.md").write_text(to_markdown(page))
    with pytest.raises(UserError, match=r"other\.md: of cohort d{12}, and the records are of c{12}; give the page"):
        report(ReportOptions(options.records, options.out, (tmp_path / "other.md",)))
    assert not options.out.exists()
    report(ReportOptions(options.records, options.out, (tmp_path / "own.md",)))
