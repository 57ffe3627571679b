"""Everything that `synth serve` can be told; each default stands here and nowhere else."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import UserError
from shared.web.limits import MOST_PER_MINUTE
from shared.web.server import Address

SCOPES = ("list", "draw", "order", "download", "audit")
MAX_BODY_BYTES = 1 << 16
MAX_IMAGES = 1_000_000  # of an order
BODY_S = 10.0  # in which a body must have arrived


@dataclass(frozen=True)
class Bounds:
    """How much clients may ask for.

    Attributes:
        per_minute: requests of a client.
        waiting: orders, of all clients.
        active: orders of a client that wait or are worked on.
        images_a_day: candidates that a client may order within 24 hours.
        fewest, most: candidates of an order; of few nobody can tell whether their generator draws copies.
        withheld: orders of a client by one network that may come to nothing shareable; who could try again and again
            would be given by chance what is not.
        hours: that an order may take.
        days: that what was ordered is kept.
        starts: of an order, after which it is given up.
        downloads: of a client at once.
    """

    per_minute: float = 600
    waiting: int = 64
    active: int = 4
    images_a_day: int = 50_000
    fewest: int = 200
    most: int = 10_000
    withheld: int = 3
    hours: float = 24.0
    days: float = 30.0
    starts: int = 8
    downloads: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.per_minute <= MOST_PER_MINUTE:
            raise UserError(f"--per-minute {self.per_minute:g}: out of range; give 1 or more.")
        if not self.fewest <= self.most <= MAX_IMAGES:
            raise UserError(f"--most {self.most}: out of range; give {self.fewest} to {MAX_IMAGES} candidates.")
        if self.images_a_day < 0:
            raise UserError(f"--images-a-day {self.images_a_day}: out of range; give 0 or more.")
        if not 0 < self.hours <= 8760:
            raise UserError(f"--hours {self.hours:g}: out of range; give more than 0, and 8760 at most.")


@dataclass(frozen=True)
class ServeOptions:
    """Options of `synth serve`.

    Attributes:
        folders: with bundles; those that are shareable are offered.
        store: folder of orders, results, and the audit log.
        database: of orders, an address of PostgreSQL; by default SQLite in `store`.
        networks: names, files or folders of networks that are offered.
        cohorts: files that orders are compared with; a network whose cohort is not here takes no orders.
        draw: networks of which single pictures are drawn, by name or file.
        unfiltered: whether also of those that saw photographs; they take no orders then.
        names: that the service is called by, besides those of this machine.
        memory_gib: that the worker may use on the processor.
    """

    folders: tuple[Path, ...]
    store: Path
    database: str | None = None
    networks: tuple[str, ...] = ()
    cohorts: tuple[Path, ...] = ()
    draw: tuple[str, ...] = ()
    unfiltered: bool = False
    address: Address = field(default_factory=Address)
    names: tuple[str, ...] = ()
    tokens: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)
    memory_gib: float = 16.0
    features: str = "auto"
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        for folder in self.folders:
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; give one with bundles that `synth select` wrote.")
        if not 1 <= self.memory_gib <= 1 << 20:
            raise UserError(
                f"--memory {self.memory_gib:g}: out of range; give the GiB that a worker may use, 1 or more."
            )
        inside = [each for each in self.folders if self.store.resolve().is_relative_to(each.resolve())]
        if inside:
            raise UserError(f"--store {self.store}: lies in {inside[0]}, which is offered; give a folder elsewhere.")
