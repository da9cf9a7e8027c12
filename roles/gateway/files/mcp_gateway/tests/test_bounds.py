"""Host, Origin, sizes, counts, rates, slow readers, and the end of a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from mcp_gateway.config import parse
from mcp_gateway.hub import Subscriber
from mcp_gateway.identify import Principal
from mcp_gateway.limits import Bounds
from mcp_gateway.refusal import Refusal
from mcp_gateway.sse import Frame
from support import (
    KEY,
    Legacy,
    Modern,
    Scripted,
    free_port,
    gateway,
    http,
    next_message,
    plain,
    raw,
    reply,
    sha256,
    text_of,
    until,
)

KEYS = [{"alias": n, "sha256": sha256(f"key-of-{n}-000000")} for n in ("ada", "bob")]


async def test_a_replica_answers_to_the_address_by_which_the_others_reach_it():
    sessions = {"peer_url": "http://192.0.2.7:8080", "peers": ["http://192.0.2.7:8080"]}
    async with gateway(sessions=sessions) as gw:
        for host, status in (("192.0.2.7:8080", 200), ("192.0.2.7:9", 421), ("192.0.2.8", 421)):
            assert (await gw.http.get("/", headers={"host": host})).status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 401),
        ("localhost", 401),
        ("[::1]:8080", 401),
        ("gw.example", 401),
        ("gw.example:8080", 401),
        ("GW.Example:8080", 401),
        ("evil.example", 421),
        ("gw.example.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
async def test_foreign_hosts_are_refused(host, status):
    listen = {"allowed_hosts": ["gw.example"]}
    async with gateway(auth={"static_keys": KEYS}, listen=listen) as gw:
        for path in ("/mcp", "/"):
            answer = await gw.http.request(
                "POST" if path == "/mcp" else "GET", path, headers={"host": host}
            )
            assert answer.status_code == (status if path == "/mcp" or status == 421 else 200)
        assert (await gw.http.get("/health", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("https://ok.example.evil.example", 403),
        ("https://ok.example", 200),
        ("HTTPS://OK.EXAMPLE/", 200),
        (None, 200),
    ],
)
async def test_foreign_origins_are_refused(origin, status):
    async with gateway(listen={"allowed_origins": ["https://ok.example"]}) as gw:
        client = Modern(gw)
        if origin is not None:
            client.headers["origin"] = origin
        assert (await client.send("tools/list")).status_code == status
        client.headers["origin"] = gw.base
        assert (await client.send("tools/list")).status_code == 200


async def test_bodies_and_headers_have_a_bound():
    limits = {"body_bytes": 1000, "header_bytes": 4000}
    async with gateway(limits=limits) as gw:
        client = Modern(gw)
        big = {"cursor": "x" * 1000}
        assert (await client.send("tools/list", big)).status_code == 413

        async def chunks():
            for _ in range(20):
                yield b"x" * 100

        assert (await gw.http.post("/mcp", content=chunks())).status_code == 413
        client.headers["x-big"] = "x" * 4000
        assert (await client.send("tools/list")).status_code == 431


async def test_the_refusal_of_a_large_body_can_be_read_by_who_sends_it_whole():
    """Closing at once would reset the connection under a client that still sends."""

    def send_then_read():
        with socket.create_connection(("127.0.0.1", gw.port), timeout=10) as sock:
            head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{gw.port}\r\nconnection: close"
            sock.sendall(head.encode() + b"\r\ncontent-length: 5500000\r\n\r\n")
            sock.sendall(b"x" * 5_500_000)
            return sock.recv(100)

    async with gateway(limits={"body_bytes": 5_400_000}) as gw:
        assert b" 413 " in await asyncio.to_thread(send_then_read)


async def test_a_client_that_waits_for_100_continue_is_refused_before_it_sends():
    async with gateway(limits={"body_bytes": 1000}) as gw:
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{gw.port}\r\ncontent-length: 2000\r\n"
        writer.write(head.encode() + b"expect: 100-continue\r\n\r\n")
        assert b" 413 " in await reader.readline()
        writer.close()


async def test_calls_at_once_are_bounded_per_caller_and_in_all():
    release = asyncio.Event()

    async def wait(message, headers, writer):
        await release.wait()
        await raw(writer, b'{"jsonrpc":"2.0","id":%d,"result":{}}' % message["id"])

    limits = {"calls_per_caller": 2, "calls": 3}
    async with (
        Scripted(wait) as up,
        gateway({"one": http(up.url)}, auth={"static_keys": KEYS}, limits=limits) as gw,
    ):
        await gw.up()
        ada, bob = (Modern(gw, key=f"key-of-{n}-000000") for n in ("ada", "bob"))
        call = {"name": "one__act", "arguments": {}}
        tasks = [asyncio.create_task(ada.send("tools/call", call)) for _ in range(2)]
        bounds = gw.gateway.bounds
        await until(lambda: bounds._total == 2, "two calls are at work")
        assert (await ada.send("tools/call", call)).status_code == 429
        tasks.append(asyncio.create_task(bob.send("tools/call", call)))
        await until(lambda: bounds._total == 3, "three calls are at work")
        assert (await bob.send("tools/call", call)).status_code == 503
        release.set()
        assert [(await t).status_code for t in tasks] == [200] * 3
        assert not bounds._calls and bounds._total == 0


async def test_a_servers_calls_are_bounded_and_wait_their_turn():
    at_work = most = 0

    async def work(message, headers, writer):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        for _ in range(5):
            await asyncio.sleep(0)
        at_work -= 1
        await raw(writer, b'{"jsonrpc":"2.0","id":%d,"result":{}}' % message["id"])

    async with Scripted(work) as up, gateway({"one": http(up.url, concurrency=2)}) as gw:
        await gw.up()
        client = Modern(gw)
        answers = await asyncio.gather(*(client.call("one__act") for _ in range(8)))
        assert all("result" in a for a in answers)
        assert most <= 2


async def test_the_oldest_session_ends_when_a_caller_opens_too_many(sdk):
    async with gateway({"one": http(sdk.url)}, limits={"sessions_per_caller": 2}) as gw:
        clients = [Legacy(gw) for _ in range(3)]
        for client in clients:
            await client.initialize()
        states = [(await c.send("tools/list")).status_code for c in clients]
        assert states == [404, 200, 200]


async def test_streams_per_caller_are_bounded(sdk):
    async with gateway({"one": http(sdk.url)}, limits={"streams_per_caller": 1}) as gw:
        client = Legacy(gw)
        await client.initialize()
        async with gw.http.stream("GET", "/mcp", headers=client.headers) as stream:
            assert stream.status_code == 200
            assert (await gw.http.get("/mcp", headers=client.headers)).status_code == 429
            listen = Modern(gw).build("subscriptions/listen", {"notifications": {}})
            assert (await gw.http.post("/mcp", **listen)).status_code == 429


async def test_rates_are_limited_per_caller():
    rate = {"requests_per_minute": 60, "burst": 3}
    async with gateway(auth={"static_keys": KEYS}, rate_limit=rate) as gw:
        ada, bob = (Modern(gw, key=f"key-of-{n}-000000") for n in ("ada", "bob"))
        states = [(await ada.send("tools/list")).status_code for _ in range(5)]
        assert states.count(200) == 3 and states[-1] == 429
        refused = await ada.send("tools/list")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await bob.send("tools/list")).status_code == 200


async def test_rates_are_shared_through_redis_and_open_when_it_is_away(monkeypatch):
    from fakeredis import FakeServer
    from fakeredis.aioredis import FakeRedis

    shared = FakeServer()
    monkeypatch.setattr("mcp_gateway.limits.redis_client", lambda url: FakeRedis(server=shared))
    rate = {"requests_per_minute": 60, "burst": 3, "redis_url": "redis://r"}
    async with gateway(rate_limit=rate) as a, gateway(rate_limit=rate) as b:
        states = [(await Modern(gw).send("tools/list")).status_code for gw in (a, b, a, b, a)]
        assert states == [200, 200, 200, 429, 429]
        shared.connected = False
        assert (await Modern(a).send("tools/list")).status_code == 200
        metrics = (await a.http.get("/metrics")).text
        assert "mcp_gateway_rate_limit_store_errors_total 1.0" in metrics


async def test_a_reader_that_does_not_read_is_dropped():
    async def flood(message, headers, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        note = json.dumps(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": 1, "progress": 1, "message": "x" * 100_000},
            }
        ).encode()
        while not writer.is_closing():
            writer.write(b"data: " + note + b"\n\n")
            await writer.drain()

    limits = {"slow_reader_seconds": 0.3}
    async with Scripted(flood) as up, gateway({"one": http(up.url)}, limits=limits) as gw:
        await gw.up()
        built = Modern(gw).build("tools/call", {"name": "one__act", "arguments": {}})
        request = gw.http.build_request("POST", "/mcp", **built)
        head = f"POST /mcp HTTP/1.1\r\n{_lines(request.headers)}\r\n".encode()
        with socket.create_connection(("127.0.0.1", gw.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(head + request.content)
            counter = gw.gateway.metrics.slow_readers._value
            await until(lambda: counter.get() == 1, "the slow reader was noticed")
            assert gw.gateway.bounds._total == 0 or await until(
                lambda: gw.gateway.bounds._total == 0, "its call ended"
            )


def _lines(headers):
    return "".join(f"{k}: {v}\r\n" for k, v in headers.items())


async def test_draining_ends_streams_cleanly_and_lets_calls_finish(sdk):
    release = asyncio.Event()

    async def wait(message, headers, writer):
        await release.wait()
        await raw(writer, b'{"jsonrpc":"2.0","id":%d,"result":{}}' % message["id"])

    async with Scripted(wait) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        client = Modern(gw)
        task = asyncio.create_task(client.call("one__act"))
        bounds = gw.gateway.bounds
        await until(lambda: bounds._total == 1, "the call is at work")
        listen = client.build("subscriptions/listen", {"notifications": {}})
        async with gw.http.stream("POST", "/mcp", **listen) as stream:
            lines = stream.aiter_lines()
            await next_message(lines)
            gw.gateway.drain()
            ended = await next_message(lines)
            assert ended["id"] == listen["json"]["id"]
            assert ended["result"]["resultType"] == "complete"
        assert (await gw.http.get("/ready")).status_code == 503
        assert (await gw.http.get("/health")).status_code == 200
        assert (await client.send("tools/list")).status_code == 503
        release.set()
        assert (await task)["result"] == {}


async def test_sigterm_finishes_the_call_at_work_and_leaves_with_0(tmp_path):
    port = free_port()
    (tmp_path / "key").write_text(KEY)
    config = {
        "listen": {"port": port},
        "auth": {"static_keys": [{"alias": "ada", "key_file": str(tmp_path / "key")}]},
        "audit": {"file": str(tmp_path / "audit")},
        "upstreams": {"one": plain(), "up": {}},
    }
    release = asyncio.Event()

    async def wait(message, headers, writer):
        await release.wait()
        await raw(writer, b'{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}' % message["id"])

    async with Scripted(wait) as up, httpx.AsyncClient(timeout=20) as client:
        config["upstreams"]["up"] = http(up.url, required=True)
        (tmp_path / "gateway.yml").write_text(json.dumps(config))
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_gateway", "--config", str(tmp_path / "gateway.yml")],
            stderr=subprocess.PIPE,
        )
        base = f"http://127.0.0.1:{port}"

        async def ready():
            try:
                return (await client.get(base + "/ready")).status_code == 200
            except httpx.HTTPError:
                return False

        await until(ready, "the gateway is ready")
        running = type("R", (), {"http": httpx.AsyncClient(base_url=base, timeout=20)})
        caller = Modern(running, key=KEY)
        assert text_of(await caller.call("one__pid"))
        task = asyncio.create_task(caller.call("up__act"))
        await until(lambda: any(m.get("method") == "tools/call" for m, _ in up.seen), "it is there")
        process.send_signal(signal.SIGTERM)
        release.set()
        code = await asyncio.to_thread(process.wait, 20)
        log = process.stderr.read().decode()
        assert code == 0, log
        assert (await task)["result"] == {"content": []}, log
        await running.http.aclose()
        assert KEY not in log + (tmp_path / "audit").read_text()
        assert os.path.exists(tmp_path / "audit")


async def test_a_quiet_stream_keeps_its_session_and_process_alive():
    sections = {"sessions": {"idle_seconds": 1}, "limits": {"keepalive_seconds": 0.05}}
    async with gateway({"one": plain(mode="per_session")}, **sections) as gw:
        quiet, gone = Legacy(gw), Legacy(gw)
        for client in (quiet, gone):
            await client.initialize()
            assert text_of(await client.call("one__count")) == "1"
        upstream = gw.gateway.upstreams["one"]
        async with gw.http.stream("GET", "/mcp", headers=quiet.headers):
            keys = [k for k in upstream.pool.links if not k.startswith("@")]
            assert len(keys) == 2

            async def only_one_left():
                await upstream.pool.drop_idle(1, tell=True)
                return len([k for k in upstream.pool.links if not k.startswith("@")]) == 1

            await until(only_one_left, "the abandoned session's process ended")
            assert text_of(await quiet.call("one__count")) == "2"


async def test_subscriptions_that_fail_leave_nothing_behind_and_names_have_a_bound():
    class Refusing(Scripted):
        async def _answer(self, message, headers, writer):
            if message.get("method") == "initialize":
                capabilities = {"tools": {}, "resources": {"subscribe": True}}
                result = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
                info = {"serverInfo": {"name": "s", "version": "1"}}
                await reply(writer, message, result | info)
            elif message.get("method", "").endswith("/list"):
                member = {"tools/list": "tools", "resources/list": "resources"}
                name = member.get(message["method"], "resourceTemplates")
                await reply(writer, message, {name: []})
            else:
                await super()._answer(message, headers, writer)

    shared = {"era": "legacy", "mode": "shared"}
    async with Refusing() as up, gateway({"one": http(up.url, **shared)}) as gw:
        await gw.up()
        wanted = gw.gateway.upstreams["one"].watcher._wanted
        client = Legacy(gw, "/servers/one/mcp")
        await client.initialize()
        modern = Modern(gw, "/servers/one/mcp")
        for i in range(3):
            uri = f"memo://{i}"
            assert "error" in await client.ask("resources/subscribe", {"uri": uri})
            listen = {"notifications": {"resourceSubscriptions": [uri, f"{uri}/x"]}}
            assert "error" in await modern.ask("subscriptions/listen", listen)
        assert not wanted and not any(gw.gateway.session_state.subscriptions.values())
        for method in ("resources/subscribe", "resources/read"):
            answer = await client.ask(method, {"uri": "memo://" + "x" * 9000})
            assert answer["error"]["code"] == -32602


async def test_a_large_answer_counts_as_a_call_until_it_was_taken():
    async def big(message, headers, writer):
        content = [{"type": "text", "text": "x" * (16 << 20)}]
        data = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}})
        await raw(writer, f"data: {data}\n\n".encode(), content_type="text/event-stream")

    limits = {"slow_reader_seconds": 0.5, "calls_per_caller": 1}
    async with Scripted(big) as up, gateway({"one": http(up.url)}, limits=limits) as gw:
        await gw.up()
        client = Modern(gw)
        built = client.build("tools/call", {"name": "one__act", "arguments": {}})
        async with gw.http.stream("POST", "/mcp", **built) as deaf:
            assert deaf.status_code == 200
            assert gw.gateway.bounds._total == 1
            await until(lambda: gw.gateway.bounds._total == 0, "it is given up", 5)
            await until(lambda: gw.gateway.connections.total == 0, "its connection is closed", 5)
        assert len((await client.send("tools/call", {"name": "one__act"})).content) > 16 << 20


def test_what_is_told_of_a_request_after_its_end_holds_nothing():
    limits = {"in_flight_bytes": 100, "in_flight_bytes_per_caller": 60}
    bounds = Bounds(parse({"auth": {"none": True}, "limits": limits}))
    who = Principal(id="ada", alias="ada")
    with bounds.held(who) as held:
        held.add(10)
        held.answer(50)
        with pytest.raises(Refusal):
            held.answer(51)
        held.answer(20)
        with bounds.held(who) as other:
            other.add(30)
        assert bounds._total_bytes == 30
    held.answer(40)
    held.add(5)
    assert bounds._total_bytes == 0 and not bounds._bytes


async def test_what_waits_for_an_event_stream_has_a_bound_in_bytes(monkeypatch):
    monkeypatch.setattr("mcp_gateway.hub.MAX_WAITING_BYTES", 3000)
    subscriber = Subscriber(10, lambda server, message: True)
    subscriber.put(Frame(b"x" * 5000))  # a single one may be as large as it is
    assert len((await subscriber.get()).data) == 5000
    for _ in range(3):
        subscriber.put(Frame(b"x" * 1000))
    assert not subscriber.overflowed
    subscriber.put(Frame(b"x"))
    assert subscriber.overflowed and await subscriber.get() is None
    subscriber.put(Frame(b"x"))
    assert subscriber.queue.empty()


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"in_flight_bytes_per_caller": 250_000}, 429), ({"in_flight_bytes": 250_000}, 503)],
)
async def test_bodies_of_requests_at_work_have_a_bound_in_all(limits, status):
    """Sixty-four calls of four megabytes each take more memory than the container has."""
    release = asyncio.Event()

    async def wait(message, headers, writer):
        await release.wait()
        await raw(writer, b'{"jsonrpc":"2.0","id":%d,"result":{}}' % message["id"])

    async with Scripted(wait) as up, gateway({"one": http(up.url)}, limits=limits) as gw:
        await gw.up()
        client, bounds = Modern(gw), gw.gateway.bounds
        call = {"name": "one__act", "arguments": {"text": "x" * 100_000}}
        tasks = [asyncio.create_task(client.send("tools/call", call)) for _ in range(2)]
        await until(lambda: bounds._total_bytes > 200_000, "two bodies are held")
        assert (await client.send("tools/call", call)).status_code == status
        async with gw.http.stream("GET", "/sse") as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if line.startswith("data: "):
                    break
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            assert (await gw.http.post(line[6:], json=message)).status_code == status
            release.set()
            assert [(await t).status_code for t in tasks] == [200] * 2
            assert (await gw.http.post(line[6:], json=message)).status_code == 202
            assert "result" in await next_message(lines)
        assert bounds._total_bytes == 0 and not bounds._bytes


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
async def test_large_answers_at_work_have_a_bound_in_all(content_type):
    async def big(message, headers, writer):
        content = [{"type": "text", "text": "x" * (16 << 20)}]
        data = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}})
        data = f"data: {data}\n\n" if "event" in content_type else data
        await raw(writer, data.encode(), content_type=content_type)

    limits = {"in_flight_bytes_per_caller": 24 << 20}
    async with (
        Scripted(big) as up,
        gateway({"one": http(up.url, era="modern")}, limits=limits) as gw,
    ):
        await gw.up()
        client, bounds = Legacy(gw), gw.gateway.bounds
        await client.initialize()
        message = client.message("tools/call", {"name": "one__act", "arguments": {}})
        async with gw.http.stream("POST", "/mcp", json=message, headers=client.headers) as deaf:
            assert deaf.status_code == 200
            assert bounds._total_bytes > 16 << 20
            answer = await client.send("tools/call", {"name": "one__act", "arguments": {}})
            assert answer.status_code == 429, answer.text[:200]
        await until(lambda: bounds._total_bytes == 0, "nothing is held any more")
        answer = await client.send("tools/call", {"name": "one__act", "arguments": {}})
        assert answer.status_code == 200 and len(answer.content) > 16 << 20
        assert bounds._total_bytes == 0 and not bounds._bytes
