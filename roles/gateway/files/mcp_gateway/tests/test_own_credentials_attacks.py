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
