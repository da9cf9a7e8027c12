"""Tool servers that hand out tokens themselves: connected with one click, for one person each."""

from __future__ import annotations

import gzip
import html
import json
import logging
import re
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import conftest
import httpx2
import lab
import msgspec
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from mcp_portal import cli, connections
from mcp_portal.app import build
from mcp_portal.settings import ConfigError, checked
from mcp_portal.vault import Grant, Vault
from starlette.responses import Response
from test_own_tokens import AUDIENCE, DELETE, PAGE, SECRET, STORE, person_of, records  # noqa: F401
from upstream_server import CLIENT, UpstreamServer, Wire
from upstream_server import SECRET as CLIENT_SECRET

CONNECT = f"{PAGE}/connect"
OTHER = "https://wiki.example.internal"
TWO = {**lab.SITE, "personal": {"tickets": AUDIENCE, "wiki": OTHER}}


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def upstream():
    back = f"http://127.0.0.1:{conftest.PORTAL_PORT}{PAGE}/callback"
    made = UpstreamServer([f"{back}/tickets", f"{back}/wiki"])
    yield made
    made.served.stop()


@pytest.fixture
def method():
    """How the portal says who it is; a file says so where that is another way."""
    return "client_secret_basic"


@pytest.fixture
def wire(request):
    """A token endpoint that answers with just these bytes; None where the server's own does."""
    made = Wire(request.param) if hasattr(request, "param") else None
    yield made
    if made is not None:
        made.close()


@pytest.fixture
def config(records, configure, issuer, upstream, wire, method, tmp_path):  # noqa: F811
    (tmp_path / "oauth-client").write_text(CLIENT_SECRET)
    client = {
        "client_id": CLIENT,
        "client_secret_file": str(tmp_path / "oauth-client"),
        "token_endpoint_auth_method": method,
        "authorization_endpoint": f"{upstream.url}/authorize",
        "token_endpoint": f"{(wire or upstream).url}/token",
        "revocation_endpoint": f"{upstream.url}/revoke",
        "scopes": ["repo", "read:org"],
    }
    kept = {
        "key_file": str(tmp_path / "credentials-key"),
        "redis_url_file": str(tmp_path / "records"),
        "oauth": {"tickets": client, "wiki": {**client, "revocation_endpoint": None}},
    }
    made = configure(issuer, credentials=kept)
    Path(made.site_file).write_text(json.dumps(TWO))
    return made


def led_to(browser, server="tickets"):
    """Where the portal's button leads."""
    page = browser.submit(PAGE, CONNECT, server=server)
    assert page.status_code == 200 and "form-action 'self';" in page.headers[POLICY]
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page.text)
    url = html.unescape(found[1])
    assert f'<a href="{found[1]}">' in page.text, "nobody gets on where pages lead nowhere alone"
    return url


POLICY = "content-security-policy"


def connect(browser, upstream, person="sam", server="tickets"):
    """Press the button, be asked there, and come back; returns the portal's answer."""
    upstream.person = person
    back = browser.http.get(led_to(browser, server)).headers["location"]
    return browser.http.get(back)


def grant_of(records, person, server="tickets", audience=AUDIENCE):  # noqa: F811
    kept = records.hget(f"credentials:{person}", server)
    return Vault(SECRET).grant(person, server, kept, audience)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_one_click_stores_what_the_server_hands_out(arrive, records, upstream):  # noqa: F811
    sam = arrive()
    page = sam.get(PAGE).text
    assert "Not connected" in page and 'type="password"' not in page
    there = parse_qs(urlsplit(led_to(sam)).query)
    assert there["scope"] == ["repo read:org"] and there["code_challenge_method"] == ["S256"]
    answer = connect(sam, upstream)
    assert answer.status_code == 303 and answer.headers["location"] == PAGE
    page = sam.get(PAGE).text
    assert "Connected since" in page and "Connect again" in page and "access-" not in page
    person = person_of(records)
    kept = records.hget(f"credentials:{person}", "tickets")
    assert b"access-" not in kept and b"refresh-" not in kept
    grant = grant_of(records, person)
    assert upstream.access[grant.access_token] == upstream.refresh[grant.refresh_token] == "sam"
    assert 3500 < grant.expires_at - time.time() <= 3600 and len(grant.id) == 16
    assert grant.access_token not in repr(grant)
    asked = [form for path, form in upstream.asked if path == "/token"]
    assert all(form["grant_type"] == "authorization_code" for form in asked)


def test_two_people_connect_each_their_own(arrive, records, upstream):  # noqa: F811
    sam, kim = arrive("sam"), arrive("kim")
    connect(sam, upstream, "sam")
    sams = person_of(records)
    connect(kim, upstream, "kim")
    people = {name.decode().removeprefix("credentials:") for name in records.keys()}  # noqa: SIM118
    (kims,) = people - {sams}
    assert upstream.access[grant_of(records, sams).access_token] == "sam"
    assert upstream.access[grant_of(records, kims).access_token] == "kim"
    record = records.hget(f"credentials:{sams}", "tickets")
    assert Vault(SECRET).grant(kims, "tickets", record, AUDIENCE) is None


def test_way_back_is_good_for_one_session_one_server_and_once(arrive, records, upstream):  # noqa: F811
    sam, kim = arrive("sam"), arrive("kim")
    back = sam.http.get(led_to(sam)).headers["location"]
    foreign = kim.http.get(back)
    assert foreign.status_code == 400 and "another session" in foreign.text
    elsewhere = sam.http.get(back.replace("/callback/tickets", "/callback/wiki"))
    assert elsewhere.status_code == 400
    for changed in (re.sub("state=[^&]+", "state=planted", back), back.partition("&state")[0]):
        assert sam.http.get(changed).status_code == 400
    assert records.keys() == [] and not [p for p, _ in upstream.asked if p == "/token"]
    assert sam.http.get(back).status_code == 303
    kept = records.hgetall(f"credentials:{person_of(records)}")
    assert sam.http.get(back).status_code == 400, "replayed"
    assert records.hgetall(f"credentials:{person_of(records)}") == kept


def test_session_that_ends_on_the_way_back_stores_nothing(arrive, records, upstream):  # noqa: F811
    """An administrator deletes what somebody stored once their sessions have ended."""
    sam, thief = arrive(), arrive()

    def end():
        upstream.meanwhile = None
        sam.submit("/portal/overview", "/portal/end-sessions")

    upstream.meanwhile = end
    answer = connect(thief, upstream)
    assert answer.status_code == 303 and "/portal/sign-in" in answer.headers["location"]
    assert records.keys() == []
    assert [upstream.refresh[token] for token in upstream.revoked] == ["sam"]


def test_way_back_without_a_sign_in_stores_nothing(arrive, portal, records, upstream):  # noqa: F811
    sam = arrive()
    back = sam.http.get(led_to(sam)).headers["location"]
    sam.submit(PAGE, "/portal/sign-out")
    for browser in (sam, lab.Browser(portal.url)):
        answer = browser.http.get(back)
        assert answer.status_code == 303 and "/portal/sign-in" in answer.headers["location"]
    again = arrive()
    assert again.http.get(back).status_code == 400
    assert records.keys() == []


def test_state_of_a_sign_in_is_none_of_a_connection(arrive, portal, upstream):
    """One of the two is a server that somebody may have named `company`."""
    sam = arrive()
    there = sam.get("/portal/sign-in").headers["location"]
    state = parse_qs(urlsplit(there).query)["state"][0]
    answer = sam.get(f"{PAGE}/callback/tickets?code=c&state={state}")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [
        ("access_denied", 403, "did not allow it"),
        ("server_error", 502, "the error server_error"),
        ("<b>planted", 502, "the error unknown_error"),
    ],
)
def test_refused_consent_stores_nothing_and_is_told(
    arrive,
    records,  # noqa: F811
    upstream,
    refusal,
    status,
    text,
):
    upstream.refusal = refusal
    answer = connect(arrive(), upstream)
    assert answer.status_code == status and text in answer.text
    assert "planted" not in answer.text and "token-in-a-description" not in answer.text
    assert records.keys() == []


GOOD = {"access_token": "a", "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("reply", "status", "text"),
    [
        ((200, {**GOOD, "token_type": "mac"}), 502, "no bearer token"),
        ((200, {"access_token": "a"}), 502, "no bearer token"),
        ((200, {**GOOD, "access_token": None}), 502, "no bearer token"),
        ((200, {**GOOD, "access_token": {"a": 1}}), 502, "no bearer token"),
        ((200, {**GOOD, "access_token": "a\r\nx-admin: 1"}), 502, "no bearer token"),
        ((200, {**GOOD, "access_token": "x" * 4097}), 502, "no bearer token"),
        ((200, {**GOOD, "refresh_token": 7}), 502, "no bearer token"),
        ((200, {**GOOD, "refresh_token": "x" * 4097}), 502, "no bearer token"),
        ((200, {**GOOD, "expires_in": "soon"}), 503, "does not answer as it should"),
        ((200, Response('{"access_token": "a", "expires_in": 1e999}')), 503, "as it should"),
        ((200, ["a"]), 503, "does not answer as it should"),
        ((200, "secret-text"), 503, "does not answer as it should"),
        ((200, {"error": "bad_verification_code"}), 502, "the error bad_verification_code"),
        ((400, {"error": "Secret-Text secret-text"}), 502, "the error unknown_error"),
        ((400, {"error": ["secret-text"]}), 502, "the error unknown_error"),
        ((200, Response("[" * 50_000)), 503, "does not answer as it should"),
        ((500, {"error": "secret-text"}), 503, "(HTTP 500)"),
    ],
)
def test_answer_that_is_no_token_is_told_without_its_content(
    arrive,
    records,  # noqa: F811
    upstream,
    caplog,
    reply,
    status,
    text,
):
    upstream.answers["/token"] = reply
    answer = connect(arrive(), upstream)
    assert answer.status_code == status and text in answer.text
    assert "secret-text" not in (answer.text + caplog.text).lower()
    assert records.keys() == []


HEAD = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n%s\r\n"
# 16 MiB of blanks.
SQUEEZED = gzip.compress(b" " * (1 << 24))


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ((HEAD % (b"200 OK", b""), b" " * 65536), "more than 65536 bytes"),
        ((HEAD % (b"200 OK", b""), b" "), "no answer within 2 s"),
        ((b"HTTP/1.1 200 OK\r\nx-a: ", b"b"), "no answer within 2 s"),
        ((HEAD % (b"200 OK", b"content-encoding: gzip\r\n") + SQUEEZED,), "compressed"),
        ((HEAD % (b"500 secret-text", b"content-length: 0\r\n"),), "(HTTP 500)"),
        ((b"HTTP/1.1 200 OK\r\nsecret-text\r\n\r\n",), "(RemoteProtocolError)"),
    ],
    ids=["huge", "drips", "slow head", "squeezed", "phrase", "no header"],
    indirect=["wire"],
)
def test_answer_without_an_end_costs_neither_memory_nor_time(
    arrive,
    records,  # noqa: F811
    upstream,
    monkeypatch,
    caplog,
    wire,
    reason,
):
    monkeypatch.setattr(connections, "SECONDS", 2)
    answer = connect(arrive(), upstream)
    assert answer.status_code == 503 and reason in answer.text
    assert "secret-text" not in (answer.text + caplog.text).lower()
    assert records.keys() == [] and wire.sent < 1 << 23


def test_server_that_is_away_is_told(arrive, records, upstream):  # noqa: F811
    sam = arrive()
    back = sam.http.get(led_to(sam)).headers["location"]
    upstream.served.stop()
    answer = sam.http.get(back)
    assert answer.status_code == 503 and "tickets was not connected" in answer.text
    assert records.keys() == []


def test_deleted_connection_is_revoked_where_the_server_can(arrive, records, upstream):  # noqa: F811
    sam = arrive()
    for server in ("tickets", "wiki"):
        connect(sam, upstream, server=server)
    assert sam.get(PAGE).text.count("also revokes it at the server") == 1
    person = person_of(records)
    tickets = grant_of(records, person)
    for server in ("tickets", "wiki"):
        assert sam.submit(PAGE, DELETE, server=server).status_code == 303
    assert upstream.revoked == [tickets.refresh_token] and records.keys() == []
    (hint,) = [form["token_type_hint"] for path, form in upstream.asked if path == "/revoke"]
    assert hint == "refresh_token"


@pytest.mark.parametrize("fault", ["refuses", "away", "hangs"])
def test_connection_that_was_not_revoked_is_deleted_and_told(
    arrive,
    records,  # noqa: F811
    upstream,
    fault,
    caplog,
    monkeypatch,
):
    sam, goes_on = arrive(), threading.Event()
    connect(sam, upstream)
    token = grant_of(records, person_of(records)).refresh_token
    if fault == "away":
        upstream.served.stop()
    if fault == "hangs":
        monkeypatch.setattr(connections, "SECONDS", 0.5)
        upstream.meanwhile = lambda: goes_on.wait(8)
    upstream.answers["/revoke"] = (503, None)
    answer = sam.submit(PAGE, DELETE, server="tickets")
    goes_on.set()
    assert answer.status_code == 502 and "revoke it there" in answer.text
    assert records.keys() == [] and "tickets: not revoked" in caplog.text
    assert token not in caplog.text


def test_administrator_revokes_what_somebody_connected(arrive, records, upstream, config):  # noqa: F811
    connect(arrive(), upstream)
    person = person_of(records)
    token = grant_of(records, person).refresh_token
    assert cli.delete_credentials(config, f"sso-{person}").endswith(": 1 credentials deleted")
    assert upstream.revoked == [token]


def test_nothing_is_revoked_that_was_handed_out_for_something_else(arrive, records, upstream):  # noqa: F811
    """Whoever may write Redis, or renames a server, has nobody's token sent anywhere."""
    sam = arrive()
    connect(sam, upstream)
    place = f"credentials:{person_of(records)}"
    vault, person = Vault(SECRET), person_of(records)
    text = msgspec.json.encode(Grant("id", "planted", "planted")).decode()
    for record in (
        b"junk",
        vault.seal(person, "tickets", text, 1, "https://elsewhere.example.internal"),
        vault.seal(person, "tickets", "pasted-token", 1, AUDIENCE),
        vault.seal("0" * 16, "tickets", text, 1, AUDIENCE),
    ):
        records.hset(place, "tickets", record)
        assert sam.submit(PAGE, DELETE, server="tickets").status_code == 303
    assert upstream.revoked == []


def test_token_is_not_pasted_where_one_connects_nor_the_other_way_round(arrive, records):  # noqa: F811
    sam = arrive()
    assert sam.submit(PAGE, STORE, server="tickets", token="t").status_code == 404
    for server in ("files", "nothing", "", "../tickets"):
        assert sam.submit(PAGE, CONNECT, server=server).status_code == 404
    assert sam.get(f"{PAGE}/callback/files?code=c&state=s").status_code == 404
    assert records.keys() == []


def test_form_of_elsewhere_begins_nothing(arrive, portal, upstream):
    sam = arrive()
    for data in ({"server": "tickets"}, {"server": "tickets", "csrf": "x"}):
        assert sam.http.post(portal.url + CONNECT, data=data).status_code == 403
    assert sam.get(CONNECT).status_code == 404 and upstream.asked == []


def test_log_has_no_token_and_no_code(arrive, records, upstream, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)
    sam = arrive()
    connect(sam, upstream)
    back = sam.http.get(led_to(sam)).headers["location"]
    sam.http.get(back)
    sam.http.get(back)
    sam.submit(PAGE, DELETE, server="tickets")
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("mcp_portal"))
    for secret in ("access-", "refresh-", "code-", "code=", CLIENT_SECRET):
        assert secret not in ours


def test_page_of_the_way_there_is_there_in_chinese(arrive):
    sam = arrive()
    sam.http.headers["accept-language"] = "zh-CN"
    assert "尚未连接" in sam.get(PAGE).text
    assert "前往 tickets" in sam.submit(PAGE, CONNECT, server="tickets").text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token_endpoint": "http://git.example.internal/token"}, "expected an https address"),
        ({"authorization_endpoint": "javascript:x"}, "expected an https address"),
        ({"revocation_endpoint": "http://git.example.internal"}, "expected an https address"),
        ({"scopes": ["openid"]}, "ID tokens are of no use"),
    ],
)
def test_client_that_would_not_be_safe_is_refused(config, changes, text):
    client = msgspec.structs.replace(config.credentials.oauth["tickets"], **changes)
    credentials = msgspec.structs.replace(config.credentials, oauth={"tickets": client})
    with pytest.raises(ConfigError, match=text):
        checked(msgspec.structs.replace(config, credentials=credentials))


def test_server_that_nobody_shows_anything_at_is_refused(config):
    client = config.credentials.oauth["tickets"]
    credentials = msgspec.structs.replace(config.credentials, oauth={"files": client})
    with pytest.raises(ConfigError, match="files, which asks for no credentials"):
        build(msgspec.structs.replace(config, credentials=credentials))


# --- what is relied on of Authlib ---------------------------------------------------------------


def test_authlib_says_who_it_is_as_the_gateway_does(upstream):
    """Both ask the same token endpoint; id and secret are not encoded again (RFC 6749, 2.3.1)."""
    from mcp_gateway import tokenrequest

    for method in ("client_secret_basic", "client_secret_post", "none"):
        sent = httpx2.Request("POST", upstream.url, content=b"grant_type=x")
        secret = None if method == "none" else CLIENT_SECRET
        client = AsyncOAuth2Client(CLIENT, secret, token_endpoint_auth_method=method)
        (made,) = list(client.client_auth(method).auth_flow(sent))
        headers, body = tokenrequest.form({"grant_type": "x"}, CLIENT, secret or "", method)
        assert parse_qs(made.content.decode()) == parse_qs(body.decode())
        assert made.headers.get("authorization") == dict(headers).get("authorization")
