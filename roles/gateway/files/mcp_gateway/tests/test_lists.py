"""What one server can do to everybody's lists: nothing but to its own faulty items."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from support import (
    KEY,
    Legacy,
    Modern,
    Scripted,
    gateway,
    http,
    plain,
    raw,
    reply,
    sha256,
    text_of,
    until,
)

GOOD = {"name": "good", "inputSchema": {"type": "object"}}
FAULTS = "intranet.mcp/faults"


def tool(name, **members):
    return {"name": name, "inputSchema": {"type": "object"}, **members}


AUTH = {"static_keys": [{"alias": "ada", "sha256": sha256(KEY)}]}


async def listed(gw, path="/mcp", key=None, **params):
    return (await Modern(gw, path, key).ask("tools/list", params))["result"]


def by_name(result, kind="tools"):
    return {item["name"]: item for item in result[kind]}


async def test_tools_without_a_schema_are_repaired_and_named_everywhere(caplog):
    tools = [
        GOOD,
        {"name": "without"},
        {"name": "null", "inputSchema": None},
        {"name": "true", "inputSchema": True},
        {"name": "false", "inputSchema": False},
        {"name": "text", "inputSchema": {"type": "string"}},
    ]
    with caplog.at_level(logging.WARNING, logger="mcp_gateway.faults"):
        async with Scripted(tools=tools) as server, gateway({"s": http(server.url)}) as gw:
            await gw.up()
            for path, prefix in (("/mcp", "s__"), ("/servers/s/mcp", "")):
                result = await listed(gw, path)
                names = ["good", "without", "null", "true"]
                assert sorted(by_name(result)) == sorted(prefix + n for n in names)
                assert all(t["inputSchema"] == {"type": "object"} for t in result["tools"])
                named = {f["name"]: f["outcome"] for f in result["_meta"][FAULTS]}
                assert named == dict.fromkeys(names[1:], "repaired") | dict.fromkeys(
                    ["false", "text"], "left out"
                )
            about = (await gw.http.get("/")).json()["servers"]["s"]
            assert about["list_faults"] == 5 and about["tools"] == 4
            assert {f["name"] for f in about["faults"]} == {t["name"] for t in tools[1:]}
            metrics = (await gw.http.get("/metrics")).text
            line = 'mcp_gateway_upstream_list_faults{kind="tools",outcome="%s",server="s"} %s'
            assert line % ("repaired", "3.0") in metrics and line % ("left out", "2.0") in metrics
            assert "without" in (await gw.http.get("/", headers={"accept": "text/html"})).text
    assert all(t["name"] in caplog.text for t in tools[1:])
    assert "'good'" not in caplog.text


def pages_of(tools, cursor_after):
    """A server that answers `tools` in pages; `cursor_after(cursor, message)` decides the rest."""

    async def answer(message, headers, writer):
        if message.get("method") == "server/discover":
            capabilities = {"tools": {}}
            found = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
            await reply(writer, message, {"resultType": "complete", **found})
        elif message.get("method") == "tools/list":
            page, cursor = cursor_after(message["params"].get("cursor"), tools)
            result = {"resultType": "complete", "tools": page}
            await reply(writer, message, result | ({"nextCursor": cursor} if cursor else {}))
        else:
            error = {"code": -32601, "message": "no"}
            body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error})
            await raw(writer, body.encode(), "404 Not Found")

    return answer


def asked(server):
    return [m for m, _ in server.seen if m.get("method") == "tools/list"]


async def test_a_repeated_cursor_ends_the_list():
    tools = [tool(f"t{n}") for n in range(8)]
    async with Scripted() as server:
        server.on_all = pages_of(tools, lambda cursor, all_tools: (all_tools, "again"))
        async with gateway({"s": http(server.url)}) as gw:
            await gw.up()
            assert len(asked(server)) == 2
            assert len((await listed(gw))["tools"]) == 8
            about = (await gw.http.get("/")).json()["servers"]["s"]
            assert about["tools"] == 8
            assert "nextCursor" in about["faults"][0]["problem"]
            assert len((await listed(gw, "/servers/s/mcp"))["tools"]) == 8
            assert len(asked(server)) == 4


async def test_one_server_gives_its_whole_list_as_all_of_them_do():
    def fifty(cursor, tools):
        start = int(cursor or 0)
        return tools[start : start + 50], str(start + 50) if start + 50 < len(tools) else None

    tools = [tool(f"t{n:03}") for n in range(101)]
    async with Scripted() as server:
        server.on_all = pages_of(tools, fifty)
        async with gateway({"s": http(server.url)}) as gw:
            await gw.up()
            result = await listed(gw, "/servers/s/mcp")
            assert len(result["tools"]) == 101 and "nextCursor" not in result
        async with gateway({"s": http(server.url)}, limits={"list_page_size": 40}) as gw:
            await gw.up()
            for path in ("/mcp", "/servers/s/mcp"):
                names, cursor = [], {}
                while True:
                    result = await listed(gw, path, **cursor)
                    names += [t["name"][-4:] for t in result["tools"]]
                    if "nextCursor" not in result:
                        break
                    assert len(result["tools"]) == 40
                    cursor = {"cursor": result["nextCursor"]}
                assert names == [t["name"] for t in tools]
            wrong = await Modern(gw, "/servers/s/mcp").ask("tools/list", {"cursor": "!"})
            assert wrong["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (tool(""), "name is empty"),
        (tool(7), "name is not text"),
        ({"inputSchema": {"type": "object"}}, "name is missing"),
        ("not an object", "not an object"),
        (None, "not an object"),
        (tool("good", description="another"), "already taken"),
        (tool("big", description="x" * 5_000_000), "limits.item_bytes"),
        (tool("deep", inputSchema=json.loads('{"a":' * 150 + "1" + "}" * 150)), "levels deep"),
    ],
)
async def test_an_item_that_no_client_can_use_is_left_out(item, problem):
    async with (
        Scripted(tools=[GOOD, item, tool("last")]) as server,
        gateway({"s": http(server.url)}) as gw,
    ):
        await gw.up()
        result = await listed(gw)
        assert sorted(by_name(result)) == ["s__good", "s__last"]
        (fault,) = result["_meta"][FAULTS]
        assert problem in fault["problem"] and fault["outcome"] == "left out"


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({"_meta": 7}, {}),
        ({"title": None, "description": ["x"]}, {}),
        ({"annotations": {"readOnlyHint": "yes", "title": "T"}}, {"annotations": {"title": "T"}}),
        ({"icons": [{"src": 1}]}, {}),
        ({"execution": {"taskSupport": "maybe"}}, {"execution": {}}),
        ({"outputSchema": {"type": "array"}}, {}),
        ({"outputSchema": {"type": "object", "$id": "urn:x"}}, {}),
        ({"outputSchema": {"type": "object", "allOf": [{"$ref": "#/$defs/gone"}]}}, {}),
        (
            {"inputSchema": {"type": "object", "properties": {"a": True, "b": {"type": "strin"}}}},
            {"inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}},
        ),
        (
            {"inputSchema": {"properties": [], "required": None}},
            {"inputSchema": {"properties": {}, "type": "object"}},
        ),
    ],
)
async def test_a_member_of_the_wrong_kind_is_dropped_and_the_tool_stays(members, left):
    async with (
        Scripted(tools=[GOOD, tool("odd", **members)]) as server,
        gateway({"s": http(server.url)}) as gw,
    ):
        await gw.up()
        result = await listed(gw)
        assert by_name(result)["s__odd"] == tool("s__odd") | left
        (fault,) = result["_meta"][FAULTS]
        assert (fault["name"], fault["outcome"]) == ("odd", "repaired")


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe", b"\\ud800", b'", "x": NaN, "y": "', b"\x01", b'", "n": 1e999, "y": "']
)
async def test_a_page_that_is_nearly_json_keeps_its_tools(damage):
    async with Scripted(tools=[GOOD, tool("odd", description="MARK")]) as server:
        answer = server._answer

        async def damaged(message, headers, writer):
            if message.get("method") != "tools/list":
                server.on_all = None
                await answer(message, headers, writer)
                server.on_all = damaged
                return
            result = {"resultType": "complete", "tools": server.tools}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
            await raw(writer, body.encode().replace(b"MARK", damage))

        server.on_all = damaged
        async with gateway({"s": http(server.url), "other": plain()}) as gw:
            await gw.up()
            assert {"s__good", "s__odd"} <= set(by_name(await listed(gw)))
            assert {"good", "odd"} == set(by_name(await listed(gw, "/servers/s/mcp")))


async def test_ten_thousand_tools_leave_the_others_reachable():
    many = [tool(f"t{n}") for n in range(10_000)]
    async with (
        Scripted(tools=many) as server,
        gateway({"a": http(server.url), "other": plain()}) as gw,
    ):
        await gw.up()
        about = (await gw.http.get("/")).json()["servers"]
        assert about["a"]["tools"] == 2000 and about["other"]["tools"] == 11
        assert "8000 more than limits.list_items" in about["a"]["faults"][0]["problem"]
        assert text_of(await Modern(gw).call("other__echo", text="here")) == "here"


async def test_a_list_that_is_refused_or_no_list_stays_as_it_was():
    async with Scripted(tools=[GOOD]) as server, gateway({"s": http(server.url)}) as gw:
        await gw.up()
        upstream = gw.gateway.upstreams["s"]
        for answer in ({"tools": {"a": 1}}, {"tools": None}, {}):

            def page(cursor, tools, answer=answer):
                return answer.get("tools"), None

            server.on_all = pages_of([], page)
            await upstream.refresh()
            assert by_name(await listed(gw)).keys() == {"s__good"}
            assert upstream.listing.faults[0].outcome == "the last good list stays"


async def test_names_of_faulty_tools_are_told_to_nobody_who_may_not_use_them():
    rules = [{"name": "hidden", "effect": "deny", "tools": ["secret*"]}]
    async with (
        Scripted(tools=[{"name": "secret_x"}, {"name": "open_x"}]) as server,
        gateway({"s": http(server.url)}, policy={"rules": rules}, auth=AUTH) as gw,
    ):
        await gw.up()
        for path in ("/mcp", "/servers/s/mcp"):
            result = await listed(gw, path, KEY)
            assert [f["name"] for f in result["_meta"][FAULTS]] == ["open_x"]
        about = (await gw.http.get("/", headers={"authorization": f"Bearer {KEY}"})).json()
        assert [f["name"] for f in about["servers"]["s"]["faults"]] == ["open_x"]


async def test_a_servers_faulty_capabilities_and_long_instructions_concern_nobody_else():
    def hello(version):
        return {
            "protocolVersion": version,
            "serverInfo": {"name": "s", "version": "1"},
            "capabilities": {"tools": {}, "tasks": True, "resources": None},
            "instructions": "x" * 100_000,
        }

    async def answer(message, headers, writer):
        method = message.get("method")
        if method == "initialize":
            await reply(writer, message, hello(message["params"]["protocolVersion"]))
        elif method == "tools/list":
            await reply(writer, message, {"tools": [GOOD]})
        elif "id" in message:
            error = {"code": -32601, "message": "no"}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error})
            await raw(writer, body.encode(), "404 Not Found")
        else:
            await raw(writer, b"", "202 Accepted")

    async with Scripted() as server:
        server.on_all = answer
        async with Scripted() as polite:

            async def with_instructions(message, headers, writer):
                if message.get("method") == "server/discover":
                    result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
                    result["instructions"] = "Be polite."
                    await reply(writer, message, result)
                else:
                    polite.on_all = None
                    await polite._answer(message, headers, writer)
                    polite.on_all = with_instructions

            polite.on_all = with_instructions
            async with gateway({"s": http(server.url), "z": http(polite.url)}) as gw:
                await gw.up()
                result = (await Legacy(gw).initialize())["result"]
                assert all(isinstance(c, dict) for c in result["capabilities"].values())
                assert "Be polite." in result["instructions"]
                assert len(result["instructions"]) <= 32_000


async def test_junk_on_the_stream_of_notices_does_not_make_the_gateway_ask_in_a_loop():
    async with Scripted(tools=[GOOD]) as server:

        async def junk(message, headers, writer):
            if message.get("method") != "subscriptions/listen":
                server.on_all = None
                await server._answer(message, headers, writer)
                server.on_all = junk
                return
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            )
            writer.write(head + b"data: {junk\n\ndata: [1]\n\ndata: 7\n\n")
            await writer.drain()
            writer.close()

        server.on_all = junk
        async with gateway({"s": http(server.url)}) as gw:
            await gw.up()
            listens = [m for m, _ in server.seen if m.get("method") == "subscriptions/listen"]
            await until(lambda: gw.gateway.upstreams["s"].refreshed.is_set(), "it was read")
            await asyncio.sleep(1.5)  # time for more than it may ask
            listens = [m for m, _ in server.seen if m.get("method") == "subscriptions/listen"]
            assert len(listens) <= 4 and len(asked(server)) <= 4
            assert gw.gateway.upstreams["s"].is_up


async def test_a_server_that_says_all_the_time_that_its_list_changed_is_asked_now_and_then():
    async with Scripted(tools=[GOOD]) as server:

        async def chatter(message, headers, writer):
            if message.get("method") != "subscriptions/listen":
                server.on_all = None
                await server._answer(message, headers, writer)
                server.on_all = chatter
                return
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            for _ in range(300):
                writer.write(f"data: {notice}\n\n".encode())
                await writer.drain()
                await asyncio.sleep(0.005)  # notices come one after the other

        server.on_all = chatter
        async with gateway({"s": http(server.url)}) as gw:
            await gw.up()
            await asyncio.sleep(1.5)  # as long as the server talks
            assert len(asked(server)) <= 8
