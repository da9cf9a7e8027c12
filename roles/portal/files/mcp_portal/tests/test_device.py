"""A terminal signs in with a code that a person types, and takes keys until the sign-in ends."""

from __future__ import annotations

import time

import lab
import pytest
import redis

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT = "intranet-mcp"


@pytest.fixture
def issuer(faulty):
    return faulty.issuer


class Terminal:
    """A program without a browser."""

    def __init__(self, portal):
        self.url, self.client = portal.url, CLIENT
        self.shown = self.post("/portal/device/code").json()

    def post(self, path, **fields):
        data = {"client_id": CLIENT, **fields}
        return lab.httpx2.post(self.url + path, data=data, trust_env=False, timeout=20)

    def poll(self, **fields):
        asked = {"grant_type": DEVICE, "device_code": self.shown["device_code"], **fields}
        return self.post("/portal/token", **asked)

    def renew(self, token, **fields):
        asked = {"grant_type": "refresh_token", "refresh_token": token, **fields}
        return self.post("/portal/token", **asked)


@pytest.fixture
def terminal(portal):
    return Terminal(portal)


@pytest.fixture
def sam(portal):
    browser = lab.Browser(portal.url)
    there = browser.get("/portal/sign-in")
    back = browser.http.get(there.headers["location"])
    assert browser.http.get(back.headers["location"]).status_code == 303
    return browser


def allow(browser, terminal, **fields):
    return browser.submit(
        "/portal/device", "/portal/device", code=terminal.shown["user_code"], **fields
    )


def error(answer):
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_terminal_gets_a_key_of_the_team_and_renews_it(terminal, sam, litellm):
    assert terminal.shown["verification_uri"] == f"{terminal.url}/portal/device"
    assert "verification_uri_complete" not in terminal.shown, "nobody connects it with one click"
    assert error(terminal.poll()) == (400, "authorization_pending")
    shown = allow(sam, terminal)
    assert "The terminal is connected" in shown.text and "127.0.0.1" in shown.text
    answer = terminal.poll()
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    first = answer.json()
    key = litellm.keys[first["access_token"]]
    assert key["team_id"] == "payments" and key["allowed_routes"] == lab.ROUTES
    assert first["expires_in"] == int(key["duration"].removesuffix("s")) == 4 * 3600
    assert 12 * 3600 - 60 < first["refresh_token_expires_in"] <= 12 * 3600
    again = terminal.renew(first["refresh_token"]).json()
    assert again["access_token"] in litellm.keys and again["access_token"] != key
    assert first["access_token"] in litellm.keys, "programs that read it at their start go on"


def test_code_is_typed_as_people_type(terminal, sam):
    terminal.shown["user_code"] = terminal.shown["user_code"].lower().replace("-", " ")
    assert "The terminal is connected" in allow(sam, terminal).text


def test_codes_work_once(terminal, sam, litellm):
    allow(sam, terminal)
    assert allow(sam, terminal).status_code == 404
    assert terminal.poll().status_code == 200
    assert error(terminal.poll()) == (400, "invalid_request")
    assert len(litellm.live_keys()) == 1


def test_terminal_asks_at_its_pace(terminal):
    assert error(terminal.poll()) == (400, "authorization_pending")
    assert error(terminal.poll()) == (400, "slow_down")


def test_wrong_code_connects_nothing_and_guessing_comes_to_an_end(terminal, sam):
    terminal.shown["user_code"] = "BBBB-BBBB"
    seen = [allow(sam, terminal).status_code for _number in range(11)]
    assert seen == [404] * 10 + [429]


def test_only_who_is_signed_in_connects_a_terminal(terminal, portal):
    answer = lab.Browser(portal.url).get("/portal/device")
    assert answer.headers["location"] == "/portal/sign-in?next=device"


def test_form_of_another_site_connects_nothing(terminal, sam):
    sam.get("/portal/device")
    fields = {"code": terminal.shown["user_code"], "csrf": "guessed"}
    assert sam.http.post(f"{sam.base}/portal/device", data=fields).status_code == 403
    assert error(terminal.poll()) == (400, "authorization_pending")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"client_id": "another"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"device_code": "guessed"}, "invalid_request"),
        ({"device_code": ""}, "invalid_request"),
    ],
)
def test_other_requests_are_refused(terminal, sam, litellm, fields, expected):
    allow(sam, terminal)
    assert error(terminal.poll(**fields)) == (400, expected)
    assert litellm.live_keys() == []


@pytest.mark.parametrize("token", ["", "guessed", "é"])
def test_guessed_refresh_tokens_are_refused(terminal, token):
    expected = "invalid_grant"
    assert error(terminal.renew(token)) == (400, expected)


def test_team_of_others_is_not_given(terminal, sam, litellm):
    allow(sam, terminal, team="research")
    terminal.poll()
    assert {key["team_id"] for key in litellm.live_keys()} == {"payments"}


def test_end_all_my_sessions_ends_the_terminal_too(terminal, sam, litellm):
    allow(sam, terminal)
    token = terminal.poll().json()["refresh_token"]
    sam.submit("/portal/overview", "/portal/end-sessions")
    assert litellm.live_keys() == []
    assert error(terminal.renew(token)) == (400, "invalid_grant")


def test_what_was_allowed_and_not_fetched_ends_with_the_session(terminal, sam, litellm):
    allow(sam, terminal)
    sam.submit("/portal/overview", "/portal/sign-out")
    assert error(terminal.poll()) == (400, "invalid_grant")
    assert litellm.live_keys() == []


def test_key_that_was_being_made_ends_with_all_sessions(terminal, sam, litellm):
    allow(sam, terminal)
    token = terminal.poll().json()["refresh_token"]
    litellm.meanwhile["/key/generate"] = lambda: sam.submit(
        "/portal/overview", "/portal/end-sessions"
    )
    assert error(terminal.renew(token)) == (400, "invalid_grant")
    assert litellm.live_keys() == []


def test_refresh_token_opens_no_page_and_a_cookie_renews_nothing(terminal, sam):
    allow(sam, terminal)
    token = terminal.poll().json()["refresh_token"]
    thief = lab.Browser(terminal.url)
    thief.http.cookies.set("portal", token)
    assert thief.get("/portal/overview").status_code == 303
    assert error(terminal.renew(sam.http.cookies["portal"])) == (400, "invalid_grant")


def test_login_ends_when_the_sign_in_would(faulty, configure, litellm):
    config = configure(faulty.issuer, port=lab.free_port(), lifetime_seconds=300)
    with lab.running(config) as portal:
        terminal, browser = Terminal(portal), lab.Browser(portal.url)
        there = browser.get("/portal/sign-in")
        browser.http.get(browser.http.get(there.headers["location"]).headers["location"])
        allow(browser, terminal)
        told = terminal.poll().json()
    assert told["expires_in"] <= 300 and told["refresh_token_expires_in"] <= 300


def test_team_that_left_the_table_ends_the_renewal(faulty, configure, tmp_path, redis_server):
    shared = {"redis_url_file": str(tmp_path / "redis")}
    with lab.running(configure(faulty.issuer, **shared)) as portal:
        terminal, browser = Terminal(portal), lab.Browser(portal.url)
        back = browser.http.get(browser.get("/portal/sign-in").headers["location"])
        browser.http.get(back.headers["location"])
        allow(browser, terminal)
        token = terminal.poll().json()["refresh_token"]
    changed = {"oidc": {"teams": [{"group": "dev-payments", "team": "research"}]}}
    with lab.running(configure(faulty.issuer, **shared, **changed)):
        assert error(terminal.renew(token)) == (400, "invalid_grant")
        assert "None of your groups" in browser.get("/portal/overview").text


def test_litellm_away_is_one_clear_message(terminal, sam, litellm):
    allow(sam, terminal)
    token = terminal.poll().json()["refresh_token"]
    litellm.status = 503
    answer = terminal.renew(token)
    assert error(answer) == (502, "temporarily_unavailable")
    assert "LiteLLM" in answer.json()["error_description"]
    litellm.status = 200
    assert terminal.renew(token).status_code == 200


def test_terminals_are_not_begun_without_end(portal):
    seen = [Terminal(portal) for _number in range(60)]
    assert all("user_code" in terminal.shown for terminal in seen)
    assert Terminal(portal).shown["error"] == "temporarily_unavailable"


def test_store_tells_nothing_of_who_is_connected(faulty, configure, tmp_path, redis_server):
    config = configure(faulty.issuer, redis_url_file=str(tmp_path / "redis"))
    with lab.running(config) as portal:
        terminal, browser = Terminal(portal), lab.Browser(portal.url)
        back = browser.http.get(browser.get("/portal/sign-in").headers["location"])
        browser.http.get(back.headers["location"])
        browser.submit("/portal/connect", "/portal/line")
        allow(browser, terminal)
        kept = [everything(redis_server.url(2))]
        told = terminal.poll().json()
        kept.append(everything(redis_server.url(2)))
    for text in kept:
        assert b"session:" in text
        for word in (b"sam", b"payments", b"sk-", told["refresh_token"].encode()):
            assert word not in text


def everything(url):
    """All names and values of a Redis; each ends by itself."""
    client = redis.Redis.from_url(url)
    names = list(client.scan_iter())
    assert all(client.ttl(name) > 0 for name in names), time.time()
    texts = [client.get(name) for name in names if client.type(name) == b"string"]
    return b" ".join([*names, *texts])
