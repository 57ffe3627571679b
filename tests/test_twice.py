"""The same photographs, seed and versions give the same bytes and the same table: the whole way, in processes anew.

The second time texts hash otherwise, and the clock of the wall is years off and goes back at each look.
"""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PRESET = """
format = "rarescreen-table2"
version = 1
cells = [
    { model = "linear_probe", ratio = "none", epochs = 2 },
    { model = "custom_cnn", ratio = "none", epochs = 2 },
    { model = "custom_cnn", ratio = "1:2", epochs = 2 },
]
"""
STEPS = r"""
synth prepare --positive {photographs}/positive --negative {photographs}/negative \
    --external-negative {photographs}/external --size 32 --out cohort.h5
synth train cohort.h5 --start phantom-skin-32 --batch 8 --kimg 0.032 --quality-fakes 16 --features offline --offline \
    --jobs 1 --out adapted
synth train cohort.h5 --cfg tiny --method scratch --batch 8 --kimg 0.096 --quality-fakes 16 --checkpoint-every 0.048 \
    --features offline --offline --jobs 1 --out gan
synth generate gan --count 24 --out candidates.h5
synth select candidates.h5 --cohort cohort.h5 --network gan --sigma 100 --features offline --offline --out bundle.h5
classify study cohort.h5 --preset small.toml --bundle bundle.h5 --out models --offline --records records.jsonl \
    --table table2.md
"""
# What the clock and the other processes of the machine decide; of all else every digit is compared.
OF_THE_MOMENT = {"times", "image_s", "train_s", "frozen_s", "seconds", "peak_bytes"}
WRONG_CLOCK = """
import itertools, time

right, looks = time.time, itertools.count()
time.time = lambda: right() - 1e8 - 3600.0 * next(looks)
time.time_ns = lambda: int(1e9 * time.time())
"""


def run(folder: Path, *words: str, world: dict[str, str]) -> None:
    package, *rest = words
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | world
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", package, *rest],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def whole_way(folder: Path, photographs: Path, world: dict[str, str]) -> None:
    """Make everything from photographs to Table 2 in a folder."""
    (folder / "small.toml").write_text(PRESET)
    for line in STEPS.strip().replace("\\\n", "").splitlines():
        run(folder, *shlex.split(line.format(photographs=photographs)), world=world)


def without_the_moment(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_the_moment(each) for name, each in value.items() if name not in OF_THE_MOMENT}
    return [without_the_moment(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    photographs, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, count, red in (("positive", 30, 60), ("negative", 30, 0), ("external", 6, 0)):
        (photographs / name).mkdir()
        for number in range(count):
            pixels = rng.integers(40, 160, (20, 18, 3), dtype=np.uint8)
            pixels[..., 0] += np.uint8(red)
            Image.fromarray(pixels).save(photographs / name / f"{number}.png")
    made = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    clock = tmp_path_factory.mktemp("clock")
    (clock / "sitecustomize.py").write_text(WRONG_CLOCK)
    path = os.pathsep.join(filter(None, [str(clock), os.environ.get("PYTHONPATH")]))
    for folder, world in zip(made, ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "PYTHONPATH": path}), strict=True):
        whole_way(folder, photographs, world)
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    shown = subprocess.run(asked, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert float(shown.stdout) < time.time() - 1e8 + 60  # it was wrong indeed
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["cohort.h5", "adapted/network.safetensors", "gan/network.safetensors", "candidates.h5", "bundle.h5"]
)
def test_files_are_the_same_bytes(folders: list[Path], name: str) -> None:
    first, second = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in folders)
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("name", ["records.jsonl", "table2.json", "gan/table1.json", "adapted/table1.json"])
def test_results_are_the_same_digits(folders: list[Path], name: str) -> None:
    texts = [(folder / name).read_text(encoding="utf-8") for folder in folders]
    first, second = (
        [without_the_moment(json.loads(line)) for line in (text.splitlines() if name.endswith("l") else [text])]
        for text in texts
    )
    assert first == second
    assert len(json.dumps(first)) > 1000


@pytest.mark.slow
def test_the_models_are_the_same(folders: list[Path]) -> None:
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("model.safetensors"))}
        for folder in folders
    )
    assert len(first) == 3
    assert first == second
