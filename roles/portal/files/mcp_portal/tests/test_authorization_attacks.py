"""What a program, or somebody with a link, a code or a token, should not get."""

from __future__ import annotations

import asyncio
import logging
import re

import lab
import program
import pytest
import redis
from mcp_portal.grants import Grants
from mcp_portal.sessions import Session
from mcp_portal.store import MemoryStore
from program import CALLBACK, OTHER_RESOURCE, RESOURCE, Program, arrive, came_back, error
from test_device import everything

DENIED = (400, "invalid_grant")


@pytest.fixture
def with_redis(faulty, configure, tmp_path, redis_server):
    """A portal whose store is a Redis of this process, and the address of that."""
    shared = {"redis_url_file": str(tmp_path / "redis"), **program.authorization(tmp_path)}
    with lab.running(configure(faulty.issuer, **shared)) as portal:
        yield portal, redis_server.url(2)


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


@pytest.fixture
def portal(issuer, configure, tmp_path):
    with lab.running(configure(issuer, **program.authorization(tmp_path))) as served:
        yield served


@pytest.fixture
def sam(portal):
    return arrive(portal)


@pytest.fixture
def codex(portal):
    return Program(portal)


# --- codes --------------------------------------------------------------------------------------


def test_code_that_is_used_twice_ends_what_came_of_it(codex, sam):
    code = codex.allow(sam)["code"]
    told = codex.redeem(code).json()
    assert error(codex.redeem(code)) == DENIED
    assert error(codex.renew(told["refresh_token"])) == DENIED


def test_code_that_two_bring_at_once_is_worth_nothing_in_the_end(codex, sam, monkeypatch):
    code, answers = codex.allow(sam)["code"], []
    begun = Grants._begun

    async def slow(self, found, text):
        if not answers:
            answers.append(None)
            answers[0] = await asyncio.to_thread(codex.redeem, code)
        return await begun(self, found, text)

    monkeypatch.setattr(Grants, "_begun", slow)
    late = codex.redeem(code)
    assert answers[0].status_code == 200 and error(late) == DENIED
    assert error(codex.renew(answers[0].json()["refresh_token"])) == DENIED


def test_code_of_another_program_is_worth_nothing_and_stays_good(portal, codex, sam):
    claude, code = Program(portal, client_name="Claude"), codex.allow(sam)["code"]
    thief = claude.redeem(code, code_verifier=codex.verifier)
    assert error(thief) == DENIED
    assert codex.redeem(code).status_code == 200


BOUND = [
    ({"code_verifier": None}, "invalid_request"),
    ({"code_verifier": ""}, "invalid_request"),
    ({"code_verifier": "x" * 43}, "invalid_grant"),
    ({"redirect_uri": None}, "invalid_grant"),
    ({"redirect_uri": "http://127.0.0.1:4712/callback"}, "invalid_grant"),
    ({"resource": OTHER_RESOURCE}, "invalid_target"),
    ({"resource": ""}, "invalid_target"),
    ({"client_id": None}, "invalid_client"),
    ({"client_id": "codex"}, "invalid_client"),
    ({"client_secret": "x"}, "invalid_client"),
    ({"code": "x"}, "invalid_grant"),
    ({"code": None}, "invalid_request"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ({"grant_type": '"\\\n'}, "invalid_request"),
]


def test_code_is_bound_to_everything_that_was_asked(codex, sam):
    code = codex.allow(sam)["code"]
    for changes, expected in BOUND:
        assert error(codex.redeem(code, **changes)) == (400, expected), changes
    assert codex.redeem(code).status_code == 200, "who fails takes it from nobody"


def test_parameter_that_comes_twice_is_refused(codex, sam):
    code = codex.allow(sam)["code"]
    pairs = f"grant_type=authorization_code&code={code}&code=x&client_id={codex.id}"
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = codex.post("/oauth/token", content=pairs, headers=form)
    assert error(answer) == (400, "invalid_request")


def test_token_request_that_is_no_plain_form_gets_an_answer_and_nothing_else(codex, sam):
    part = '--b\r\ncontent-disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'.format
    parts = part("grant_type", "", "authorization_code"), part("code", "", "+2AA-"), "--b--\r\n"
    several = "multipart/form-data; boundary=b; charset=utf-7"
    plain = "application/x-www-form-urlencoded"
    for kind, body in (
        (several, "".join(parts)),
        ("multipart/form-data", "x"),
        ("application/json", '{"grant_type": "authorization_code"}'),
        (plain, "grant_type=refresh_token&client_id=%ff&refresh_token=%ed%a0%80"),
        (plain, f"grant_type=refresh_token&client_id={codex.id}&refresh_token=%ed%a0%80.%00"),
        (plain, "a=1&" * 2000),
        (plain, "a" * 10_000),
    ):
        answer = codex.post("/oauth/token", content=body, headers={"content-type": kind})
        assert error(answer)[0] == 400, (kind, body[:60])


def test_code_is_too_old_after_a_minute(with_redis):
    portal, url = with_redis
    client = redis.Redis.from_url(url)
    codex, sam = Program(portal), arrive(portal)
    code = codex.allow(sam)["code"]
    (name,) = client.scan_iter("portal:code:*")
    assert 55 <= client.ttl(name) <= 60
    client.delete(name)
    assert error(codex.redeem(code)) == DENIED


# --- the request --------------------------------------------------------------------------------


WRONG = [
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"resource": None}, "invalid_target"),
    ({"resource": ""}, "invalid_target"),
    ({"resource": "https://ai.example.internal"}, "invalid_target"),
    ({"resource": f"{RESOURCE}/"}, "invalid_target"),
    ({"resource": "https://other.example.internal/mcp"}, "invalid_target"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"response_type": None}, "unsupported_response_type"),
]


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_request_that_cannot_be_is_told_to_the_program_alone(codex, sam, is_signed_in):
    browser = sam if is_signed_in else lab.Browser(sam.base)
    for changes, expected in WRONG:
        back = came_back(browser.get(codex.address(**changes)), CALLBACK)
        assert back["error"] == expected and back["state"] == codex.state
        assert back["iss"] == f"{sam.base}/portal" and "code" not in back


ASTRAY = [
    {"client_id": None},
    {"client_id": "codex"},
    {"client_id": "x" * 9000},
    {"redirect_uri": None},
    {"redirect_uri": ""},
    {"redirect_uri": "https://evil.example/"},
    {"redirect_uri": "http://localhost.evil.example:4711/callback"},
    {"redirect_uri": "http://127.0.0.1:1@evil.example/callback"},
    {"redirect_uri": "http://127.0.0.1:4711/callback#x"},
    {"redirect_uri": "http://127.0.0.1:4711/callback?next=//evil.example"},
    {"redirect_uri": "http://127.0.0.1:4711/callback/.."},
    {"redirect_uri": "http://localhost:4711/callback"},
    {"redirect_uri": "//evil.example/callback"},
    {"redirect_uri": 'http://127.0.0.1:4711/callback"\\'},
    {"redirect_uri": "http://127.0.0.1:4711/callback\r\nx: y"},
    {"redirect_uri": "https://evil.example/", "response_type": "token"},
    {"redirect_uri": "https://evil.example/", "resource": "x"},
    {"redirect_uri": "https://evil.example/", "code_challenge": None},
    {"response_type": '"'},
    {"state": "\x00"},
    {"state": "x" * 3000},
    {"scope": "\n"},
]


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_nobody_is_led_anywhere_where_it_is_not_known_to_whom(codex, sam, is_signed_in):
    browser = sam if is_signed_in else lab.Browser(sam.base)
    for changes in ASTRAY:
        answer = browser.get(codex.address(**changes))
        assert answer.status_code == 400, changes
        assert "location" not in answer.headers
        assert "evil.example" not in answer.text and 'role="alert"' in answer.text


def test_parameter_of_the_address_that_comes_twice_leads_nowhere(codex, sam):
    for more in (f"&client_id={codex.id}", "&redirect_uri=https://evil.example/", "&state=x"):
        answer = sam.get(codex.address() + more)
        assert answer.status_code == 400 and "location" not in answer.headers
    assert sam.get(codex.address() + f"&resource={RESOURCE}").status_code == 200, "it is the same"
    assert sam.get(codex.address() + "&resource=https://x").status_code == 400


def test_state_comes_back_as_it_was(codex, sam):
    codex.state = "a b&c=%2F+\"<>'"
    assert codex.allow(sam)["state"] == codex.state


# --- the page -----------------------------------------------------------------------------------


def test_form_of_another_site_allows_nothing(codex, sam):
    shown = sam.get(codex.address())
    for token in ("", "x" * 32):
        refused = program.click(sam, shown, "allow", csrf=token)
        assert refused.status_code == 403 and "location" not in refused.headers
    stranger = lab.Browser(sam.base)
    refused = program.click(stranger, shown, "allow")
    assert refused.headers["location"].startswith("/portal/sign-in")


def test_opening_the_address_allows_nothing(codex, sam):
    for answer in (sam.get(codex.address()), sam.get(f"{codex.address()}&answer=allow")):
        assert answer.status_code == 200 and "location" not in answer.headers


def test_form_is_judged_as_the_address_was(codex, sam):
    shown = sam.get(codex.address())
    for changes in ({"redirect_uri": "https://evil.example/"}, {"client_id": "x"}):
        asked = codex.address(**changes).partition("?")[2]
        refused = program.click(sam, shown, "allow", asked=asked)
        assert refused.status_code == 400 and "location" not in refused.headers
    asked = codex.address(resource="https://other.example.internal/mcp").partition("?")[2]
    back = came_back(program.click(sam, shown, "allow", asked=asked), CALLBACK)
    assert back["error"] == "invalid_target" and "code" not in back


def test_page_cannot_be_framed_or_kept(codex, sam):
    headers = sam.get(codex.address()).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


def test_name_of_a_program_is_text(portal, sam):
    markup = "<script>alert(1)</script>\"'>"
    text = sam.get(Program(portal, client_name=markup).address()).text
    assert "<script" not in text and "&lt;script&gt;" in text


# --- refresh tokens -----------------------------------------------------------------------------


def test_refresh_token_that_is_used_twice_ends_both(codex, sam):
    first = codex.tokens(sam)["refresh_token"]
    second = codex.renew(first).json()["refresh_token"]
    assert error(codex.renew(first)) == DENIED
    assert error(codex.renew(second)) == DENIED


def test_refresh_token_that_two_bring_at_once_ends_both(codex, sam, monkeypatch):
    token, answers = codex.tokens(sam)["refresh_token"], []
    renewed = Grants._renewed

    async def slow(self, grant, text):
        if not answers:
            answers.append(None)
            answers[0] = await asyncio.to_thread(codex.renew, token)
        return await renewed(self, grant, text)

    monkeypatch.setattr(Grants, "_renewed", slow)
    assert error(codex.renew(token)) == DENIED
    assert error(codex.renew(answers[0].json()["refresh_token"])) == DENIED


def test_refresh_token_of_another_program_is_worth_nothing(portal, codex, sam):
    claude, token = Program(portal), codex.tokens(sam)["refresh_token"]
    assert error(claude.renew(token)) == DENIED
    assert codex.renew(token).status_code == 200


def test_refresh_token_is_for_its_resource_alone(codex, sam):
    token = codex.tokens(sam)["refresh_token"]
    assert error(codex.renew(token, resource=OTHER_RESOURCE)) == (400, "invalid_target")
    assert error(codex.renew(token, scope="admin")) == (400, "invalid_scope")
    assert codex.renew(token).status_code == 200


def test_tokens_are_not_of_each_others_kind(codex, sam):
    told = codex.tokens(sam)
    stranger = lab.Browser(sam.base)
    for secret in told["refresh_token"], told["access_token"]:
        stranger.http.cookies.set("portal", secret)
        assert stranger.get("/portal/overview").status_code == 303
    assert error(codex.renew(told["access_token"])) == DENIED
    assert error(codex.renew(sam.http.cookies["portal"])) == DENIED
    terminal = {"client_id": "intranet-mcp", "grant_type": "refresh_token"}
    data = {**terminal, "refresh_token": told["refresh_token"]}
    answer = lab.httpx2.post(f"{sam.base}/portal/token", data=data, trust_env=False)
    assert error(answer) == DENIED


# --- the end of everything ----------------------------------------------------------------------


def test_log_in_that_is_being_made_ends_with_everything(codex, sam, monkeypatch):
    code, answers, noted = codex.allow(sam)["code"], [], MemoryStore.noted

    async def slow(self, index):
        found = await noted(self, index)
        if not answers:
            answers.append(await asyncio.to_thread(codex.redeem, code))
        return found

    monkeypatch.setattr(MemoryStore, "noted", slow)
    sam.submit("/portal/overview", "/portal/end-sessions")
    assert answers[0].status_code == 200
    assert error(codex.renew(answers[0].json()["refresh_token"])) == DENIED


def test_log_in_that_ends_soon_keeps_no_other_from_ending(with_redis, monkeypatch):
    portal, url = with_redis
    client = redis.Redis.from_url(url)
    sam, codex = arrive(portal), Program(portal)
    codex.tokens(sam)
    (index,) = client.scan_iter("portal:sessions-of:*")
    before = client.ttl(index)
    monkeypatch.setattr(Session, "seconds_left", lambda *_about: 30)
    codex.begin()
    codex.tokens(sam)
    assert client.ttl(index) >= before - 5


# --- floods and leaks ---------------------------------------------------------------------------


def test_registrations_come_to_an_end_and_fill_nothing(with_redis):
    portal, url = with_redis
    client = redis.Redis.from_url(url)
    seen = [Program(portal).registered.status_code for _number in range(62)]
    assert seen == [201] * 60 + [429] * 2
    refused = Program(portal).registered
    assert error(refused) == (429, "temporarily_unavailable")
    assert len(list(client.scan_iter())) == 1, "a counter"


def test_renewals_fill_nothing(with_redis):
    portal, url = with_redis
    client = redis.Redis.from_url(url)
    codex = Program(portal)
    token = codex.tokens(arrive(portal))["refresh_token"]
    before = set(client.scan_iter())
    for _time in range(5):
        token = codex.renew(token).json()["refresh_token"]
    assert all(client.ttl(name) <= 60 for name in set(client.scan_iter()) - before)


def test_requests_of_unknown_people_come_to_an_end(codex):
    browsers = [lab.Browser(codex.base.removesuffix("/portal")) for _number in range(61)]
    seen = [browser.get(codex.address()).status_code for browser in browsers]
    assert seen == [303] * 60 + [429]


def test_large_registration_is_refused(codex):
    big = codex.post("/oauth/register", content=b"x" * 70_000)
    assert big.status_code == 413
    for deep in (b'{"x":' + b"[" * 30_000, b"[" * 30_000):
        answer = codex.post("/oauth/register", content=deep)
        assert error(answer) == (400, "invalid_client_metadata")


def test_store_tells_nothing_of_what_programs_have(with_redis):
    portal, url = with_redis
    codex, sam = Program(portal), arrive(portal)
    code = codex.allow(sam)["code"]
    kept = everything(url)
    told = codex.redeem(code).json()
    kept += everything(url)
    for word in ("sam", "payments", "127.0.0.1:4711", code, told["refresh_token"]):
        assert word.encode() not in kept
    for part in told["refresh_token"].split("."):
        assert part.encode() not in kept


def test_log_has_no_codes_and_tokens(codex, sam, caplog):
    caplog.set_level(logging.DEBUG)
    code = codex.allow(sam)["code"]
    told = codex.redeem(code).json()
    codex.redeem(code)
    ours = [r.getMessage() for r in caplog.records if not re.match("httpx|httpcore", r.name)]
    for secret in (code, told["refresh_token"], told["access_token"], codex.verifier):
        assert secret not in "\n".join(ours)
