"""The ways to train: each is a row. Which to use when: docs/few-shot.md."""

from dataclasses import dataclass

from shared.errors import UserError


@dataclass(frozen=True)
class Method:
    """One way to start and to adapt.

    Attributes:
        starts: whether it adapts a network that `--start` names.
        freeze_d: how many of the discriminator's first layers stay, unless `--freeze-d` says otherwise.
        singular: whether singular values of the weights are all that is trained (FSGAN, arXiv:2010.11943).
    """

    starts: bool = True
    freeze_d: int = 0
    singular: bool = False


# Freezing the layers of the first resolution is what FreezeD (arXiv:2002.10964) found best on small sets, roughly.
METHODS: dict[str, Method] = {
    "scratch": Method(starts=False),
    "transfer": Method(),
    "freeze-d": Method(freeze_d=4),
    "svd": Method(singular=True),
}
AUTO = "auto"


def choose_method(name: str, start: str | None) -> tuple[str, Method]:
    """Return the name and row of a method; "auto" adapts the start network, if there is one, by transfer.

    Raises `UserError`: unknown, or a start network is missing or left over.
    """
    if name == AUTO:
        name = "scratch" if start is None else "transfer"
    if name not in METHODS:
        raise UserError(f"--method {name}: unknown; use one of {', '.join((AUTO, *METHODS))}.")
    method = METHODS[name]
    if method.starts and start is None:
        raise UserError(
            f"--method {name}: adapts a network, and none is given; add --start, phantom-skin-32 for example, or use "
            "--method scratch."
        )
    if not method.starts and start is not None:
        raise UserError(f"--method {name}: begins with new networks, and --start {start} is given; leave one out.")
    return name, method
