"""Everything passes: resources, prompts, completion, binary, big results, notices, cancellation."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest
from support import (
    Legacy,
    Modern,
    Scripted,
    gateway,
    http,
    messages,
    next_message,
    plain,
    raw,
    reply,
    stdio,
    text_of,
    until,
)

EVENTS = "text/event-stream"


class Resumable(Scripted):
    """Closes the stream in mid-call and answers on the next GET."""

    async def _answer(self, message, headers, writer):
        method = message.get("method")
        if method == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "s", "version": "1"},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
            head = "200 OK\r\nmcp-session-id: sid-1"
            await raw(writer, body.encode(), head)
        elif method == "tools/call":
            self.call = message
            await raw(writer, b"id: ev-1\nretry: 10\ndata: \n\n", content_type=EVENTS)
        elif not message and "last-event-id" in headers:
            self.resumed_from = headers["last-event-id"]
            done = {"jsonrpc": "2.0", "id": self.call["id"], "result": {"content": []}}
            data = f"id: ev-2\ndata: {json.dumps(done)}\n\n"
            await raw(writer, data.encode(), content_type=EVENTS)
        elif method == "tools/list":
            await reply(writer, message, {"tools": self.tools})
        else:
            await raw(writer, b"", "405 Method Not Allowed" if not message else "202 Accepted")


async def both(gw, path="/mcp"):
    legacy = Legacy(gw, path)
    await legacy.initialize()
    return [Modern(gw, path), legacy]


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
async def test_resources_templates_prompts_and_completion_pass(sdk, path):
    prefix = "one__" if path == "/mcp" else ""
    async with gateway({"one": http(sdk.url)}) as gw:
        for client in await both(gw, path):
            listed = (await client.ask("resources/list"))["result"]["resources"]
            assert {r["uri"] for r in listed} == {"memo://today", "memo://blob"}
            templates = (await client.ask("resources/templates/list"))["result"]
            assert templates["resourceTemplates"][0]["uriTemplate"] == "memo://day/{day}"
            read = await client.ask("resources/read", {"uri": "memo://today"})
            assert read["result"]["contents"][0]["text"] == "buy milk"
            read = await client.ask("resources/read", {"uri": "memo://day/monday"})
            assert read["result"]["contents"][0]["text"] == "note of monday"
            blob = await client.ask("resources/read", {"uri": "memo://blob"})
            data = base64.b64decode(blob["result"]["contents"][0]["blob"])
            assert data == bytes(range(256))
            prompts = (await client.ask("prompts/list"))["result"]["prompts"]
            assert [p["name"] for p in prompts] == [prefix + "greet"]
            got = await client.ask(
                "prompts/get", {"name": prefix + "greet", "arguments": {"name": "Ada"}}
            )
            assert "Greet Ada" in got["result"]["messages"][0]["content"]["text"]
            done = await client.ask(
                "completion/complete",
                {
                    "ref": {"type": "ref/prompt", "name": prefix + "greet"},
                    "argument": {"name": "name", "value": "A"},
                },
            )
            assert done["result"]["completion"]["values"] == ["A-completed"]
            image = (await client.call(prefix + "image"))["result"]["content"][0]
            assert base64.b64decode(image["data"]) == bytes(range(256))
            failed = await client.call(prefix + "fail")
            assert failed["result"]["isError"]


async def test_a_result_of_20_megabytes_arrives_whole(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        answer = await Modern(gw).call("one__big", size=20_000_000)
        assert len(text_of(answer)) == 20_000_000


async def test_a_large_answer_flows_while_it_arrives():
    """The client sees the beginning before the server has sent the end."""
    seen = asyncio.Event()

    async def large(message, headers, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        writer.write(b'{"jsonrpc":"2.0","id":%d,"result":{"x":"' % message["id"] + b"x" * 600_000)
        await writer.drain()
        await seen.wait()
        writer.write(b'"}}')
        await writer.drain()
        writer.close()

    async with Scripted(large) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        request = Modern(gw).build("tools/call", {"name": "one__act", "arguments": {}})
        body = b""
        async with gw.http.stream("POST", "/mcp", **request) as stream:
            async for chunk in stream.aiter_bytes():
                body += chunk
                seen.set()
        assert len(json.loads(body)["result"]["x"]) == 600_000


async def test_half_a_large_answer_is_not_taken_for_a_whole_one():
    async def broken(message, headers, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n")
        writer.write(b"content-type: application/json\r\n\r\n" + b"x" * 600_000)
        await writer.drain()
        writer.close()

    async with Scripted(broken) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        with pytest.raises(httpx.RemoteProtocolError):
            await Modern(gw).call("one__act")


async def test_a_modern_client_gets_an_answer_that_a_legacy_server_gives_only_on_resuming():
    up = Resumable()
    async with up, gateway({"one": http(up.url, era="legacy", mode="per_session")}) as gw:
        await gw.up()
        answer = await Modern(gw).call("one__act")
        assert answer["result"]["content"] == []
        assert up.resumed_from == "ev-1"


async def test_tasks_are_found_again_through_their_server():
    """Aggregated task ids name their server; the server sees its own."""

    async def act(message, headers, writer):
        task = {"taskId": "t1", "status": "working"}
        await reply(writer, message, {"task": task})

    class Tasks(Scripted):
        async def _answer(self, message, headers, writer):
            if message.get("method") == "tasks/get":
                params = message["params"]
                await reply(writer, message, {"taskId": params["taskId"], "status": "completed"})
            elif message.get("method") == "initialize":
                capabilities = {"tools": {}, "tasks": {"list": {}}}
                result = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
                info = {"serverInfo": {"name": "s", "version": "1"}}
                await reply(writer, message, result | info)
            else:
                await super()._answer(message, headers, writer)

    up = Tasks(act)
    async with up, gateway({"one": http(up.url, era="legacy")}) as gw:
        await gw.up()
        client = Legacy(gw)
        started = await client.initialize()
        assert "tasks" in started["result"]["capabilities"]
        params = {"name": "one__act", "arguments": {}, "task": {"ttl": 1000}}
        task = (await client.ask("tools/call", params))["result"]["task"]
        assert task["taskId"] == "one:t1"
        got = (await client.ask("tasks/get", {"taskId": task["taskId"]}))["result"]
        assert got == {"taskId": "one:t1", "status": "completed"}
        assert up.seen[-1][0]["params"]["taskId"] == "t1"


async def test_aggregated_lists_have_a_cursor_that_survives_changes(sdk):
    async with gateway({"one": http(sdk.url)}, limits={"list_page_size": 4}) as gw:
        await gw.up()
        for client in await both(gw):
            names: list[str] = []
            params: dict = {}
            while True:
                result = (await client.ask("tools/list", params))["result"]
                names += [t["name"] for t in result["tools"]]
                if "nextCursor" not in result:
                    break
                assert len(result["tools"]) == 4
                params = {"cursor": result["nextCursor"]}
            everything = gw.gateway.servers.catalog.by_name["tools"]
            assert names == sorted(everything)
            assert "error" in await client.ask("tools/list", {"cursor": "!!"})


async def test_numbers_and_unknown_members_are_not_touched():
    seen = []

    async def answer(message, headers, writer):
        seen.append(message)
        await raw(
            writer,
            b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"n":12345678901234567890123,'
            b'"resultType":"complete","x":{"y":1.50}}}' % message["id"],
        )

    async with Scripted(answer) as up, gateway({"one": http(up.url)}) as gw:
        client = Modern(gw)
        request = client.build("tools/call", {"name": "one__act", "arguments": {}})
        body = json.dumps(request["json"]).replace(
            '"arguments": {}', '"arguments": {"n": 98765432109876543210987}, "extra": [1e400]'
        )
        response = await gw.http.post("/mcp", content=body, headers=request["headers"])
        assert "12345678901234567890123" in response.text and "1.50" in response.text
        assert seen[0]["params"]["arguments"]["n"] == 98765432109876543210987
        assert "extra" in seen[0]["params"]


async def test_arguments_that_the_schema_marks_reach_a_modern_server_as_headers():
    """A legacy client does not know of them; a modern one sends them itself."""
    schema = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    tools = [{"name": "act", "inputSchema": schema}]
    async with Scripted(tools=tools) as up, gateway({"one": http(up.url)}) as gw:
        await gw.up()
        client = Legacy(gw)
        await client.initialize()
        assert text_of(await client.call("one__act", region="grün")) == "acted"
        assert up.seen[-1][1]["mcp-param-region"] == "=?base64?Z3LDvG4=?="
        assert up.seen[-1][1]["mcp-name"] == "act"
        modern = Modern(gw)
        modern.headers["mcp-param-region"] = "eu"
        assert text_of(await modern.call("one__act", region="eu")) == "acted"
        assert up.seen[-1][1]["mcp-param-region"] == "eu"


async def test_a_doubled_member_means_the_same_to_policy_and_server():
    """Which of two counts differs from reader to reader: neither reaches a server."""
    async with (
        Scripted(tools=[{"name": n, "inputSchema": {}} for n in ("good", "bad")]) as up,
        gateway(
            {"one": http(up.url)},
            policy={"rules": [{"name": "no", "effect": "deny", "tools": ["bad"]}]},
        ) as gw,
    ):
        client = Modern(gw, "/servers/one/mcp")
        request = client.build("tools/call", {"name": "good", "arguments": {}})
        body = json.dumps(request["json"]).replace(
            '"name": "good"', '"name": "bad", "name": "good"', 1
        )
        answer = await gw.http.post("/servers/one/mcp", content=body, headers=request["headers"])
        assert answer.status_code == 400 and "twice" in answer.text
        assert not [m for m, _ in up.seen if m.get("method") == "tools/call"]


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
@pytest.mark.parametrize("kind", ["http", "stdio"])
async def test_changed_lists_reach_both_eras(sdk, kind, path):
    upstream = stdio() if kind == "stdio" else http(sdk.url)
    name, prefix = f"grown_{kind}_{len(path)}", "one__" if path == "/mcp" else ""
    async with gateway({"one": upstream}) as gw:
        await gw.up()
        legacy = Legacy(gw, path)
        await legacy.initialize()
        modern = Modern(gw, path)
        request = modern.build(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}
        )
        async with (
            gw.http.stream("GET", path, headers=legacy.headers) as old,
            gw.http.stream("POST", path, **request) as new,
        ):
            old_lines, new_lines = old.aiter_lines(), new.aiter_lines()
            ack = await next_message(new_lines)
            assert ack["method"] == "notifications/subscriptions/acknowledged"
            assert ack["params"]["notifications"] == {"toolsListChanged": True}
            await modern.call(prefix + "grow", name=name)
            for lines in (old_lines, new_lines):
                note = await next_message(lines)
                assert note["method"] == "notifications/tools/list_changed"
            tag = note["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
            assert tag == request["json"]["id"]
        listed = (await modern.ask("tools/list"))["result"]["tools"]
        assert prefix + name in [t["name"] for t in listed]


async def test_subscribed_resources_are_announced_to_both_eras_and_nobody_else():
    """A legacy server, one link: who subscribed hears of it."""

    class Subscribable(Scripted):
        async def _answer(self, message, headers, writer):
            method = message.get("method")
            if method == "initialize":
                result = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"resources": {"subscribe": True}},
                    "serverInfo": {"name": "s", "version": "1"},
                }
                await reply(writer, message, result)
            elif method == "resources/list":
                await reply(writer, message, {"resources": [{"uri": "m://a", "name": "a"}]})
            elif method == "resources/templates/list":
                await reply(writer, message, {"resourceTemplates": []})
            elif method == "resources/subscribe":
                self.subscribed.append(message["params"]["uri"])
                await reply(writer, message, {})
            elif not message:  # the GET stream
                self.stream = writer
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                await asyncio.Event().wait()
            else:
                await raw(writer, b"", "202 Accepted")

    up = Subscribable()
    up.subscribed, up.stream = [], None
    async with up, gateway({"one": http(up.url, era="legacy", mode="shared")}) as gw:
        await gw.up()
        await until(lambda: up.stream, "the gateway follows the server's notices")
        one, other = Legacy(gw), Legacy(gw)
        await one.initialize()
        await other.initialize()
        assert (await one.ask("resources/subscribe", {"uri": "m://a"}))["result"] == {}
        modern = Modern(gw)
        wanted = {"notifications": {"resourceSubscriptions": ["m://a"]}}
        request = modern.build("subscriptions/listen", wanted)
        async with (
            gw.http.stream("GET", "/mcp", headers=one.headers) as mine,
            gw.http.stream("GET", "/mcp", headers=other.headers) as theirs,
            gw.http.stream("POST", "/mcp", **request) as new,
        ):
            new_lines = new.aiter_lines()
            await next_message(new_lines)
            assert up.subscribed == ["m://a"]
            updated = b'{"jsonrpc":"2.0","method":"notifications/resources/updated",'
            up.stream.write(b"data: " + updated + b'"params":{"uri":"m://a"}}\n\n')
            listing = b'{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}'
            assert (await next_message(mine.aiter_lines()))["params"]["uri"] == "m://a"
            assert (await next_message(new_lines))["params"]["uri"] == "m://a"
            await _announce(gw, listing)
            # The first thing the other session hears is the list: it did not subscribe.
            note = await next_message(theirs.aiter_lines())
            assert note["method"] == "notifications/resources/list_changed"


async def _announce(gw, _listing):
    gw.gateway.hub.announce("one", {"resources"})


async def test_cancelling_a_call_cancels_it_at_the_server(sdk, tmp_path):
    async with gateway({"one": http(sdk.url)}) as gw:
        client = Legacy(gw)
        await client.initialize()
        marker = tmp_path / "m"
        call = client.message(
            "tools/call", {"name": "one__hang", "arguments": {"marker": str(marker)}}
        )
        task = asyncio.create_task(client.post(call))
        await until((tmp_path / "m.started").exists, "the tool runs")
        note = {"requestId": call["id"], "reason": "enough"}
        await client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": note})
        await until((tmp_path / "m.cancelled").exists, "the tool was cancelled")
        answer = messages(await task)[-1]
        assert answer["error"]["code"] == -32800


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("kind", ["http", "stdio"])
async def test_a_client_that_leaves_cancels_its_call(sdk, tmp_path, era, kind):
    upstream = http(sdk.url, era=era) if kind == "http" else stdio(era=era)
    async with gateway({"one": upstream}) as gw:
        await gw.up()
        marker = tmp_path / "m"
        client = Modern(gw)
        arguments = {"name": "one__hang", "arguments": {"marker": str(marker)}}
        task = asyncio.create_task(client.send("tools/call", arguments))
        await until((tmp_path / "m.started").exists, "the tool runs")
        task.cancel()
        await until((tmp_path / "m.cancelled").exists, "the tool was cancelled")


async def test_a_broken_stream_is_resumed_with_last_event_id():
    for path, prefix in (("/mcp", "one__"), ("/servers/one/mcp", "")):
        up = Resumable()
        async with up, gateway({"one": http(up.url, era="legacy")}) as gw:
            await gw.up()
            client = Legacy(gw, path)
            await client.initialize()
            params = {"name": prefix + "act", "arguments": {}}
            broken = await client.send("tools/call", params)
            ids = [line[4:] for line in broken.text.splitlines() if line.startswith("id: ")]
            assert messages(broken) == [] and len(ids) == 1
            headers = {**client.headers, "last-event-id": ids[0]}
            async with gw.http.stream("GET", path, headers=headers) as stream:
                answer = await next_message(stream.aiter_lines())
            assert answer["result"] == {"content": []}
            assert up.resumed_from == "ev-1"


async def test_stray_output_of_a_process_is_ignored():
    async with gateway({"one": plain()}) as gw:
        client = Modern(gw)
        assert text_of(await client.call("one__garbage")) == "ok"
        assert text_of(await client.call("one__echo", text="still here")) == "still here"


async def test_two_servers_with_the_same_resource_are_both_reachable(sdk):
    async with gateway({"one": http(sdk.url), "my_two": http(sdk.url)}) as gw:
        await gw.up()
        client = Modern(gw)
        listed = (await client.ask("resources/list"))["result"]["resources"]
        uris = {r["uri"] for r in listed}
        assert {"memo://today", "my.two+memo://today"} <= uris
        read = await client.ask("resources/read", {"uri": "my.two+memo://today"})
        assert read["result"]["contents"][0]["text"] == "buy milk"
