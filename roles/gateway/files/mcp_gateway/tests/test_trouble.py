"""One server in trouble hides, slows and breaks nothing else."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from mcp_gateway import handshake
from mcp_gateway.responsewriter import HttpResponseWriter
from support import (
    Legacy,
    Modern,
    Scripted,
    SdkProcess,
    gateway,
    http,
    plain,
    raw,
    reply,
    text_of,
    until,
)

QUICK = {"failures": 2, "open_seconds": 0.3}


async def hangs(message, headers, writer):
    await asyncio.Event().wait()


async def drops(message, headers, writer):
    writer.close()


async def fails(message, headers, writer):
    await raw(writer, b"oops", "500 Internal Server Error")


async def test_a_dead_server_hides_and_slows_nobody(sdk):
    async with gateway({"good": http(sdk.url), "dead": http("http://127.0.0.1:9/mcp")}) as gw:
        await gw.up("good")
        client = Modern(gw)
        names = [t["name"] for t in (await client.ask("tools/list"))["result"]["tools"]]
        assert "good__echo" in names
        started = time.monotonic()
        assert text_of(await client.call("good__echo", text="x")) == "x"
        assert time.monotonic() - started < 2
        about = (await gw.http.get("/")).json()["servers"]["dead"]
        assert about["state"] == "down" and "refused" in about["last_error"]
        metrics = (await gw.http.get("/metrics")).text
        assert 'mcp_gateway_upstream_up{server="dead"} 0.0' in metrics
        assert 'mcp_gateway_upstream_up{server="good"} 1.0' in metrics
        legacy = Legacy(gw)
        await legacy.initialize()
        assert text_of(await legacy.call("good__echo", text="x")) == "x"


async def test_a_server_that_dies_keeps_its_last_good_list_and_comes_back():
    process = await SdkProcess().ready()
    try:
        async with gateway({"one": http(process.url, breaker=QUICK)}) as gw:
            await gw.up()
            client = Modern(gw)
            process.kill()
            for _ in range(3):
                failed = await client.call("one__echo", text="x")
                assert failed["error"]["data"]["server"] == "one"
            assert failed["error"]["data"]["reason"] == "breaker_open"
            names = [t["name"] for t in (await client.ask("tools/list"))["result"]["tools"]]
            assert "one__echo" in names
            assert (await gw.http.get("/")).json()["servers"]["one"]["list_age_seconds"] >= 0
            process = await SdkProcess(process.port).ready()
            upstream = gw.gateway.upstreams["one"]
            await until(lambda: upstream.is_up, "the server is up again")
            assert text_of(await client.call("one__echo", text="again")) == "again"
    finally:
        process.kill()


@pytest.mark.parametrize("mode", ["shared", "per_session"])
async def test_a_restarted_legacy_server_is_initialized_again(mode):
    process = await SdkProcess().ready()
    try:
        upstream = http(process.url, era="legacy", mode=mode)
        async with gateway({"one": upstream}) as gw:
            await gw.up()
            client, single = Legacy(gw), Legacy(gw, "/servers/one/mcp")
            await client.initialize()
            await single.initialize()
            assert text_of(await client.call("one__echo", text="x")) == "x"
            process.kill()
            process = await SdkProcess(process.port).ready()
            assert text_of(await client.call("one__echo", text="y")) == "y"
            assert text_of(await Modern(gw).call("one__echo", text="z")) == "z"
            again = await single.send("tools/list")
            # Its own endpoint: the client itself initializes again, as the specification says.
            assert again.status_code == (404 if mode == "per_session" else 200)
    finally:
        process.kill()


async def test_a_server_killed_in_mid_call_gives_an_error_at_once(tmp_path):
    process = await SdkProcess().ready()
    try:
        async with gateway({"one": http(process.url)}) as gw:
            client = Modern(gw)
            task = asyncio.create_task(client.call("one__hang", marker=str(tmp_path / "m")))
            await until((tmp_path / "m.started").exists, "the tool runs")
            process.kill()
            assert (await task)["error"]["data"]["reason"] == "unreachable"
    finally:
        process.kill()


async def test_a_hanging_server_ends_in_a_timeout_and_opens_its_breaker():
    upstream = {"timeout_seconds": 0.2, "breaker": {"failures": 2, "open_seconds": 60}}
    async with Scripted() as up, gateway({"one": http(up.url, **upstream)}) as gw:
        await gw.up()
        up.on_all = hangs
        client = Modern(gw)
        breaker = gw.gateway.upstreams["one"].breaker
        assert (await client.call("one__act"))["error"]["data"]["reason"] == "timeout"
        await client.call("one__act")
        await until(lambda: breaker.state == "open", "the gateway's own probes failed, too")
        assert (await client.call("one__act"))["error"]["data"]["reason"] == "breaker_open"


@pytest.mark.parametrize(
    ("crash", "reason"), [(hangs, "timeout"), (drops, "unreachable"), (fails, "status")]
)
async def test_one_tool_in_trouble_takes_its_server_away_from_nobody(crash, reason):
    async def act(message, headers, writer):
        if message["params"].get("arguments"):
            await crash(message, headers, writer)
        else:
            await reply(writer, message, {"resultType": "complete", "content": []})

    options = {"timeout_seconds": 0.2, "required": True, "breaker": QUICK}
    async with Scripted(act) as up, gateway({"one": http(up.url, **options)}) as gw:
        await gw.up()
        one, other = Modern(gw), Modern(gw)
        for _ in range(5):
            failed = await one.call("one__act", crash=True)
            assert failed["error"]["data"]["reason"] == reason
            assert (await gw.http.get("/ready")).status_code == 200
        probe = gw.gateway.upstreams["one"].probe
        await until(lambda: not probe.is_running, "the gateway asked the server itself")
        assert "result" in await other.call("one__act")
        assert (await gw.http.get("/ready")).status_code == 200


@pytest.mark.parametrize("mode", ["shared", "per_session"])
async def test_a_process_that_one_caller_ends_is_there_for_the_next(mode):
    upstream = plain(mode=mode, required=True, breaker=QUICK)
    async with gateway({"one": upstream}) as gw:
        await gw.up()
        one = Legacy(gw)
        await one.initialize()
        for _ in range(3):
            assert "error" in await one.call("one__exit")
            other = Legacy(gw)
            await other.initialize()
            if mode == "per_session":  # a process of its own starts without delay
                assert text_of(await other.call("one__echo", text="x")) == "x"
        upstream = gw.gateway.upstreams["one"]
        await until(lambda: not upstream.probe.is_running, "the gateway asked the server itself")
        await upstream.pool.restart_pause()
        assert upstream.breaker.state == "closed"
        assert text_of(await other.call("one__echo", text="x")) == "x"


async def test_while_the_breaker_is_open_the_last_list_is_served_and_filtered():
    tools = [*Scripted.TOOLS, {"name": "secret", "inputSchema": {"type": "object"}}]
    rules = [{"name": "no", "effect": "deny", "tools": ["secret"]}]
    options = {"era": "modern", "breaker": {"failures": 1, "open_seconds": 60}}
    async with Scripted(tools=tools) as up:
        sections = {"policy": {"rules": rules}}
        async with gateway({"one": http(up.url, **options)}, **sections) as gw:
            await gw.up()
            legacy, modern = Legacy(gw, "/servers/one/mcp"), Modern(gw, "/servers/one/mcp")
            await legacy.initialize()
            gw.gateway.upstreams["one"].breaker.failed("a test says so")
            for client in (legacy, modern):
                failed = await client.call("act")
                assert failed["error"]["data"]["reason"] == "breaker_open"
                listed = (await client.ask("tools/list"))["result"]
                assert [t["name"] for t in listed["tools"]] == ["act"]
            assert listed["resultType"] == "complete"
            cursor = await modern.ask("tools/list", {"cursor": "of-the-server"})
            assert cursor["error"]["code"] == -32602  # cursors are the gateway's own


async def test_after_its_pause_the_breaker_lets_one_call_try():
    options = {"breaker": {"failures": 1, "open_seconds": 0.5}}
    async with Scripted() as up, gateway({"one": http(up.url, **options)}) as gw:
        await gw.up()
        up.on_all = fails
        client = Modern(gw)
        breaker = gw.gateway.upstreams["one"].breaker
        assert (await client.call("one__act"))["error"]["data"]["reason"] == "status"
        await until(lambda: breaker.state == "open", "the gateway's own probe failed, too")
        assert (await client.call("one__act"))["error"]["data"]["reason"] == "breaker_open"
        up.on_all = None
        await until(lambda: breaker.state != "open", "the pause ends")
        assert text_of(await client.call("one__act")) == "acted"
        assert breaker.state == "closed"


GARBAGE = {
    "not JSON": (b"hello", "application/json"),
    "not JSON-RPC": (b'{"a":1}', "application/json"),
    "a list": (b"[]", "application/json"),
    "empty": (b"", "application/json"),
    "broken events": (b"data: {]\n\n", "text/event-stream"),
    "no response in the stream": (b": hi\n\n", "text/event-stream"),
    "binary": (bytes(range(256)), "application/octet-stream"),
    "deep": (b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000, "application/json"),
}


async def test_garbage_becomes_a_clean_error():
    current = b"", ""

    async def babble(message, headers, writer):
        await raw(writer, current[0], content_type=current[1])

    upstream = {"breaker": {"failures": 1000}}
    async with Scripted(babble) as up, gateway({"one": http(up.url, **upstream)}) as gw:
        client = Modern(gw)
        for what, answer in GARBAGE.items():
            current = answer
            response = await client.send("tools/call", {"name": "one__act", "arguments": {}})
            assert response.status_code == 200, what
            assert response.json()["error"]["data"]["reason"] == "protocol", what


async def test_a_server_that_does_not_speak_http_becomes_a_clean_error():
    async def babble(message, headers, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()

    async with Scripted(babble) as up, gateway({"one": http(up.url)}) as gw:
        answer = await Modern(gw).call("one__act")
        assert answer["error"]["data"]["reason"] == "unreachable"


@pytest.mark.parametrize("announced", [True, False])
async def test_50_megabytes_are_cut_off_and_cost_nobody_else(announced, tmp_path):
    async def flood(message, headers, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: 50000000\r\n\r\n" if announced else b"\r\n")
        for _ in range(50):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        writer.close()

    sections = {
        "limits": {"response_bytes": 5_000_000},
        "audit": {"file": str(tmp_path / "audit")},
    }
    async with (
        Scripted(flood) as up,
        gateway({"one": http(up.url), "two": plain()}, **sections) as gw,
    ):
        await gw.up()
        client = Modern(gw)
        flooded, fine = await asyncio.gather(
            client.call("one__act"),
            client.call("two__echo", text="fine"),
            return_exceptions=True,
        )
        assert text_of(fine) == "fine"
        if announced:
            assert flooded["error"]["data"]["reason"] == "too_large"
        else:  # it was passed on until it became too much; half an answer is cut, not mended
            assert isinstance(flooded, httpx.RemoteProtocolError)
        assert [li["error"] for li in gw.audit() if li["server"] == "one"] == ["too_large"]


async def test_a_flood_on_stdout_ends_that_process_only():
    async with gateway({"one": plain()}, limits={"response_bytes": 100_000}) as gw:
        client = Modern(gw)
        answer = await client.call("one__flood", size=1_000_000)
        assert answer["error"]["data"]["reason"] == "unreachable"
        upstream = gw.gateway.upstreams["one"]
        await until(lambda: upstream.is_up and upstream.pool.has("@shared"), "it runs again")
        assert text_of(await client.call("one__echo", text="back")) == "back"


async def test_a_slow_stream_keeps_flowing_to_the_client():
    gate = asyncio.Event()

    async def slow(message, headers, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        note = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}'
        writer.write(b"data: " + note + b"\n\n")
        await writer.drain()
        await gate.wait()
        writer.write(b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
        await writer.drain()
        writer.close()

    async with Scripted(slow) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        request = Modern(gw).build("tools/call", {"name": "one__act", "arguments": {}})
        async with gw.http.stream("POST", "/mcp", **request) as stream:
            lines = stream.aiter_lines()
            async for line in lines:
                if "progress" in line:
                    gate.set()  # the notification arrived before the answer was written
                if '"result"' in line:
                    return
    raise AssertionError("no answer")


async def test_a_slow_initialize_still_brings_its_session_id(sdk, monkeypatch):
    """A sign of life on the way would send the head of the answer before the id is known."""
    pings = 0
    ping, initialize = HttpResponseWriter.ping, handshake.initialize

    async def counted(writer):
        nonlocal pings
        await ping(writer)
        pings += 1

    async def slow(*arguments):
        await until(lambda: pings >= 2, "signs of life were due")
        return await initialize(*arguments)

    monkeypatch.setattr(HttpResponseWriter, "ping", counted)
    monkeypatch.setattr(handshake, "initialize", slow)
    async with gateway({"one": http(sdk.url)}, limits={"keepalive_seconds": 0.05}) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        assert text_of(await client.call("one__echo", text="x")) == "x"


async def test_an_endpoint_for_one_dead_server_says_so():
    async with gateway({"dead": http("http://127.0.0.1:9/mcp")}) as gw:
        await until(lambda: gw.gateway.upstreams["dead"].refreshed.is_set(), "it was tried")
        answer = await Modern(gw, "/servers/dead/mcp").ask("server/discover")
        assert answer["error"]["data"]["server"] == "dead"
        unknown = await Modern(gw, "/servers/nobody/mcp").send("server/discover")
        assert unknown.status_code == 404


async def test_a_redirect_is_named_and_not_followed():
    """It could lead the configured credentials to another host."""

    async def redirect(message, headers, writer):
        await raw(writer, b"", "307 Temporary Redirect\r\nlocation: http://elsewhere.example/mcp")

    async with Scripted(redirect) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        message = (await Modern(gw).call("one__act"))["error"]["message"]
        assert "a redirect to http://elsewhere.example/mcp" in message
