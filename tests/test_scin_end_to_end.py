"""From a folder in SCIN's layout to a table by skin tone, as docs/scin.md shows it."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scin_folder import write_phantoms

from classify.cli import cli as classify
from shared.cohort import Cohort, read_cohort
from shared.document import escaped
from shared.records import read_records
from shared.splits import balanced_test_set
from synth.cli import cli as synth

PAGE = Path(__file__).parents[1] / "docs" / "scin.md"


def done(cli: object, *arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(each) for each in arguments])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clinic")


@pytest.fixture(scope="module")
def said(place: Path) -> str:
    """Return what the command of the page says of the set that it speaks of."""
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.chdir(place)
        write_phantoms(Path("scin"), size=32)
        (command,) = re.findall(r"^    synth (prepare --scin scin .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        words = [word.strip('"') for word in re.findall(r'"[^"]+"|\S+', command)]
        return done(synth, *words)


@pytest.fixture(scope="module")
def cohort(place: Path, said: str) -> Cohort:
    return read_cohort(place / "cohort.h5")


def test_the_page_shows_what_the_command_says(said: str) -> None:
    (block,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    expected = block.strip("\n").split("\n")
    assert len(expected) > 10
    told = [re.sub("sha256 [0-9a-f]{64}", "sha256 …", line).rstrip() for line in said.splitlines()]
    places = [told.index(line) for line in expected if line.strip() != "…"]
    assert places == sorted(places)


def test_results_stand_by_skin_tone_in_their_order(place: Path, cohort: Cohort) -> None:
    model, records, table = place / "model", place / "records.jsonl", place / "table2.md"
    small = ("--depth", 2, "--head", "8", "--image-size", 32, "--epochs", 2)
    done(classify, "fit", cohort.path, *small, "--device", "cpu", "--offline", "--out", model)
    done(classify, "evaluate", model, "--cohort", cohort.path, "--device", "cpu", "--records", records)
    done(classify, "table", records, "--least", 3, "--out", table)
    rows = balanced_test_set(cohort, 0)
    result = json.loads(table.with_suffix(".json").read_text())["rows"][0]["balanced"]
    (record,) = read_records(records)
    right = (np.array(record["verdicts"]["score"]) > 0) == (cohort.label[rows] == 1)
    markdown = table.read_text()
    hidden = 0
    for name, column in cohort.attributes.items():
        values = column[rows].tolist()
        counts = Counter(value or "not given" for value in values)
        enough = {value for value, n in counts.items() if n >= 3}
        hidden += len(counts) - len(enough)
        ordered = sorted(enough, key=lambda v: (v == "not given", int(re.sub(r"\D", "", v) or 0)))
        shown = [part for part in result["parts"] if part["attribute"] == name]
        assert [(part["value"], part["n"]) for part in shown] == [(value, counts[value]) for value in ordered]
        for part in shown:
            own = [good for good, value in zip(right, values, strict=True) if (value or "not given") == part["value"]]
            low, high = part["accuracy"]["interval"]
            assert part["accuracy"]["value"] == pytest.approx(np.mean(own))
            assert low <= part["accuracy"]["value"] <= high
            assert (
                f"| {escaped(name)} | {escaped(part['value'])} | {part['n']} | {100 * np.mean(own):.1f} (" in markdown
            )
    assert {"fitzpatrick_skin_type", "monk_skin_tone_label_us"} < set(cohort.attributes)
    assert result["hidden_parts"] == hidden > 1
    assert f"{hidden} values have fewer than 3 images, too few to say anything, and are left out." in markdown
