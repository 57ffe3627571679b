"""Everything that reads a file from outside: a whole file of each kind, and how it is read.

What a reader raises of a damaged file is an error of one sentence (`ALLOWED`); anything else is a bug.
"""

import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from shared.errors import UserError
from shared.images import BadPhotoError
from stylegan2_ada import NetworkFileError
from synth.service.audit_log import AuditError

ALLOWED = (UserError, BadPhotoError, NetworkFileError, AuditError)
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Reader:
    """A kind of file.

    Attributes:
        make: writes a whole one into a folder and returns its path; other files may stand beside it.
        read: reads it; all of it.
        is_text: whether values stand in it as texts.
        sealed: name and version of the format of a sealed file, whose seal can be made again.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    is_text: bool = False
    sealed: tuple[str, int] | None = None


def _pixels(count: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def _cohort(folder: Path) -> Path:
    from shared.cohort import STUDY, Cohort, write_cohort

    n = 8
    made = Cohort(
        images=_pixels(n), label=np.arange(n) % 2, image_id=np.array([f"{number:064x}" for number in range(n)]),
        group_id=np.arange(n), fold=(np.arange(n) // 4).astype(np.int8), role=np.full(n, STUDY, np.uint8),
        source_path=np.array([f"{number}.png" for number in range(n)]), classes=("other", "rare"), folds=2, seed=0,
        source="photographs", attributes={"tone": np.arange(n), "site": np.array(["arm", "leg"] * 4)},
    )  # fmt: skip
    write_cohort(folder / "cohort.h5", made)
    return folder / "cohort.h5"


def _read_cohort(path: Path) -> None:
    from shared.cohort import read_cohort
    from shared.splits import parts

    found = read_cohort(path)
    np.asarray(found.images)
    for fold in range(min(found.folds, 20)):
        parts(found, fold)


def _bundle(folder: Path) -> Path:
    from small_service import make_bundle

    return make_bundle(folder / "bundle.h5")


def _read_bundle(path: Path) -> None:
    from shared.bundle import read_bundle
    from synth.bundles.info import describe

    np.asarray(read_bundle(path).images)
    json.dumps(describe(path))


def _candidates(folder: Path) -> Path:
    from small_service import bundle_of

    from shared.bundle import Candidates, write_candidates

    bundle = bundle_of(range(6))
    values = {each.name: getattr(bundle, each.name) for each in fields(Candidates)}
    write_candidates(folder / "c.h5", Candidates(**values))
    return folder / "c.h5"


def _read_candidates(path: Path) -> None:
    from shared.bundle import read_candidates

    np.asarray(read_candidates(path).images)


def _screening(folder: Path) -> Path:
    from classify.fitting.folder import MODEL, FittedModel
    from classify.screening.reference import Reference, digest_of, write_reference

    (folder / MODEL).write_bytes(b"tensors")
    features = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    model = digest_of(cast(FittedModel, SimpleNamespace(path=folder)))
    write_reference(folder / "screening.h5", Reference(features, 0.5, 0.1, 32, model, "c" * 64))
    return folder / "screening.h5"


def _read_screening(path: Path) -> None:
    from classify.fitting.folder import FittedModel
    from classify.screening.reference import read_reference

    read_reference(path, cast(FittedModel, SimpleNamespace(path=path.parent)))


def _records(folder: Path) -> Path:
    with lzma.open(ROOT / "benchmarks" / "results" / "isic2017_strict.jsonl.xz", "rt") as stream:
        lines = [next(stream) for _ in range(2)]
    short = []
    for line in lines:
        record = json.loads(line)
        record["verdicts"] = {
            name: {each: column[:12] for each, column in values.items()} if isinstance(values, dict) else values[:12]
            for name, values in record["verdicts"].items()
        }
        short.append(json.dumps(record))
    (folder / "records.jsonl").write_text("\n".join(short) + "\n")
    return folder / "records.jsonl"


def _read_records(path: Path) -> None:
    from classify.measuring.operating import Operating
    from classify.tables import read_table

    read_table([path], {}, operating=Operating(), least=10, command="classify table")


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


def _state(folder: Path) -> Path:
    from shared.nn.resume import save_state

    save_state(folder / "state.pt", {"a": torch.arange(6.0), "b": [{"c": 1, "d": "text"}, (2.5, None)]})
    return folder / "state.pt"


def _read_state(path: Path) -> None:
    from shared.nn.resume import load_state

    load_state(path)


def _photo(kind: str, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"p.{kind}"
        exif = Image.Exif()
        exif[0x0112] = 6
        more = {} if kind == "bmp" else {"exif": exif}
        Image.fromarray(_pixels(1, 24)[0]).save(path, **more | options)
        return path

    return make


def _read_photo(path: Path) -> None:
    from shared.images import image_id, read_photo, to_square

    photo = read_photo(path)
    image_id(photo)
    to_square(photo, 16, "crop")


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


def _tokens(folder: Path) -> Path:
    from shared.web.tokens import issue

    for name in ("ada", "bob"):
        issue(folder / "tokens.json", name, ("list", "draw"), allowed=("list", "draw"), days=3)
    return folder / "tokens.json"


def _read_tokens(path: Path) -> None:
    from shared.web.tokens import Tokens

    Tokens(path).find("rs_something")


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


def _preset(folder: Path) -> Path:
    path = folder / "preset.toml"
    path.write_bytes((ROOT / "classify/presets/controlled.toml").read_bytes())
    return path


def _read_preset(path: Path) -> None:
    from classify.presets import read_preset

    read_preset(str(path))


def _cells(folder: Path) -> Path:
    path = folder / "cells.toml"
    path.write_bytes((ROOT / "synth/presets/paper.toml").read_bytes())
    return path


def _read_cells(path: Path) -> None:
    from synth.training.cells import read_cells

    read_cells(str(path))


def _page(folder: Path) -> Path:
    from shared.document import Bullets, Grid, Heading, Paragraph, Picture, escaped, to_markdown

    blocks = [
        Heading("A page"), Paragraph("With **strong** words, `code` and [a link](other.md)."), Heading("A part", 2),
        Grid(["name", "n"], [["a", "1"], [escaped("b|c"), "2"]]), Picture("p.png", "A *picture*"), Bullets(["x", "y"]),
    ]  # fmt: skip
    (folder / "page.md").write_text(to_markdown(blocks))
    return folder / "page.md"


def _read_page(path: Path) -> None:
    from shared.document import to_markdown
    from shared.markdown import read_page

    to_markdown(read_page(path))


def _model(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from fitting import QUICK, run

        from shared.cohort import read_cohort

        options = replace(QUICK, epochs=1, image_size=32)
        return run(read_cohort(_cohort(folder)), folder / "model", options) / name

    return make


def _read_model(path: Path) -> None:
    from classify.explaining.explained import ExplainOptions
    from classify.explaining.pictures import judge_of
    from classify.fitting.folder import read_model

    fitted = read_model(path.parent)
    assert fitted.prepared_size
    judge_of(fitted, ExplainOptions())
    fitted.load()


def _run(name: str) -> Callable[[Path], Path]:
    """Train for a moment, and give a file of the run, or of its grid."""

    def make(folder: Path) -> Path:
        from synth.train import train
        from synth.training.cells import product
        from synth.training.options import TrainOptions

        options = TrainOptions(
            cohort=_cohort(folder), out=folder / "grid", cfg="tiny", kimg=0.008, batch=8, checkpoint_every=0.008,
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
    from synth.report import read_table
    from synth.training.grid import find_network

    read_table(path.parent)
    find_network(path.parent)


def _features(folder: Path) -> Path:
    from classify.fitting.feature_file import FeatureFile

    FeatureFile(folder / "f.safetensors", 3).add([bytes([n]) * 32 for n in range(4)], np.ones((4, 3), np.float32))
    return folder / "f.safetensors"


def _read_features(path: Path) -> None:
    from classify.fitting.feature_file import FeatureFile

    FeatureFile(path, 3).look_up([b"\1" * 32], np.zeros((1, 3), np.float32))


def _weights(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from safetensors.torch import save_file

        tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}
        if name.endswith(".pth"):
            torch.save(tensors, folder / name)
        else:
            save_file(tensors, folder / name)
        return folder / name

    return make


def _read_weights(path: Path) -> None:
    import warnings

    from shared.nn.timm_networks import read_tensors

    with warnings.catch_warnings():  # torch warns of some damage, too
        warnings.simplefilter("ignore")
        read_tensors(path)


def _picture(folder: Path) -> Path:
    Image.fromarray(_pixels(1, 24)[0]).save(folder / "p.png", pnginfo=None)
    return folder / "p.png"


def _read_picture(path: Path) -> None:
    from shared.html.pictures import embed

    embed(path)


def _results(folder: Path) -> Path:
    from shared.results import MADE

    for name in MADE:
        (folder / name).touch()
    quality = {"name": "FID", "value": 81.0, "n_fake": 1000, "n_real": 341, "n_equal": 170, "floor": 30.0}
    quality |= {"equal_n": 50.0}
    row = {"method": "transfer", "gamma": 0.1, "lr": 0.002, "target": None, "quality": quality}
    (folder / "table1.json").write_text(json.dumps({"rows": [row | {"quality_at_start": quality}]}))
    (folder / "table2.json").write_text(json.dumps({"headline": "No.", "sentences": ["It did not help."]}))
    return folder / "table1.json"


def _read_results(path: Path) -> None:
    from shared.results import summarize

    summarize(path.parent)


def _study(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from small_study import do_all, open_study

        from shared.studies.storage import place_name

        place_name(folder)
        do_all(open_study(f"journal:{folder}/study.journal"))
        do_all(open_study(f"sqlite:///{folder}/study.db"))
        return folder / name

    return make


def _read_study(path: Path) -> None:
    from shared.studies.storage import open_existing, place_name

    place_name(path.parent)
    for kind in (f"journal:{path.parent}/study.journal", f"sqlite:///{path.parent}/study.db"):
        open_existing(kind, path.parent)


def _answers(folder: Path) -> Path:
    from classify.screening.feedback import Answer, Feedback

    Feedback(folder / "f.db").keep(Answer("patient", (3,) * 10, "Hm."))
    return folder / "f.db"


def _read_answers(path: Path) -> None:
    from classify.screening.feedback import Feedback

    Feedback(path).summary()


READERS: dict[str, Reader] = {
    "cohort": Reader(_cohort, _read_cohort, sealed=("rarescreen-cohort", 1)),
    "bundle": Reader(_bundle, _read_bundle, sealed=("rarescreen-bundle", 1)),
    "candidates": Reader(_candidates, _read_candidates, sealed=("rarescreen-candidates", 1)),
    "screening": Reader(_screening, _read_screening, sealed=("rarescreen-screening", 1)),
    "records": Reader(_records, _read_records, is_text=True),
    "network": Reader(_network, _read_network),
    "snapshot": Reader(_snapshot, _read_network),
    "state": Reader(_state, _read_state),
    **{f"photo {kind}": Reader(_photo(kind), _read_photo) for kind in ("png", "jpg", "webp", "tiff", "bmp")},
    "csv": Reader(
        _text("p.csv", "file,group,tone,age\nrare/a.png,1,2,30.5\nrare/b.png,1,3,\nother/a.png,7,,41\n"), _read_csv,
        is_text=True,
    ),
    "tokens": Reader(_tokens, _read_tokens, is_text=True),
    "audit log": Reader(_audit, _read_audit, is_text=True),
    "preset": Reader(_preset, _read_preset, is_text=True),
    "cells": Reader(_cells, _read_cells, is_text=True),
    "page": Reader(_page, _read_page, is_text=True),
    **{
        f"model's {name}": Reader(_model(name), _read_model, is_text=True)
        for name in ("config.json", "history.json", "seen.json")
    },
    "model's tensors": Reader(_model("model.safetensors"), _read_model),
    **{
        f"run's {name}": Reader(_run(name), _read_run, is_text=True)
        for name in ("config.json", "log.jsonl", "certainty.json")
    },
    "run's compared.npz": Reader(_run("compared.npz"), _read_run),
    "grid's table1.json": Reader(_run("table1.json"), _read_table, is_text=True),
    "features": Reader(_features, _read_features),
    **{f"weights {kind}": Reader(_weights(f"w.{kind}"), _read_weights) for kind in ("safetensors", "pth")},
    "picture": Reader(_picture, _read_picture),
    "results": Reader(_results, _read_results, is_text=True),
    "study's place": Reader(_study(".study.place"), _read_study, is_text=True),
    "study's journal": Reader(_study("study.journal"), _read_study, is_text=True),
    "study's database": Reader(_study("study.db"), _read_study),
    "answers": Reader(_answers, _read_answers),
    "SCIN's cases": Reader(_scin("scin_cases.csv"), _read_scin, is_text=True),
    "SCIN's labels": Reader(_scin("scin_labels.csv"), _read_scin, is_text=True),
}  # fmt: skip
