import io
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from rich.console import Console

import shared.console
import shared.progress
from shared.console import say, user_errors
from shared.errors import UserError
from shared.progress import progress


def test_a_user_error_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, user_errors():
        raise UserError("--fold 9: out of range; give 0 to 4.")
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: --fold 9: out of range; give 0 to 4.\n")


def test_a_missing_right_is_named_with_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, user_errors():
        raise PermissionError(13, "Permission denied", "/data/[bold]x")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: /data/[bold]x: Permission denied; ")


def test_an_interrupt_has_the_shells_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, user_errors():
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("take", [bytearray, np.empty, torch.empty])
def test_too_little_memory_is_one_sentence(capsys: pytest.CaptureFixture[str], take: Callable[[int], object]) -> None:
    """As Python, NumPy and PyTorch say it of 2^50 bytes or more."""
    with pytest.raises(SystemExit) as caught, user_errors():
        take(1 << 50)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: not enough memory (")
    assert told.count("\n") == 1
    assert "give a smaller --batch" in told


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(AssertionError), user_errors():
        raise AssertionError
    with pytest.raises(RuntimeError), user_errors():
        raise RuntimeError("shapes do not fit")


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say("[red]folder[/red]/" + "x" * 300)
    assert capsys.readouterr().err == "[red]folder[/red]/" + "x" * 300 + "\n"


def test_without_a_terminal_there_is_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(shared.progress.time, "monotonic", lambda: now)
    with progress("training", 10, unit="kimg") as bar:
        for done in range(10):
            now = 30.0 * (done + 1)
            bar.note(f"p {done}")
            bar.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5  # after 60, 120, 180, 240 and 300 s; the end was told by the last of them
    assert lines[0] == "training: 2/10 kimg, 0.0333 kimg/s, 60 s, 240 s left  p 1"
    assert lines[-1] == "training: 10/10 kimg, 0.0333 kimg/s, 300 s  p 9"


def test_what_an_earlier_process_did_says_nothing_of_the_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(shared.progress.time, "monotonic", lambda: now)
    with progress("training", 100, unit="kimg") as bar:
        bar.skip(70)
        now = 60.0
        bar.advance(6)
        bar.skip(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 76/100 kimg, 0.1 kimg/s, 60 s, 240 s left"
    assert lines[1] == "training: 77/100 kimg, 0.1 kimg/s, 60 s, 230 s left"


def test_a_bar_counts_what_an_earlier_process_did(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(shared.console, "console", lambda: Console(file=stream, force_terminal=True, width=120))
    with progress("reading", 4, unit="images") as bar:
        bar.skip(4)
    text = stream.getvalue()
    assert "4/4" in text
    assert "images/s" not in text


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(shared.console, "console", lambda: Console(file=stream, force_terminal=True, width=120))
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("reading", 4, unit="images") as bar:
        bar.advance(3)
        bar.note("bad 1")
        bar.advance(1)
    text = stream.getvalue()
    assert "reading" in text
    assert "4/4" in text
    assert "bad 1" in text
    assert "100%" not in text
