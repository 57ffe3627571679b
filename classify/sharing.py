"""How the work of a study is done and shared, by whichever command it was asked for."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError

MAX_JOBS = 1024
LEAST_GRACE_S, MOST_GRACE_S = 1.0, 1e5


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Options of `classify study` and of `classify tune` alike, as on the command line.

    Attributes:
        storage: where the study is (`shared.studies.storage`); None means a database in the folder of its models.
        study_name: its name in a storage that holds several; None means the folder's name.
        jobs: cells at once, each in a process of its own.
        grace: seconds after which a silent worker's cell is another's.
        wait: whether to wait for the cells of other workers.
        precision: "auto", "fp32", "tf32", "bf16"; None means as the preset says, or auto.
        device: "auto", "cpu", "cuda", "cuda:N", "mps".
        weights: folder with pretrained weights.
        offline: never touch the network.

    Raises `UserError`: workers cannot share a study like this.
    """

    storage: str | None = None
    study_name: str | None = None
    jobs: int = 1
    grace: float = 120.0
    wait: bool = True
    precision: str | None = None
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= MAX_JOBS:
            raise UserError(f"--jobs {self.jobs}: out of range; give 1 to {MAX_JOBS} cells at once.")
        if not LEAST_GRACE_S <= self.grace <= MOST_GRACE_S:
            raise UserError(
                f"--grace {self.grace:g}: out of range; give {LEAST_GRACE_S:g} to {MOST_GRACE_S:g} seconds."
            )
        if self.study_name is not None and (self.storage is None or not self.study_name):
            raise UserError(f"--study {self.study_name}: names a study in --storage; give both, or leave it out.")
