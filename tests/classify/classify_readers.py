"""Readers of files that `classify` reads."""

import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from reading import ROOT, Reader, write_small_cohort


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


def _preset(folder: Path) -> Path:
    path = folder / "preset.toml"
    path.write_bytes((ROOT / "classify/presets/controlled.toml").read_bytes())
    return path


def _read_preset(path: Path) -> None:
    from classify.presets import read_preset

    read_preset(str(path))


def _model(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from fitting import QUICK, run

        from shared.cohort import read_cohort

        options = replace(QUICK, epochs=1, image_size=32)
        return run(read_cohort(write_small_cohort(folder)), folder / "model", options) / name

    return make


def _read_model(path: Path) -> None:
    from classify.explaining.explained import ExplainOptions
    from classify.explaining.pictures import judge_of
    from classify.fitting.folder import read_model

    fitted = read_model(path.parent)
    assert fitted.prepared_size
    judge_of(fitted, ExplainOptions())
    fitted.load()


def _features(folder: Path) -> Path:
    from classify.fitting.feature_file import FeatureFile

    FeatureFile(folder / "f.safetensors", 3).add([bytes([n]) * 32 for n in range(4)], np.ones((4, 3), np.float32))
    return folder / "f.safetensors"


def _read_features(path: Path) -> None:
    from classify.fitting.feature_file import FeatureFile

    FeatureFile(path, 3).look_up([b"\1" * 32], np.zeros((1, 3), np.float32))


def _answers(folder: Path) -> Path:
    from classify.screening.feedback import Answer, Feedback

    Feedback(folder / "f.db").keep(Answer("patient", (3,) * 10, "Hm."))
    return folder / "f.db"


def _read_answers(path: Path) -> None:
    from classify.screening.feedback import Feedback

    Feedback(path).summary()


CLASSIFY_READERS: dict[str, Reader] = {
    "screening": Reader(_screening, _read_screening, sealed=("rarescreen-screening", 1)),
    "records": Reader(_records, _read_records, is_text=True),
    "preset": Reader(_preset, _read_preset, is_text=True),
    **{
        f"model's {name}": Reader(_model(name), _read_model, is_text=True)
        for name in ("config.json", "history.json", "seen.json")
    },
    "model's tensors": Reader(_model("model.safetensors"), _read_model),
    "features": Reader(_features, _read_features),
    "answers": Reader(_answers, _read_answers),
}  # fmt: skip
