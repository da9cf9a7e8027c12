# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Somebody at a program that signs them in: the official SDK's client, and their browser."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from token_storage import TokenStorage

CALLBACK = "http://127.0.0.1:8765/callback"
SECONDS = 60


class Person:
    """allow: from the address that the client opens to the one where the browser ends up."""

    def __init__(self, tls: ssl.SSLContext, allow: Callable[[str], str]) -> None:
        self._tls, self._allow = tls, allow
        self.storage, self.asked = TokenStorage(), {}

    async def _go(self, address: str) -> None:
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        self._back = await asyncio.to_thread(self._allow, address)

    async def _come_back(self) -> AuthorizationCodeResult:
        query = {k: v[0] for k, v in parse_qs(urlsplit(self._back).query).items()}
        if "code" not in query:
            raise AssertionError(f"no code came back: {query}")
        return AuthorizationCodeResult(
            code=query["code"], state=query["state"], iss=query.get("iss")
        )

    def tools(self, url: str) -> list[str]:
        """The tools that the client lists after having signed in."""
        return asyncio.run(self._tools(url))

    def refusal(self, url: str, kind: type[BaseException] = BaseException) -> str:
        """Why the client did not list the tools: errors of a kind, out of their groups."""
        try:
            found = self.tools(url)
        except BaseException as error:
            return " ".join(str(cause) for cause in _causes(error) if isinstance(cause, kind))
        raise AssertionError(f"it listed {found}")

    async def _tools(self, url: str) -> list[str]:
        metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="test")
        auth = OAuthClientProvider(url, metadata, self.storage, self._go, self._come_back)
        async with (
            httpx2.AsyncClient(
                auth=auth, timeout=SECONDS, trust_env=False, verify=self._tls
            ) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return [tool.name for tool in (await client.list_tools()).tools]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those of its group."""
    yield error
    for inner in getattr(error, "exceptions", ()):
        yield from _causes(inner)


def claims(token: str) -> dict[str, Any]:
    """What a token says; nobody checks it here."""
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def ask(url: str, token: str) -> httpx2.Response:
    """Ask a gateway for nothing but whether it takes the token."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
    }
    address = f"{url}/mcp"
    return httpx2.post(address, json=message, headers=headers, trust_env=False, timeout=SECONDS)
