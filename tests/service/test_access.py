"""Who may do what; and the command line."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click import Group
from click.testing import CliRunner
from small_service import Place, identity

from classify.cli import cli as classify
from classify.screening.app import SCOPES as SCREENING_SCOPES
from shared.web.tokens import Tokens
from synth.cli import cli
from synth.service.app import application
from synth.service.options import SCOPES
from synth.service.requests import BundleState, Limits, NetworkState, OrderRequest, OrderState

OPEN = {"/healthz", "/readyz"}
NEEDS = {
    ("GET", "/limits"): "list",
    ("GET", "/networks"): "list",
    ("GET", "/networks/{network}"): "list",
    ("GET", "/networks/{network}/images/{seed}.png"): "draw",
    ("GET", "/bundles"): "list",
    ("GET", "/bundles/{bundle}"): "list",
    ("GET", "/bundles/{bundle}/file"): "download",
    ("HEAD", "/bundles/{bundle}/file"): "download",
    ("POST", "/orders"): "order",
    ("GET", "/orders"): "order",
    ("GET", "/orders/{order}"): "order",
    ("DELETE", "/orders/{order}"): "order",
    ("GET", "/orders/{order}/bundle"): "download",
    ("HEAD", "/orders/{order}/bundle"): "download",
    ("GET", "/audit"): "audit",
}


def test_each_address_needs_its_scope_and_no_other(place: Place) -> None:
    heads = {scope: place.token(scope, scope) for scope in SCOPES}
    old = place.token("old", days=-1)
    with place.opened() as (client, parts):
        paths = application(parts).openapi()["paths"]
        listed = {(method.upper(), path) for path, methods in paths.items() for method in methods if path not in OPEN}
        assert listed == set(NEEDS)  # a new address must say what it needs
        values = {"network": place.free, "seed": "1", "bundle": identity(place.shared), "order": "0" * 32}
        for (method, path), needed in NEEDS.items():
            address = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)
            for scope, head in heads.items():
                answer = client.request(method, address, headers=head)
                assert (answer.status_code == 403) == (scope != needed), (method, path, scope)
            for wrong in (old, {"Authorization": "Bearer rs_guess"}, {"Authorization": ""}):
                answer = client.request(method, address, headers=wrong)
                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), (method, path)


def test_a_token_that_is_withdrawn_lets_nobody_through(place: Place) -> None:
    with place.opened() as (client, _):
        assert client.get("/bundles").status_code == 200
        place.token("ada")
        assert client.get("/bundles").status_code == 401


def test_the_audit_log_is_read_page_by_page(place: Place) -> None:
    with place.opened() as (client, _):
        for seed in range(5):
            assert client.get(f"/networks/{place.free}/images/{seed}.png").status_code == 200
        lines, after = [], 0
        while True:
            page = client.get("/audit", params={"after": after, "limit": 2}).json()
            if not page["lines"]:
                break
            lines += page["lines"]
            after = page["next"]
        assert [line["seed"] for line in lines] == list(range(5))
        assert client.get("/audit", params={"after": 1}).status_code == 404


def test_on_this_machine_alone_nobody_needs_a_token(place: Place) -> None:
    with place.opened(tokens=None) as (client, parts):
        assert client.get("/bundles", headers={"Authorization": ""}).status_code == 200
        client.get(f"/networks/{place.free}/images/1.png")
        assert parts.audit.page(0, 1)[0][0]["who"] == "local"


def test_the_pages_of_docs_need_no_network(place: Place) -> None:
    with place.opened() as (client, parts):
        page, style = client.get("/docs"), client.get("/docs.css")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert style.headers["content-type"] == "text/css; charset=utf-8"
        links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert links[:2] == ["/docs.css", "/openapi.json"]
        anchors = re.findall(r'<h2 id="([^"]*)">', page.text)
        assert links[2:] == [f"#{anchor}" for anchor in anchors]  # the contents
        assert len(set(anchors)) == len(anchors) == page.text.count("<h2")
        assert "<script" not in page.text
        assert client.get("/").text == page.text  # where a browser begins
        assert "style=" not in page.text
        for path in application(parts).openapi()["paths"]:
            assert path in page.text
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")


def test_the_docs_list_every_field_of_a_body_and_of_an_answer(place: Place) -> None:
    with place.opened() as (client, _):
        text = client.get("/docs").text
    assert "`" not in text
    assert "<code>Authorization: Bearer TOKEN</code>" in text
    assert set(re.findall("token of the scope <code>([^<]*)</code>", text)) == set(SCOPES)
    assert "such as <code>bytes=1000-</code>" in text
    assert all(section.count("<caption>Answer") <= 1 for section in text.split("<h2")[1:])  # none twice
    assert text.count("The same answer as above.") == 1  # of an order that was placed before
    for model in (OrderRequest, OrderState, NetworkState, BundleState, Limits):
        for name in model.model_fields:
            assert re.search(rf"<code>(\w+(\[\])?\.)*{name}</code>", text), (model, name)
    assert "<td>one of &quot;union&quot;, &quot;intersection&quot;," in text
    assert "<td>whole number, 0 to 4294967295, by default 0</td>" in text  # of the seed
    assert "<td>number, -2 to 2, or null</td>" in text  # of the truncation
    assert "<td>text, 64 hexadecimal digits (0-9, a-f), required</td>" in text  # of the network


@pytest.mark.parametrize(("program", "scopes"), [(cli, SCOPES), (classify, SCREENING_SCOPES)])
def test_help_names_every_scope(program: Group, scopes: Sequence[str]) -> None:
    words = " ".join(CliRunner().invoke(program, ["serve", "--help"]).output.split())
    assert f"What the new token allows: {', '.join(scopes)}; repeatable." in words


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["serve", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_a_token_is_shown_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    code, shown, said = run("--issue", "ada", "--scope", "list", "--scope", "download", "--days", 2, "--tokens", tokens)
    assert (code, said) == (0, "")
    found = Tokens(tokens).find(shown.strip())
    assert found is not None
    assert (found.name, found.scopes) == ("ada", ("list", "download"))
    assert found.expires is not None
    assert shown.strip() not in tokens.read_text()
    assert len(json.loads(tokens.read_text())["tokens"]) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--issue", "ada", "--scope", "list"], "--issue: needs --tokens FILE"),
        (["--issue", "ada", "--scope", "all", "--tokens", "{0}/t.json"], "'all': not a scope of this service"),
        (["--store", "{0}/s", "--features", "nonsense"], "no such feature space as 'nonsense'; give one of auto"),
        (["--issue", "ada", "--tokens", "{0}/t.json"], "--scope: missing; say what the token allows: list, draw"),
        (["{0}"], "--store is missing"),
        (["{0}/none", "--store", "{0}/s"], "no such folder"),
        (["--store", "{0}/s", "--host", "0.0.0.0"], "others can reach that, so they need a token"),
        (["--store", "{0}/s", "--tokens", "{0}/t.json"], "no such file; issue a first token"),
        (["--store", "{0}/s", "--networks", "{0}"], "holds no network"),
        (["--store", "{0}/s", "--cohort", "{0}/none.h5"], "none.h5"),
        (["--store", "{0}/s", "--per-minute", "0"], "--per-minute 0: out of range"),
        (["--store", "{0}/s", "--most", "9"], "--most 9: out of range; give 200"),
        (["--store", "{0}/s", "--hours", "nan"], "--hours nan: out of range"),
        (["--store", "{0}/s", "--memory", "0"], "--memory 0: out of range"),
        (["--store", "{0}/s", "--database", "oracle://x"], "not supported; give postgresql"),
        (["--store", "{0}/s", "--database", "x"], "--database: not an address"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    code, _, said = run(*(each.format(tmp_path) for each in arguments))
    assert code == 2
    assert sentence in said
    assert said.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said
