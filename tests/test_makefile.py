"""What make runs again, with commands that only write their files and say that they ran."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from classify.table2.figures import FIGURES

ROOT = Path(__file__).parents[1]
FULL = ["prepare", "train", "generate", "select", "study"]

COMMAND = """#!/bin/bash
echo "$*" >> log
while [ $# -gt 0 ]; do
  [ "$1" = --out ] && out=$2
  [ "$1" = --table ] && table=$2
  shift
done
if [ -n "$table" ]; then touch "$table" "${table%.md}"{.json,_accuracy.png,_confusion.png,_curves.png,_reliability.png}
elif [[ $out == *gan ]]; then mkdir -p "$out"; touch "$out"/{table1.json,table1.md,curves.png}
else mkdir -p "$(dirname "$out")"; touch "$out" "${out%.h5}"_{sheet,scores,borders,copies}.png "${out%.h5}"_audit.md
fi
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    commands = tmp_path / "fake" / "bin"
    commands.mkdir(parents=True)
    for name in ("synth", "classify", "python"):
        (commands / name).write_text(COMMAND if name != "python" else "#!/bin/bash\n")
        (commands / name).chmod(0o755)
    (tmp_path / "fake" / ".ready").touch()
    return tmp_path


def _ran(project: Path, *settings: str, wanted: tuple[str, ...] = ("table1", "table2")) -> list[str]:
    """Make what is wanted and return the command lines that this took."""
    log = project / "log"
    log.write_text("")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", "VENV=fake", *wanted, *settings]
    subprocess.run(command, cwd=project, env=clean, check=True, timeout=60)
    return log.read_text().splitlines()


def _verbs(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if "--dry-run" not in line]


def test_only_what_is_stale_runs_again(project: Path) -> None:
    assert _verbs(_ran(project)) == FULL
    assert _ran(project) == []
    (project / "work" / "phantom32.h5").touch()
    assert _verbs(_ran(project)) == FULL[1:]
    assert _verbs(_ran(project, "SIGMA=3")) == FULL[2:]
    assert _ran(project, "SIGMA=3") == []


def test_the_pictures_that_table_2_shows_stand_beside_it(project: Path) -> None:
    _ran(project)
    made = {path.name for path in (project / "results").glob("table2*")}
    assert made == {"table2.md", "table2.json", *(f"table2_{name}.png" for name in FIGURES)}


def test_results_belong_to_the_study_asked_for_last(project: Path) -> None:
    _ran(project)
    _ran(project, "PROTOCOL=paper")
    assert "paper" in (project / "results" / ".of").read_text()
    assert "train" not in _verbs(_ran(project))  # the finished grid is kept, its results come back
    assert "strict" in (project / "results" / ".of").read_text()


def test_the_paper_protocol_has_one_network_and_allows_what_was_seen(project: Path) -> None:
    lines = _ran(project, "PROTOCOL=paper", "PRESET=paper")
    assert _verbs(lines) == FULL
    assert "--allow-seen" in lines[-1]
    assert ["--dry-run" in line for line in lines] == [False, True, *[False] * 4]  # what it takes, before it begins
    assert "--fold all" in lines[2]
    assert not any("--dry-run" in line for line in _ran(project))  # of the demo everybody knows


def test_the_strict_protocol_has_one_network_a_fold(project: Path) -> None:
    lines = _ran(project, "PRESET=paper")
    assert _verbs(lines).count("train") == _verbs(lines).count("select") == 5
    assert lines[-1].count("--bundle") == 5
    assert "--allow-seen" not in lines[-1]


def test_the_report_is_made_of_both_tables_and_of_what_is_behind_them(project: Path) -> None:
    lines = _ran(project, "PRESET=paper", wanted=("report",))
    assert _verbs(lines)[-3:] == ["study", "report", "report"]
    read = [word for line in lines[-2:] for word in line.split() if "/" in word]
    assert len(read) >= 1 + 5 + 5 + 1  # the cohort, runs, bundles and records
    assert [word for word in read if not (project / word).exists() and not word.endswith("records.jsonl")] == []
    assert (project / "results" / "report.html").exists()
    assert _ran(project, "PRESET=paper", wanted=("report",)) == []


def test_spaces_in_names_are_one_sentence(project: Path) -> None:
    asked = ["make", "VENV=fake", "table1", "COHORT=my cohort.h5"]
    ended = subprocess.run(asked, cwd=project, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "cannot work with spaces in names" in ended.stderr
