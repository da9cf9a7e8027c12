"""Attacks on people's own credentials: by others, by servers, over time, and with a slow Redis."""

from __future__ import annotations

import asyncio
import json

import pytest
import redis
import test_own_credentials as own
from mcp_gateway import personal
from mcp_gateway.config import parse
from mcp_gateway.credentials import Credential, CredentialError
from mcp_gateway.limits import redis_client
from mcp_gateway.settings import PerUser
from mcp_gateway.stored import Stored
from mcp_gateway.upstreams import streamable
from mcp_gateway.upstreams.base import Outbound, UpstreamError
from mcp_gateway.vault import place
from support import Legacy, Modern, text_of, until
from test_own_credentials import PAGE, PEOPLE, SERVICE, Echo, personal_server, reason

# Fixtures of there.
records, service, start = own.records, own.service, own.start


# --- who somebody is ----------------------------------------------------------------------------


async def test_key_that_anybody_changed_is_nobodys(start, service):
    """LiteLLM's /key/update leaves `updated_by` as it was, and says when in another member."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("bob")
        mallory = lab.litellm.keys[lab.key("alice")]
        mallory |= {
            "user_id": f"sso-{lab.person('bob')}",
            "settings_updated_at": "2026-11-30T08:00",
        }
        assert reason(await lab.modern("alice").call("echo__echo")) == "no_person"
        assert echo.shown("tools/call") == []


# --- what a server says to one person -----------------------------------------------------------


class Gossip(Echo):
    """Repeats in its refusals what it was shown, and breaks off for the gateway when told so."""

    is_down = False

    def _answer(self, verb, message, headers):
        shown = headers.get("authorization", "")
        if SERVICE in shown:
            if self.is_down and message.get("method") == "ping":
                return "500 Internal Server Error", "", None
            return super()._answer(verb, message, headers)
        return "200 OK", f"x-refused: {shown}", None

    async def _reply(self, writer, message, status, extra, result):
        if not extra.startswith("x-refused"):
            await super()._reply(writer, message, status, extra, result)
            return
        error = {"code": -32000, "message": f"bad credential {extra}"}
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(f"{head}\r\n\r\n".encode() + body)
        await writer.drain()


async def test_what_a_server_says_to_one_person_is_told_to_nobody_else(start, service, caplog):
    async with Gossip() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        replica = lab.replicas[0]
        client = Legacy(replica, key=lab.key("alice"))
        await client.initialize()
        echo.is_down = True
        upstream = replica.gateway.upstreams["echo"]
        told = []  # what others are told while it is down, and what `/` says

        def failed(reason, count=upstream.breaker.failed):
            told.append(reason)
            count(reason)

        upstream.breaker.failed = failed
        for _ in range(8):  # more than what opens a breaker
            await client.call("echo__echo")
            await until(lambda: not upstream.probe.is_running, "the server was asked")
        assert told and PEOPLE["alice"] not in "".join([*told, caplog.text])


# --- sessions and hosts that change ---------------------------------------------------------------


def changed(replica, server):
    """The configuration of a replica with another declaration of the server."""
    config = own.msgspec.to_builtins(replica.gateway.config)
    config["upstreams"]["echo"] = server
    return parse(config)


async def test_session_that_began_as_the_service_does_not_go_on_as_a_person(start, service):
    """Nor the other way round; servers may remember with which credential a session began."""
    async with Echo() as echo, start({"echo": own.http(echo.url, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        client = lab.legacy("alice")
        await client.initialize()
        for _ in range(4):  # both replicas have the session then
            assert json.loads(text_of(await client.call("echo__echo"))) == [f"Bearer {SERVICE}"] * 2
        for server, expected in (
            (personal_server(echo, **service), PEOPLE["alice"]),
            (own.http(echo.url, **service), SERVICE),
        ):
            for replica in lab.replicas:
                await replica.gateway.reload(changed(replica, server))
                await replica.up()
            for _ in range(4):
                shown = json.loads(text_of(await client.call("echo__echo")))
                assert shown == [f"Bearer {expected}"] * 2


async def test_credential_goes_nowhere_but_where_it_was_stored_for(start, service):
    """A server's name may come to stand for another address, or for another server."""
    async with (
        Echo() as echo,
        Echo() as other,
        start({"echo": personal_server(echo, **service)}) as lab,
    ):

        async def moved(url, audience):
            server = own.http(url, per_user={**own.OWN, "audience": audience}, **service)
            for replica in lab.replicas:
                await replica.gateway.reload(changed(replica, server))
                await replica.up()

        await moved(echo.url, "https://here.example")
        vault = own.portal_vault.Vault(own.SECRET)
        alice = lab.person("alice")
        record = vault.seal(alice, "echo", PEOPLE["alice"], 1, "https://here.example")
        lab.records.hset(place(alice), "echo", record)
        client = lab.legacy("alice")
        await client.initialize()
        assert PEOPLE["alice"] in text_of(await client.call("echo__echo"))
        await moved(other.url, "https://there.example")
        for asking in (client, lab.modern("alice")):
            for _ in range(2):
                answer = await asking.call("echo__echo")
                assert reason(answer) == "no_credential"
                assert "was for another address" in answer["error"]["message"]
        assert set(other.shown("initialize", "tools/call", "DELETE")) <= {f"Bearer {SERVICE}"}
        await moved(echo.url, "https://here.example")
        assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))


# --- what goes on ---------------------------------------------------------------------------------


class Silent(Echo):
    """Takes requests for a stream and says nothing: not even the head of an answer."""

    def __init__(self):
        super().__init__("modern")
        self.held = {}  # credential -> whether the gateway hung up

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        text = head.decode("latin-1")
        if "subscriptions/listen" in text and SERVICE not in text:
            credential = text.split("uthorization: ")[1].split("\r\n")[0]
            self.held[credential] = gone = asyncio.Event()
            while await reader.read(4096):
                pass
            gone.set()
            writer.close()
            return
        again = asyncio.StreamReader()
        again.feed_data(head)
        copying = asyncio.create_task(_copy(reader, again))
        try:
            await super()._serve(again, writer)
        finally:
            copying.cancel()


async def _copy(reader, other):
    while data := await reader.read(65536):
        other.feed_data(data)
    other.feed_eof()


async def test_stream_of_which_nothing_came_yet_ends_too(start, service, monkeypatch):
    monkeypatch.setattr(personal, "RECHECK_SECONDS", 0.05)
    async with Silent() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        replica = lab.replicas[0]
        await replica.up()
        for name in PEOPLE:
            lab.store(name)
        asked = []
        for name in PEOPLE:
            client = Modern(replica, "/servers/echo/mcp", key=lab.key(name))
            listening = client.build("subscriptions/listen", {"notifications": {}})
            asked.append(asyncio.create_task(client.http.post(client.path, **listening)))
        await until(lambda: len(echo.held) == len(PEOPLE), "both streams were asked for")
        lab.records.hdel(place(lab.person("alice")), "echo")
        async with asyncio.timeout(15):
            answer = own.messages(await asked[0])[-1]
            await echo.held[f"Bearer {PEOPLE['alice']}"].wait()
        assert reason(answer) == "no_credential"
        assert not echo.held[f"Bearer {PEOPLE['bob']}"].is_set()
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


class Answer:
    """An HTTP answer of which a part has arrived; nobody waits for the rest at this moment."""

    status = 200

    def __init__(self, kind, first):
        self._kind, self._chunks = kind, [first]

    def header(self, name):
        return self._kind if name == b"content-type" else None

    async def chunk(self, timeout=None):
        return self._chunks.pop() if self._chunks else None

    def close(self):
        self._chunks.clear()


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("first", [b'{"jsonrpc"', b""])
async def test_answer_that_was_ended_is_not_taken_for_a_whole_one(kind, first):
    link = streamable.HttpLink("echo", None, lambda: [], 1000, "legacy", "2025-11-25")
    out = Outbound(b"1", "tools/call", {})
    exchange = streamable.HttpExchange(link, Answer(kind, first), out, 1000)
    exchange.end(UpstreamError("no_credential", "deleted"))
    with pytest.raises(UpstreamError, match="deleted"):
        await exchange.next()


async def test_copied_answer_that_was_ended_does_not_end_as_a_whole_one():
    link = streamable.HttpLink("echo", None, lambda: [], 1 << 20, "legacy", "2025-11-25")
    first = b"x" * streamable.STREAM_BYTES
    out = Outbound(b"1", "tools/call", {})
    exchange = streamable.HttpExchange(link, Answer("application/json", first), out, 1 << 20)
    exchange.may_stream = True
    frame = await exchange.next()
    exchange.end(UpstreamError("no_credential", "deleted"))
    with pytest.raises(UpstreamError, match="deleted"):
        await frame.rest()


# --- Redis ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
        redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        redis.exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
    ],
)
async def test_redis_that_takes_no_writes_is_read_all_the_same(start, service, error, caplog):
    """A full disk, or replicas that are away: the end of records is put off another time."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        asked = []

        async def refuse(*_):
            asked.append(1)
            raise error

        for replica in lab.replicas:
            replica.gateway.credentials.store._redis.expire = refuse
        for _ in range(6):
            assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))
        assert 1 <= len(asked) <= len(lab.replicas), "it is not asked again on each call"


async def test_abandoned_lookups_leave_no_answer_for_somebody_else(start, service):
    """A call that its client gave up must not leave Redis' answer in the pool of connections."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        await lab.replicas[0].up()
        for name in PEOPLE:
            lab.store(name)
        found = lab.replicas[0].gateway.credentials.store
        for turns in range(40):
            task = asyncio.create_task(found.find(lab.person("alice"), "echo"))
            for _ in range(turns % 8):
                await asyncio.sleep(0)  # one turn of the loop: somewhere in the look-up
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await found.find(lab.person("bob"), "echo")).token == PEOPLE["bob"]


class Slow:
    """A store in which each look-up waits until it may go on; counts them."""

    def __init__(self, gone):
        self.gone, self.at_once, self.asked = gone, 0, 0
        self.go_on = asyncio.Event()

    @property
    def store(self):
        return self

    async def find(self, person, server, audience):
        if person == "first":
            self.asked += 1
            await self.go_on.wait()
        if person in self.gone:
            raise CredentialError("no_credential", "none", PAGE)
        return Credential("1", "token")


async def test_recheck_does_not_wait_for_the_slowest(monkeypatch):
    """Whose credential was deleted is told although somebody else's cannot be looked up."""
    shelf = Slow(gone=set())
    shelf.go_on.set()
    watched = personal.Personal("echo", PerUser(header="X-A"), Stored("echo", "", shelf))
    exchanges = {}
    for person in ("first", "second"):
        owner = watched.owner(person)
        exchanges[person] = own.Exchange()
        owner.began(exchanges[person], await owner.show())
    shelf.go_on.clear()
    shelf.gone = {"second"}
    checking = asyncio.create_task(watched.recheck())
    await until(lambda: exchanges["second"].ended == "no_credential", "the second was ended")
    assert exchanges["first"].ended is None
    shelf.go_on.set()
    await checking
    assert exchanges["first"].ended is None


async def test_recheck_that_takes_too_long_counts_as_one_that_cannot_tell(monkeypatch):
    monkeypatch.setattr(personal, "LOOKUPS_SECONDS", 0.02, raising=False)
    shelf = Slow(gone=set())
    shelf.go_on.set()
    watched = personal.Personal("echo", PerUser(header="X-A"), Stored("echo", "", shelf))
    exchange = own.Exchange()
    owner = watched.owner("first")
    owner.began(exchange, await owner.show())
    shelf.go_on.clear()
    async with asyncio.timeout(15):
        await watched.recheck()
        assert exchange.ended is None
        await watched.recheck()
    assert exchange.ended == "credential_store"


async def test_lookup_as_a_whole_has_a_bound(start, service, monkeypatch):
    """Each answer of Redis may come in time, and all of them together too late."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        await lab.replicas[0].up()
        lab.store("alice")
        found = lab.replicas[0].gateway.credentials.store
        monkeypatch.setattr(found, "_seconds", 0.05, raising=False)

        async def never(*_):
            await asyncio.Event().wait()

        found._redis.hget = never
        async with asyncio.timeout(15):
            with pytest.raises(CredentialError, match="cannot be read now"):
                await found.find(lab.person("alice"), "echo")


async def test_many_people_are_looked_up_in_time(monkeypatch):
    """More of them take longer, which is no reason to end what they do."""
    monkeypatch.setattr(personal, "LOOKUPS_SECONDS", 0)
    monkeypatch.setattr(personal, "LOOKUPS_A_SECOND", 10)
    shelf = own.Shelf({f"person-{number}": "1" for number in range(1000)})
    watched = personal.Personal("echo", PerUser(header="X-A"), Stored("echo", "", shelf))
    exchanges = [own.Exchange() for _ in shelf.tokens]
    for person, exchange in zip(shelf.tokens, exchanges, strict=True):
        watched.owner(person).began(exchange, await watched.owner(person).show())
    for _ in range(3):
        await watched.recheck()
    assert {exchange.ended for exchange in exchanges} == {None}


async def test_record_that_cannot_be_read_ends_nobody_elses_streams(start, service, monkeypatch):
    """Whoever may write Redis puts something else in the place of a person's records."""
    monkeypatch.setattr(personal, "RECHECK_SECONDS", 3600)  # the test itself says when
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        replica = lab.replicas[0]
        await replica.up()
        watched = replica.gateway.upstreams["echo"].personal
        exchanges = {}
        for name in PEOPLE:
            lab.store(name)
            owner = watched.owner(lab.person(name))
            exchanges[name] = own.Exchange()
            owner.began(exchanges[name], await owner.show())
        lab.records.delete(place(lab.person("alice")))
        lab.records.set(place(lab.person("alice")), b"no hash")
        for _ in range(3):
            await watched.recheck()
        assert exchanges["alice"].ended == "credential_store"
        assert exchanges["bob"].ended is None


async def test_lookups_under_way_survive_a_reload(start, service):
    """Each run of the role writes the configuration anew; calls go on meanwhile."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        replica = lab.replicas[0]
        await replica.up()
        lab.store("alice")
        go_on, asked = asyncio.Event(), asyncio.Event()

        async def slowly(reader, writer):  # in the place of Redis: answers when it is told to
            while data := await reader.read(65536):
                is_lookup = b"HGET" in data
                if is_lookup:
                    asked.set()
                    await go_on.wait()
                writer.write(b"$-1\r\n" if is_lookup else b"+OK\r\n" * data.count(b"*"))
            writer.close()

        async with await asyncio.start_server(slowly, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found = replica.gateway.credentials.store
            await found._redis.aclose()
            found._redis = redis_client(f"redis://127.0.0.1:{port}/3?protocol=2", 30)
            call = asyncio.create_task(Modern(replica, key=lab.key("alice")).call("echo__echo"))
            await asked.wait()
            await replica.gateway.reload(replica.gateway.config)
            for _ in range(20):
                await asyncio.sleep(0)  # turns of the loop, in which the old parts may be closed
            go_on.set()
            assert reason(await call) == "no_credential", "what this Redis answered"
