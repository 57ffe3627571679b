"""Readers of files that both packages read."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from reading import Reader, pixels, write_small_cohort


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
        Image.fromarray(pixels(1, 24)[0]).save(path, **more | options)
        return path

    return make


def _read_photo(path: Path) -> None:
    from shared.images import image_id, read_photo, to_square

    photo = read_photo(path)
    image_id(photo)
    to_square(photo, 16, "crop")


def _tokens(folder: Path) -> Path:
    from shared.web.tokens import issue

    for name in ("ada", "bob"):
        issue(folder / "tokens.json", name, ("list", "draw"), allowed=("list", "draw"), days=3)
    return folder / "tokens.json"


def _read_tokens(path: Path) -> None:
    from shared.web.tokens import Tokens

    Tokens(path).find("rs_something")


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
    Image.fromarray(pixels(1, 24)[0]).save(folder / "p.png", pnginfo=None)
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
    from small_study import open_study

    from shared.studies.storage import open_existing, place_name

    place_name(path.parent)
    for kind in (f"journal:{path.parent}/study.journal", f"sqlite:///{path.parent}/study.db"):
        open_existing(kind, path.parent)
        open_study(kind)


SHARED_READERS: dict[str, Reader] = {
    "cohort": Reader(write_small_cohort, _read_cohort, sealed=("rarescreen-cohort", 1)),
    "bundle": Reader(_bundle, _read_bundle, sealed=("rarescreen-bundle", 1)),
    "candidates": Reader(_candidates, _read_candidates, sealed=("rarescreen-candidates", 1)),
    "state": Reader(_state, _read_state),
    **{f"photo {kind}": Reader(_photo(kind), _read_photo) for kind in ("png", "jpg", "webp", "tiff", "bmp")},
    "tokens": Reader(_tokens, _read_tokens, is_text=True),
    "page": Reader(_page, _read_page, is_text=True),
    **{f"weights {kind}": Reader(_weights(f"w.{kind}"), _read_weights) for kind in ("safetensors", "pth")},
    "picture": Reader(_picture, _read_picture),
    "results": Reader(_results, _read_results, is_text=True),
    "study's place": Reader(_study(".study.place"), _read_study, is_text=True),
    "study's journal": Reader(_study("study.journal"), _read_study, is_text=True),
    "study's database": Reader(_study("study.db"), _read_study),
}  # fmt: skip
