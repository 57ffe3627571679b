"""Ranges beside naive slicing, conditions, and that all that is given is written down before."""

import base64
import contextlib
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_service import Place, identity, make_bundle
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from synth.service import downloads
from synth.service.checks import ChangedError, open_checked, stamp_of
from synth.service.downloads import PIECE, AtOnce, chosen, lists


@given(content=st.binary(max_size=40), first=st.integers(0, 50), last=st.none() | st.integers(0, 50))
def test_a_range_is_a_slice(content: bytes, first: int, last: int | None) -> None:
    expected = content[first : None if last is None else last + 1]
    header = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert chosen(header, len(content)) is None  # RFC 9110 (14.1.1): invalid, and an invalid one is ignored (14.2)
    elif not expected:
        with pytest.raises(LookupError):
            chosen(header, len(content))
    else:
        start, stop = chosen(header, len(content)) or (None, None)
        assert content[start:stop] == expected
        assert 0 <= start < stop <= len(content)  # type: ignore[operator]


@given(content=st.binary(max_size=40), count=st.integers(0, 50))
def test_the_last_bytes_are_a_slice(content: bytes, count: int) -> None:
    expected = content[-count:] if count else b""
    if not expected:
        with pytest.raises(LookupError):
            chosen(f"bytes=-{count}", len(content))
    else:
        start, stop = chosen(f"bytes=-{count}", len(content)) or (None, None)
        assert content[start:stop] == expected


@given(st.text(alphabet="bytes=0123456789-, \tx;²٣", max_size=30), st.integers(0, 100))
def test_no_header_asks_for_more_than_the_file_has(header: str, size: int) -> None:
    try:
        part = chosen(header, size)
    except LookupError:
        return
    assert part is None or 0 <= part[0] < part[1] <= size


@pytest.mark.parametrize(
    "header", ["bytes=0-1,3-4", "bytes=" + ",".join(["0-"] * 1000), "lines=0-1", "bytes", "bytes=-"]
)
def test_several_ranges_and_what_is_none_are_the_whole_file(header: str) -> None:
    assert chosen(header, 10) is None


def test_conditions_are_compared_as_they_should() -> None:
    assert lists('"a", "b"', '"b"', weak=False)
    assert lists("*", '"b"', weak=False)
    assert not lists('W/"b"', '"b"', weak=False)
    assert lists('W/"b"', '"b"', weak=True)
    assert not lists('"ab"', '"b"', weak=True)


@pytest.fixture
def large(place: Place) -> Path:
    """A bundle of several pieces."""
    return make_bundle(place.folder / "bundles" / "large.h5", first=1000, count=4500)


def test_a_download_that_breaks_off_goes_on(place: Place, large: Path) -> None:
    content = large.read_bytes()
    assert len(content) > 2 * PIECE
    with place.opened() as (client, parts):
        path = f"/bundles/{identity(large)}/file"
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(content))
        assert head.headers["Accept-Ranges"] == "bytes"
        digest = hashlib.sha256(content)
        assert head.headers["ETag"] == f'"{digest.hexdigest()}"'
        assert head.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        assert parts.audit.page(0, 10)[0] == []  # nothing was given
        got, step = b"", len(content) // 3
        while len(got) < len(content):
            asked = {"Range": f"bytes={len(got)}-{len(got) + step - 1}", "If-Range": head.headers["ETag"]}
            answer = client.get(path, headers=asked)
            assert answer.status_code == 206
            end = min(len(content), len(got) + step)
            assert answer.headers["Content-Range"] == f"bytes {len(got)}-{end - 1}/{len(content)}"
            assert answer.headers["Content-Length"] == str(len(answer.content))
            got += answer.content
        assert got == content
        lines = parts.audit.page(0, 10)[0]
        assert sum(line["bytes"] for line in lines) == len(content)
        assert {(line["who"], line["what"], line["file_sha256"]) for line in lines} == {
            ("ada", "download", digest.hexdigest())
        }
        assert len({line["request"] for line in lines}) == len(lines)


def test_conditions(place: Place) -> None:
    content = place.shared.read_bytes()
    with place.opened() as (client, _):
        path = f"/bundles/{identity(place.shared)}/file"

        def ask(**headers: str) -> tuple[int, int]:
            answer = client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return answer.status_code, len(answer.content)

        etag = client.head(path).headers["ETag"]
        assert ask(Range="bytes=0-9", If_Range='"another"') == (200, len(content))
        assert ask(Range="bytes=0-9", If_Range=f"W/{etag}") == (200, len(content))
        assert ask(Range="bytes=0-9", If_Range="Wed, 21 Oct 2015 07:28:00 GMT") == (200, len(content))
        assert ask(Range="bytes=0-9", If_Range=etag) == (206, 10)
        assert ask(If_None_Match=etag) == (304, 0)
        assert ask(If_None_Match='"another"') == (200, len(content))
        assert ask(If_Match='"another"')[0] == 412
        assert ask(If_Match=etag, Range="bytes=-7") == (206, 7)
        for wanted in ("bytes=0-9", f"bytes={len(content)}-"):  # RFC 9110 (14.2): ranges are of GET alone
            head = client.head(path, headers={"Range": wanted})
            assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(content)))
            assert "Content-Range" not in head.headers
        answer = client.get(path, headers={"Range": f"bytes={len(content)}-"})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
        assert answer.json() == {"error": f"the file has {len(content)} bytes."}


def test_what_cannot_be_written_down_is_not_given(place: Place) -> None:
    with place.opened() as (client, parts):
        paths = [f"/bundles/{identity(place.shared)}/file", f"/networks/{place.free}/images/1.png"]
        assert [client.get(path).status_code for path in paths] == [200, 200]
        assert client.get("/readyz").status_code == 200
        parts.audit.path.rename(parts.audit.path.with_suffix(".moved"))
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 503
            assert set(answer.json()) == {"error"}
        assert client.post("/orders", json=place.order()).status_code == 503
        assert client.get("/orders").json() == {"orders": []}
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert client.head(paths[0]).status_code == 200  # which gives nothing


def test_a_file_that_is_written_into_while_it_is_given_is_cut_off(
    place: Place, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sees that bytes are missing, and gets none of the new ones."""
    content = large.read_bytes()
    changed = threading.Event()
    read = downloads._read

    def change_first(descriptor: int, start: int, *rest: object) -> bytes:
        if start and not changed.is_set():
            changed.set()
            with large.open("r+b") as stream:
                stream.seek(PIECE)
                stream.write(b"\0" * PIECE)
        return read(descriptor, start, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(downloads, "_read", change_first)
    given = bytearray()
    with place.opened() as (client, _):

        async def overheard(scope: Scope, receive: Receive, send: Send) -> None:
            async def hear(message: Message) -> None:
                if message["type"] == "http.response.body":
                    given.extend(message["body"])
                await send(message)

            await client.app(scope, receive, hear)  # type: ignore[arg-type, call-arg, func-returns-value, misc]

        hearing = TestClient(overheard, base_url=client.base_url, headers=place.heads["ada"])
        with pytest.raises(ChangedError):
            hearing.get(f"/bundles/{identity(large)}/file")
    assert changed.is_set()
    assert bytes(given) == content[:PIECE]


def test_what_is_refused_is_not_written_down(place: Place) -> None:
    with place.opened() as (client, parts):
        path = f"/bundles/{identity(place.shared)}/file"
        with contextlib.ExitStack() as taken:
            for _ in range(parts.bounds.downloads):
                taken.enter_context(parts.downloads.one("ada"))
            assert client.get(path).status_code == 429
            assert client.head(path).status_code == 200
            assert client.get(path, headers=place.heads["bob"]).status_code == 200
        assert client.get(path, headers={"Range": "bytes=3-4"}).status_code == 206
        lines, _ = parts.audit.page(0, 10)
        assert [(line["who"], line["bytes"]) for line in lines] == [("bob", place.shared.stat().st_size), ("ada", 2)]


def test_only_the_very_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    stamp = stamp_of(path)
    path.with_name("b").write_text("one")
    path.with_name("b").replace(path)
    with pytest.raises(ChangedError):
        open_checked(path, stamp)
    path.unlink()
    path.mkdir()
    with pytest.raises(ChangedError):
        stamp_of(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ChangedError):
        open_checked(tmp_path / "pipe", stamp)  # and does not wait for somebody to write


def test_each_client_has_its_places() -> None:
    at_once = AtOnce(2)
    with at_once.one("a"), at_once.one("a"):
        with pytest.raises(HTTPException, match="2 downloads at once"), at_once.one("a"):
            pass
        with at_once.one("b"):
            pass
    with at_once.one("a"):
        pass
    assert not at_once._busy
