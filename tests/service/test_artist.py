"""The process that draws: who waits for it, and that nobody else does."""

import json
import sys
import threading
from pathlib import Path

import pytest
from waiting import until

from shared.errors import BusyError
from synth.service.artist import BLOCK, MOST_WAITING, ArtistProcess, Picture

SLOW = """
import base64, json, pathlib, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    while not pathlib.Path(asked["path"]).exists():
        time.sleep(0.02)
    pngs = [base64.b64encode(b"picture %d" % seed).decode() for seed in asked["seeds"]]
    print(json.dumps({"number": asked["number"], "pngs": pngs}), flush=True)
"""


def test_who_asks_while_all_places_are_taken_is_answered_at_once(tmp_path: Path) -> None:
    """What was drawn is given, and the rest is refused: else pictures would hold all threads, those of health too."""
    artist = ArtistProcess(command=(sys.executable, "-c", SLOW))
    ready, slow = tmp_path / "ready", tmp_path / "slow"
    ready.touch()
    known = Picture("a", 5, None, None)
    assert artist.draw(ready, known) == b"picture 5"
    drawn: list[bytes] = []
    waiting = [
        threading.Thread(target=lambda n=n: drawn.append(artist.draw(slow, Picture("b", n * BLOCK, None, None))))
        for n in range(MOST_WAITING)
    ]
    for each in waiting:
        each.start()
    refused, outcome = threading.Event(), dict[str, object]()

    def ask() -> None:
        outcome["known"] = artist.draw(ready, known)
        while not refused.is_set():
            try:
                artist.draw(slow, Picture("c", 0, None, None))
            except BusyError as error:
                outcome["refused"] = str(error)
                refused.set()

    asker = threading.Thread(target=ask, daemon=True)
    try:
        until(lambda: artist._room._value == 0)  # each of them has a place
        asker.start()
        assert refused.wait(20), json.dumps(list(outcome))
    finally:
        slow.touch()
        for each in waiting:
            each.join()
        artist.close()
    assert outcome["known"] == b"picture 5"
    assert outcome["refused"] == "too many pictures are being drawn; try again in a minute."
    assert sorted(drawn) == sorted(b"picture %d" % (n * BLOCK) for n in range(MOST_WAITING))


def test_who_waited_for_what_another_had_drawn_gets_that(tmp_path: Path) -> None:
    """Of many who ask for pictures of one block at once the first has it drawn: the process ends after one answer."""
    ready = tmp_path / "ready"
    artist = ArtistProcess(command=(sys.executable, "-c", SLOW + "    break\n"))
    drawn: list[bytes] = []
    asking = [
        threading.Thread(target=lambda n=n: drawn.append(artist.draw(ready, Picture("a", n % BLOCK, None, None))))
        for n in range(MOST_WAITING)
    ]
    for each in asking:
        each.start()
    until(lambda: artist._room._value == 0)  # each of them waits
    artist._command = ("false",)  # a second process would draw nothing
    ready.touch()
    for each in asking:
        each.join()
    artist.close()
    assert sorted(drawn) == sorted(b"picture %d" % (n % BLOCK) for n in range(MOST_WAITING))


def test_a_block_is_drawn_once(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    artist = ArtistProcess(command=(sys.executable, "-c", SLOW))
    assert artist.draw(tmp_path / "here", Picture("a", 40, None, None)) == b"picture 40"
    artist._command = ("false",)
    artist.close()
    assert artist.draw(tmp_path / "here", Picture("a", 33, None, None)) == b"picture 33"
    with pytest.raises(BusyError, match="takes too long"):
        artist.draw(tmp_path / "here", Picture("a", 64, None, None))
