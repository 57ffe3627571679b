"""A model folder: what a fit leaves behind, and how it is read again.

`config.json` comes first and `model.safetensors` last: with the first alone a fit is under way, with both it is done.
Reading needs no ImageNet weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from torch import Tensor

from classify.fitting.folder_checks import tells_of_a_fit, tells_of_epochs
from classify.fitting.settings import FitConfig, as_read, fits
from classify.guard import Seen
from classify.models import Classifier, build_model, set_trainable
from shared.cohort import PHANTOM
from shared.columns import MAX_SIZE_PX
from shared.errors import UserError
from shared.files import read_json, require_file, whole_file, write_json

FORMAT = "rarescreen-model"
VERSION = 2

CONFIG, MODEL, HISTORY, SEEN, CHECKPOINT, END = (
    "config.json",
    "model.safetensors",
    "history.json",
    "seen.json",
    "checkpoint.pt",
    "end.pt",  # the state after the last epoch, where a longer fit wants to go on from it
)
Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model folder that is done."""

    path: Path
    config: FitConfig
    document: Json  # all of config.json
    history: Json
    seen: tuple[Seen, ...]

    @property
    def knows_no_patient(self) -> bool:
        """Whether it was fitted on the phantom, rendered skin."""
        cohort = self.document.get("cohort")
        return isinstance(cohort, dict) and cohort.get("source") == PHANTOM

    @property
    def prepared_size(self) -> int:
        """The side in px of the cohort's images; raises `UserError` when the folder tells none."""
        cohort = self.document.get("cohort")
        size = cohort.get("size") if isinstance(cohort, dict) else None
        if not isinstance(size, int) or not 1 <= size <= MAX_SIZE_PX:
            raise UserError(f"{self.path}: does not tell the size of its cohort's images; fit it again with --force.")
        return size

    def load(self) -> Classifier:
        """Return the classifier with its fitted tensors, in eval mode on the CPU."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config = self.config
        classifier = build_model(
            config.model, image_size=config.image_size, depth=config.depth, head=config.head, dropout=config.dropout
        )
        set_trainable(classifier, config.unfreeze, name=config.model)
        path = self.path / MODEL
        try:
            classifier.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).split("\n", 1)[0]
            raise UserError(f"{path}: not the tensors of this model ({reason}); fit it again with --force.") from error
        return classifier.eval()


def is_finished(folder: Path) -> bool:
    """Tell whether a fit in `folder` is done."""
    return (folder / MODEL).is_file() and (folder / CONFIG).is_file()


def model_folders(path: Path) -> list[Path]:
    """Return `path` when it holds one model, or its `fold0`, `fold1`, … when it holds one for each fold."""
    folds = sorted(path.glob("fold[0-9]*"), key=lambda folder: (len(folder.name), folder.name))
    if (path / CONFIG).is_file() or not folds:
        return [path]
    return folds


def require_free(folder: Path, config: FitConfig, *, force: bool) -> None:
    """Make sure that `folder` may hold the fit of `config`: it is new, holds the same fit, or `force` was given.

    Raises `UserError`: the folder holds another fit, or something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file, where the model's folder should be; give another --out.")
    if force:
        return
    if (folder / CONFIG).is_file():
        difference = differences(read_config(folder)[0], config)
        if difference:
            raise UserError(
                f"{folder}: holds a fit of another configuration ({difference}); give --force to replace it, or "
                "another --out."
            )
    elif folder.is_dir() and not all(each.name.startswith(".") for each in folder.iterdir()):
        raise UserError(f"{folder}: exists and holds no model; give --force to use it nevertheless, or another --out.")


def is_done(folder: Path, config: FitConfig, *, force: bool = False) -> bool:
    """Tell whether the fit of `config` is done in `folder`; with `force` a damaged one does not count."""
    return is_finished(folder) and _is_of(folder, config) and not (force and _is_damaged(folder))


def _is_damaged(folder: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        read_model(folder)
        with safe_open(folder / MODEL, "pt") as tensors:
            return not tensors.keys()
    except (UserError, SafetensorError):
        return True


def _is_of(folder: Path, config: FitConfig) -> bool:
    try:
        return not differences(read_config(folder)[0], config)
    except UserError:  # of another version, or damaged: whoever asks was told to replace it
        return False


def take(folder: Path, config: FitConfig, *, force: bool = False) -> bool:
    """Remove another fit than that of `config` from `folder`, and tell whether that fit is done already.

    With `force` a fit that is done, but damaged, is removed too.
    """
    if not (folder / CONFIG).is_file():
        return False
    if is_done(folder, config, force=force):
        return True
    if _is_of(folder, config) and not is_finished(folder):
        return False
    for name in (MODEL, HISTORY, SEEN, CHECKPOINT, END, CONFIG):
        (folder / name).unlink(missing_ok=True)
    return False


def begin(folder: Path, config: FitConfig, document: Json) -> None:
    """Write `config.json`: the configuration, and beside it what `document` tells."""
    write_json(folder / CONFIG, {"format": FORMAT, "version": VERSION, "config": asdict(config)} | document)


def as_plain(config: FitConfig) -> Json:
    """Return a configuration as JSON has it."""
    plain: Json = json.loads(json.dumps(asdict(config)))
    return plain


def differences(old: FitConfig, new: FitConfig) -> str:
    """Return the settings that differ, as "lr 0.001, not 0.0001" (what is there, not what is asked)."""
    before, after = asdict(old), asdict(new)
    return ", ".join(
        f"{name} {_short(before[name])}, not {_short(after[name])}" for name in before if before[name] != after[name]
    )


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_short, value)) or "none"
    text = "none" if value is None else str(value)
    return text[:12] + "…" if len(text) == 64 else text


def finish(folder: Path, tensors: Mapping[str, Tensor], history: Json, seen: Sequence[Seen]) -> None:
    """Write what a fit found; the tensors come last, since they mark the folder as done."""
    from safetensors.torch import save_file

    stamp = {"format": FORMAT, "version": VERSION}
    parts = [
        {"by": each.by, "cohort": each.cohort, "image_id": each.image_id.tolist(), "group_id": each.group_id.tolist()}
        for each in seen
    ]
    write_json(folder / SEEN, stamp | {"seen": parts})
    write_json(folder / HISTORY, stamp | history)
    with whole_file(folder / MODEL) as part:
        contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, part, {FORMAT: str(VERSION)})  # one key: the order of several is at random
    (folder / CHECKPOINT).unlink(missing_ok=True)


def read_model(folder: Path) -> FittedModel:
    """Read the model folder `folder`, all but its tensors.

    Raises `UserError`: no such folder, a fit that is not done, or files that are damaged or of a newer version.
    """
    if not is_finished(folder):
        state = "a fit that is not done; run the same `classify fit` again, and it goes on"
        other = "no model; give a folder that `classify fit` wrote"
        raise UserError(f"{folder}: holds {state if (folder / CONFIG).is_file() else other}.")
    config, document = read_config(folder)
    history, seen = _read_json(folder / HISTORY), _read_json(folder / SEEN)
    for name, tells in ((CONFIG, tells_of_a_fit(document)), (HISTORY, tells_of_epochs(history))):
        if not tells:
            raise _damaged(folder / name)
    try:
        parts = tuple(
            Seen(
                str(part["by"]),
                str(part["cohort"]),
                np.array(part["image_id"], np.str_),
                np.array(part["group_id"], np.int64),
            )
            for part in seen["seen"]
        )
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise _damaged(folder / SEEN) from error
    return FittedModel(folder, config, document, history, parts)


def read_config(folder: Path) -> tuple[FitConfig, Json]:
    """Return the configuration in `folder` and the whole document; raise `UserError` when it is damaged."""
    document = _read_json(folder / CONFIG)
    try:
        stored = document["config"]
        config = FitConfig(**{name: as_read(value) for name, value in stored.items()})
    except (AttributeError, LookupError, TypeError) as error:
        raise _damaged(folder / CONFIG) from error
    if not all(fits(getattr(config, name), hint) for name, hint in get_type_hints(FitConfig).items()):
        raise _damaged(folder / CONFIG)
    return config, document


def _read_json(path: Path) -> Json:
    try:
        document = read_json(require_file(path, "model's file"))
    except UserError:
        raise
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _damaged(path)
    version = document.get("version")
    if version != VERSION:
        older = isinstance(version, int) and version < VERSION
        way_out = "fit it again with --force" if older else "update Rarescreen"
        raise UserError(f"{path}: of model version {version}, and this is version {VERSION}; {way_out}.")
    return document


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: damaged, or not a model's file; fit the model again with --force.")
