"""The ways to train: each is a row. Which to use when: docs/few-shot.md."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.errors import UserError
from stylegan2_ada.config import AugPipe
from synth.cells import Cell
from synth.train_options import TrainOptions


@dataclass(frozen=True)
class Method:
    """One way to start and to adapt.

    Attributes:
        start: whether it adapts a network that `--start` names: "needed", "optional", or "none" to begin with new ones.
        freeze_d: whether the discriminator's layers of the finer half of the resolutions stay as they are
            (arXiv:2002.10964); `--freeze-d` counts layers instead.
        singular: whether singular values of the weights are all that is trained (FSGAN, arXiv:2010.11943).
        projected: whether the discriminator looks through a pretrained network (arXiv:2111.01007): with the hinge loss,
            and without R1, path lengths and mixed styles, as there.
        augpipe: the augmentations, unless `--augpipe` says otherwise.
    """

    start: Literal["none", "optional", "needed"] = "needed"
    freeze_d: bool = False
    singular: bool = False
    projected: bool = False
    augpipe: AugPipe = "bgc"


METHODS: dict[str, Method] = {
    "scratch": Method(start="none"),
    "transfer": Method(),
    "freeze-d": Method(freeze_d=True),
    "svd": Method(singular=True),
    "projected": Method(start="optional", projected=True, augpipe="diffaug"),
}
AUTO = "auto"


def cells_of(method: Method, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the grid's cells as the method trains them: without R1, gamma is 0.

    Raises `UserError`: several values of gamma, where it means nothing.
    """
    if not method.projected:
        return tuple(cells)
    if len({cell.gamma for cell in cells}) > 1:
        raise UserError("--gamma: the weight of R1, which --method projected does without; give one value at most.")
    return tuple(dataclasses.replace(cell, gamma=0.0, paper_fid=None) for cell in cells)


def choose_method(name: str, start: str | None) -> tuple[str, Method]:
    """Return the name and row of a method; "auto" adapts the start network, if there is one, by transfer.

    Raises `UserError`: unknown, or a start network is missing or left over.
    """
    if name == AUTO:
        name = "scratch" if start is None else "transfer"
    if name not in METHODS:
        raise UserError(f"--method {name}: unknown; use one of {', '.join((AUTO, *METHODS))}.")
    method = METHODS[name]
    if method.start == "needed" and start is None:
        raise UserError(
            f"--method {name}: adapts a network, and none is given; add --start, phantom-skin-32 for example, or use "
            "--method scratch."
        )
    if method.start == "none" and start is not None:
        raise UserError(f"--method {name}: begins with new networks, and --start {start} is given; leave one out.")
    return name, method


def require_fitting(options: TrainOptions, method: Method, c_dim: int) -> None:
    """Raise `UserError` when options contradict the method."""
    if method.projected and c_dim:
        raise UserError(
            "--method projected: its discriminator knows no classes; train one network a class, with --label positive "
            "and --label negative."
        )
    if method.projected and options.freeze_d:
        raise UserError("--freeze-d: the pretrained layers of --method projected are frozen anyway; leave it out.")
    if options.freeze_d and options.start is None:
        raise UserError("--freeze-d: would freeze layers that nobody has trained; give a --start, or leave it out.")
    if method.freeze_d and options.freeze_d == 0:
        raise UserError("--freeze-d 0: freezes nothing, and --method freeze-d is to; leave one out.")
