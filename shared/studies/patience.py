"""Waiting for a storage that does not answer: a database that starts anew must not end trainings of hours."""

import time
from collections.abc import Callable
from typing import TypeVar

import optuna
import sqlalchemy

from shared.console import say
from shared.errors import UserError

T = TypeVar("T")
PATIENCE_S = 600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
AWAY = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError)


def patiently(call: Callable[[], T], what: str, *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Call until the storage answers, and return what it does.

    `what` begins the sentences: what waits for it. Raises `UserError`: it has not answered for `PATIENCE_S`.
    """
    pause, end = FIRST_PAUSE_S, time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except AWAY as error:
            if time.monotonic() > end:
                raise UserError(
                    f"{what} the storage has not answered for {PATIENCE_S:g} s; run the same command again when it "
                    "does."
                ) from error
            if pause == FIRST_PAUSE_S:
                say(f"{what} the storage does not answer; trying for {PATIENCE_S / 60:g} min")
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
