"""Attacks on people's own credentials: by others, by servers, over time, and with a slow Redis."""

from __future__ import annotations

import asyncio
import json

import pytest
import redis
import test_own_credentials as own
from mcp_gateway import personal
from mcp_gateway.config import parse
from mcp_gateway.credentials import Credential, CredentialError
from mcp_gateway.settings import PerUser
from mcp_gateway.upstreams import streamable
from mcp_gateway.upstreams.base import Outbound, UpstreamError
from mcp_gateway.vault import place
from support import Legacy, Modern, text_of, until
from test_own_credentials import PAGE, PEOPLE, SERVICE, Echo, personal_server, reason

# Fixtures of there.
records, service, start = own.records, own.service, own.start


# --- who somebody is ----------------------------------------------------------------------------


async def test_key_that_anybody_changed_is_nobodys(start, service):
    """LiteLLM's /key/update leaves `updated_by` as it was, and says when in another member."""
    async with Echo() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        lab.store("bob")
        mallory = lab.litellm.keys[lab.key("alice")]
        mallory |= {
            "user_id": f"sso-{lab.person('bob')}",
            "settings_updated_at": "2026-11-30T08:00",
        }
        assert reason(await lab.modern("alice").call("echo__echo")) == "no_person"
        assert echo.shown("tools/call") == []


# --- what a server says to one person -----------------------------------------------------------


class Gossip(Echo):
    """Repeats in its refusals what it was shown, and breaks off for the gateway when told so."""

    is_down = False

    def _answer(self, verb, message, headers):
        shown = headers.get("authorization", "")
        if SERVICE in shown:
            if self.is_down and message.get("method") == "ping":
                return "500 Internal Server Error", "", None
            return super()._answer(verb, message, headers)
        return "200 OK", f"x-refused: {shown}", None

    async def _reply(self, writer, message, status, extra, result):
        if not extra.startswith("x-refused"):
            await super()._reply(writer, message, status, extra, result)
            return
        error = {"code": -32000, "message": f"bad credential {extra}"}
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(f"{head}\r\n\r\n".encode() + body)
        await writer.drain()


async def test_what_a_server_says_to_one_person_is_told_to_nobody_else(start, service, caplog):
    async with Gossip() as echo, start({"echo": personal_server(echo, **service)}) as lab:
        for replica in lab.replicas:
            await replica.up()
        for name in PEOPLE:
            lab.store(name)
        replica = lab.replicas[0]
        alice, bob = (Legacy(replica, key=lab.key(name)) for name in PEOPLE)
        for client in (alice, bob):
            await client.initialize()
        echo.is_down = True
        upstream = replica.gateway.upstreams["echo"]
        for _ in range(8):  # more than what opens a breaker
            await alice.call("echo__echo")
            await until(lambda: not upstream.probe.is_running, "the server was asked")
        assert upstream.breaker.state != "closed"
        answer = await bob.call("echo__echo")
        assert PEOPLE["alice"] not in json.dumps(answer)
        assert PEOPLE["alice"] not in upstream.breaker.last_error + caplog.text
