#!/usr/bin/env bash
# Mutations of the statistics and of the guard (benchmarks/results/mutation.md): hours of a core. The same command goes on
# where it was stopped.
#
#   benchmarks/mutation.sh WORK        WORK is a folder for a copy of the sources, outside of this one
#
# mutmut (`pip install mutmut==3.8.1`) must be importable beside the installed Rarescreen. Afterwards, within WORK,
# `mutmut results` lists what was not noticed and `mutmut show NAME` shows it.
set -euo pipefail
if [ $# -ne 1 ]; then
  sed -n '5s/^# *//p' "$0" >&2
  exit 2
fi
HERE=$(cd "$(dirname "$0")/.." && pwd)
if [ ! -d "$1" ]; then
  git clone -q "$HERE" "$1"
  cat >> "$1/pyproject.toml" <<'TOML'

[tool.mutmut]
source_paths = ["classify", "shared"]
only_mutate = [
    "classify/measuring/statistics.py", "classify/measuring/paired.py", "classify/measuring/bootstrap.py",
    "classify/measuring/calibration.py", "classify/measuring/venn_abers.py", "classify/measuring/verdicts.py",
    "classify/measuring/measures.py", "classify/measuring/measured.py", "classify/guard.py", "shared/splits.py",
]
also_copy = ["synth", "vendor", "benchmarks", "docs", "README.md", "tests"]
pytest_add_cli_args = ["-p", "no:xdist", "-x", "-q"]
pytest_add_cli_args_test_selection = [
    "tests/classify/test_paired.py", "tests/classify/test_statistics.py", "tests/classify/test_bootstrap.py",
    "tests/classify/test_calibration.py", "tests/classify/test_venn_abers.py", "tests/classify/test_verdicts.py",
    "tests/classify/test_measures.py", "tests/classify/test_measured.py", "tests/classify/test_guard.py",
    "tests/shared/test_splits.py",
]
TOML
fi
cd "$1"
OMP_NUM_THREADS=1 python -m mutmut run --max-children 1
