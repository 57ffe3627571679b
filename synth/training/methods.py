"""The ways to train: each is a row. Which to use when: docs/few-shot.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.errors import UserError
from stylegan2_ada.config import AugPipe
from synth.training.cells import Cell
from synth.training.options import TrainOptions


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


def cells_of(options: TrainOptions, method: Method, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the grid's cells as the method trains them: gamma is 0 without R1, and target 0 without ADA.

    Raises `UserError`: cells that differ in nothing else.
    """
    absent = {"gamma": method.projected, "target": not adapts(options, method)}
    nothing = [name for name, is_absent in absent.items() if is_absent]
    if not nothing:
        return tuple(cells)
    trained = [
        Cell(0.0 if absent["gamma"] else cell.gamma, 0.0 if absent["target"] else cell.target, cell.lr, seed=cell.seed)
        for cell in cells
    ]
    if len(set(trained)) < len(trained):
        raise UserError(
            f"--cells: some differ in {' and '.join(nothing)} alone, which this training does without; leave these out."
        )
    return tuple(trained)


def adapts(options: TrainOptions, method: Method) -> bool:
    """Tell whether ADA has a strength to adapt: diffaug always happens, and none never."""
    return (options.augpipe or method.augpipe) not in ("diffaug", "none")


def choose_method(options: TrainOptions) -> tuple[str, Method]:
    """Return the name and row of the method that options ask for.

    "auto" is what was best by far in the comparison (docs/few-shot.md), "projected", unless options ask for what that
    has not: gamma or target, a list of cells, several classes, or layers to freeze. Then it is "transfer" from a start
    network, else "scratch".

    Raises `UserError`: unknown, a start network is missing or left over, or options contradict the method.
    """
    name, start = options.method, options.start
    if name == AUTO:
        asked = (options.gamma, options.target, options.cells, options.freeze_d)
        plain = any(value is not None for value in asked) or options.label == "both"
        name = ("scratch" if start is None else "transfer") if plain else "projected"
    if name not in METHODS:
        raise UserError(f"--method {name}: unknown; use one of {', '.join((AUTO, *METHODS))}.")
    method = METHODS[name]
    if method.start == "needed" and start is None:
        raise UserError(
            f"--method {name}: adapts a network, and none is given; add --start, phantom-skin-32 for example, or use "
            "--method scratch."
        )
    if method.start == "none" and start is not None:
        raise UserError(
            f"--method {name}: begins with new networks, and the start {start} is given; leave one out, or give "
            "--start none where --cells names it."
        )
    _require_fitting(options, method)
    return name, method


def _require_fitting(options: TrainOptions, method: Method) -> None:
    if method.projected and options.label == "both":
        raise UserError(
            "--method projected: its discriminator knows no classes; train one network a class, with --label positive "
            "and --label negative."
        )
    if method.projected and options.gamma is not None:
        raise UserError("--gamma: the weight of R1, which --method projected does without; leave it out.")
    for name, value in (("--target", options.target), ("--max-p", options.max_p)):
        if value is not None and not adapts(options, method):
            augpipe = options.augpipe or method.augpipe
            raise UserError(
                f"{name}: of ADA, which --augpipe {augpipe} does without; leave it out, or give --augpipe bgc."
            )
    if method.projected and options.freeze_d:
        raise UserError("--freeze-d: the pretrained layers of --method projected are frozen anyway; leave it out.")
    if options.freeze_d and options.start is None:
        raise UserError("--freeze-d: would freeze layers that nobody has trained; give a --start, or leave it out.")
    if method.freeze_d and options.freeze_d == 0:
        raise UserError("--freeze-d 0: freezes nothing, and --method freeze-d is to; leave one out.")
