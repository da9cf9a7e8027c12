"""What an authorization server handed out for people: sent, and renewed once, by any replica."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time

import msgspec
import pytest
import test_own_credentials as own
from mcp_gateway import credentials, onceeach, renewal, tokenendpoint
from mcp_gateway.config import ConfigError, parse
from mcp_gateway.settings import Oauth
from mcp_gateway.tokenendpoint import TokenEndpoint
from mcp_gateway.tokenrequest import TokenError
from mcp_gateway.upstream import read_secrets
from mcp_gateway.vault import Grant, Vault, place
from support import free_port, http, text_of, until
from test_own_credentials import OWN, PAGE, PEOPLE, SECRET, Echo, portal_vault, reason
from token_server import CLIENT, TokenServer
from token_server import SECRET as CLIENT_SECRET

# Fixtures of there.
records, start = own.records, own.start
AUDIENCE = "https://echo.example.internal oauth"


@pytest.fixture
def client(tmp_path):
    """The gateway's client at a token endpoint, as options of `per_user`."""
    (tmp_path / "oauth").write_text(CLIENT_SECRET)
    return {"client_id": CLIENT, "client_secret": {"file": str(tmp_path / "oauth")}}


@pytest.fixture
def connected(start, client):
    """`connected()` is a context with an echoing server, its token endpoint and a Lab."""

    @contextlib.asynccontextmanager
    async def made(**options):
        async with Echo("modern") as echo, TokenServer() as tokens:
            oauth = {**client, "token_endpoint": f"{tokens.url}/token", **options}
            server = http(echo.url, per_user={**OWN, "audience": AUDIENCE, "oauth": oauth})
            async with start({"echo": server}) as lab:
                for replica in lab.replicas:
                    await replica.up()
                yield echo, tokens, lab

    return made


def connect(lab, name, tokens=None, expires_in=3600, audience=AUDIENCE, **changes):
    """As the portal does; returns the grant."""
    refresh = tokens.refresh_token(name) if tokens is not None else ""
    expires_at = int(time.time()) + expires_in
    fields = {"access_token": f"first-of-{name}", "refresh_token": refresh, **changes}
    grant = portal_vault.Grant(f"grant-of-{name}", expires_at=expires_at, **fields)
    text = msgspec.json.encode(grant).decode()
    person = lab.person(name)
    record = portal_vault.Vault(SECRET).seal(person, "echo", text, 1_700_000_000, audience)
    lab.records.hset(place(person), "echo", record)
    return grant


def stored(lab, name):
    kept = lab.records.hget(place(lab.person(name)), "echo")
    if kept is None:
        return None
    opened = Vault(SECRET).open(lab.person(name), "echo", kept, AUDIENCE)
    assert opened.stored_at == 1_700_000_000, "it says since when somebody is connected"
    return msgspec.json.decode(opened.text, type=Grant)


async def shown(client):
    """What a call showed at the server."""
    return json.loads(text_of(await client.call("echo__echo")))[0].removeprefix("Bearer ")


async def test_grant_is_sent_and_not_renewed_before_its_time(connected):
    async with connected() as (_echo, tokens, lab):
        for name in PEOPLE:
            connect(lab, name, tokens)
            assert await shown(lab.modern(name)) == f"first-of-{name}"
            assert await shown(lab.modern(name)) == f"first-of-{name}"
        connect(lab, "alice", access_token="without-an-end", expires_in=-int(time.time()))
        assert await shown(lab.modern("alice")) == "without-an-end"
        assert tokens.asked == []


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_two_people_have_each_their_own_renewed_through_two_replicas(connected, method):
    async with connected(token_endpoint_auth_method=method) as (echo, tokens, lab):
        for name in PEOPLE:
            connect(lab, name, tokens, expires_in=5)
        calls = [(name, lab.modern(name)) for _ in range(8) for name in PEOPLE]
        sent = await asyncio.gather(*(shown(client) for _, client in calls))
        for (name, _), token in zip(calls, sent, strict=True):
            assert tokens.whose[token] == name
        assert len(tokens.asked) == 2 and tokens.reused == []
        for name in PEOPLE:
            grant = stored(lab, name)
            assert tokens.whose[grant.refresh_token] == tokens.whose[grant.access_token] == name
            assert grant.id == f"grant-of-{name}" and grant.expires_at > time.time() + 3000
        assert lab.records.keys("credentials-lock:*") == []
        assert set(echo.shown("tools/call")) == {f"Bearer {t}" for t in sent}


async def test_many_renewals_one_after_the_other_use_each_refresh_token_once(connected):
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=5)
        tokens.lifetime = 10  # due at once
        sent = [await shown(lab.modern("alice")) for _ in range(6)]
        assert len(set(sent)) == 6 and tokens.reused == []


async def test_replicas_that_renew_at_once_ask_once(connected):
    """Both found it due before either has the answer."""
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5)
        tokens.goes_on.clear()
        person = lab.person("alice")
        sources = [r.gateway.upstreams["echo"].personal._source for r in lab.replicas]
        waiting = [asyncio.create_task(s.get(person)) for s in sources for _ in range(3)]
        await until(lambda: tokens.asked, "one of them asks")
        await asyncio.sleep(3 * renewal.POLL_SECONDS)  # the others would have asked by then
        assert len(tokens.asked) == 1 and not any(task.done() for task in waiting)
        tokens.goes_on.set()
        found = {(await task).token for task in waiting}
        assert len(found) == 1 and tokens.whose[found.pop()] == "alice"
        assert len(tokens.asked) == 1 and tokens.reused == []


async def test_caller_that_leaves_does_not_lose_what_was_renewed(connected):
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5)
        tokens.goes_on.clear()
        source = lab.replicas[0].gateway.upstreams["echo"].personal._source
        gone = asyncio.create_task(source.get(lab.person("alice")))
        await until(lambda: tokens.asked, "it asks")
        gone.cancel()
        tokens.goes_on.set()
        await until(lambda: stored(lab, "alice").access_token.startswith("access-"), "it is stored")
        assert tokens.whose[await shown(lab.modern("alice"))] == "alice"
        assert len(tokens.asked) == 1


async def test_deleted_or_replaced_meanwhile_stays_so(connected):
    async with connected() as (_echo, tokens, lab):
        person, source = (
            lab.person("alice"),
            lab.replicas[0].gateway.upstreams["echo"].personal._source,
        )
        for replaced in (False, True):
            connect(lab, "alice", tokens, expires_in=-5)
            tokens.asked.clear()
            tokens.goes_on.clear()
            task = asyncio.create_task(source.get(person))
            await until(lambda: tokens.asked, "it asks")
            lab.records.hdel(place(person), "echo")
            if replaced:
                connect(lab, "alice", tokens, access_token="another-account")
            tokens.goes_on.set()
            if replaced:
                assert (await task).token == "another-account"
                assert stored(lab, "alice").access_token == "another-account"
                continue
            with pytest.raises(credentials.CredentialError) as caught:
                await task
            assert caught.value.kind == "no_credential" and stored(lab, "alice") is None


async def test_grant_that_its_server_ended_is_deleted_and_told(connected):
    async with connected() as (echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5, refresh_token="revoked-there")
        answer = await lab.modern("alice").call("echo__echo")
        assert reason(answer) == "no_credential" and answer["error"]["data"]["url"] == PAGE
        assert f"connect it at {PAGE}" in answer["error"]["message"]
        assert stored(lab, "alice") is None and echo.shown("tools/call") == []
        connect(lab, "alice", tokens)
        assert await shown(lab.modern("alice")) == "first-of-alice"


async def test_who_has_not_connected_or_cannot_renew_is_told_where(connected):
    async with connected() as (echo, tokens, lab):
        answer = await lab.modern("bob").call("echo__echo")
        assert reason(answer) == "no_credential"
        assert f"you have not connected it: connect it at {PAGE}" in answer["error"]["message"]
        connect(lab, "bob", expires_in=-5)
        assert "has expired" in (await lab.modern("bob").call("echo__echo"))["error"]["message"]
        connect(lab, "bob", audience="https://elsewhere.example.internal oauth")
        assert "another address" in (await lab.modern("bob").call("echo__echo"))["error"]["message"]
        lab.store("bob", "pasted-before-there-was-oauth")
        assert reason(await lab.modern("bob").call("echo__echo")) == "no_credential"
        assert echo.shown("tools/call") == [] and tokens.asked == []


GOOD = {"access_token": "a", "token_type": "Bearer", "expires_in": 60}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (("500 Internal Server Error", b"<html>secret-text"), "answered HTTP 500 without a JSON"),
        (("200 OK", b"[1]"), "without a JSON object"),
        (("200 OK", b'{"a":' * 10_000), "without a JSON object"),
        (("200 OK", b"{" + b" " * 70_000), "the answer exceeds 65536 bytes"),
        (("200 OK", {**GOOD, "token_type": "mac"}), "another type of token than bearer"),
        (("200 OK", {**GOOD, "access_token": ["secret-text"]}), "handed out no token of 1 to 4096"),
        (("200 OK", {**GOOD, "access_token": "a b"}), "handed out no token of 1 to 4096"),
        (("200 OK", {**GOOD, "access_token": "a" * 4097}), "handed out no token of 1 to 4096"),
        (("200 OK", {**GOOD, "refresh_token": "a\r\nb"}), "handed out no token of 1 to 4096"),
        (("200 OK", {**GOOD, "expires_in": "secret-text"}), "for how many seconds"),
        (("200 OK", {**GOOD, "expires_in": -1}), "for how many seconds"),
        (("401 Unauthorized", {"error": "invalid_client"}), "refused (invalid_client)"),
        (("400 Bad Request", {"error": "Secret-Text secret-text"}), "refused (HTTP 400)"),
        (
            ("400 Bad Request", {"error": "server_error", "error_description": "secret-text"}),
            "refused (server_error)",
        ),
    ],
)
async def test_faulty_answer_is_one_sentence_and_costs_nobody_the_grant(
    connected, answer, text, caplog, monkeypatch
):
    async with connected() as (echo, tokens, lab):
        grant = connect(lab, "alice", tokens, expires_in=-5)
        tokens.answer = answer
        for _ in range(4):
            told = await lab.modern("alice").call("echo__echo")
            assert reason(told) == "credential_renewal" and text in told["error"]["message"]
            assert "try again in a minute" in told["error"]["message"]
            assert "secret-text" not in json.dumps(told)
        assert len(tokens.asked) <= 2, "each replica asks once in a while"
        assert stored(lab, "alice").refresh_token == grant.refresh_token
        assert echo.shown("tools/call") == []
        assert "secret-text" not in caplog.text.lower()
        tokens.answer = None
        monkeypatch.setattr(onceeach, "AGAIN_SECONDS", 0)
        for replica in lab.replicas:
            replica.gateway.upstreams["echo"].personal._source._renewals._failed.clear()
        tokens.whose[grant.refresh_token] = "alice"
        assert tokens.whose[await shown(lab.modern("alice"))] == "alice"


async def test_token_that_is_good_for_seconds_is_sent_while_its_server_is_away(connected):
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=20)
        tokens.answer = ("503 Service Unavailable", b"")
        assert await shown(lab.modern("alice")) == "first-of-alice"


async def test_token_endpoint_that_is_slow_or_away_has_a_bound(monkeypatch):
    monkeypatch.setattr(tokenendpoint, "SECONDS", 0.2)
    async with TokenServer() as tokens:
        tokens.goes_on.clear()
        slow = TokenEndpoint(f"{tokens.url}/token", Oauth(client_id="c", token_endpoint=""), "")
        with pytest.raises(TokenError, match=r"did not answer within 0\.2 s"):
            await slow.ask({"grant_type": "refresh_token", "refresh_token": "r"})
        tokens.goes_on.set()
    away = f"http://127.0.0.1:{free_port()}/token"
    with pytest.raises(TokenError, match="does not answer"):
        await TokenEndpoint(away, Oauth(client_id="c", token_endpoint=""), "").ask({})


async def test_lock_that_nobody_gives_back_ends_by_itself_and_waiting_has_a_bound(
    connected, monkeypatch
):
    monkeypatch.setattr(renewal, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(onceeach, "AGAIN_SECONDS", 0)
    assert renewal.LOCK_SECONDS > tokenendpoint.SECONDS + renewal.STORE_TRIES * 2 + 2
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5)
        lock = f"credentials-lock:{lab.person('alice')}:echo"
        lab.records.set(lock, "a replica that died", ex=60)
        answer = await lab.modern("alice").call("echo__echo")
        assert reason(answer) == "credential_renewal" and tokens.asked == []
        assert lab.records.get(lock) == b"a replica that died"
        lab.records.pexpire(lock, 1)
        assert tokens.whose[await shown(lab.modern("alice"))] == "alice"


async def test_lock_has_an_end(connected):
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5)
        tokens.goes_on.clear()
        source = lab.replicas[0].gateway.upstreams["echo"].personal._source
        task = asyncio.create_task(source.get(lab.person("alice")))
        await until(lambda: tokens.asked, "it asks")
        (lock,) = lab.records.keys("credentials-lock:*")
        assert 0 < lab.records.ttl(lock) <= renewal.LOCK_SECONDS
        tokens.goes_on.set()
        await task


async def test_renewal_ends_no_session_and_no_stream(start, client):
    """The server knows the same person still; only a deleted or another connection ends it."""
    async with Echo("legacy") as echo, TokenServer() as tokens:
        oauth = {**client, "token_endpoint": f"{tokens.url}/token"}
        server = http(echo.url, per_user={**OWN, "audience": AUDIENCE, "oauth": oauth})
        async with start({"echo": server}) as lab:
            for replica in lab.replicas:
                await replica.up()
            connect(lab, "alice", tokens, expires_in=5)
            tokens.lifetime = 10
            legacy = lab.legacy("alice", "/servers/echo/mcp")
            await legacy.initialize()
            sent = [json.loads(text_of(await legacy.call("echo"))) for _ in range(3)]
            assert len({token for token, _ in sent}) == 3, "renewed each time"
            assert len({began for _, began in sent}) == 1, "in one session"
            watched = lab.replicas[0].gateway.upstreams["echo"].personal
            owner = watched.owner(lab.person("alice"))
            exchange = own.Exchange()
            owner.began(exchange, await owner.show())
            before = len(tokens.asked)
            await watched.recheck()
            assert exchange.ended is None and len(tokens.asked) == before
            lab.records.hdel(place(lab.person("alice")), "echo")
            await watched.recheck()
            assert exchange.ended == "no_credential"


async def test_nothing_that_is_written_down_has_a_token(connected, caplog):
    caplog.set_level(logging.DEBUG)
    async with connected() as (_echo, tokens, lab):
        connect(lab, "alice", tokens, expires_in=-5)
        token = await shown(lab.modern("alice"))
        connect(lab, "alice", tokens, expires_in=-5, refresh_token="revoked-there")
        await lab.modern("alice").call("echo__echo")
        audit = json.dumps([replica.audit() for replica in lab.replicas])
        ours = [r.getMessage() for r in caplog.records if r.name.startswith("mcp_gateway")]
        for secret in (token, "refresh-", "revoked-there", "first-of-alice", CLIENT_SECRET):
            assert secret not in audit + "\n".join(ours)
        assert token not in repr(stored(lab, "alice"))


def declared(**changes):
    oauth = {"client_id": "c", "token_endpoint": "https://git.example.internal/token", **changes}
    server = {"type": "http", "url": "http://x/mcp", "per_user": {**OWN, "oauth": oauth}}
    kept = {"key_file": "k", "redis_url": "redis://x", "page_url": PAGE}
    return {"auth": {"none": True}, "credentials": kept, "upstreams": {"echo": server}}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token_endpoint": "http://git.example.internal/token"}, "expected an https address"),
        ({"token_endpoint": "https://git.example.internal:x/token"}, "expected an https address"),
        ({"client_secret": {}}, "set exactly one of file, env"),
        ({"client_id": "a b"}, "expected token_endpoint_auth_method: client_secret_post"),
        ({"token_endpoint_auth_method": "none"}, "Invalid enum value"),
        ({"authorization_endpoint": "https://x"}, "unknown option"),
    ],
)
def test_client_that_could_not_hold_is_refused(changes, text):
    with pytest.raises(ConfigError) as caught:
        parse(declared(**changes))
    assert text in str(caught.value)


def test_secret_that_servers_read_in_two_ways_is_refused_unseen(tmp_path):
    (tmp_path / "secret").write_text("a+secret:of/the tests")
    given = {"client_secret": {"file": str(tmp_path / "secret")}}
    config = parse(declared(**given))
    with pytest.raises(ConfigError, match="client_secret_post") as caught:
        read_secrets("echo", config.upstreams["echo"])
    assert "a+secret" not in str(caught.value)
    config = parse(declared(**given, token_endpoint_auth_method="client_secret_post"))
    assert read_secrets("echo", config.upstreams["echo"])["client_secret"]
