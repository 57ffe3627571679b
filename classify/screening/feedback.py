"""What people who used the page think of it: kept with their consent alone, and removed when they ask for it."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, delete, func, insert, select
from sqlalchemy.engine import URL
from sqlalchemy.event import listens_for
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import UserError

ROLES = ("clinician", "patient", "other")
STATEMENTS = (
    "I think that I would like to use this page frequently.",
    "I found the page unnecessarily complex.",
    "I thought the page was easy to use.",
    "I think that I would need the support of a technical person to be able to use this page.",
    "I found the various functions of this page were well integrated.",
    "I thought there was too much inconsistency in this page.",
    "I would imagine that most people would learn to use this page very quickly.",
    "I found the page very cumbersome to use.",
    "I felt very confident using the page.",
    "I needed to learn a lot of things before I could get going with this page.",
)  # System Usability Scale (Brooke 1996), "system" read as "page"
MAX_TEXT = 2000  # characters
MOST = 100_000  # answers

_METADATA = MetaData()
_TABLE = Table(
    "feedback",
    _METADATA,
    Column("receipt", String(64), primary_key=True),  # SHA-256 of what the person was given
    Column("time", Float, nullable=False),
    Column("role", String(16), nullable=False),
    *(Column(f"s{number}", Integer, nullable=True) for number in range(1, len(STATEMENTS) + 1)),
    Column("text", String(MAX_TEXT), nullable=False),
)


@dataclass(frozen=True)
class Answer:
    """One person's.

    Attributes:
        role: one of `ROLES`.
        agreement: with each of `STATEMENTS`, 1 (strongly disagree) to 5, or none of them.
        text: whatever else they want to say.
    """

    role: str
    agreement: tuple[int, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role: give {', '.join(ROLES)}.")
        if self.agreement and (len(self.agreement) != len(STATEMENTS) or not set(self.agreement) <= set(range(1, 6))):
            raise ValueError(f"statements: answer all {len(STATEMENTS)} with 1 to 5, or none.")
        if len(self.text) > MAX_TEXT:
            raise ValueError(f"text: at most {MAX_TEXT} characters.")
        if not self.agreement and not self.text.strip():
            raise ValueError("nothing was answered.")


def usability(agreement: tuple[int, ...]) -> float:
    """Return the System Usability Scale's score, 0 to 100: odd statements count up, even ones down (Brooke 1996)."""
    return 2.5 * sum(value - 1 if place % 2 == 0 else 5 - value for place, value in enumerate(agreement))


class Feedback:
    """A file of answers (SQLite)."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise UserError(f"--feedback {path}: a folder; give a file in it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._engine = create_engine(URL.create("sqlite", database=str(path)))  # whatever signs the path has

        @listens_for(self._engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            connection.execute("PRAGMA secure_delete = ON")  # what is removed is not left in the file

        try:
            path.touch(mode=0o600)  # for its owner alone
            _METADATA.create_all(self._engine)
        except Exception as error:
            raise UserError(f"--feedback {path}: no file of answers that can be used; give another one.") from error

    def keep(self, answer: Answer) -> str:
        """Keep an answer, and return the receipt by which it can be removed.

        Raises `ValueError`: there are too many answers.
        """
        receipt = secrets.token_urlsafe(12)
        with self._engine.begin() as connection:
            if int(connection.execute(select(func.count()).select_from(_TABLE)).scalar_one()) >= MOST:
                raise ValueError("no more answers are kept.")
            row: dict[str, Any] = {
                "receipt": _digest(receipt),
                "time": time.time(),
                "role": answer.role,
                "text": answer.text,
            }
            row |= {f"s{number}": value for number, value in enumerate(answer.agreement, start=1)}
            connection.execute(insert(_TABLE).values(row))
        return receipt

    def remove(self, receipt: str) -> bool:
        """Remove the answer with this receipt, and tell whether there was one."""
        with self._engine.begin() as connection:
            return bool(connection.execute(delete(_TABLE).where(_TABLE.c.receipt == _digest(receipt))).rowcount)

    def summary(self) -> Mapping[str, Any]:
        """Return how many answered, and the usability scores of each role.

        Raises `UserError`: the file is damaged.
        """
        scores: dict[str, list[float]] = {role: [] for role in ROLES}
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(select(_TABLE)).mappings().all()
            for row in rows:
                values = tuple(row[f"s{number}"] for number in range(1, len(STATEMENTS) + 1))
                if None not in values:
                    scores[row["role"]].append(usability(values))
        except (SQLAlchemyError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"--feedback {self._path}: damaged, so that its answers cannot be summed up.") from error
        return {"n": len(rows), "usability": scores}


def _digest(receipt: str) -> str:
    return hashlib.sha256(receipt.encode()).hexdigest()
