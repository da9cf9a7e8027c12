"""Sign-on as clients do it: a real provider (oidc-provider, npm) and the official SDK's client.

401 with resource metadata, discovery, registration, PKCE, a token for this very gateway (RFC 8707).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from support import free_port, gateway, plain

sys.path.append(str(Path(__file__).resolve().parents[5] / "tests"))

import gateway_lab
import identity_provider
from token_storage import TokenStorage

CALLBACK = "http://127.0.0.1:8765/callback"
TABLE = [{"group": "dev-payments", "team": "payments"}]


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The company's provider, with Alice in a team and Bob in none."""
    folder = tmp_path_factory.mktemp("provider")
    try:
        with identity_provider.identity_provider(folder, [CALLBACK]) as found:
            yield found
    except gateway_lab.Unreachable as error:
        pytest.skip(f"needs oidc-provider from a package mirror: {error}")


class Person:
    """Somebody at their client and browser."""

    def __init__(self, name):
        self.name, self.storage, self.asked = name, TokenStorage(), {}
        self._browser = httpx2.Client(timeout=20, trust_env=False)

    async def go(self, address):
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        step = identity_provider.pass_provider, self._browser, address, self.name
        self._back = await asyncio.to_thread(*step)

    async def come_back(self):
        query = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(
            code=query["code"][0], state=query["state"][0], iss=query.get("iss", [None])[0]
        )

    async def tools(self, url):
        """The tools that the client lists after having signed in."""
        metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="test", scope="mcp")
        auth = OAuthClientProvider(url, metadata, self.storage, self.go, self.come_back)
        async with (
            httpx2.AsyncClient(auth=auth, timeout=20, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return [tool.name for tool in (await client.list_tools()).tools]


def signed_on(provider, port, path="/mcp"):
    """The gateway's settings for this provider."""
    oidc = {
        "issuer": provider.issuer,
        "audience": [f"http://127.0.0.1:{port}{path}"],
        "teams": TABLE,
        "required_scopes": ["mcp"],
    }
    return {"auth": {"oidc": [oidc]}, "listen": {"public_url": f"http://127.0.0.1:{port}"}}


@pytest.mark.parametrize("path", ["/mcp", "/servers/s/mcp"])
async def test_client_registers_signs_in_and_lists_tools(provider, path):
    port = free_port()
    async with gateway({"s": plain()}, port=port, **signed_on(provider, port, path)) as gw:
        await gw.up()
        alice = Person("alice")
        names = await alice.tools(gw.base + path)
    assert names
    assert alice.asked["resource"] == gw.base + path
    assert alice.asked["code_challenge_method"] == "S256"
    assert alice.storage.client.client_id != identity_provider.CLIENT_ID, "it registered itself"


async def test_person_outside_every_group_of_the_table_is_told_so(provider):
    port = free_port()
    async with gateway({"s": plain()}, port=port, **signed_on(provider, port)) as gw:
        bob = Person("bob")
        with pytest.raises(BaseException) as caught:
            await bob.tools(f"{gw.base}/mcp")
        assert bob.storage.tokens, "the provider knows him"
        refused = await gw.http.post(
            "/mcp", headers={"authorization": f"Bearer {bob.storage.tokens.access_token}"}, json={}
        )
    assert caught.value is not None
    assert refused.status_code == 403 and "none of your groups" in refused.text


async def test_token_for_another_resource_is_refused(provider):
    port, other = free_port(), free_port()
    async with gateway({"s": plain()}, port=port, **signed_on(provider, port)) as gw:
        alice = Person("alice")
        await alice.tools(f"{gw.base}/mcp")
        bearer = {"authorization": f"Bearer {alice.storage.tokens.access_token}"}
        async with gateway({"s": plain()}, port=other, **signed_on(provider, other)) as foreign:
            refused = await foreign.http.post("/mcp", headers=bearer, json={})
    assert refused.status_code == 401
