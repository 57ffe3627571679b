"""Names of choices that both packages and their command lines know."""

from typing import Literal, get_args

Protocol = Literal["strict", "paper"]

PROTOCOLS: tuple[str, ...] = get_args(Protocol)
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
