"""Servers at which each person shows a credential of their own: theirs, and nobody else's, ever."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import fakeredis
import msgspec
import pytest
import redis
from mcp_gateway import parts, personal
from mcp_gateway.config import ConfigError, parse
from mcp_gateway.credentials import Credential, CredentialError
from mcp_gateway.limits import redis_client
from mcp_gateway.ownheader import TAKEN, is_taken
from mcp_gateway.settings import PerUser
from mcp_gateway.stored import Stored
from mcp_gateway.vault import Record, Vault, place
from support import (
    Legacy,
    Modern,
    free_port,
    gateway,
    held_port,
    http,
    messages,
    next_message,
    text_of,
    until,
)
from test_identify import FakeLitellm, Issuer
from test_replicas import RoundRobin, keys

sys.path.append(str(Path(__file__).resolve().parents[4] / "portal/files/mcp_portal/src"))

from mcp_portal import vault as portal_vault

SECRET = "a-key-for-credentials-of-the-tests-0123456789"
PAGE = "https://ai.example.internal/portal/credentials"
MAKER = "intranet-portal"
OWN = {"header": "Authorization", "prefix": "Bearer "}
SERVICE = "service-token-that-lists"
CAN = {"tools": {}, "resources": {"subscribe": True}}
PEOPLE = {"alice": "token-of-alice", "bob": "token-of-bob"}


def id_of(issuer, name):
    """As the portal and the gateway make it."""
    return hashlib.sha256(f"{issuer}\0{name}".encode()).hexdigest()[:16]


class Echo:
    """A server that tells which credential came, in sessions or without; it checks nothing."""

    def __init__(self, era="legacy", refuses=()):
        self.era, self.refuses = era, set(refuses)
        self.heads = []  # (method, every header that came, its name in small letters)
        self.sessions = {}  # session id -> credential with which it began
        self.breaks_off = False  # hangs up in the middle of calls

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/mcp"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    def shown(self, *methods):
        """What came in Authorization with these methods, each time."""
        return [dict(head).get("authorization") for m, head in self.heads if m in methods]

    async def _serve(self, reader, writer):
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                first, *lines = head.strip().split("\r\n")
                split = (line.split(": ", 1) for line in lines if ": " in line)
                pairs = [(name.lower(), value) for name, value in split]
                headers = dict(pairs)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                message = json.loads(body) if body else {}
                verb = first.split()[0]
                self.heads.append((message.get("method") or verb, pairs))
                if message.get("method") == "tools/call" and self.breaks_off:
                    writer.close()
                    return
                status, extra, result = self._answer(verb, message, headers)
                await self._reply(writer, message, status, extra, result)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, verb, message, headers):
        credential, method = headers.get("authorization", ""), message.get("method")
        session = headers.get("mcp-session-id")
        if credential.removeprefix("Bearer ") in self.refuses:
            return "401 Unauthorized", "location: https://sso.example/?seen=" + credential, None
        if verb == "GET":
            return "200 OK", "content-type: text/event-stream", None
        if method == "initialize" and self.era == "legacy":
            session = f"session-{len(self.sessions)}"
            self.sessions[session] = credential
            about = {"capabilities": CAN, "serverInfo": {"name": "e", "version": "1"}}
            result = {"protocolVersion": message["params"]["protocolVersion"], **about}
            return "200 OK", f"mcp-session-id: {session}", result
        if method == "server/discover" and self.era == "modern":
            about = {"capabilities": CAN, "supportedVersions": ["2026-07-28"]}
            return "200 OK", "", {"resultType": "complete", **about}
        if method == "tools/list":
            who = credential.removeprefix("Bearer ")
            tools = [{"name": n, "inputSchema": {"type": "object"}} for n in ("echo", f"of-{who}")]
            return "200 OK", "", {"resultType": "complete", "tools": tools}
        if method == "resources/list":
            listed = [{"uri": "echo://one", "name": "one"}]
            return "200 OK", "", {"resultType": "complete", "resources": listed}
        if method == "resources/templates/list":
            return "200 OK", "", {"resultType": "complete", "resourceTemplates": []}
        if method == "tools/call":
            text = json.dumps([credential, self.sessions.get(session)])
            content = [{"type": "text", "text": text}]
            return "200 OK", "", {"resultType": "complete", "content": content}
        return ("202 Accepted", "", None) if verb == "DELETE" else ("404 Not Found", "", None)

    async def _reply(self, writer, message, status, extra, result):
        if "event-stream" in extra:
            writer.write(
                f"HTTP/1.1 {status}\r\n{extra}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
            )
            await writer.drain()
            return
        body = b""
        if message.get("id") is None:
            status = "202 Accepted" if status == "404 Not Found" else status
        else:
            answer = {"result": result} if result else {"error": {"code": -32601, "message": "no"}}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(
            f"{head}\r\n{extra}\r\n\r\n".replace("\r\n\r\n\r\n", "\r\n\r\n").encode() + body
        )
        await writer.drain()


@pytest.fixture
def records(tmp_path):
    """A Redis, as a client of it; a file has its address."""
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "redis").write_text(f"redis://127.0.0.1:{port}/3")
    (tmp_path / "key").write_text(SECRET)
    client = redis.Redis(port=port, db=3)
    client.server = server
    yield client
    client.close()
    server.shutdown()
    server.server_close()


def store(records, person, server, token, secret=SECRET):
    """As the portal does."""
    sealed = portal_vault.Vault(secret).seal(person, server, token, int(time.time()))
    records.hset(place(person), server, sealed)


class Lab:
    """Two replicas in front of echoing servers, and people whose keys the portal made."""

    def __init__(self, replicas, litellm, issuer, records):
        self.replicas, self.litellm, self.issuer, self.records = replicas, litellm, issuer, records
        self.both = RoundRobin(*replicas)

    def person(self, name):
        return id_of(self.issuer.url, name)

    def key(self, name):
        return f"sk-key-of-{name}"

    def store(self, name, token=None, server="echo", **options):
        store(self.records, self.person(name), server, token or PEOPLE[name], **options)

    def legacy(self, name, path="/mcp"):
        return Legacy(self.both, path, key=self.key(name))

    def modern(self, name, path="/mcp"):
        return Modern(self.both, path, key=self.key(name))


@pytest.fixture
def start(tmp_path, records, monkeypatch):
    """`start(servers, **sections)` is a context with a Lab; servers may be made of the issuer."""
    # The Redis of the tests is a thread of this process, and machines may be busy.
    monkeypatch.setattr(parts, "REDIS_SECONDS", 30)
    monkeypatch.setattr(personal, "LOOKUPS_SECONDS", 30)

    @contextlib.asynccontextmanager
    async def started(servers, **sections):
        async with FakeLitellm() as litellm, Issuer() as issuer, contextlib.AsyncExitStack() as st:
            issuer.rotate("k1", "ES256")
            declared = servers(issuer) if callable(servers) else servers
            for name in PEOPLE:
                user = f"sso-{id_of(issuer.url, name)}"
                made = {"created_by": MAKER, "updated_by": MAKER, "user_id": user}
                litellm.keys[f"sk-key-of-{name}"] = {"key_alias": f"{user}-ab", **made}
            auth = {
                "litellm": {
                    "url": litellm.url,
                    "cache_seconds": 0.05,
                    "negative_cache_seconds": 0.05,
                }
                | {"administrators": ["default_user_id", MAKER], "sign_on_makers": [MAKER]},
                "oidc": [{"issuer": issuer.url, "audience": "mcp-gateway"}],
            }
            credentials = {
                "key_file": str(tmp_path / "key"),
                "redis_url_file": str(tmp_path / "redis"),
                "page_url": PAGE,
            }
            ports = [st.enter_context(held_port()) for _ in range(2)]
            peers = [f"http://127.0.0.1:{port}" for port in ports]
            replicas = []
            with keys(tmp_path, "k1") as shared:
                for number, port in enumerate(ports):
                    audit = {"file": str(tmp_path / f"audit-{number}")}
                    running = gateway(
                        declared,
                        port=port,
                        **{"auth": auth, "credentials": credentials, "audit": audit, **sections},
                        sessions={**shared, "peer_url": peers[number], "peers": peers},
                    )
                    replicas.append(await st.enter_async_context(running))
            yield Lab(replicas, litellm, issuer, records)

    return started


@pytest.fixture
def service(tmp_path):
    """What the gateway itself shows, as options of a server."""
    (tmp_path / "service").write_text(SERVICE)
    shown = {"file": str(tmp_path / "service"), "prefix": "Bearer "}
    return {"headers_from_files": {"Authorization": shown}}


def personal_server(echo, **options):
    return http(echo.url, per_user=OWN, **options)


def reason(answer):
    return answer["error"]["data"]["reason"]


# --- each their own -----------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("path", ["/mcp", "/servers/echo/mcp"])
async def test_two_people_show_their_own_credential_through_two_replicas(start, service, era, path):
    async with Echo(era) as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        tool = "echo__echo" if path == "/mcp" else "echo"
        clients = []
        for name in PEOPLE:
            lab.store(name)
            legacy = lab.legacy(name, path)
            await legacy.initialize()
            token = lab.issuer.token("k1", sub=name)
            by_token = Modern(lab.both, path, key=token)  # the same person, without a key
            clients += [(name, legacy), (name, lab.modern(name, path)), (name, by_token)]
        calls = [(name, client.call(tool)) for _ in range(6) for name, client in clients]
        answers = await asyncio.gather(*(call for _, call in calls))
        for (name, _), answer in zip(calls, answers, strict=True):
            credential, began_with = json.loads(text_of(answer))
            assert credential == f"Bearer {PEOPLE[name]}"
            assert began_with in (None, credential), "a session of somebody else"
        assert Counter(echo.shown("tools/call")) == {f"Bearer {t}": 18 for t in PEOPLE.values()}
        served = [
            sum(link.startswith(("m:", "p:")) or "@" not in link for link in pool.links)
            for pool in (r.gateway.upstreams["echo"].pool for r in lab.replicas)
        ]
        assert all(served), "one replica did all the work"


async def test_lists_of_all_servers_are_made_with_what_the_gateway_shows(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        for name in PEOPLE:
            for _ in range(2):
                answer = await lab.modern(name).ask("tools/list")
                names = [tool["name"] for tool in answer["result"]["tools"]]
                assert names == ["echo__echo", f"echo__of-{SERVICE}"]
        assert set(echo.shown("tools/list")) == {f"Bearer {SERVICE}"}


async def test_list_of_one_server_is_the_persons_own_and_kept_for_nobody(start):
    """Where the gateway has nothing to show, the server is up for people all the same."""
    async with Echo(refuses=[""]) as echo, start({"echo": personal_server(echo)}) as lab:
        for name in PEOPLE:
            lab.store(name)
        for _ in range(2):
            for name, token in PEOPLE.items():
                client = lab.legacy(name, "/servers/echo/mcp")
                await client.initialize()
                tools = (await client.ask("tools/list"))["result"]["tools"]
                assert [tool["name"] for tool in tools] == ["echo", f"of-{token}"]
        for replica in lab.replicas:
            upstream = replica.gateway.upstreams["echo"]
            assert upstream.breaker.state == "closed" and upstream.listing.items == {}
            assert "refuses the gateway's own" in upstream.breaker.last_error
        assert (await lab.modern("alice").ask("tools/list"))["result"]["tools"] == []
        assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))


async def test_configured_headers_go_along_but_never_the_services_credential(start, service):
    """Also where they differ in case: there is one Authorization, the person's."""
    headers = {"X-Tenant": "blue", "authorization": "Bearer plain"}
    async with Echo() as echo:
        server = personal_server(echo, headers=headers, **service)
        async with start({"echo": server}) as lab:
            for replica in lab.replicas:
                await replica.up()
            lab.store("alice")
            assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))
            (head,) = [head for method, head in echo.heads if method == "tools/call"]
    names = Counter(name for name, _ in head)
    assert names["authorization"] == 1 and dict(head)["x-tenant"] == "blue"


# --- none, a bad one, somebody else's -----------------------------------------------------------


async def test_who_has_none_is_told_where_to_store_one(start, service, tmp_path):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        for client in (lab.modern("bob"), lab.legacy("bob")):
            if isinstance(client, Legacy):
                await client.initialize()
            answer = await client.call("echo__echo")
            assert reason(answer) == "no_credential" and answer["error"]["data"]["url"] == PAGE
            assert f"store one at {PAGE}" in answer["error"]["message"]
        refused = messages(await lab.legacy("bob", "/servers/echo/mcp").send("initialize", INIT))
        assert reason(refused[-1]) == "no_credential"
        assert echo.shown("tools/call") == []
        lines = [line for replica in lab.replicas for line in replica.audit()]
        ends = {(line["status"], line["error"]) for line in lines if line["method"] == "tools/call"}
        # It is no failure of the server, about which somebody would be woken.
        assert ends == {("refused", "no_credential")}


INIT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"created_by": "default_user_id", "updated_by": "default_user_id"},
        {"updated_by": "default_user_id"},
        {"created_by": "mallory"},
        {"user_id": "bob"},
        {"user_id": "sso-0123"},
        {"user_id": None},
    ],
)
async def test_key_that_the_portal_did_not_make_is_nobodys(start, service, changes):
    """Whoever may make keys at LiteLLM may name any user in them."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        lab.litellm.keys[lab.key("alice")] |= changes
        answer = await lab.modern("alice").call("echo__echo")
        assert reason(answer) == "no_person" and "sign in at" in answer["error"]["message"]
        assert echo.shown("tools/call") == []


async def test_token_of_a_program_is_nobodys(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        store(lab.records, lab.person("robot"), "echo", "token-of-a-robot")
        for claims in ({"sub": None, "client_id": "robot"}, {"sub": "robot", "client_id": "robot"}):
            client = Modern(lab.both, key=lab.issuer.token("k1", **claims))
            assert reason(await client.call("echo__echo")) == "no_person"


async def test_record_of_somebody_else_or_for_another_server_does_not_open(start, service):
    async with Echo() as echo, Echo() as other:
        servers = {"echo": personal_server(echo, **service), "other": personal_server(other)}
        async with start(servers) as lab:
            for replica in lab.replicas:
                await replica.up("echo")
            lab.store("alice")
            record = lab.records.hget(place(lab.person("alice")), "echo")
            lab.records.hset(place(lab.person("bob")), "echo", record)
            lab.records.hset(place(lab.person("alice")), "other", record)
            for name, tool in (("bob", "echo__echo"), ("alice", "other__echo")):
                answer = await lab.modern(name).call(tool)
                assert reason(answer) == "no_credential"
                assert "cannot be read" in answer["error"]["message"]
            assert echo.shown("tools/call") == other.shown("tools/call") == []
            assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))


def test_any_change_of_a_record_closes_it():
    sealed = portal_vault.Vault(SECRET).seal("p", "s", "token", 1000)
    vault = Vault(SECRET)
    assert vault.open("p", "s", sealed).text == "token"
    assert vault.open("ps", "", sealed) is None and Vault("x" * 40).open("p", "s", sealed) is None
    record = msgspec.msgpack.decode(sealed, type=Record)
    later = msgspec.msgpack.encode(msgspec.structs.replace(record, stored_at=2000))
    assert vault.open("p", "s", later) is None
    for index in range(len(sealed)):
        changed = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        assert vault.open("p", "s", changed) is None
    for junk in (b"", b"\x90", b"token", sealed[:-1], sealed + b"x"):
        assert vault.open("p", "s", junk) is None


def test_the_same_token_is_another_record_each_time():
    seal = portal_vault.Vault(SECRET).seal
    assert seal("p", "s", "token", 1) != seal("p", "s", "token", 1)
    assert b"token" not in seal("p", "s", "token", 1)


@pytest.mark.parametrize(
    "token", ["a\r\nx-admin: 1", "a\nb", "a b", "a\0b", "ä", "", "x" * 4097, "a\x7f"]
)
async def test_credential_that_would_be_more_than_a_value_is_not_sent(start, service, token):
    """The portal takes none of these; somebody with its key might."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        sealed = portal_vault.Vault(SECRET).seal(lab.person("alice"), "echo", token, 1)
        lab.records.hset(place(lab.person("alice")), "echo", sealed)
        answer = await lab.modern("alice").call("echo__echo")
        assert reason(answer) == "no_credential" and echo.shown("tools/call") == []


async def test_what_a_client_sends_itself_reaches_no_server(start):
    own = {"header": "X-Own-Token", "prefix": ""}
    async with Echo() as echo, start({"echo": http(echo.url, per_user=own)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        for client in (lab.modern("alice"), lab.legacy("alice")):
            client.headers |= {"x-own-token": "planted", "cookie": "a=b", "traceparent": "00-x"}
            client.headers |= {"mcp-param-x-own-token": "planted", "x-api-key": "planted"}
            if isinstance(client, Legacy):
                await client.initialize()
            await client.call("echo__echo")
        heads = [head for method, head in echo.heads if method == "tools/call"]
    assert len(heads) == 2
    for head in heads:
        names = Counter(name for name, _ in head)
        assert names["x-own-token"] == 1 and dict(head)["x-own-token"] == PEOPLE["alice"]
        assert not {"authorization", "cookie", "x-api-key"} & set(names)
        assert dict(head)["traceparent"] == "00-x"


async def test_refusal_by_the_server_names_the_page_and_nothing_else(start, service):
    server = Echo(refuses=[PEOPLE["alice"]])
    async with server as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        for _ in range(8):  # more than what opens a breaker
            answer = await lab.modern("alice").call("echo__echo")
            assert reason(answer) == "credential_refused" and PAGE in answer["error"]["message"]
            assert PEOPLE["alice"] not in json.dumps(answer)
        lab.store("bob")
        assert PEOPLE["bob"] in text_of(await lab.modern("bob").call("echo__echo"))


async def test_broken_calls_do_not_close_a_server_that_refuses_the_gateway(start):
    """It answers the gateway's probe, if only to say no."""
    async with Echo(refuses=[""]) as echo, start({"echo": personal_server(echo)}) as lab:
        for name in PEOPLE:
            lab.store(name)
        echo.breaks_off = True
        for _ in range(8):  # more than what opens a breaker
            assert reason(await lab.modern("alice").call("echo__echo")) == "unreachable"
        echo.breaks_off = False
        for replica in lab.replicas:
            upstream = replica.gateway.upstreams["echo"]
            await until(lambda u=upstream: not u.probe.is_running, "the server was asked")
            assert upstream.breaker.state == "closed"
        assert PEOPLE["bob"] in text_of(await lab.modern("bob").call("echo__echo"))


async def test_resources_are_not_watched_with_what_the_gateway_shows(start, service):
    async with Echo("modern") as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        client = lab.legacy("alice")
        await client.initialize()
        answer = await client.ask("resources/subscribe", {"uri": "echo://one"})
        assert "is not watched" in answer["error"]["message"]
        wanted = {"notifications": {"resourceSubscriptions": ["echo://one"]}}
        listening = lab.modern("alice").build("subscriptions/listen", wanted)
        async with lab.both.stream("POST", "/mcp", **listening) as stream:
            first = await next_message(stream.aiter_lines())
        assert first["params"]["notifications"] == {}
        asked = [m for m, _ in echo.heads if m.startswith(("resources/sub", "subscriptions"))]
        assert set(asked) <= {"subscriptions/listen"}  # the gateway's own, for changed lists


# --- deleted, replaced, gone --------------------------------------------------------------------


async def test_deleted_credential_is_used_by_no_replica_from_then_on(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        clients = [
            lab.modern("alice"),
            lab.legacy("alice"),
            lab.legacy("alice", "/servers/echo/mcp"),
        ]
        tools = ["echo__echo", "echo__echo", "echo"]
        for client in clients[1:]:
            await client.initialize()
        for client, tool in zip(clients * 2, tools * 2, strict=True):
            assert PEOPLE["alice"] in text_of(await client.call(tool))
        lab.records.hdel(place(lab.person("alice")), "echo")
        before = len(echo.heads)
        for client, tool in zip(clients * 2, tools * 2, strict=True):
            assert reason(await client.call(tool)) == "no_credential"
        # What the gateway asks for itself may come in between.
        later = {dict(head).get("authorization") for _, head in echo.heads[before:]}
        assert later <= {f"Bearer {SERVICE}"}


async def test_open_stream_ends_soon_after_its_credential_was_deleted(start, service, monkeypatch):
    monkeypatch.setattr(personal, "RECHECK_SECONDS", 0.05)
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        for name in PEOPLE:
            lab.store(name)
        async with contextlib.AsyncExitStack() as stack:
            streams = {}
            for name in PEOPLE:
                client = lab.legacy(name, "/servers/echo/mcp")
                client.http = lab.replicas[0].http
                await client.initialize()
                began = client.http.stream("GET", client.path, headers=client.headers, timeout=30)
                streams[name] = (await stack.enter_async_context(began)).aiter_lines()
            pool = lab.replicas[0].gateway.upstreams["echo"].personal
            await until(lambda: len(pool.open) >= 2, "both streams are open at the server")
            lab.records.hdel(place(lab.person("alice")), "echo")
            async for _ in streams["alice"]:
                pass  # to its end, within the test's bound
            assert [person for person, _ in pool.open.values()] == [lab.person("bob")]


async def test_replaced_credential_begins_another_session(start, service):
    """A server may remember with which one a session began."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        client, single = lab.legacy("alice"), lab.legacy("alice", "/servers/echo/mcp")
        await client.initialize()
        await single.initialize()
        for _ in range(3):
            assert PEOPLE["alice"] in text_of(await client.call("echo__echo"))
            assert PEOPLE["alice"] in text_of(await single.call("echo"))
        lab.store("alice", "another-token")
        for _ in range(4):
            shown = json.loads(text_of(await client.call("echo__echo")))
            assert shown == ["Bearer another-token"] * 2
        for _ in range(2):  # either replica: the client has to begin anew, and can
            assert (await single.send("tools/call", {"name": "echo"})).status_code == 404
        for header in ("mcp-session-id", "mcp-protocol-version"):
            single.headers.pop(header)
        await single.initialize()
        assert json.loads(text_of(await single.call("echo"))) == ["Bearer another-token"] * 2


async def test_session_does_not_go_on_for_somebody_else(start, service):
    """Even if a key, of which the gateway knows sessions, becomes another person's."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        for name in PEOPLE:
            lab.store(name)
        client = lab.legacy("alice")
        await client.initialize()
        assert PEOPLE["alice"] in text_of(await client.call("echo__echo"))
        lab.litellm.keys[lab.key("alice")]["user_id"] = f"sso-{lab.person('bob')}"

        async def refused():
            answer = await client.call("echo__echo")
            return "error" in answer and reason(answer) == "no_person"

        await until(refused, "the cached answer of LiteLLM has ended")
        assert f"Bearer {PEOPLE['bob']}" not in echo.shown("tools/call")


async def test_removed_person_shows_nothing(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        client = lab.modern("alice")
        assert PEOPLE["alice"] in text_of(await client.call("echo__echo"))
        del lab.litellm.keys[lab.key("alice")]

        async def refused():
            answers = [await client.send("tools/call", {"name": "echo__echo"}) for _ in range(2)]
            return all(answer.status_code == 401 for answer in answers)

        await until(refused, "both replicas heard that the key is gone")
        before = len(echo.shown("tools/call"))
        assert await refused() and len(echo.shown("tools/call")) == before


async def test_redis_that_is_away_means_no_call_and_not_the_services_credential(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        assert PEOPLE["alice"] in text_of(await lab.modern("alice").call("echo__echo"))
        for replica in lab.replicas:  # an address where nobody answers
            found = replica.gateway.credentials.store
            await found.close()
            found._redis = redis_client(f"redis://127.0.0.1:{free_port()}/3")
        before = len(echo.shown("tools/call"))
        for _ in range(2):
            answer = await lab.modern("alice").call("echo__echo")
            assert reason(answer) == "credential_store"
        assert len(echo.shown("tools/call")) == before


async def test_records_of_who_uses_them_are_kept(start, service):
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        lab.records.expire(place(lab.person("alice")), 100)
        await lab.modern("alice").call("echo__echo")
        assert lab.records.ttl(place(lab.person("alice"))) > 89 * 86400


async def test_nothing_that_is_written_down_has_a_credential(start, service, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("alice")
        shown = [text_of(await lab.modern("alice").call("echo__echo", text="x"))]
        echo.refuses.add(PEOPLE["alice"])
        answers = [json.dumps(await lab.modern("alice").call("echo__echo")) for _ in range(2)]
        for replica in lab.replicas:
            found = replica.gateway.credentials.store
            credential = await found.find(lab.person("alice"), "echo")
            answers += [repr(credential), repr(found), repr(replica.gateway.config)]
            for address in ("/", "/metrics"):
                headers = {"authorization": f"Bearer {lab.key('alice')}"}
                answers.append((await replica.http.get(address, headers=headers)).text)
            replica.audit()
        written = [path.read_text() for path in tmp_path.glob("audit-*")]
        assert PEOPLE["alice"] in shown[0] and len(written) == 2
        for text in [*answers, *written, caplog.text]:
            assert PEOPLE["alice"] not in text and SECRET not in text
        assert PEOPLE["alice"].encode() not in b"".join(
            lab.records.hgetall(place(lab.person("alice"))).values()
        )


# --- what may be declared -----------------------------------------------------------------------

KEPT = {"key_file": "k", "redis_url_file": "r", "page_url": PAGE}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *[({"per_user": {"header": name}}, "has a meaning already") for name in sorted(TAKEN)],
        *[
            ({"per_user": {"header": name}}, "has a meaning already")
            for name in ("HOST", "Mcp-Session-Id", "mcp-gateway-caller", "X-Forwarded-For")
        ],
        ({"per_user": {"header": "X Y"}}, "expected a header's name"),
        ({"per_user": {"header": "X\r\nY"}}, "expected a header's name"),
        ({"per_user": {"header": ""}}, "expected a header's name"),
        ({"per_user": {}}, "per_user.header: is required"),
        ({"per_user": {"header": "X-A", "prefix": "a\nb"}}, "visible ASCII"),
        ({"per_user": {"header": "X-A", "value": "x"}}, "unknown option"),
        ({"mode": "shared"}, "expected per_session"),
        ({"type": "sse"}, "found type sse, expected http"),
        ({"type": "stdio", "url": None, "command": "x"}, "found type stdio, expected http"),
    ],
)
def test_declaration_that_could_not_hold_is_refused(changes, expected):
    server = {"type": "http", "url": "http://x/mcp", "per_user": OWN, **changes}
    with pytest.raises(ConfigError) as caught:
        parse({"auth": {"none": True}, "credentials": KEPT, "upstreams": {"a": server}})
    assert len(caught.value.problems) == 1 and expected in caught.value.problems[0]


def test_declaration_without_a_place_for_credentials_is_refused():
    server = {"type": "http", "url": "http://x/mcp", "per_user": OWN}
    for credentials in ({}, {**KEPT, "page_url": None}, {**KEPT, "redis_url_file": None}):
        with pytest.raises(ConfigError, match="needs key_file, redis_url_file"):
            parse({"auth": {"none": True}, "credentials": credentials, "upstreams": {"a": server}})


def test_headers_of_the_protocol_are_taken():
    names = ("Mcp-Protocol-Version", "Mcp-Method", "Mcp-Param-x", "Proxy-Authorization", "TE")
    assert all(is_taken(name) for name in names)
    assert not any(is_taken(name) for name in ("Authorization", "X-Api-Key", "PRIVATE-TOKEN"))


async def test_key_that_is_too_short_is_refused(tmp_path):
    (tmp_path / "key").write_text("short")
    credentials = {**KEPT, "key_file": str(tmp_path / "key"), "redis_url": "redis://127.0.0.1:1/3"}
    credentials.pop("redis_url_file")
    with pytest.raises(ConfigError, match="found 5 characters, expected at least 32"):
        async with gateway(credentials=credentials):
            pass


# --- what goes on, and is checked again ----------------------------------------------------------


class Exchange:
    """One that is under way; remembers why it was ended."""

    def __init__(self):
        self.ended = None

    def end(self, error):
        self.ended = error.kind


class Shelf:
    """A store of credentials in a dictionary; counts who was looked up."""

    def __init__(self, tokens):
        self.tokens, self.asked, self.is_away = tokens, [], False

    @property
    def store(self):
        return self

    async def find(self, person, server, audience):
        self.asked.append(person)
        if self.is_away:
            raise CredentialError("credential_store", "away", PAGE)
        if person not in self.tokens:
            raise CredentialError("no_credential", "none", PAGE)
        return Credential(self.tokens[person], "token")


async def test_recheck_ends_what_was_deleted_or_replaced_and_asks_once_a_person():
    shelf = Shelf({"kept": "1", "replaced": "1", "deleted": "1"})
    own = personal.Personal("echo", PerUser(header="X-A"), Stored("echo", "", shelf))
    under_way = {}
    for person in shelf.tokens:
        owner = own.owner(person)
        under_way[person] = [Exchange(), Exchange()]
        for exchange in under_way[person]:
            owner.began(exchange, await owner.show())
    shelf.asked.clear()
    shelf.tokens["replaced"] = "2"
    del shelf.tokens["deleted"]
    await own.recheck()
    ended = {person: [e.ended for e in exchanges] for person, exchanges in under_way.items()}
    assert ended == {
        "kept": [None, None],
        "replaced": ["credential_replaced"] * 2,
        "deleted": ["no_credential"] * 2,
    }
    assert sorted(shelf.asked) == ["deleted", "kept", "replaced"]


async def test_recheck_ends_everything_when_nobody_can_tell_for_the_second_time():
    shelf = Shelf({"a": "1", "b": "1", "c": "1"})
    own = personal.Personal("echo", PerUser(header="X-A"), Stored("echo", "", shelf))
    exchanges = [Exchange() for _ in shelf.tokens]
    for person, exchange in zip(shelf.tokens, exchanges, strict=True):
        own.owner(person).began(exchange, await own.owner(person).show())
    shelf.asked.clear()
    shelf.is_away = True
    await own.recheck()
    assert {exchange.ended for exchange in exchanges} == {None}
    shelf.is_away = False
    await own.recheck()
    shelf.is_away = True
    await own.recheck()
    assert {exchange.ended for exchange in exchanges} == {None}, "it came back in between"
    shelf.asked.clear()
    await own.recheck()
    assert {exchange.ended for exchange in exchanges} == {"credential_store"}
    assert sorted(shelf.asked) == sorted(shelf.tokens), "each once, all at the same time"
