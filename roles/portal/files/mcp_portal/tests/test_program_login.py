"""The official SDK's client signs in: a real provider, the portal, and the gateway as a process.

401 with resource metadata, the portal's metadata, registration, PKCE, the person's sign-in at the
company and their word, a token for this very gateway.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs, urlsplit

import gateway_lab
import identity_provider
import lab
import program
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from mcp_portal.access_tokens import AccessTokens
from mcp_portal.people import id_of
from token_storage import TokenStorage

CALLBACK = "http://127.0.0.1:8765/callback"
SERVER = gateway_lab.GATEWAY / "tests/servers/plain_server.py"


class Person:
    """Somebody at their client and browser."""

    def __init__(self, portal, name):
        self.browser, self.name = lab.Browser(portal.url), name
        self.storage, self.asked = TokenStorage(), {}

    def allow(self, address):
        """What a browser does with the address that the client opens, and its person with it."""
        shown = self.browser.http.get(address)
        if shown.is_redirect:  # to the sign-in, and from there to the company's
            there = self.browser.get(shown.headers["location"]).headers["location"]
            back = identity_provider.pass_provider(self.browser.http, there, self.name)
            self.arrived = self.browser.http.get(back)
            assert self.arrived.status_code == 303
            shown = self.browser.get(self.arrived.headers["location"])
        return program.click(self.browser, shown, "allow").headers["location"]

    async def go(self, address):
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        self._back = await asyncio.to_thread(self.allow, address)

    async def come_back(self):
        query = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(
            code=query["code"][0], state=query["state"][0], iss=query["iss"][0]
        )

    async def tools(self, url):
        """The tools that the client lists after having signed in."""
        metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="test")
        auth = OAuthClientProvider(url, metadata, self.storage, self.go, self.come_back)
        async with (
            lab.httpx2.AsyncClient(auth=auth, timeout=20, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return [tool.name for tool in (await client.list_tools()).tools]


@pytest.fixture
def place(tmp_path, provider, configure):
    """The portal, the gateway's address, and what the gateway wrote down."""
    port = gateway_lab.free_port()
    url = f"http://127.0.0.1:{port}"
    resources = [f"{url}/mcp", f"{url}/servers/files/mcp"]
    section = program.authorization(tmp_path, resources=resources)
    with lab.running(configure(provider.issuer, **section)) as portal:
        try:
            with gateway_lab.Lab(tmp_path) as programs:
                programs.gateway(gateway(portal, provider, port, url, tmp_path, resources))
                yield portal, url, tmp_path / "audit"
        except gateway_lab.Unreachable as error:
            pytest.skip(f"needs the gateway's packages from a mirror: {error}")


def gateway(portal, provider, port, url, folder, resources):
    """As the roles configure it, for tokens of the portal and of the company."""
    issuer = f"{portal.url}/portal"
    keys = AccessTokens(program.SIGNING_SECRET, issuer).published()["keys"]
    own = {
        "issuer": issuer, "audience": resources, "jwks": keys, "algorithms": ["ES256"],
        "subjects_are_people": True,
    }  # fmt: skip
    company = {
        "issuer": provider.issuer, "audience": resources, "announced": False,
        "teams": [{"group": "dev-payments", "team": "payments"}],
    }  # fmt: skip
    stdio = {"type": "stdio", "command": sys.executable, "args": ["-S", str(SERVER)]}
    return {
        "listen": {"port": port, "public_url": url},
        "auth": {"oidc": [company, own]},
        "audit": {"file": str(folder / "audit")},
        "policy": {"default": "deny", "rules": [{"name": "payments", "teams": ["payments"]}]},
        "upstreams": {"files": {**stdio, "required": True}},
    }


def callers(audit, seconds=20):
    """Who was let in, and in which team; lines are written a moment later."""
    ends_at = time.monotonic() + seconds
    while True:
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        found = {(line["caller"], line["team"]) for line in lines if line["status"] == "ok"}
        if found or time.monotonic() > ends_at:
            return found
        time.sleep(0.1)  # a file tells nobody when it grows


def ask(url, token):
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
    }
    return lab.httpx2.post(url, json=message, headers=headers, trust_env=False, timeout=20)


def test_sdk_client_registers_signs_in_and_lists_tools(place, provider):
    portal, url, audit = place
    alice = Person(portal, "alice")
    for path in ("/mcp", "/servers/files/mcp"):
        alice.storage = TokenStorage()
        assert asyncio.run(alice.tools(url + path))
        assert alice.asked["resource"] == url + path
        assert urlsplit(alice.storage.client.client_id).scheme == "", "it registered itself"
    assert callers(audit) == {("alice", "payments")}
    metadata = lab.httpx2.get(
        f"{url}/.well-known/oauth-protected-resource/mcp", trust_env=False
    ).json()
    assert metadata["authorization_servers"] == [f"{portal.url}/portal"]
    assert "scopes_supported" not in metadata


def test_person_without_a_team_gets_no_token(place):
    portal, url, _audit = place
    bob = Person(portal, "bob")
    with pytest.raises(BaseException) as caught:
        asyncio.run(bob.tools(f"{url}/mcp"))
    assert caught.value is not None and bob.storage.tokens is None
    assert bob.arrived.status_code == 403 and "None of your groups" in bob.arrived.text


def test_gateway_takes_tokens_for_itself_alone(place, provider):
    portal, url, _audit = place
    issuer = f"{portal.url}/portal"
    person = id_of(provider.issuer, "alice")
    member = program.member("alice", ["payments"])

    def token(secret=program.SIGNING_SECRET, issuer=issuer, sub=person, seconds=300, **changes):
        asked = {"team": "payments", "resource": f"{url}/mcp", "program": "x", **changes}
        return AccessTokens(secret, issuer).make(sub, member, seconds=seconds, **asked)

    assert ask(f"{url}/mcp", token()).status_code != 401
    for wrong in (
        token(resource="https://other.example.internal/mcp"),
        token(resource="intranet-mcp"),
        token(secret="another-secret-of-the-tests-of-some-length"),
        token(issuer="https://other.example.internal/portal"),
        token(seconds=-90),
        token(sub="alice"),
    ):
        assert ask(f"{url}/mcp", wrong).status_code == 401
