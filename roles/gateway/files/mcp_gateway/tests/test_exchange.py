"""The company's access token of each caller, exchanged for one that a server takes (RFC 8693)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter

import pytest
import test_own_credentials as own
from mcp_gateway import exchange, onceeach, providers, subject, tokenrequest
from mcp_gateway.config import ConfigError, parse
from mcp_gateway.credentials import CredentialError
from mcp_gateway.exchange import Exchanged
from mcp_gateway.identify import Unavailable
from mcp_gateway.providers import Provider
from mcp_gateway.settings import Exchange
from mcp_gateway.subject import Subject
from support import Legacy, Modern, free_port, http, text_of, until
from test_own_credentials import OWN, PEOPLE, Echo, reason
from token_server import CLIENT, SECRET, TokenServer

# Fixtures of there.
records, start = own.records, own.start
SIGN_IN = "https://ai.example.internal/mcp"


@pytest.fixture
def client(tmp_path):
    """The gateway's client at the company's provider, as options of `exchange`."""
    (tmp_path / "exchange").write_text(SECRET)
    return {"client_id": CLIENT, "client_secret": {"file": str(tmp_path / "exchange")}}


@pytest.fixture
def exchanging(start, client):
    """`exchanging(**options)` is a context with an echoing server, a token endpoint and a Lab."""

    @contextlib.asynccontextmanager
    async def made(era="modern", **options):
        async with Echo(era) as echo, TokenServer() as tokens:

            def servers(issuer):
                issuer.metadata = {"token_endpoint": f"{tokens.url}/token"}
                given = {"audience": "echo", **options, **client}
                asked = {**given, "issuer": issuer.url, "sign_in_url": SIGN_IN}
                return {"echo": http(echo.url, per_user={**OWN, "exchange": asked})}

            async with start(servers) as lab:
                for replica in lab.replicas:
                    await replica.up()
                yield echo, tokens, lab

    return made


def by_token(lab, name, **claims):
    """A client that signed in at the company by itself."""
    return Modern(lab.both, key=lab.issuer.token("k1", sub=name, **claims))


async def shown(client):
    """What a call showed at the server."""
    return json.loads(text_of(await client.call("echo__echo")))[0].removeprefix("Bearer ")


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_two_people_show_each_what_their_own_token_was_exchanged_for(exchanging, era):
    async with exchanging(era) as (echo, tokens, lab):
        clients = []
        for name in PEOPLE:
            key = lab.issuer.token("k1", sub=name)
            legacy = Legacy(lab.both, "/mcp", key=key)
            await legacy.initialize()
            clients += [(name, legacy), (name, Modern(lab.both, key=key))]
        calls = [(name, client) for _ in range(6) for name, client in clients]
        sent = await asyncio.gather(*(shown(client) for _, client in calls))
        for (name, _), token in zip(calls, sent, strict=True):
            assert tokens.whose[token] == name
        assert len(tokens.asked) <= 4, "once a person and replica"
        assert set(echo.shown("tools/call")) == {f"Bearer {token}" for token in sent}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"audience": "echo"}),
        (
            {"audience": None, "resource": "https://echo.example.internal", "scopes": ["a", "b"]},
            {"resource": "https://echo.example.internal", "scope": "a b"},
        ),
    ],
)
async def test_provider_is_asked_as_the_rfc_says(exchanging, options, expected):
    async with exchanging(**options) as (_echo, tokens, lab):
        caller = by_token(lab, "alice")
        await shown(caller)
        (asked,) = tokens.asked
        assert asked == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": caller.headers["authorization"].removeprefix("Bearer "),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "client": (CLIENT, SECRET),
            **expected,
        }


async def test_caller_with_a_key_is_told_where_to_sign_in(exchanging):
    """Also right after the same person called with a token: a stolen key gets nothing by that."""
    async with exchanging() as (echo, tokens, lab):
        assert tokens.whose[await shown(by_token(lab, "alice"))] == "alice"
        before = len(echo.shown("tools/call"))
        for client in (lab.modern("alice"), lab.modern("bob")):
            answer = await client.call("echo__echo")
            assert reason(answer) == "no_access_token"
            assert answer["error"]["data"]["url"] == SIGN_IN
            assert f"sign in at {SIGN_IN}" in answer["error"]["message"]
        robot = Modern(lab.both, key=lab.issuer.token("k1", sub="robot", client_id="robot"))
        assert reason(await robot.call("echo__echo")) == "no_access_token"
        assert len(echo.shown("tools/call")) == before
        lines = [line for replica in lab.replicas for line in replica.audit()]
        assert ("refused", "no_access_token") in {(x["status"], x["error"]) for x in lines}


async def test_another_token_of_a_person_is_exchanged_anew(exchanging):
    """What one program may do in somebody's name, another one of theirs may not."""
    async with exchanging() as (_echo, _tokens, lab):
        one, other = by_token(lab, "alice"), by_token(lab, "alice", scope="read")
        sent = {await shown(client) for client in (one, other)}
        assert len(sent) == 2


GOOD = "urn:ietf:params:oauth:token-type:access_token"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (("500 Internal Server Error", b"secret-text"), "credential_renewal", "answered HTTP 500"),
        (("200 OK", b"null"), "credential_renewal", "without a JSON object"),
        (("200 OK", b" " * 70_000), "credential_renewal", "the answer exceeds 65536 bytes"),
        (
            ("401 Unauthorized", {"error": "invalid_client", "error_description": "secret-text"}),
            "credential_renewal",
            "refused (invalid_client); try again",
        ),
        (
            ("400 Bad Request", {"error": "invalid_target"}),
            "exchange_refused",
            "refused (invalid_target), for you or for this server",
        ),
        (("403 Forbidden", {"error": "access_denied"}), "exchange_refused", "(access_denied)"),
        (("200 OK", {"error": "Secret-Text!"}), "credential_renewal", "refused (HTTP 200)"),
    ],
)
async def test_refused_exchange_is_one_sentence(exchanging, answer, kind, text, caplog):
    async with exchanging() as (echo, tokens, lab):
        tokens.answer = answer
        for _ in range(4):
            told = await by_token(lab, "alice", jti=kind).call("echo__echo")
            assert reason(told) == kind and text in told["error"]["message"]
            assert "\n" not in told["error"]["message"]
            assert "secret-text" not in json.dumps(told).lower() + caplog.text.lower()
        assert echo.shown("tools/call") == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token_type": "N_A"}, "another type of token than bearer"),
        ({"token_type": None}, "another type of token than bearer"),
        ({"issued_token_type": None}, "handed out no access token"),
        (
            {"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "handed out no access token",
        ),
        ({"issued_token_type": ["a"]}, "handed out no access token"),
        ({"access_token": 7}, "no token of 1 to 4096 visible characters"),
        ({"access_token": None}, "no token of 1 to 4096 visible characters"),
        ({"access_token": "a\r\nx-admin: 1"}, "no token of 1 to 4096 visible characters"),
        ({"access_token": "x" * 4097}, "no token of 1 to 4096 visible characters"),
        ({"expires_in": True}, "for how many seconds"),
        ({"expires_in": 1.5}, "for how many seconds"),
    ],
)
async def test_answer_that_cannot_be_sent_is_not(exchanging, changes, text):
    async with exchanging() as (echo, tokens, lab):
        tokens.changes = changes
        told = await by_token(lab, "alice").call("echo__echo")
        assert reason(told) == "credential_renewal" and text in told["error"]["message"]
        assert echo.shown("tools/call") == []


async def test_provider_that_is_away_or_publishes_no_endpoint_is_told(exchanging, monkeypatch):
    monkeypatch.setattr(onceeach, "AGAIN_SECONDS", 0)
    async with exchanging() as (_echo, tokens, lab):
        caller = by_token(lab, "alice")
        for published, text in (
            (f"http://127.0.0.1:{free_port()}/token", "does not answer"),
            ("http://sso.example.internal/token", "publishes no token_endpoint with https"),
            (["https://sso"], "publishes no token_endpoint with https"),
            (None, "publishes no token_endpoint with https"),
        ):
            lab.issuer.metadata = {"token_endpoint": published}
            for replica in lab.replicas:
                replica.gateway.upstreams["echo"].personal._source._provider._endpoint = None
            told = await caller.call("echo__echo")
            assert reason(told) == "credential_renewal" and text in told["error"]["message"]
        lab.issuer.metadata = {"token_endpoint": f"{tokens.url}/token"}
        for replica in lab.replicas:
            replica.gateway.upstreams["echo"].personal._source._provider._endpoint = None
        assert tokens.whose[await shown(caller)] == "alice"


async def test_refusal_by_the_server_is_told_without_the_token(exchanging):
    async with exchanging() as (echo, tokens, lab):
        tokens.changes = {"access_token": "refused-there"}
        echo.refuses.add("refused-there")
        told = await by_token(lab, "alice").call("echo__echo")
        assert reason(told) == "credential_refused" and "refused-there" not in json.dumps(told)


async def test_nothing_that_is_written_down_has_a_token(exchanging, caplog):
    caplog.set_level(logging.DEBUG)
    async with exchanging() as (_echo, tokens, lab):
        caller = by_token(lab, "alice")
        token = await shown(caller)
        given = tokens.asked[0]["subject_token"]
        audit = json.dumps([replica.audit() for replica in lab.replicas])
        ours = [r.getMessage() for r in caplog.records if r.name.startswith("mcp_gateway")]
        for secret in (token, given, SECRET):
            assert secret not in audit + "\n".join(ours)
        assert lab.records.keys("*") == [], "nothing is stored"
        assert given not in repr(Subject(given, "i", "p", 0.0))


# --- for how long, and for whom -------------------------------------------------------------------


class Asked:
    """A provider that hands out a number each time."""

    def __init__(self, expires_in=3600):
        self.count, self.expires_in = 0, expires_in
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def token_endpoint(self):
        return self

    async def ask(self, _form):
        self.count += 1
        await self.goes_on.wait()
        return tokenrequest.Tokens(str(self.count), "", self.expires_in, tokenrequest.ACCESS_TOKEN)


def source(asked):
    return Exchanged("echo", Exchange(client_id="c", issuer="i", audience="a"), asked)


def came_with(token="t", person="p", issuer="i", seconds=3600.0):
    subject.use(Subject(token, issuer, person, time.time() + seconds))


@pytest.mark.parametrize(
    ("expires_in", "lives", "later", "count"),
    [
        (3600, 3600, 3000, 1),
        (3600, 3600, 3580, 2),  # shortly before its end
        (3600, 600, 560, 1),
        (3600, 600, 580, 2),  # never longer than what it was exchanged for
        (20, 3600, 0, 2),
        (0, 3600, 20, 1),  # where nobody tells: a minute
        (0, 3600, 40, 2),
    ],
)
async def test_token_is_kept_until_shortly_before_one_of_the_two_ends(
    expires_in, lives, later, count, monkeypatch
):
    asked = Asked(expires_in)
    found, now = source(asked), time.time()
    came_with(seconds=lives)
    await found.get("p")
    monkeypatch.setattr(exchange.time, "time", lambda: now + later)
    assert (await found.get("p")).token == str(count) == str(asked.count)


async def test_token_that_has_expired_is_not_exchanged():
    asked = Asked()
    found = source(asked)
    came_with(seconds=-1)
    with pytest.raises(CredentialError, match="has expired") as caught:
        await found.get("p")
    assert caught.value.kind == "no_access_token" and asked.count == 0


@pytest.mark.parametrize("given", [{"person": "q"}, {"issuer": "portal"}])
async def test_token_of_somebody_else_or_of_another_issuer_is_none(given):
    """What is begun for one caller and goes on for another has nobody's token."""
    asked = Asked()
    came_with(**given)
    with pytest.raises(CredentialError, match="came with a key"):
        await source(asked).get("p")
    subject.use(None)
    with pytest.raises(CredentialError, match="came with a key"):
        await source(asked).get("p")
    assert asked.count == 0


async def test_many_calls_at_once_exchange_once_and_one_that_leaves_stops_nobody():
    asked = Asked()
    asked.goes_on.clear()
    found = source(asked)
    came_with()
    waiting = [asyncio.create_task(found.get("p")) for _ in range(10)]
    await until(lambda: asked.count, "one of them asks")
    waiting[0].cancel()
    asked.goes_on.set()
    assert Counter([(await task).token for task in waiting[1:]]) == {"1": 9}
    assert asked.count == 1


async def test_number_of_kept_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr(exchange, "MAX_KEPT", 3)
    found = source(Asked())
    for number in range(10):
        came_with(token=str(number))
        await found.get("p")
    assert len(found._kept) == 3


async def test_issuer_whose_document_names_another_one_is_not_asked(client):
    async with own.Issuer() as issuer:
        issuer.metadata = {"issuer": "https://elsewhere", "token_endpoint": "https://elsewhere"}
        provider = Provider(issuer.url, Exchange(issuer=issuer.url, client_id="c"), "")
        with pytest.raises(tokenrequest.TokenError, match="names another issuer"):
            await provider.token_endpoint()


async def test_provider_that_is_away_is_asked_once_for_all_who_wait(monkeypatch):
    """One after the other, the last of a hundred people would wait for minutes."""
    asked, goes_on = [], asyncio.Event()

    async def away(*_):
        asked.append(1)
        await goes_on.wait()
        raise Unavailable("it is away")

    monkeypatch.setattr(providers, "metadata", away)
    provider = Provider(ISSUER, Exchange(issuer=ISSUER, client_id="c"), "")
    waiting = [asyncio.create_task(provider.token_endpoint()) for _ in range(10)]
    await until(lambda: asked, "one of them asks")
    goes_on.set()
    ended = await asyncio.gather(*waiting, provider.token_endpoint(), return_exceptions=True)
    assert {str(error) for error in ended} == {"does not answer (it is away)"}
    assert len(asked) == 1


async def test_document_that_drips_is_not_waited_for():
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)  # it never ends, and is never silent

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unavailable, match=r"within 0\.3 s"):
            async with asyncio.timeout(5):
                await providers.read(url, ISSUER, None, 0.3)


ISSUER = "https://sso.example.internal"


def declared(**changes):
    asked = {"issuer": ISSUER, "client_id": "c", "client_secret": {"file": "f"}, "audience": "a"}
    asked = {key: value for key, value in (asked | changes).items() if value is not None}
    server = {"type": "http", "url": "http://x/mcp", "per_user": {**OWN, "exchange": asked}}
    auth = {"oidc": [{"issuer": ISSUER, "audience": "a"}]}
    return {"auth": auth, "upstreams": {"echo": server}}


def test_exchange_needs_no_store_of_credentials():
    assert parse(declared()).upstreams["echo"].per_user.exchange.audience == "a"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"issuer": "http://sso.example.internal"}, "expected an https address"),
        ({"issuer": "https://elsewhere"}, "expected one of auth.oidc (https://sso.example"),
        ({"audience": None}, "set exactly one of audience, resource"),
        ({"resource": "r"}, "set exactly one of audience, resource"),
        ({"client_secret": None}, "client_secret: is required"),
        ({"client_secret": {"file": "f", "env": "E"}}, "set exactly one of file, env"),
        ({"token_endpoint": "https://x"}, "unknown option"),
    ],
)
def test_declaration_that_could_not_hold_is_refused(changes, text):
    with pytest.raises(ConfigError) as caught:
        parse(declared(**changes))
    assert text in str(caught.value)


def test_one_server_does_not_have_both():
    both = declared()
    oauth = {"client_id": "c", "token_endpoint": "https://git.example.internal"}
    both["upstreams"]["echo"]["per_user"]["oauth"] = oauth
    with pytest.raises(ConfigError, match="found oauth and exchange"):
        parse(both)
