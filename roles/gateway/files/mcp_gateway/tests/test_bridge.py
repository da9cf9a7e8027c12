"""The same package as a bridge in a tool server's container, behind an outer gateway."""

from __future__ import annotations

import contextlib

import pytest
from support import Legacy, Modern, gateway, http, plain, sha256, stdio, text_of

BRIDGE_KEY = "key-between-the-gateways"
CALLERS = [{"alias": n, "sha256": sha256(f"key-of-{n}-000000")} for n in ("ada", "bob")]


@contextlib.asynccontextmanager
async def chain(tmp_path, inner, **upstream):
    """(outer, bridge): the outer one sends the bridge's key from a file."""
    secret = tmp_path / "bridge_key"
    secret.write_text(BRIDGE_KEY + "\n")
    auth = {"static_keys": [{"alias": "outer", "key_file": str(secret)}]}
    listen = {"trust_caller_header": True}
    header = {"Authorization": {"file": str(secret), "prefix": "Bearer "}}
    async with gateway({"tool": inner}, auth=auth, listen=listen) as bridge:
        await bridge.up()
        outer = http(
            f"{bridge.base}/servers/tool/mcp",
            headers_from_files=header,
            caller_header=True,
            **upstream,
        )
        async with gateway({"tool": outer}, auth={"static_keys": CALLERS}) as gw:
            await gw.up()
            yield gw, bridge


async def test_both_eras_call_through_the_bridge(tmp_path):
    async with chain(tmp_path, plain()) as (gw, bridge):
        assert gw.gateway.upstreams["tool"].eras == {"legacy", "modern"}
        legacy = Legacy(gw, key="key-of-ada-000000")
        await legacy.initialize()
        for client in (Modern(gw, key="key-of-ada-000000"), legacy):
            assert len((await client.ask("tools/list"))["result"]["tools"]) == 11
            assert text_of(await client.call("tool__echo", text="through")) == "through"
        assert (await Modern(bridge).send("tools/list")).status_code == 401


async def test_callers_have_processes_of_their_own_behind_the_bridge(tmp_path):
    async with chain(tmp_path, plain(mode="per_session")) as (gw, _):
        ada, bob = (Modern(gw, key=f"key-of-{n}-000000") for n in ("ada", "bob"))
        counts = [text_of(await c.call("tool__count")) for c in (ada, bob, ada, bob, ada)]
        assert counts == ["1", "1", "2", "2", "3"]
        sessions = [Legacy(gw, key="key-of-ada-000000") for _ in range(2)]
        for session in sessions:
            await session.initialize()
        counts = [text_of(await s.call("tool__count")) for s in (*sessions, *sessions)]
        assert counts == ["1", "1", "2", "2"]
        assert (await gw.http.delete("/mcp", headers=sessions[0].headers)).status_code == 200


@pytest.mark.parametrize("path", ["/mcp", "/servers/tool/mcp"])
async def test_questions_cross_both_gateways(tmp_path, path):
    async with chain(tmp_path, stdio(era="legacy", mode="per_session")) as (gw, _):
        client = Modern(gw, path, key="key-of-ada-000000")
        params = {"name": "tool__elicit" if path == "/mcp" else "elicit", "arguments": {}}
        asked = (await client.ask("tools/call", params))["result"]
        assert asked["resultType"] == "input_required"
        params["requestState"] = asked["requestState"]
        params["inputResponses"] = {
            key: {"action": "accept", "content": {"name": "Ada"}} for key in asked["inputRequests"]
        }
        assert text_of(await client.ask("tools/call", params)) == "accept:Ada"


async def test_a_shared_link_to_the_bridge_serves_everybody(tmp_path):
    async with chain(tmp_path, plain(), mode="shared") as (gw, _):
        for name in ("ada", "bob"):
            legacy = Legacy(gw, key=f"key-of-{name}-000000")
            await legacy.initialize()
            assert text_of(await legacy.call("tool__echo", text=name)) == name
