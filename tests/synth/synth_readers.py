"""Readers of files that `synth` reads."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from reading import ROOT, Reader, write_small_cohort


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content, encoding="utf-8")
        return folder / name

    return make


def _read_csv(path: Path) -> None:
    from synth.cohorts.metadata import read_metadata

    read_metadata(path, ["rare/a.png", "rare/b.png", "other/a.png", "other/c.png"])


def _scin(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from scin_folder import published, write_scin

        return write_scin(folder / "scin", published()) / "dataset" / name

    return make


def _read_scin(path: Path) -> None:
    from scin_folder import HERPES

    from synth.cohorts.scin import list_scin

    list_scin(path.parents[1], HERPES, (), 0.5)


def _network(folder: Path) -> Path:
    from stylegan2_ada import Networks, network_bytes, resolve

    generator, discriminator, _ = resolve("tiny", 8)
    about = {"provenance": {"method": "scratch", "seed": 0}, "cohort": "c" * 64}
    (folder / "n.safetensors").write_bytes(network_bytes(Networks.build(generator, discriminator, 0), about, half=True))
    return folder / "n.safetensors"


def _read_network(path: Path) -> None:
    from synth.drawing.trained import open_network

    open_network(path, torch.device("cpu"))


def _snapshot(folder: Path) -> Path:
    (folder / "n.pkl").write_bytes((ROOT / "tests/golden/nvidia_snapshot_r16.pkl").read_bytes())
    return folder / "n.pkl"


def _audit(folder: Path) -> Path:
    from synth.service.audit_log import AuditLog

    log = AuditLog(folder / "audit.jsonl", clock=lambda: 1e9)
    for number in range(4):
        log.write("ada", "draw", seed=number)
    log.close()
    return folder / "audit.jsonl"


def _read_audit(path: Path) -> None:
    from synth.service.audit_log import AuditLog, first_break

    first_break(path)
    log = AuditLog(path, clock=lambda: 1e9)
    try:
        log.trouble()
        json.dumps(log.page(0, 100))
        log.write("ada", "draw", seed=9)
    except ValueError:  # no line begins there: answered with 404
        pass
    finally:
        log.close()


def _cells(folder: Path) -> Path:
    path = folder / "cells.toml"
    path.write_bytes((ROOT / "synth/presets/paper.toml").read_bytes())
    return path


def _read_cells(path: Path) -> None:
    from synth.training.cells import read_cells

    read_cells(str(path))


def _run(name: str) -> Callable[[Path], Path]:
    """Train for a moment, and give a file of the run, or of its grid."""

    def make(folder: Path) -> Path:
        from synth.train import train
        from synth.training.cells import product
        from synth.training.options import TrainOptions

        options = TrainOptions(
            cohort=write_small_cohort(folder), out=folder / "grid", cfg="tiny", kimg=0.008, batch=8,
            checkpoint_every=0.008,
            quality_fakes=16, features="offline", device="cpu", offline=True, method="scratch",
        )  # fmt: skip
        train(options, product([0.1], [0.6], [0.002]))
        return options.out / name  # a grid of one cell is its run's own folder

    return make


def _read_run(path: Path) -> None:
    from synth.scores.certainty import Compared
    from synth.table1.markdown import render
    from synth.table1.rows import row_of, table_of, unreadable
    from synth.training.run_folder import RunFolder

    folder = RunFolder(path.parent)
    folder.is_finished(1.0)
    row = row_of(path.parent, folder)
    with unreadable(path.parent):
        table = table_of(path.parent, [row], "strict")
        render(table)
    json.dumps(table, allow_nan=False)
    Compared.read(folder.compared)


def _read_table(path: Path) -> None:
    from synth.networks.provenance import find_network
    from synth.report import read_table

    read_table(path.parent)
    find_network(path.parent)


SYNTH_READERS: dict[str, Reader] = {
    "network": Reader(_network, _read_network),
    "snapshot": Reader(_snapshot, _read_network),
    "csv": Reader(
        _text("p.csv", "file,group,tone,age\nrare/a.png,1,2,30.5\nrare/b.png,1,3,\nother/a.png,7,,41\n"), _read_csv,
        is_text=True,
    ),
    "audit log": Reader(_audit, _read_audit, is_text=True),
    "cells": Reader(_cells, _read_cells, is_text=True),
    **{
        f"run's {name}": Reader(_run(name), _read_run, is_text=True)
        for name in ("config.json", "log.jsonl", "certainty.json")
    },
    "run's compared.npz": Reader(_run("compared.npz"), _read_run),
    "grid's table1.json": Reader(_run("table1.json"), _read_table, is_text=True),
    "SCIN's cases": Reader(_scin("scin_cases.csv"), _read_scin, is_text=True),
    "SCIN's labels": Reader(_scin("scin_labels.csv"), _read_scin, is_text=True),
}  # fmt: skip
