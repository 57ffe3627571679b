"""Folders that appear whole or not at all."""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.errors import UserError
from shared.files import PART

OLD = ".old"  # ends the name of a folder whose place another one is taking
_FILES = ".txt .md .html .json .jsonl .csv .h5 .onnx .ort .pt .pt2 .pth .safetensors .pdf .png .jpg .zip .toml"
FILE_SUFFIXES = frozenset(_FILES.split())


def require_folder_name(path: Path, option: str = "--out") -> None:
    """Raise `UserError` when `path`, which `option` names, is named as files are, and no such folder is there."""
    if path.suffix.lower() in FILE_SUFFIXES and not path.exists():
        raise UserError(f"{path}: a file's name, and a folder is to be written; give another {option}.")


def require_new_folder(
    path: Path, *, mark: str, force: bool, inputs: Iterable[Path] = (), option: str = "--out"
) -> None:
    """Raise `UserError` when `path`, which `option` names, cannot become a new folder, or holds one of the `inputs`.

    With `force` a folder may be there that is to be replaced, which the file `mark` in it tells. What holds something
    else would be lost, so that is refused.
    """
    path = Path(path)
    _bring_back(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: a file, where a folder is to be written; give another {option}.")
    require_folder_name(path, option)
    if path.is_dir() and any(path.iterdir()):
        if not force:
            raise UserError(f"{path}: exists already; give --force to replace it, or another {option}.")
        if not (path / mark).is_file():
            raise UserError(f"{path}: holds no {mark}, so something else would be lost; give another {option}.")
    for given in inputs:
        if given.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"{path}: holds what this command reads ({given}), which would be lost; give another {option}."
            )
    parent = next(each for each in path.absolute().parents if each.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UserError(f"{path}: {parent} cannot be written to; give another {option}.")


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; when the block ends well, it takes the place of `path` and of what was there.

    When the block fails nothing is left behind, and `path` is as before. Killed between two renames, what was there is
    beside `path` (`OLD`), and the next use of `path` brings it back.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _bring_back(path)
    part = path.parent / f".{path.name}.{secrets.token_hex(4)}{PART}"
    part.mkdir()
    try:
        yield part
        old = part.with_name(f".{path.name}.{secrets.token_hex(4)}{OLD}")
        if path.exists():
            path.replace(old)
        try:
            part.replace(path)
        except OSError:
            _bring_back(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _bring_back(path: Path) -> None:
    """Give the folder that was to be replaced its name again, where nothing has taken it."""
    olds = sorted(path.parent.glob(f".{glob.escape(path.name)}.*{OLD}"))
    if olds and not path.exists():
        olds[-1].replace(path)
