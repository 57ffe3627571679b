"""The web's bounds around a small application: what is let through, what is refused, and what is told of it."""

import asyncio
import contextlib
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, UploadFile
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from shared.errors import UserError
from shared.web.access import Access
from shared.web.answers import answer_in_sentences
from shared.web.application import bounded, new_application
from shared.web.guard import HEADERS, Guard
from shared.web.limits import BodyLimit, RateLimit
from shared.web.patience import PatientProtocol
from shared.web.server import STALL_S, Address, listen, require_safe, reserve, serve
from shared.web.tokens import Tokens, hash_of, issue, read_tokens

SCOPES = ("look", "order")
LIMIT = 4096


def application(tokens: Tokens | None = None, per_minute: float = 600) -> FastAPI:
    app = FastAPI()
    answer_in_sentences(app)
    access = Access(tokens, RateLimit(per_minute))

    @app.get("/look/{name}")
    def look(name: str, client: str = access.needs("look")) -> dict[str, str]:
        return {"name": name, "client": client}

    @app.post("/send")
    def send(file: UploadFile, client: str = access.needs("order")) -> dict[str, int]:
        del client
        return {"bytes": len(file.file.read())}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/fails")
    def fails() -> None:
        raise RuntimeError("secret")

    return app


def guarded(log: io.StringIO | None = None, **options: object) -> TestClient:
    app = Guard(BodyLimit(application(**options), max_bytes=LIMIT, seconds=1), log=log or io.StringIO())  # type: ignore[arg-type]
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def tokens(tmp_path: Path) -> Callable[..., str]:
    return lambda name="ada", *scopes, **more: issue(
        tmp_path / "tokens.json", name, scopes or SCOPES, allowed=SCOPES, **more
    )


def test_every_answer_has_the_headers_and_one_line_without_content() -> None:
    log = io.StringIO()
    client = guarded(log)
    answers = [client.get("/look/alice"), client.get("/nothing"), client.get("/fails"), client.put("/raw", content="x")]
    assert [each.status_code for each in answers] == [200, 404, 500, 405]
    for each in answers:
        assert {name: each.headers[name] for name in HEADERS} == HEADERS
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["status"], line["route"]) for line in lines] == [
        (200, "/look/{name}"),
        (404, None),
        (500, "/fails"),
        (405, "/raw"),
    ]
    assert [line["id"] for line in lines[:2]] == [each.headers["X-Request-Id"] for each in answers[:2]]
    assert lines[0]["client"] == "local"
    assert "alice" not in log.getvalue()
    assert "secret" not in answers[2].text
    assert answers[1].json() == {"error": "there is nothing at this address; see /docs."}


def test_another_name_and_another_origin_are_refused() -> None:
    """A page elsewhere can reach this machine by a name of its own, or by a form that it sends."""
    client = guarded()
    assert client.get("/look/a", headers={"Host": "evil.example"}).status_code == 421
    for host in ("127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert client.get("/look/a", headers={"Host": host}).status_code == 200
    for host in ("0.0.0.0:8000", "", "localhost.evil.example", "localhost@evil.example", "[::1]x.example"[1:]):
        assert client.get("/look/a", headers={"Host": host}).status_code == 421
    own = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}
    assert client.post("/raw", content="x", headers=own).status_code == 200
    for origin in ("http://evil.example", "http://localhost:9000", "null"):
        assert client.post("/raw", content="x", headers=own | {"Origin": origin}).status_code == 403
    assert client.post("/raw", content="x").status_code == 200  # no browser


def test_a_service_is_called_by_the_names_that_it_was_given_however_they_are_spelt() -> None:
    app = TestClient(
        bounded(application(), max_bytes=LIMIT, seconds=1, names=["Screen.Example.org"], log=io.StringIO())
    )
    hosts = {"screen.example.org": 200, "SCREEN.example.org:443": 200, "localhost": 200, "example.org": 421}
    assert {host: app.get("/look/a", headers={"Host": host}).status_code for host in hosts} == hosts
    assert Address("192.0.2.7").names == ("192.0.2.7",)
    for everywhere in ("0.0.0.0", "::"):  # a page can name this machine so
        assert Address(everywhere).names == ()


def test_an_address_may_take_larger_bodies_than_others() -> None:
    app = bounded(application(), max_bytes=10, seconds=1, larger={"/raw": LIMIT}, log=io.StringIO())
    client = TestClient(app, base_url="http://localhost")
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        assert client.post("/raw", content=b"x" * size).status_code == status
        assert client.post("/raw", content=iter([b"x" * size])).status_code == status
    for path in ("/send", "/raw/", "//raw", "/RAW"):
        assert client.post(path, content=b"x" * 11).status_code == 413


@given(size=st.integers(0, 2 * LIMIT), stated=st.booleans())
def test_no_body_larger_than_the_limit_is_read(size: int, stated: bool) -> None:
    client = guarded()
    content = b"x" * size if stated else iter([b"x" * min(1000, size - at) for at in range(0, size, 1000)] or [b""])
    answer = client.post("/raw", content=content)  # type: ignore[arg-type]
    assert answer.status_code == (200 if size <= LIMIT else 413)
    assert answer.json() == (
        {"bytes": size} if size <= LIMIT else {"error": "the request is larger than 4 KiB; send a smaller one."}
    )


def test_a_form_that_grows_too_large_is_too_large_and_not_malformed() -> None:
    def form() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(2 * LIMIT // 1000):
            yield b"x" * 1000
        yield b"\r\n--b--\r\n"

    head = {"Content-Type": "multipart/form-data; boundary=b"}
    assert guarded().post("/send", content=form(), headers=head).status_code == 413


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1e3"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    async def ask() -> int:
        statuses: list[int] = []

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])  # type: ignore[arg-type]

        scope = {"type": "http", "method": "POST", "headers": [(b"content-length", length.encode())]}
        await BodyLimit(application(), max_bytes=LIMIT, seconds=1)(scope, None, send)  # type: ignore[arg-type]
        return statuses[0]

    assert asyncio.run(ask()) == 413


def test_what_is_wrong_with_a_request_is_one_sentence() -> None:
    answer = guarded().post("/send")
    assert answer.status_code == 422
    assert answer.json() == {"error": "file: it is missing; see /docs."}


def test_a_token_lets_its_scopes_through(tokens: Callable[..., str], tmp_path: Path) -> None:
    secret = tokens("ada", "look")
    client = guarded(tokens=Tokens(tmp_path / "tokens.json"))
    head = {"Authorization": f"Bearer {secret}"}
    assert client.get("/look/x", headers=head).json() == {"name": "x", "client": "ada"}
    refused = client.post("/send", files={"file": b"x"}, headers=head)
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        "this token does not allow it; ask for one with the scope order.",
    )
    for wrong in ("", "Bearer ", f"Basic {secret}", f"Bearer {secret}x"):
        answer = client.get("/look/x", headers={"Authorization": wrong})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.get("/look/x", headers={"Authorization": f"bearer  {secret}"}).status_code == 200


def test_a_token_that_is_replaced_withdrawn_or_old_lets_nobody_through(
    tokens: Callable[..., str], tmp_path: Path
) -> None:
    first = tokens("ada")
    known = Tokens(tmp_path / "tokens.json")
    found = known.find(first)
    assert found is not None
    assert found.name == "ada"
    second = tokens("ada")
    assert known.find(first) is None
    assert known.find(second) is not None
    expired = tokens("old", days=-1)
    assert known.find(expired) is None
    assert {each.name for each in read_tokens(tmp_path / "tokens.json")} == {"ada", "old"}
    (tmp_path / "tokens.json").write_text("damaged while it runs")
    assert known.find(second) is None
    (tmp_path / "tokens.json").unlink()
    assert known.find(second) is None


def test_the_file_holds_no_token_and_is_its_owners(tokens: Callable[..., str], tmp_path: Path) -> None:
    secret = tokens()
    text = (tmp_path / "tokens.json").read_text()
    assert secret not in text
    assert hash_of(secret) in text
    assert os.stat(tmp_path / "tokens.json").st_mode & 0o777 == 0o600  # noqa: PTH116
    assert len(secret) > 40


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "rarescreen-tokens", "version": 2, "tokens": []}', "[" * 9999]
)
def test_a_file_that_holds_none_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(UserError, match="not a file of tokens; issue new ones"):
        Tokens(tmp_path / "t.json")
    with pytest.raises(UserError, match="no such file; issue a first token"):
        Tokens(tmp_path / "u.json")


def test_names_and_scopes_that_cannot_be_are_refused(tokens: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="give a name of letters"):
        tokens("a b\n")
    with pytest.raises(UserError, match="'rule': not a scope of this service; give look, order"):
        tokens("ada", "rule")
    for days in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="no number of days"):
            tokens("ada", days=days)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20), st.integers(1, 120))
def test_no_client_gets_more_than_its_burst_and_rate(pauses: list[float], burst: int, per_minute: int) -> None:
    """In any span of t seconds at most burst + rate * t requests are answered, and who waits as told is answered."""
    now = 0.0
    limit = RateLimit(per_minute, burst, clock=lambda: now)
    answered = []
    for pause in pauses:
        now += pause
        wait = limit.wait_s("a")
        if not wait:
            answered.append(now)
            continue
        now += wait * (1 + 1e-9) + 1e-9
        assert limit.wait_s("a") == 0
        answered.append(now)
    for first, start in enumerate(answered):
        for last, end in enumerate(answered[first:], start=first):
            assert last - first + 1 <= burst + per_minute / 60 * (end - start) + 1e-6
    assert limit.wait_s("b") == 0  # others are counted by themselves


def test_threads_get_no_more_than_the_burst() -> None:
    """Requests of one client are counted in several threads, which change as often as the interpreter lets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        limit = RateLimit(60, 50, clock=lambda: 0.0)
        answered: list[float] = []
        threads = [
            threading.Thread(target=lambda: answered.extend(limit.wait_s("a") for _ in range(500))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(answered) == 4000
    assert answered.count(0.0) == 50


def test_who_asks_too_often_or_guesses_is_told_when_to_come_again(tokens: Callable[..., str], tmp_path: Path) -> None:
    tokens()
    client = guarded(per_minute=2)
    assert [client.get("/look/x").status_code for _ in range(3)] == [200, 200, 429]
    assert 1 <= int(client.get("/look/x").headers["Retry-After"]) <= 31
    guessing = guarded(tokens=Tokens(tmp_path / "tokens.json"), per_minute=2)
    head = {"Authorization": "Bearer rs_guess"}
    assert [guessing.get("/look/x", headers=head).status_code for _ in range(3)] == [401, 401, 429]


@pytest.fixture
def served() -> Iterator[str]:
    """The application on a real socket."""
    listener = listen(Address(port=0))
    app = Guard(BodyLimit(application(), max_bytes=LIMIT, seconds=0.3), log=io.StringIO())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_a_body_that_does_not_arrive_is_given_up(served: str) -> None:
    host, port = served.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"POST /raw HTTP/1.1\r\nHost: {served}\r\nContent-Length: 10\r\n\r\nabc".encode())
        connection.settimeout(60)
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert "did not arrive within 0.3 s" in answer
    assert httpx.post(f"http://{served}/raw", content=b"abc").json() == {"bytes": 3}


@pytest.mark.parametrize("said", [b"", b"GET /look/a HTTP/1.1\r\nHost: localhost\r\n"])
@pytest.mark.parametrize("first", [False, True])
def test_a_client_that_does_not_say_what_it_wants_is_given_up(
    said: bytes, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on a new connection nor after a request on it; one that speaks in time is answered."""
    monkeypatch.setattr("shared.web.patience.HEADERS_S", 0.5)
    config = uvicorn.Config(
        Guard(application(), log=io.StringIO()), log_config=None, http=PatientProtocol, timeout_keep_alive=1
    )
    listener, server = listen(Address(port=0)), uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    with socket.create_connection(listener.getsockname()) as connection:
        connection.settimeout(60)
        if first:
            for _ in range(2):
                connection.sendall(b"GET /look/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(1 << 16)
        begun = time.monotonic()
        connection.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(4096) == b""
        assert time.monotonic() - begun > 0.2
    server.should_exit = True
    thread.join()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_system_gives_up_a_client_that_takes_nothing() -> None:
    with listen(Address(port=0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * STALL_S


def test_an_answer_in_two_pieces_is_not_held_back() -> None:
    """Nagle's algorithm would keep the second piece until the client has acknowledged the first."""
    delays: list[int] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask(listener: socket.socket) -> None:
        async with await asyncio.start_server(answer, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            await reader.read()
            writer.close()

    asyncio.run(ask(listen(Address(port=0))))
    assert delays == [1]


def test_a_port_that_is_taken_and_an_open_door_are_one_sentence(tmp_path: Path) -> None:
    with listen(Address(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"--host 127.0.0.1 --port {port}: Address already in use; end what listens there"
        ):
            listen(Address(port=port))
        with pytest.raises(UserError, match="Address already in use"):
            reserve(Address(port=port))
    with reserve(Address(port=0)) as first:  # two begin at once
        address = Address(port=first.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port))
        with reserve(address) as second:
            first.listen()
            with pytest.raises(UserError, match="Address already in use; end what listens there, or give another one"):
                serve(application(), second, what="second")
    with pytest.raises(UserError, match=r"--host 0\.0\.0\.0: others can reach that"):
        require_safe(Address("0.0.0.0"), None)
    require_safe(Address("0.0.0.0"), tmp_path)
    require_safe(Address("::1"), None)
    with pytest.raises(UserError, match="--port 99999"):
        listen(Address(port=99999))
    with pytest.raises(UserError, match=r"--host a\.\.b --port 0: .*; give another one"):
        listen(Address("a..b", port=0))


def test_an_application_tells_of_itself_and_of_its_trouble() -> None:
    trouble: list[str] = []
    client = TestClient(new_application("Name", "About <it>.", lambda: trouble[0] if trouble else None))
    assert client.get("/readyz").json()["status"] == "ready"
    trouble.append("the disk is full.")
    assert client.get("/readyz").json() == {"error": "the disk is full."}
    assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)
    assert client.get("/healthz?x=1").status_code == 422
    assert "About &lt;it&gt;." in client.get("/docs").text
    assert client.get("/redoc").status_code == 404
