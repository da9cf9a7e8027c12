"""`initialize` at /mcp comes from the catalog; sessions at servers begin when first used."""

from __future__ import annotations

import asyncio
import json
import time

from support import (
    Legacy,
    Modern,
    Scripted,
    gateway,
    http,
    next_message,
    raw,
    reply,
    text_of,
    until,
)

BOUND_SECONDS = 0.05


class LegacyServer(Scripted):
    """A legacy server with sessions; what it is told stays in `seen`."""

    def __init__(self, delay=0.0, capabilities=None):
        super().__init__()
        self.on_all = self.answer
        self.delay = delay
        self.capabilities = capabilities or {"tools": {}, "logging": {}}
        self.streams = []

    async def answer(self, message, headers, writer):
        method = message.get("method")
        if method == "initialize":
            await asyncio.sleep(self.delay)  # a server that starts slowly
            result = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": self.capabilities,
                "serverInfo": {"name": "slow", "version": "1"},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            sid = f"s{sum(m.get('method') == 'initialize' for m, _ in self.seen)}"
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: {sid}\r\n"
            writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        elif method == "tools/list":
            await reply(writer, message, {"tools": self.TOOLS})
        elif method == "tools/call":
            await reply(writer, message, {"content": [{"type": "text", "text": "acted"}]})
        elif method == "logging/setLevel":
            await reply(writer, message, {})
        elif not message and headers.get("accept") == "text/event-stream":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            await writer.drain()
            self.streams.append((headers["mcp-session-id"], writer))
            await asyncio.Event().wait()
        elif "id" in message:
            error = {"code": -32601, "message": "no"}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error})
            await raw(writer, body.encode(), "404 Not Found")
        else:
            await raw(writer, b"", "202 Accepted")

    def told(self, method):
        return [m for m, _ in self.seen if m.get("method") == method]


async def timed(coroutine):
    started = time.perf_counter()
    result = await coroutine
    return result, time.perf_counter() - started


async def test_initialize_waits_for_no_server():
    async with LegacyServer() as server, gateway({"s": http(server.url)}) as gw:
        await gw.up()
        server.delay = 9
        before = len(server.told("initialize"))
        clients = [Legacy(gw) for _ in range(9)]
        times = [(await timed(client.initialize()))[1] for client in clients]
        assert min(times) < BOUND_SECONDS and max(times) < 1  # whatever else this machine does
        client = clients[-1]
        assert len(server.told("initialize")) == before
        server.delay = 0
        assert text_of(await client.call("s__act")) == "acted"
        assert len(server.told("initialize")) == before + 1
        assert text_of(await client.call("s__act")) == "acted"
        assert len(server.told("initialize")) == before + 1


async def test_initialize_waits_for_no_server_that_was_never_reached():
    async with LegacyServer(delay=9) as server, gateway({"s": http(server.url)}) as gw:
        await Modern(gw).http.get("/health")
        times = []
        for client in [Legacy(gw) for _ in range(9)]:
            answer, seconds = await timed(client.initialize())
            times.append(seconds)
            # It may offer anything once it answers, and clients ask only once.
            offered = {"tools", "prompts", "resources", "completions", "logging"}
            assert set(answer["result"]["capabilities"]) == offered
        assert min(times) < BOUND_SECONDS and max(times) < 1
        discovered, seconds = await timed(Modern(gw).ask("server/discover"))
        assert seconds < 1 and "prompts" in discovered["result"]["capabilities"]


async def test_nobody_waits_for_a_late_server_for_longer_than_once():
    sessions = {"initialize_seconds": 2}
    async with (
        LegacyServer(delay=9) as server,
        gateway({"s": http(server.url)}, sessions=sessions) as gw,
    ):
        _, first = await timed(Modern(gw).ask("tools/list"))
        _, second = await timed(Modern(gw).ask("tools/list"))
        assert first < 4 and second < 1


async def test_an_open_stream_shows_what_a_session_that_begins_later_has_to_say():
    async with LegacyServer() as server, gateway({"s": http(server.url)}) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        headers = {**client.headers, "accept": "text/event-stream"}
        async with gw.http.stream("GET", "/mcp", headers=headers) as stream:
            lines = stream.aiter_lines()
            assert text_of(await client.call("s__act")) == "acted"
            own = server.seen[-1][1]["mcp-session-id"]
            opened = await until(
                lambda: [w for sid, w in server.streams if sid == own], "its stream is followed"
            )
            notice = {
                "jsonrpc": "2.0",
                "method": "notifications/message",
                "params": {"level": "info"},
            }
            opened[0].write(b"data: {junk\n\n" + f"data: {json.dumps(notice)}\n\n".encode())
            assert (await next_message(lines))["method"] == "notifications/message"


async def test_a_session_that_begins_later_gets_the_log_level_and_notices():
    async with LegacyServer() as server, gateway({"s": http(server.url)}) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        await client.ask("logging/setLevel", {"level": "warning"})
        assert not server.told("logging/setLevel")
        await client.call("s__act")
        (level,) = server.told("logging/setLevel")
        assert level["params"]["level"] == "warning"
        await client.post({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
        await until(lambda: server.told("notifications/roots/list_changed"), "it is passed on")
        deleted = await gw.http.delete("/mcp", headers=client.headers)
        assert deleted.status_code == 200
