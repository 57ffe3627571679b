"""Signals are remembered, answered in time, and given back."""

import os
import signal
import threading

import pytest

import shared.interruption
from shared.interruption import EXIT_CODES, StopAskedError, watching_signals


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_a_signal_is_remembered_and_has_a_code(name: str, code: int) -> None:
    with watching_signals() as interruption:
        interruption.check()
        os.kill(os.getpid(), getattr(signal, name))
        with pytest.raises(StopAskedError):
            interruption.check()
        assert interruption.exit_code == code


def test_a_second_interrupt_ends_at_once() -> None:
    with watching_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(getattr(signal, name)) for name in EXIT_CODES]
    with watching_signals():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(getattr(signal, name)) for name in EXIT_CODES] == before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with watching_signals() as interruption:
            seen.append(interruption.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_the_codes_are_documented() -> None:
    text = shared.interruption.__doc__ or ""
    for name, code in EXIT_CODES.items():
        assert f"| {name}" in text
        assert f"| {code}" in text
