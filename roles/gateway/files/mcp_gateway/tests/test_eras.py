"""Any client era reaches any upstream era: tools, questions, progress, lists."""

from __future__ import annotations

import asyncio
import json

import pytest
from support import (
    KEY,
    Legacy,
    Modern,
    gateway,
    http,
    messages,
    next_message,
    sha256,
    stdio,
    text_of,
)

VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_legacy_version_initializes_lists_and_calls(sdk, version):
    async with gateway({"one": http(sdk.url)}) as gw:
        client = Legacy(gw, version=version)
        answer = await client.initialize()
        assert answer["result"]["protocolVersion"] == version
        tools = (await client.ask("tools/list"))["result"]["tools"]
        assert "one__echo" in [t["name"] for t in tools]
        assert text_of(await client.call("one__echo", text="hi")) == "hi"


async def test_a_modern_client_discovers_lists_and_calls_without_a_session(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        client = Modern(gw)
        discovered = (await client.ask("server/discover"))["result"]
        assert discovered["supportedVersions"] == ["2026-07-28"]
        assert {"tools", "prompts", "resources"} <= set(discovered["capabilities"])
        listed = (await client.ask("tools/list"))["result"]
        assert listed["resultType"] == "complete"
        assert listed["ttlMs"] >= 0 and listed["cacheScope"] in ("public", "private")
        assert text_of(await client.call("one__echo", text="hi")) == "hi"


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("kind", ["http", "stdio"])
async def test_both_client_eras_reach_an_upstream_of_one_era(sdk, era, kind):
    upstream = http(sdk.url, era=era) if kind == "http" else stdio(era=era)
    async with gateway({"one": upstream}) as gw:
        await gw.up()
        assert gw.gateway.upstreams["one"].eras == {era}
        for path in ("/mcp", "/servers/one/mcp"):
            prefix = "one__" if path == "/mcp" else ""
            modern = await Modern(gw, path).call(prefix + "echo", text="m")
            assert text_of(modern) == "m"
            assert modern["result"]["resultType"] == "complete"
            client = Legacy(gw, path)
            await client.initialize()
            assert text_of(await client.call(prefix + "echo", text="l")) == "l"


@pytest.mark.parametrize("kind", ["http", "stdio"])
async def test_a_question_of_a_legacy_server_reaches_a_modern_client(sdk, kind):
    upstream = http(sdk.url, era="legacy") if kind == "http" else stdio(era="legacy")
    async with gateway({"one": upstream}) as gw:
        client = Modern(gw)
        params = {"name": "one__elicit", "arguments": {}}
        asked = (await client.ask("tools/call", params))["result"]
        assert asked["resultType"] == "input_required"
        (key, question), *_ = asked["inputRequests"].items()
        assert question["method"] == "elicitation/create"
        answer = {"action": "accept", "content": {"name": "Ada"}}
        params |= {"inputResponses": {key: answer}, "requestState": asked["requestState"]}
        assert text_of(await client.ask("tools/call", params)) == "accept:Ada"


async def test_a_parked_call_is_not_resumed_by_somebody_else_or_twice(sdk):
    async with gateway({"one": http(sdk.url, era="legacy")}) as gw:
        client = Modern(gw)
        params = {"name": "one__elicit", "arguments": {}}
        asked = (await client.ask("tools/call", params))["result"]
        other = {"name": "one__sample", "arguments": {}, "requestState": asked["requestState"]}
        retry = params | {
            "requestState": asked["requestState"],
            "inputResponses": {k: {"action": "decline"} for k in asked["inputRequests"]},
        }
        assert text_of(await client.ask("tools/call", retry)) == "decline:"
        assert "error" in await client.ask("tools/call", retry)
        assert "error" in await client.ask("tools/call", other)


async def test_calls_of_one_caller_that_wait_for_input_leave_room_for_others(sdk, monkeypatch):
    monkeypatch.setattr("mcp_gateway.pending.MAX_PARKED_BY_CALLER", 2)
    auth = {"static_keys": [{"alias": n, "sha256": sha256(KEY + n)} for n in ("ada", "bob")]}
    async with gateway({"one": http(sdk.url, era="legacy")}, auth=auth) as gw:
        await gw.up()
        ada, bob = (Modern(gw, key=KEY + name) for name in ("ada", "bob"))
        for _ in range(2):
            assert "inputRequests" in (await ada.call("one__elicit"))["result"]
        assert (await ada.call("one__elicit"))["error"]["data"]["reason"] == "busy"
        assert "inputRequests" in (await bob.call("one__elicit"))["result"]


async def test_a_question_of_a_modern_server_reaches_a_legacy_client(sdk):
    async with gateway({"one": http(sdk.url, era="modern")}) as gw:
        client = Legacy(gw)
        await client.initialize({"elicitation": {}})
        body = client.message("tools/call", {"name": "one__ask", "arguments": {}})
        async with gw.http.stream("POST", "/mcp", json=body, headers=client.headers) as stream:
            lines = stream.aiter_lines()
            question = await next_message(lines)
            assert question["method"] == "elicitation/create"
            answer = {"action": "accept", "content": {"name": "Ada"}}
            posted = await client.post({"jsonrpc": "2.0", "id": question["id"], "result": answer})
            assert posted.status_code == 202
            assert text_of(await next_message(lines)) == "hello Ada"


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
@pytest.mark.parametrize("kind", ["http", "shared", "stdio"])
async def test_a_legacy_server_asks_a_legacy_client_in_mid_call(sdk, path, kind):
    upstreams = {
        "http": http(sdk.url),
        "shared": http(sdk.url, mode="shared", era="legacy"),
        "stdio": stdio(era="legacy"),
    }
    async with gateway({"one": upstreams[kind]}) as gw:
        client = Legacy(gw, path)
        await client.initialize({"elicitation": {}, "sampling": {}})
        prefix = "one__" if path == "/mcp" else ""
        body = client.message("tools/call", {"name": prefix + "sample", "arguments": {}})
        async with gw.http.stream("POST", path, json=body, headers=client.headers) as stream:
            lines = stream.aiter_lines()
            question = await next_message(lines)
            assert question["method"] == "sampling/createMessage"
            said = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "ho"}}
            await client.post({"jsonrpc": "2.0", "id": question["id"], "result": said})
            assert text_of(await next_message(lines)) == "model said ho"


async def test_a_client_without_the_capability_is_not_asked(sdk):
    async with gateway({"one": http(sdk.url, era="legacy", mode="shared")}) as gw:
        client = Legacy(gw)
        await client.initialize({})
        answer = await client.call("one__elicit")
        assert "error" in answer or answer["result"]["isError"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("kind", ["http", "stdio"])
async def test_progress_carries_the_clients_own_token(sdk, era, kind):
    upstream = http(sdk.url, era=era) if kind == "http" else stdio(era=era)
    async with gateway({"one": upstream}) as gw:
        params = {
            "name": "one__progress",
            "arguments": {"steps": 3},
            "_meta": {"progressToken": "mine"},
        }
        client = Legacy(gw)
        await client.initialize()
        for answer in (
            await Modern(gw).send("tools/call", params),
            await client.send("tools/call", params),
        ):
            *notes, final = messages(answer)
            assert [n["params"]["progress"] for n in notes] == [0, 1, 2]
            assert {n["params"]["progressToken"] for n in notes} == {"mine"}
            assert text_of(final) == "done"


async def test_modern_clients_get_log_messages_only_on_request(sdk):
    async with gateway({"one": http(sdk.url, era="legacy")}) as gw:
        client = Modern(gw)
        params = {"name": "one__chatter", "arguments": {}}
        assert len(messages(await client.send("tools/call", params))) == 1
        level = {"io.modelcontextprotocol/logLevel": "debug"}
        noted = messages(await client.send("tools/call", params, **level))
        assert [m.get("method") for m in noted] == ["notifications/message", None]


async def test_methods_of_the_other_era_are_unknown(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        for method in ("ping", "logging/setLevel", "resources/subscribe", "initialize"):
            answer = await Modern(gw).send(method)
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == -32601
        client = Legacy(gw)
        await client.initialize()
        assert (await client.ask("server/discover"))["error"]["code"] == -32601
        assert (await client.ask("ping"))["result"] == {}


async def test_blanks_around_a_header_value_do_not_count(sdk):
    async with gateway({"one": http(sdk.url)}) as gw:
        request = Modern(gw).build("tools/call", {"name": "one__echo", "arguments": {"text": "hi"}})
        body = json.dumps(request["json"]).encode()
        lines = [f"{name}: \t {value} \t" for name, value in request["headers"].items()]
        head = [f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{gw.port}", *lines, "connection: close"]
        reader, writer = await asyncio.open_connection("127.0.0.1", gw.port)
        writer.write("\r\n".join([*head, f"content-length: {len(body)}\r\n\r\n"]).encode() + body)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"text":"hi"' in answer, answer
