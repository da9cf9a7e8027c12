"""Which programs register themselves, and where they may have people led to. Pure."""

from __future__ import annotations

import json
import time

import pytest
from mcp_portal import programs, settings
from mcp_portal.app import build
from mcp_portal.programs import Programs, Refused, is_same
from mcp_portal.seal import Seal

ELSEWHERE = "https://vscode.dev/redirect"


@pytest.fixture
def known():
    return Programs(Seal("a-secret"), [ELSEWHERE])


def body(*uris, **metadata):
    return json.dumps({"redirect_uris": uris, **metadata}).encode()


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:4711/callback",
        "http://localhost:4711/callback/x-1",
        "http://[::1]:4711/",
        "http://localhost",
        "http://127.0.0.1/callback",
        ELSEWHERE,
    ],
)
def test_program_of_this_machine_or_a_declared_one_registers(known, uri):
    told = known.register(body(uri, client_name="Codex", token_endpoint_auth_method="x"))
    assert told["token_endpoint_auth_method"] == "none" and "client_secret" not in told
    found = known.find(told["client_id"])
    assert found.name == "Codex" and found.redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost.evil.example:80/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:1@evil.example/callback",
        "http://evil.example#@127.0.0.1/callback",
        "http://127.0.0.1:4711\\@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "http://user@127.0.0.1:4711/callback",
        "http://127.0.0.1:4711/callback#fragment",
        "http://127.0.0.1:4711/callback?x=https://evil.example",
        "http://127.0.0.1:4711/callback\n",
        "http://127.0.0.1:4711/\r\nlocation: x",
        "http://127.0.0.1:99999/",
        "http://127.1:4711/",
        "http://2130706433:4711/",
        "http://0.0.0.0:4711/",
        "http://127.0.0.2:4711/",
        "http://LOCALHOST:4711/",
        "http://localhost.:4711/",
        "http://[::ffff:127.0.0.1]:4711/",
        "http://ai.example.internal/callback",
        "https://localhost:4711/callback",
        "https://vscode.dev/redirect/",
        "https://vscode.dev/redirect?x=1",
        "https://vscode.dev:443/redirect",
        "https://evil.example/redirect",
        "//127.0.0.1/callback",
        "cursor://callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
    ],
)
def test_no_other_address_is_registered(known, uri):
    with pytest.raises(Refused) as refused:
        known.register(body("http://127.0.0.1:4711/callback", uri))
    assert refused.value.error == "invalid_redirect_uri"


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"[]", b"{}", b"\xff", body(), body(1),
        body(*["http://127.0.0.1/"] * 11),
        body("http://127.0.0.1/" + "x" * 200),
        body("http://127.0.0.1/", client_name="x" * 1001),
        body("http://127.0.0.1/", grant_types=["client_credentials"]),
        body("http://127.0.0.1/", grant_types=["implicit"], response_types=["token"]),
        body("http://127.0.0.1/", response_types=["token"]),
    ],
)  # fmt: skip
def test_what_is_no_registration_is_refused(known, sent):
    with pytest.raises(Refused) as refused:
        known.register(sent)
    assert refused.value.error == "invalid_client_metadata"


@pytest.mark.parametrize(
    ("registered", "asked", "is_it"),
    [
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:2/callback", True),
        ("http://localhost/callback", "http://localhost:2/callback", True),
        ("http://[::1]:1/", "http://[::1]/", True),
        (ELSEWHERE, ELSEWHERE, True),
        ("http://127.0.0.1:1/callback", "http://localhost:1/callback", False),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:1/callback/", False),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:1/other", False),
        ("http://127.0.0.1:1/callback", "https://127.0.0.1:1/callback", False),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:1/callback?x", False),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:1@evil.example/callback", False),
        (ELSEWHERE, "https://vscode.dev:1/redirect", False),
    ],
)
def test_address_is_the_registered_one_apart_from_the_port_on_this_machine(
    registered, asked, is_it
):
    assert is_same(registered, asked) is is_it


def test_nobody_makes_an_id_up_or_uses_one_of_another_platform(known):
    told = known.register(body("http://127.0.0.1/"))["client_id"]
    other = Programs(Seal("another-secret"), []).register(body("http://127.0.0.1/"))["client_id"]
    changed = told[:-9] + ("A" if told[-9] != "A" else "B") + told[-8:]
    for id_ in ("", "x", "é", "client-1", other, changed, told + "x", told * 30):
        assert known.find(id_) is None
    assert known.find(told)


def test_id_ends_after_a_year(known, monkeypatch):
    told = known.register(body("http://127.0.0.1/"))["client_id"]
    now = time.time()
    monkeypatch.setattr(programs.time, "time", lambda: now + programs.SECONDS + 2)
    assert known.find(told) is None


def test_address_that_is_declared_no_more_is_led_to_no_more(known):
    told = known.register(body(ELSEWHERE))["client_id"]
    later = Programs(Seal("a-secret"), [])
    assert known.find(told) and later.find(told) is None


def test_name_is_text_of_one_short_line(known):
    told = known.register(body("http://127.0.0.1/", client_name=" Co\n\u202edex\x00" + "x" * 99))
    assert told["client_name"] == ("Codex" + "x" * 99)[: programs.MAX_NAME]


@pytest.mark.parametrize(
    "uri", ["http://vscode.dev/x", "https://vscode.dev/x?y", "https://a@b.example/", "x", ""]
)
def test_address_that_hides_where_it_leads_is_not_declared(configure, tmp_path, uri):
    section = {"key_file": "x", "resources": ["https://a.example/mcp"], "redirect_uris": [uri]}
    with pytest.raises(settings.ConfigError, match=r"authorization\.redirect_uris has"):
        configure("https://sso.example.internal", authorization=section)


def test_authorization_without_a_resource_or_with_a_short_secret_is_refused(configure, tmp_path):
    section = {"key_file": str(tmp_path / "short"), "resources": []}
    with pytest.raises(settings.ConfigError, match=r"authorization\.resources is empty"):
        configure("https://sso.example.internal", authorization=section)
    (tmp_path / "short").write_text("short")
    section["resources"] = ["https://ai.example.internal/mcp"]
    config = configure("https://sso.example.internal", authorization=section)
    with pytest.raises(settings.ConfigError, match="expected at least 32"):
        build(config)
