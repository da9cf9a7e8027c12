"""Hostile bytes at a running gateway: no answer is our own 5xx, nothing is left behind."""

from __future__ import annotations

import json
import random

from support import Legacy, Modern, gateway, http, plain, text_of, until

ROUNDS = 250


def bodies(generator):
    """Messages with something wrong, or odd, in them."""
    values = [None, True, 0, -1, 1.5, "", "x" * 300, [], {}, [[]], {"a": {}}, 10**30, "\ud800"]
    methods = [
        "initialize",
        "tools/call",
        "tools/list",
        "resources/read",
        "resources/subscribe",
        "prompts/get",
        "completion/complete",
        "server/discover",
        "logging/setLevel",
        "tasks/get",
        "ping",
        "notifications/cancelled",
        "",
    ]
    members = [
        "name",
        "arguments",
        "uri",
        "cursor",
        "_meta",
        "ref",
        "requestId",
        "taskId",
        "level",
        "protocolVersion",
        "capabilities",
        "clientInfo",
        "requestState",
        "inputResponses",
        "task",
    ]
    for _ in range(ROUNDS):
        message = {
            "jsonrpc": "2.0",
            "id": generator.choice([1, "a", *values]),
            "method": generator.choice([*methods, *values]),
            "params": {
                m: generator.choice([*values, "one__echo", "memo://today", "2025-06-18"])
                for m in generator.sample(members, generator.randrange(6))
            },
        }
        for member in ("jsonrpc", "id", "method", "params"):
            if generator.random() < 0.1:
                message[member] = generator.choice(values)
            if generator.random() < 0.1:
                message.pop(member, None)
        body = json.dumps(message).encode()
        if generator.random() < 0.1:
            cut = generator.randrange(len(body))
            body = body[:cut] + bytes([generator.randrange(256)]) + body[cut + 1 :]
        yield body


async def test_no_message_makes_the_gateway_fail_or_grow(sdk):
    generator = random.Random(20260728)
    async with gateway({"one": http(sdk.url), "two": plain()}) as gw:
        await gw.up()
        legacy = Legacy(gw)
        await legacy.initialize()
        modern = Modern(gw)
        for body in bodies(generator):
            headers = generator.choice(
                [
                    legacy.headers,
                    modern.build("tools/list")["headers"],
                    modern.build("tools/call", {"name": "one__echo"})["headers"],
                    {"accept": "application/json"},
                    {},
                ]
            )
            path = generator.choice(["/mcp", "/servers/one/mcp", "/servers/two/mcp"])
            answer = await gw.http.post(path, content=body, headers=headers)
            assert answer.status_code < 500, (path, body, answer.text)
            assert b"internal error" not in answer.content, (path, body, answer.text)
        state = gw.gateway
        assert (
            state.session_state.in_flight == {}
            and len(state.questions) == 0
            and len(state.parking) == 0
        )
        assert state.bounds._total == 0 and not state.bounds._streams
        assert not any(u.gate.busy for u in state.upstreams.values())
        assert text_of(await modern.call("two__echo", text="well")) == "well"


async def first_words(client, request):
    """Return status and body; of a subscription, which does not end by itself, its first words."""
    async with client.stream("POST", "/mcp", **request) as answer:
        if "event-stream" in answer.headers.get("content-type", ""):
            return answer.status_code, await anext(answer.aiter_bytes(), b"")
        return answer.status_code, await answer.aread()


async def test_no_subscription_makes_the_gateway_fail_or_outlives_its_client():
    generator = random.Random(20260728)
    odd = [None, True, -1, "x" * 300, [], {}, [None], ["memo://today"], 10**30, "\ud800"]
    kinds = ["toolsListChanged", "resourceSubscriptions", "resourcesListChanged", "other", ""]
    opened = 0
    async with gateway({"one": plain()}) as gw:
        await gw.up()
        for _ in range(60):
            wanted = {kind: generator.choice(odd) for kind in generator.sample(kinds, 2)}
            wanted = generator.choice([wanted, wanted, *odd])
            request = Modern(gw).build("subscriptions/listen", {"notifications": wanted})
            request["content"] = json.dumps(request.pop("json")).encode()
            status, said = await first_words(gw.http, request)
            assert status < 500, (wanted, said)
            assert b"internal error" not in said, (wanted, said)
            opened += status == 200
        assert 0 < opened < 60
        await until(lambda: not gw.gateway.bounds._streams, "each ended with its client")


async def test_random_paths_and_methods_never_fail(sdk):
    generator = random.Random(1)
    async with gateway({"one": http(sdk.url)}) as gw:
        for _ in range(100):
            parts = ["mcp", "servers", "one", "..", "%2e%2e", "sse", "messages", "é", "", "ready"]
            path = "/" + "/".join(generator.sample(parts, generator.randrange(4)))
            if path.strip("/").endswith("sse"):
                continue  # a stream that would not end
            method = generator.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
            answer = await gw.http.request(method, path)
            assert answer.status_code < 500, (method, path)
