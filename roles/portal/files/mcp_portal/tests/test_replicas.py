"""Sessions in a Redis: shared, ended everywhere, and worthless to who reads it."""

from __future__ import annotations

import json
import time

import conftest
import identity_provider
import lab
import pytest
import redis
from mcp_portal.seal import Seal
from mcp_portal.sessions import name_of


@pytest.fixture
def store(redis_server):
    return redis_server, redis.Redis.from_url(redis_server.url(2))


@pytest.fixture
def replicas(store, provider, configure, tmp_path):
    """Two portals behind one address, as far as a browser knows: they share its cookie."""
    shared = {"redis_url_file": str(tmp_path / "redis")}
    first = configure(provider.issuer, **shared)
    second = configure(provider.issuer, port=conftest.SECOND_PORT, **shared)
    with lab.running(first) as one, lab.running(second) as two:
        yield one, two


def test_replica_that_dies_during_a_sign_in_stops_nobody(replicas, provider):
    one, two = replicas
    browser = lab.Browser(two.url)
    began = browser.http.get(f"{one.url}/portal/sign-in")
    one.stop()
    back = identity_provider.pass_provider(browser.http, began.headers["location"], "alice")
    arrived = browser.http.get(back.replace(one.url, two.url))
    assert arrived.status_code == 303, arrived.text
    assert "Hello, alice" in browser.get("/portal/overview").text


def test_session_ends_at_every_replica(replicas, sign_in):
    one, two = replicas
    alice = sign_in(one, "alice")
    there = lab.Browser(two.url)
    there.http.cookies = alice.http.cookies
    assert "Hello, alice" in there.get("/portal/overview").text
    alice.submit("/portal/overview", "/portal/end-sessions")
    assert there.get("/portal/overview").status_code == 303


def test_store_tells_nothing_of_people_and_no_cookie(replicas, store, sign_in):
    alice = sign_in(replicas[0], "alice")
    alice.get("/portal/tools")
    cookies = [c.value for c in alice.http.cookies.jar if c.name == "portal"]
    client = store[1]
    names = list(client.scan_iter())
    texts = [client.get(name) for name in names if client.type(name) == b"string"]
    everything = b" ".join([*names, *texts])
    assert b"session:" in everything
    for word in (b"alice", b"sk-", b"payments", *(cookie.encode() for cookie in cookies)):
        assert word not in everything
    assert all(client.ttl(name) > 0 for name in names), "nothing is kept for ever"


def test_who_writes_the_store_makes_no_session(replicas, store, sign_in):
    """Other services have the same Redis, and its password."""
    sign_in(replicas[0], "alice")
    person = {"id": "1", "name": "mallory", "email": "", "teams": ["payments"]}
    session = {"person": person, "signed_in_at": int(time.time()), "csrf": "x"}
    cookie = "x" * 43
    forged = {
        "as text": json.dumps(session).encode(),
        "sealed by somebody else": Seal("guessed").close("session", cookie, session),
        "sealed for something else": Seal("a-client-secret-of-the-tests").close(
            "login", cookie, session
        ),
        "sealed by nobody": Seal("").close("session", cookie, session),
    }
    browser = lab.Browser(replicas[0].url)
    browser.http.cookies.set("portal", cookie)
    for how, value in forged.items():
        store[1].set(f"portal:{name_of(cookie)}", value)
        assert browser.get("/portal/overview").status_code == 303, how
    ours = Seal("a-client-secret-of-the-tests").close("session", cookie, session)
    store[1].set(f"portal:{name_of(cookie)}", ours)
    assert "Hello, mallory" in browser.get("/portal/overview").text, "what a replica would keep"


def test_store_away_is_one_clear_message(replicas, store, sign_in):
    alice = sign_in(replicas[0], "alice")
    store[0].shutdown()
    store[0].server_close()
    alice.http.cookies.set("portal", "x" * 43)
    answer = alice.get("/portal/overview")
    assert answer.status_code == 503 and "Sessions cannot be read" in answer.text
    assert alice.get("/health").status_code == 200
