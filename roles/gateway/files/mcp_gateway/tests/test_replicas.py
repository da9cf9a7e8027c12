"""Sessions go on at any replica: two gateways, one key, no stickiness, restarts in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest
from mcp_gateway.sessions import Sealer, Sessions
from support import Legacy, Modern, free_port, gateway, http, messages, next_message, plain, text_of


class RoundRobin:
    """Sends each request to the next replica."""

    def __init__(self, *replicas):
        self.replicas = list(replicas)
        self._turns = itertools.count()

    def _next(self):
        return self.replicas[next(self._turns) % len(self.replicas)].http

    @property
    def http(self):
        return self

    def post(self, *args, **kwargs):
        return self._next().post(*args, **kwargs)

    def stream(self, *args, **kwargs):
        return self._next().stream(*args, **kwargs)


@contextlib.contextmanager
def keys(tmp_path, *names):
    paths = []
    for name in names:
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(name.encode() * 40)
        paths.append(str(path))
    yield {"key_files": paths}


async def test_initialize_list_and_call_at_different_replicas_with_a_restart(sdk, tmp_path):
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url)}
        async with gateway(upstreams, sessions=sessions) as b:
            async with gateway(upstreams, sessions=sessions) as a:
                client = Legacy(a)
                await client.initialize()
                client.http = b.http
                assert (await client.ask("tools/list"))["result"]["tools"]
                assert text_of(await client.call("one__echo", text="b")) == "b"
            async with gateway(upstreams, sessions=sessions) as c:
                client.http = c.http
                assert text_of(await client.call("one__echo", text="c")) == "c"


async def test_round_robin_keeps_the_upstreams_own_session(sdk, tmp_path):
    """The SDK server knows its sessions: a new one for each replica would be noticed."""
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url, era="legacy")}
        async with _with_peer(upstreams, sessions) as a, _with_peer(upstreams, sessions) as b:
            for path, prefix in (("/mcp", "one__"), ("/servers/one/mcp", "")):
                client = Legacy(RoundRobin(a, b), path)
                await client.initialize()
                for word in "abcd":
                    assert text_of(await client.call(prefix + "echo", text=word)) == word
                sids = {
                    link.sid
                    for gw in (a, b)
                    for key, link in gw.gateway.upstreams["one"].pool.links.items()
                    if not key.startswith("@")
                }
                assert len(sids) == 1
                deleted = await b.http.delete(path, headers=client.headers)
                assert deleted.status_code == 200
                assert not a.gateway.upstreams["one"].pool.has(client.headers["mcp-session-id"])
                for gw in (a, b):
                    for key in [k for k in gw.gateway.upstreams["one"].pool.links if k[0] != "@"]:
                        gw.gateway.upstreams["one"].pool.links.pop(key)


async def test_a_replica_that_stops_takes_no_session_with_it(sdk, tmp_path):
    """A rolling restart ends processes, not what callers have at the servers behind them."""
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url, era="legacy")}
        async with _with_peer(upstreams, sessions) as b:
            async with _with_peer(upstreams, sessions) as a:
                client = Legacy(RoundRobin(a, b))
                await client.initialize()
                for word in "abcd":
                    assert text_of(await client.call("one__echo", text=word)) == word
            (left,) = _upstream_sessions(b)
            client.http = b.http
            for word in "ef":
                assert text_of(await client.call("one__echo", text=word)) == word
            assert _upstream_sessions(b) == {left}


def _upstream_sessions(running):
    """Return the ids of the sessions that callers have at the upstream, as a gateway knows them."""
    links = running.gateway.upstreams["one"].pool.links
    return {link.sid for key, link in links.items() if not key.startswith("@")}


async def test_a_process_of_one_session_is_reached_from_every_replica(tmp_path):
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": plain(mode="per_session")}
        async with contextlib.AsyncExitStack() as stack:
            replicas = [
                await stack.enter_async_context(_with_peer(upstreams, sessions)) for _ in range(2)
            ]
            client = Legacy(RoundRobin(*replicas))
            await client.initialize()
            counts = [text_of(await client.call("one__count")) for _ in range(4)]
            assert counts == ["1", "2", "3", "4"]
            other = Legacy(RoundRobin(*replicas))
            await other.initialize()
            assert text_of(await other.call("one__count")) == "1"


@pytest.mark.parametrize("name", ["localhost", "nowhere.invalid"])
async def test_a_name_stands_for_the_replicas_that_have_its_addresses(tmp_path, monkeypatch, name):
    """As in a cluster, where replicas share a file and know their own address alone."""
    monkeypatch.setenv("POD_IP", "127.0.0.1")
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": plain(mode="per_session")}
        ports = [free_port(), free_port()]
        peers = [f"http://{name}:{port}" for port in ports]
        async with contextlib.AsyncExitStack() as stack:
            replicas = []
            for port in ports:
                own = {**sessions, "peer_url": f"http://${{POD_IP}}:{port}", "peers": peers}
                running = gateway(upstreams, port=port, sessions=own)
                replicas.append(await stack.enter_async_context(running))
            client = Legacy(RoundRobin(*replicas))
            await client.initialize()
            counts = [text_of(await client.call("one__count")) for _ in range(4)]
            # Where the name has no such address, each replica has a process of its own.
            expected = {"localhost": ["1", "2", "3", "4"], "nowhere.invalid": ["1", "1", "2", "2"]}
            assert counts == expected[name]


async def test_a_parked_question_is_answered_through_another_replica(sdk, tmp_path):
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url, era="legacy")}
        async with _with_peer(upstreams, sessions) as a, _with_peer(upstreams, sessions) as b:
            client = Modern(a)
            params = {"name": "one__elicit", "arguments": {}}
            asked = (await client.ask("tools/call", params))["result"]
            params["requestState"] = asked["requestState"]
            params["inputResponses"] = {
                k: {"action": "accept", "content": {"name": "Ada"}} for k in asked["inputRequests"]
            }
            client.http = b.http
            assert text_of(await client.ask("tools/call", params)) == "accept:Ada"


async def test_a_mid_call_question_is_answered_through_another_replica(sdk, tmp_path):
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url, era="legacy", mode="shared")}
        async with _with_peer(upstreams, sessions) as a, _with_peer(upstreams, sessions) as b:
            client = Legacy(a)
            await client.initialize({"elicitation": {}})
            body = client.message("tools/call", {"name": "one__elicit", "arguments": {}})
            async with a.http.stream("POST", "/mcp", json=body, headers=client.headers) as stream:
                lines = stream.aiter_lines()
                question = await next_message(lines)
                answer = {"action": "accept", "content": {"name": "Ada"}}
                client.http = b.http
                await client.post({"jsonrpc": "2.0", "id": question["id"], "result": answer})
                assert text_of(await next_message(lines)) == "accept:Ada"


async def test_a_dead_home_replica_is_replaced_on_the_spot(tmp_path):
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": plain(mode="per_session")}
        async with _with_peer(upstreams, sessions) as b:
            async with _with_peer(upstreams, sessions) as a:
                client = Legacy(a)
                await client.initialize()
                assert text_of(await client.call("one__count")) == "1"
            client.http = b.http
            assert text_of(await client.call("one__count")) == "1"  # a process anew, and an answer


async def test_only_the_first_call_at_another_replica_takes_a_detour(sdk, tmp_path):
    """There it learns which session the client has at the server; a lost one begins anew."""
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": http(sdk.url, era="legacy")}
        async with (
            _with_peer(upstreams, sessions) as home,
            _with_peer(upstreams, sessions) as other,
        ):
            client = Legacy(home)
            await client.initialize()
            assert _upstream_sessions(home) == set()
            client.http = other.http
            for word in "abc":
                assert text_of(await client.call("one__echo", text=word)) == word
            calls = 'mcp_gateway_requests_total{era="legacy",method="tools/call",server="one"'
            served = [
                line
                for line in (await home.http.get("/metrics")).text.splitlines()
                if line.startswith(calls)
            ]
            assert [line.rpartition(" ")[2] for line in served] == ["1.0"]
            (sid,) = _upstream_sessions(home)
            assert _upstream_sessions(other) == {sid}
            gone = {"mcp-session-id": sid, "mcp-protocol-version": "2025-11-25"}
            await home.http.delete(sdk.url, headers=gone)
            assert text_of(await client.call("one__echo", text="again")) == "again"
            assert sid not in _upstream_sessions(home)
            answer = await client.call("one__echo", text="still")
            assert text_of(answer) == "still" and len(_upstream_sessions(home)) == 1


PORTS = [free_port() for _ in range(6)]
PEERS = [f"http://127.0.0.1:{port}" for port in PORTS]
_next_port = itertools.cycle(PORTS)


def _with_peer(upstreams, sessions, **options):
    port = next(_next_port)
    own = {"peers": PEERS, **sessions, "peer_url": f"http://127.0.0.1:{port}"}
    return gateway(upstreams, port=port, sessions=own, **options)


async def test_key_rotation_keeps_sessions_while_the_old_key_is_listed(sdk, tmp_path):
    upstreams = {"one": http(sdk.url)}
    with keys(tmp_path, "old") as sessions:
        async with gateway(upstreams, sessions=sessions) as a:
            client = Legacy(a)
            await client.initialize()
    with keys(tmp_path, "new", "old") as sessions:
        async with gateway(upstreams, sessions=sessions) as b:
            client.http = b.http
            assert text_of(await client.call("one__echo", text="x")) == "x"
    with keys(tmp_path, "new") as sessions:
        async with gateway(upstreams, sessions=sessions) as c:
            client.http = c.http
            refused = await client.send("tools/list")
            assert refused.status_code == 404
            assert "initialize again" in messages(refused)[0]["error"]["message"]


async def test_a_session_belongs_to_its_caller_and_its_endpoint(sdk):
    static = [
        {"alias": name, "sha256": __import__("hashlib").sha256(key.encode()).hexdigest()}
        for name, key in (("ada", "key-of-ada-000000"), ("bob", "key-of-bob-000000"))
    ]
    async with gateway({"one": http(sdk.url)}, auth={"static_keys": static}) as gw:
        ada = Legacy(gw, key="key-of-ada-000000")
        await ada.initialize()
        bob = Legacy(gw, key="key-of-bob-000000")
        bob.headers["mcp-session-id"] = ada.headers["mcp-session-id"]
        assert (await bob.send("tools/list")).status_code == 404
        ada.path = "/servers/one/mcp"
        assert (await ada.send("tools/list")).status_code == 404


def test_an_altered_session_id_opens_nothing():
    sessions = Sessions(Sealer([b"k" * 32]), 3600)
    token, _ = sessions.issue("me", "", "2025-11-25")
    assert sessions.open(token, "me", "") is not None
    for index in range(0, len(token), 7):
        changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        assert sessions.open(changed, "me", "") is None
    assert sessions.open("", "me", "") is None
    assert sessions.open("ü" * 40, "me", "") is None


def test_an_old_session_has_ended():
    sessions = Sessions(Sealer([b"k" * 32]), -1)
    token, _ = sessions.issue("me", "", "2025-11-25")
    assert sessions.open(token, "me", "") is None


async def test_a_caller_s_credential_goes_to_no_address_that_is_no_replica_now(tmp_path):
    """A session remembers its home by address; somebody else may have that address by now."""
    heard = []

    async def listen(reader, writer):
        heard.append(await reader.read(1000))
        writer.close()

    unknown_host = await asyncio.start_server(listen, "127.0.0.1", 0)
    home = f"http://127.0.0.1:{unknown_host.sockets[0].getsockname()[1]}"
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": plain(mode="per_session")}
        async with unknown_host, _with_peer(upstreams, sessions) as gw:
            await gw.up()
            client = Legacy(gw)
            await client.initialize()
            gw.gateway.sessions.home = home
            token, _ = gw.gateway.sessions.issue("anyone", "", "2025-11-25")
            client.headers |= {"mcp-session-id": token, "authorization": "Bearer a-secret"}
            assert text_of(await client.call("one__echo", text="here")) == "here"
            assert heard == []


async def test_a_replica_says_for_whom_it_passes_a_request_on(tmp_path):
    """Else all that comes this way would come from one address: the replica's."""
    with keys(tmp_path, "k1") as sessions:
        upstreams = {"one": plain(mode="per_session")}
        audit = {"file": str(tmp_path / "audit")}
        proxies = {"trusted_proxies": ["127.0.0.1"]}
        async with (
            _with_peer(upstreams, sessions, audit=audit) as home,
            _with_peer(upstreams, sessions, listen=proxies) as other,
        ):
            client = Legacy(home)
            await client.initialize()
            client.http = other.http
            client.headers["x-forwarded-for"] = "192.0.2.66, 192.0.2.7"
            assert text_of(await client.call("one__echo", text="here")) == "here"
            assert home.audit()[-1]["address"] == "192.0.2.7"
