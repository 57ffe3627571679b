"""What clients ask for and are answered, as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from synth.choices import MAX_TRUNCATION, TYPICAL, Rule
from synth.service.options import MAX_IMAGES, Bounds

DIGEST = "^[0-9a-f]{64}$"
ORDER_ID = "^[0-9a-f]{32}$"
MAX_SEED = 2**32 - 1
MAX_SIGMA = 1000.0

Sha256 = Annotated[str, Field(pattern=DIGEST)]
Truncation = Annotated[float, Field(ge=-MAX_TRUNCATION, le=MAX_TRUNCATION, allow_inf_nan=False)]

# Whole numbers, which JSON may write as 8.0; no texts and no truth values
_WHOLE = BeforeValidator(lambda value: int(value) if _is_whole(value) else value)
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_IMAGES), _WHOLE]
Class = Annotated[int, Field(strict=True, ge=0, le=999), _WHOLE]
Seed = Annotated[int, Field(strict=True, ge=0, le=MAX_SEED), _WHOLE]


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


class OrderRequest(BaseModel):
    """Candidates to draw, and what to keep of them; copies of photographs are rejected whatever it says.

    The terms are those of `synth generate` and `synth select`.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    network: Sha256 = Field(description="Its id, of /networks.")
    count: Count = Field(description="Candidates; see /limits for how many are allowed.")
    seed: Seed = Field(default=0, description="The first one's; the others follow.")
    truncation: Truncation | None = Field(default=None, description="psi; by default as the network was refined.")
    class_index: Class | None = Field(default=None, description="Of a network that draws several classes.")
    rule: Rule = Field(default="union", description="By which candidates are kept.")
    sigma: float = Field(
        default=2.0,
        ge=0,
        le=MAX_SIGMA,
        allow_inf_nan=False,
        description="Kept is what scores at least the real images' mean minus so many standard deviations.",
    )
    keep: Count | None = Field(default=None, description="At most so many, by the rule with an order.")

    def contradiction(self) -> str | None:
        """Return what in it does not fit together, None where all does."""
        if self.keep is not None and self.rule != TYPICAL:
            return f"keep: needs the rule {TYPICAL}, the only one with an order."
        if self.seed + self.count > MAX_SEED + 1:
            return f"seed: seeds end at {MAX_SEED}, so from this one on there are not so many."
        return None

    def canonical(self) -> str:
        """Return it as text that is the same for the same order."""
        return json.dumps(self.model_dump(), sort_keys=True)


class OrderState(BaseModel):
    """An order, and how far it is."""

    id: str = Field(pattern=ORDER_ID)
    state: Literal["queued", "running", "done", "withheld", "failed", "cancelled", "expired"]
    request: OrderRequest = Field(description="What was ordered.")
    created: float = Field(description="Seconds since 1970.")
    what: str = Field(description="What is being done.")
    progress: float = Field(ge=0, le=1, description="Of what is being done.")
    ahead: int = Field(description="Orders before it.")
    reason: str | None = Field(description="Why it ended as it did.")
    sha256: str | None = Field(description="Of the bundle behind its seal: its identity.")
    file_sha256: str | None = Field(description="Of the bundle's file.")
    bytes: int | None = Field(description="Of the bundle's file.")


class OrderList(BaseModel):
    """A client's orders, the newest first."""

    orders: list[OrderState]


class NetworkState(BaseModel):
    """A network that is offered."""

    id: Sha256 = Field(description="SHA-256 of its file.")
    name: str
    size: int = Field(description="Side of its pictures in px.")
    classes: list[str] = Field(description="What it draws, if several; class_index counts from 0.")
    class_name: str
    licence: str
    photographs: int = Field(description="Of patients that it saw; 0 of one that no cohort trained.")
    draws: bool = Field(description="Whether single pictures are drawn with it.")
    orders: bool = Field(description="Whether bundles can be ordered of it.")


class NetworkList(BaseModel):
    """The networks that are offered."""

    networks: list[NetworkState]


class BundleState(BaseModel):
    """A bundle that is offered."""

    id: Sha256 = Field(description="SHA-256 of what is behind its seal: the identity that models and tables name.")
    bytes: int
    file_sha256: Sha256 = Field(description="Of the whole file; also its ETag.")
    network: str
    about: dict[str, Any]


class BundleList(BaseModel):
    """The bundles that are offered."""

    bundles: list[BundleState]


class AuditPage(BaseModel):
    """Lines of the audit log, the oldest first."""

    lines: list[dict[str, Any]]
    next: int = Field(description="Ask for what comes after by after=this.")


class Limits(BaseModel):
    """How much a client may ask for."""

    fewest: int = Field(description="Candidates of an order.")
    most: int = Field(description="Candidates of an order.")
    images_a_day: int = Field(description="Candidates of all orders of a client.")
    active: int = Field(description="Orders of a client that wait or are worked on.")
    waiting: int = Field(description="Orders of all clients that wait.")
    per_minute: float = Field(description="Requests of a client.")
    days: float = Field(description="For which what was ordered is kept.")

    @classmethod
    def of(cls, bounds: Bounds) -> Limits:
        """Take what concerns clients."""
        return cls(**{name: getattr(bounds, name) for name in cls.model_fields})
