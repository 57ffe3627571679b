"""Who reads a bundle without Rarescreen, and from several processes at once."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import shared.stored
from shared.bundle import Bundle, read_bundle, write_bundle

COUNT, SIZE, WORKERS = 48, 16, 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Bundle]) -> Bundle:
    """A bundle as it was given to the writer, and beside that the path of its file."""
    made = make_bundle(candidates=2 * COUNT, selected=tuple(range(0, 2 * COUNT, 2)), size=SIZE)
    path = tmp_path_factory.mktemp("bundle") / "bundle.h5"
    write_bundle(path, made)
    return replace(made, path=path)


STRANGER = """
import json, sys
import h5py, numpy as np

columns = {}

def keep(name, item):
    if isinstance(item, h5py.Dataset):
        columns[name] = item.asstr()[()].astype(str) if h5py.check_string_dtype(item.dtype) else item[()]

with h5py.File(sys.argv[1]) as file:
    file.visititems(keep)
    attributes = {name: value.item() if hasattr(value, "item") else value for name, value in file.attrs.items()}
np.savez(sys.argv[2], **columns)
assert not {"shared", "synth", "classify"} & {name.split(".")[0] for name in sys.modules}
print(json.dumps(attributes))
"""


def test_plain_h5py_reads_all_without_rarescreen(bundle: Bundle, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-W", "error", "-c", STRANGER, bundle.path, tmp_path / "columns.npz"]
    attributes = json.loads(subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=tmp_path).stdout)
    with np.load(tmp_path / "columns.npz") as file:
        columns = dict(file)
    expected = {name: getattr(bundle, name) for name in ("images", "seed", "similarity", "discriminator")}
    expected |= {f"seen/{name}": getattr(bundle, f"seen_{name}") for name in ("image_id", "group_id")}
    for group in ("candidates", "reference"):
        expected |= {f"{group}/{name}": column for name, column in getattr(bundle, group).items()}
    assert columns.keys() == expected.keys()
    for name, column in columns.items():
        np.testing.assert_array_equal(column, expected[name])
        assert column.dtype == expected[name].dtype
    nested = ("thresholds", "generator", "quality", "features", "memorization", "audit")
    plain = ("class_name", "label", "fold", "protocol", "cohort", "rule", "sigma", "shareable_reason", "size")
    assert {name: attributes[name] for name in plain} == {name: getattr(bundle, name) for name in plain}
    assert {name: json.loads(attributes[name]) for name in nested} == {name: getattr(bundle, name) for name in nested}
    others = {"format": "rarescreen-bundle", "version": 1, "shareable": "no"}
    assert attributes.keys() == {*plain, *nested, *others}
    assert {name: attributes[name] for name in others} == others


def test_images_are_compressed(bundle: Bundle, tmp_path: Path) -> None:
    flat = np.repeat(np.arange(len(bundle), dtype=np.uint8), SIZE * SIZE * 3).reshape(len(bundle), SIZE, SIZE, 3)
    write_bundle(tmp_path / "flat.h5", replace(bundle, images=flat))
    with h5py.File(tmp_path / "flat.h5") as file:
        assert file["images"].compression == "gzip"
        assert file["images"].id.get_storage_size() < flat.nbytes / 50
        np.testing.assert_array_equal(file["images"][()], flat)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_reads_it(bundle: Bundle) -> None:
    def dump(*options: str) -> str:
        command = ["h5dump", *options, str(bundle.path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    header = dump("-H")
    shapes = dict(re.findall(r'DATASET "(\w+)" \{\s+DATATYPE[^}]*?DATASPACE +SIMPLE \{ \( ([\d, ]+) \)', header))
    assert shapes["images"] == f"{COUNT}, {SIZE}, {SIZE}, 3"
    assert set(re.findall(r'ATTRIBUTE "(\w+)"', header)) >= {"format", "version", "cohort", "generator", "shareable"}
    numbers = re.search(r"DATA \{(.*?)\}", dump("-y", "-w", "0", "-d", "/seed"), re.DOTALL)
    assert numbers is not None
    assert [*map(int, numbers[1].split(","))] == bundle.seed.tolist()
    pixels = re.search(r"DATA \{(.*?)\}", dump("-y", "-w", "0", "-d", "/images"), re.DOTALL)
    assert pixels is not None
    assert [*map(int, pixels[1].replace("\n", " ").replace(",", " ").split())] == bundle.images.ravel().tolist()


class Rows(Dataset[dict[str, Any]]):
    """The images of a bundle as a training loop takes them, and how each was come by."""

    def __init__(self, path: Path) -> None:
        self.images = read_bundle(path).images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {
            "row": row,
            "images": torch.from_numpy(np.array(self.images[row])),
            "process": os.getpid(),
            "handles": h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE),
            "in_memory": "_all" in vars(self.images),
        }


def _keep_nothing(_: int) -> None:
    """Make a worker read from the file whatever it is asked for."""
    shared.stored.CACHE_BYTES = 0


def _load(path: Path, out: Path, context: str, place: str) -> None:
    """Read the bundle at `path` in several workers, and with an open file in this process, too; write what they got."""
    loader = DataLoader(
        Rows(path),
        batch_size=3,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
        num_workers=WORKERS,
        multiprocessing_context=context,
        worker_init_fn=_keep_nothing if place == "disk" else None,
    )
    with h5py.File(path, locking=False) as file:
        batches = [batch | {"here": torch.from_numpy(file["images"][:])[batch["row"]]} for batch in loader]
    np.savez(out, **{name: torch.cat([batch[name] for batch in batches]).numpy() for name in batches[0]})


@pytest.mark.parametrize(("context", "place"), [("fork", "disk"), ("spawn", "disk"), ("fork", "memory")])
def test_several_workers_read_at_once(context: str, place: str, bundle: Bundle, tmp_path: Path) -> None:
    if context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} here")
    out = tmp_path / "found.npz"
    command = [sys.executable, __file__, bundle.path, out, context, place]
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    with np.load(out) as file:
        found = dict(file)
    assert sorted(found["row"].tolist()) == list(range(COUNT))
    np.testing.assert_array_equal(found["images"], bundle.images[found["row"]])
    np.testing.assert_array_equal(found["here"], bundle.images[found["row"]])
    assert len(set(found["process"].tolist())) == WORKERS
    assert set(found["in_memory"].tolist()) == {place == "memory"}
    assert set(found["handles"].tolist()) == {int(context == "fork")}  # one that it inherited; its own are closed again


if __name__ == "__main__":
    _load(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
