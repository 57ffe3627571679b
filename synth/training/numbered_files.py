"""Files of a run, each named by the thousands of images it stands at: `state-0000010.016.pt`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class NumberedFiles:
    """The files of one kind, in a folder of their own; `stem` is the kind."""

    stem: ClassVar[str]
    folder: Path

    def path(self, nimg: int) -> Path:
        """Return where the file after `nimg` images is."""
        return self.folder / f"{self.stem}-{nimg // 1000:07d}.{nimg % 1000:03d}.pt"

    def nimgs(self) -> list[int]:
        """Return the images shown until each file, ascending."""
        pattern = re.compile(rf"{self.stem}-([0-9]{{7,}})\.([0-9]{{3}})\.pt")
        names = [pattern.fullmatch(entry.name) for entry in self.folder.glob(f"{self.stem}-*.pt")]
        return sorted(int(name[1]) * 1000 + int(name[2]) for name in names if name)

    def drop_after(self, nimg: int) -> None:
        """Remove the files of a future that will not be: damaged ones, or those that led to a divergence."""
        for newer in self.nimgs():
            if newer > nimg:
                self.path(newer).unlink()
