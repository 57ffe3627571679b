"""The processes of one command that do the cells of a study, on one machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from classify.place import Place, helping
from shared.interruption import Interruption
from shared.nn.at_once import Work, do_at_once
from shared.studies.study import Study
from shared.studies.worker import Shop, Worker


class Sharing(Protocol):
    """Options of a command whose cells several workers share."""

    @property
    def jobs(self) -> int:
        """How many cells are done at once."""

    @property
    def wait(self) -> bool:
        """Whether to stay while others have cells."""

    @property
    def device(self) -> str:
        """Where fits are made."""

    @property
    def weights(self) -> Path | None:
        """Folder of pretrained weights."""

    @property
    def offline(self) -> bool:
        """Whether nothing may be downloaded."""


OptionsT = TypeVar("OptionsT", bound=Sharing)
Join = Callable[[OptionsT, Place], tuple[Shop[Any], Study[Any]]]


@dataclass(frozen=True)
class OneWorker(Generic[OptionsT]):
    """One worker of several on this machine, for a process of its own.

    `join` makes anew what it works on, and is a function of a module, since that process imports it.
    """

    options: OptionsT
    join: Join[OptionsT]

    def __call__(self, interruption: Interruption, slot: int) -> None:
        """Do cells on GPU `slot`, if there are GPUs to choose from, until none is left."""
        options = self.options
        with helping(options.device, slot, interruption, weights=options.weights, offline=options.offline) as place:
            shop, study = self.join(options, place)
            Worker([shop], [study], interruption, place.ranks, wait=False, patient=options.wait).go()


def work(
    shop: Shop[Any], studies: Sequence[Study[Any]], left: int, options: OptionsT, place: Place, join: Join[OptionsT]
) -> None:
    """Do the cells of a study, of which `left` are left: in `--jobs` processes first, and then in this one.

    Raises: as `Worker.go` and `do_at_once`.
    """
    if options.jobs > 1 and left and place.ranks.count == 1:
        threads = max(torch.get_num_threads() // options.jobs, 1)
        pieces = [Work(f"worker {n}", OneWorker(options, join)) for n in range(1, min(options.jobs, left) + 1)]
        do_at_once(pieces, options.jobs, threads, place.interruption)
    Worker([shop], studies, place.interruption, place.ranks, wait=options.wait).go()
