"""The stage `classify export`: a fitted classifier becomes files that other applications call."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from classify.evaluate import require_own
from classify.exporting import files
from classify.exporting.about import Thresholds, coarse_words, describe, properties_of
from classify.exporting.card import card
from classify.exporting.card_results import evaluations
from classify.exporting.check import (
    TOLERANCE,
    Answer,
    Differences,
    archive_answer,
    compare,
    images_to_check,
    onnx_answer,
)
from classify.exporting.graph import ExportedClassifier
from classify.exporting.speed import latencies, table
from classify.fitting.folder import FittedModel, model_folders, read_model
from classify.measuring.operating import Operating
from classify.models import Classifier
from shared.cohort import Cohort
from shared.console import say, tabulate
from shared.document import to_markdown
from shared.errors import UserError
from shared.files import require_new, sha256_of, whole_file
from shared.folders import FILE_SUFFIXES
from shared.html.report import HTML, to_report
from shared.progress import progress

STEM = "model"  # of files in a folder
KINDS = (files.ONNX, files.ARCHIVE)


@dataclass(frozen=True)
class ExportOptions:
    """What a user asks for.

    Attributes:
        model: a model's folder, or one with a folder for each fold.
        out: a folder, for all kinds of files, or one file, which ends in .onnx or .pt2.
        fold: which of several models.
        records: files of records, whose evaluations of this model stand on the card.
        operating: what its thresholds are asked for.
        latency: whether to measure how long an answer takes.
        force: whether to replace files.
    """

    model: Path
    out: Path
    fold: int | None = None
    records: tuple[Path, ...] = ()
    operating: Operating = field(default_factory=Operating)
    latency: bool = False
    force: bool = False


def export(options: ExportOptions, cohort: Cohort | None = None) -> list[Path]:
    """Write the model as files that were found to say the same as it, with what is known of it, and return their paths.

    With `cohort`, its images are what they are compared on, and the card tells of it.

    Raises `UserError`: no finished model, several without a `fold`, another cohort, no evaluation in the records, a
    package that is missing, a network that cannot be exported, or a file that says something else than the model.
    Nothing is written then.
    """
    places = destinations(options.out)
    about_path, card_path, page_path = (
        next(iter(places.values())).with_suffix(suffix) for suffix in (".json", ".md", HTML)
    )
    for path in (*places.values(), about_path, card_path, page_path):
        require_new(path, force=options.force, inputs=[options.model, *options.records])
    files.require_packages(tuple(places))
    fitted = read_model(one_folder(options.model, options.fold))
    if cohort is not None:
        require_own(fitted, cohort)
    evaluated = evaluations(fitted, options.records, options.operating)
    size = fitted.prepared_size if cohort is None else cohort.size
    classifier = fitted.load()
    thresholds = Thresholds.of(fitted, options.operating)
    network = ExportedClassifier(classifier, size=size, temperature=thresholds.temperature)
    about = describe(fitted, network, thresholds, options.operating)
    images, source = images_to_check(size, cohort), "random pixels" if cohort is None else "the cohort"
    check = partial(compare, classifier=classifier, network=network, images=images, source=source)
    with contextlib.ExitStack() as stack:
        # They take their places in the opposite order: who finds what is told of a model finds the model.
        about_part, card_part, page_part = (
            stack.enter_context(whole_file(path)) for path in (about_path, card_path, page_path)
        )
        parts = {suffix: stack.enter_context(whole_file(path)) for suffix, path in places.items()}
        checks = _write(parts, network, about, fitted, check)
        about["check"] = {places[suffix].name: _stamp(parts[suffix], found) for suffix, found in checks.items()}
        blocks = card(about, fitted.history, cohort, evaluated)
        card_part.write_text(to_markdown(blocks), encoding="utf-8")
        page_part.write_text(to_report(blocks, folder=card_path.parent, command="classify export"), encoding="utf-8")
        about_part.write_text(json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        if options.latency:
            _measure(parts, network, size)
    written = [*places.values(), card_path, page_path, about_path]
    _report(network, checks, written)
    return written


def _stamp(part: Path, found: Differences) -> dict[str, Any]:
    return asdict(found) | {"bytes": part.stat().st_size, "sha256": sha256_of(part)}


def destinations(out: Path) -> dict[str, Path]:
    """Return the files to write by their kind: one that `out` names, or all kinds in the folder `out`."""
    if out.suffix in KINDS and not out.is_dir():
        return {out.suffix: out}
    if out.suffix.lower() in FILE_SUFFIXES and not out.is_dir():
        raise UserError(f"--out {out}: no kind of file that is written; give a folder, or a name in .onnx or .pt2.")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: a file; give a folder, or a name that ends in .onnx or .pt2.")
    return {suffix: out / f"{STEM}{suffix}" for suffix in KINDS}


def one_folder(model: Path, fold: int | None) -> Path:
    """Return the folder of one model: `model`, or its `fold…` that is asked for.

    Raises `UserError`: there are several and none is asked for, or not the one that is.
    """
    folders = model_folders(model)
    if folders == [model]:
        return model if fold is None else _of_fold(model, fold)
    named = {folder.name: folder for folder in folders}
    if fold is None and len(folders) == 1:
        return folders[0]
    if fold is None:
        raise UserError(
            f"{model}: holds {len(named)} models ({', '.join(named)}), and one is exported at a time; give --fold N, "
            "or one of these folders."
        )
    if f"fold{fold}" not in named:
        raise UserError(f"--fold {fold}: {model} holds {', '.join(named)}; give one of these.")
    return named[f"fold{fold}"]


def _of_fold(model: Path, fold: int) -> Path:
    found = read_model(model).config.fold
    if found != fold:
        raise UserError(f"--fold {fold}: {model} is the model of fold {found}; leave it out, or give another folder.")
    return model


def _write(
    parts: dict[str, Path],
    network: ExportedClassifier,
    about: dict[str, Any],
    fitted: FittedModel,
    check: Callable[[Answer], Differences],
) -> dict[str, Differences]:
    """Write each file of `parts`, and return how far what stands there is from the model."""
    checks = {}
    with progress(f"exporting {about['label']}", 1 + 2 * len(parts), unit="steps") as bar:
        with _refusals(fitted):
            program = files.trace(network)
        bar.advance(1)
        for suffix, path in parts.items():
            with _refusals(fitted):
                if suffix == files.ONNX:
                    files.write_onnx(path, program, network.outputs, properties_of(about))
                else:
                    files.write_archive(path, program, about)
            bar.advance(1)
            checks[suffix] = found = check(_answer(suffix, path))
            bar.advance(1)
            if not found.within:
                raise UserError(
                    f"{fitted.path}: its {suffix} file says something else than the model (by {found.largest:.2g}, "
                    f"where {TOLERANCE:g} is allowed), so it is not kept; give another model, and report it."
                )
    return checks


def _answer(suffix: str, path: Path) -> Answer:
    return onnx_answer(path) if suffix == files.ONNX else archive_answer(path)


@contextlib.contextmanager
def _refusals(fitted: FittedModel) -> Iterator[None]:
    """Turn what exporters raise, which is of all kinds, into one sentence."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200].rstrip(".")
        raise UserError(
            f"{fitted.path}: {fitted.config.model} cannot be exported ({reason}); fit another model."
        ) from error


def _measure(parts: dict[str, Path], network: ExportedClassifier, size: int) -> None:
    names = {files.ONNX: "onnxruntime", files.ARCHIVE: "torch.export"}
    answers = {"PyTorch": eager_answer(network)}
    answers |= {names[suffix]: _answer(suffix, path) for suffix, path in parts.items()}
    tabulate(table(latencies(answers, size), torch.get_num_threads()))


def eager_answer(network: ExportedClassifier | Classifier) -> Answer:
    """Return PyTorch's answers with a network that was not exported."""

    def answer(images: Any) -> Any:
        with torch.inference_mode():
            return network(torch.tensor(images))

    return answer


def _report(network: ExportedClassifier, checks: dict[str, Differences], paths: Sequence[Path]) -> None:
    for suffix, found in checks.items():
        evidence = "" if found.evidence is None else f", {found.evidence:.1e} in evidence"
        say(
            f"{suffix}: differs from PyTorch over {found.images} images ({found.source}) and others by at most "
            f"{found.probability:.1e} in probability, {found.score:.1e} in score{evidence}; {TOLERANCE:g} is allowed"
        )
    if network.no_evidence is not None:
        say(f"note: there is no heat map: {network.no_evidence}.")
    if coarse := coarse_words(network.evidence_cells):
        say(f"note: {coarse}.")
    say(f"written: {', '.join(map(str, paths))}")
