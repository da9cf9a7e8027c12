"""What a provider of identities publishes of itself (OpenID Connect Discovery, RFC 8414)."""

from __future__ import annotations

import asyncio
import time

import msgspec

from mcp_gateway import envelope
from mcp_gateway.address import is_protected
from mcp_gateway.httpclient import Client
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.identify import Unavailable
from mcp_gateway.onceeach import OnceEach
from mcp_gateway.settings import TokenClient
from mcp_gateway.tokenendpoint import TokenEndpoint
from mcp_gateway.tokenrequest import TokenError

MAX_DOCUMENT = 1 << 20
# As long as its signing keys count.
CACHE_SECONDS = 600.0
SECONDS = 5.0


async def read(url: str, issuer: str, ca_file: str | None, seconds: float) -> dict[str, object]:
    """A JSON document of an issuer, all of it in time; Unavailable says why there is none."""
    client = Client(url, ca_file=ca_file, connect_timeout=seconds)
    try:
        headers = [("accept", "application/json")]
        async with asyncio.timeout(seconds):
            response = await client.request("GET", headers, timeout=seconds)
            body = await response.read(MAX_DOCUMENT, seconds)
    except TimeoutError:
        raise Unavailable(f"issuer {issuer}: no answer within {seconds:g} s") from None
    except HttpError as error:
        raise Unavailable(f"issuer {issuer}: {error}") from None
    finally:
        client.close()
    if response.status != 200:
        raise Unavailable(f"issuer {issuer} answered HTTP {response.status}")
    try:
        document = envelope.decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Unavailable(f"issuer {issuer} sent no JSON object")
    return document


async def metadata(issuer: str, ca_file: str | None, seconds: float) -> dict[str, object]:
    """What an issuer publishes of itself; Unavailable where that is another one's."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    document = await read(url, issuer, ca_file, seconds)
    if document.get("issuer") != issuer:
        raise Unavailable("the discovery document names another issuer")
    return document


class Provider:
    """One issuer, and the client that asks for tokens there."""

    def __init__(self, issuer: str, settings: TokenClient, secret: str) -> None:
        self._issuer, self._settings, self._secret = issuer, settings, secret
        self._endpoint: TokenEndpoint | None = None
        self._read_at = -CACHE_SECONDS
        # Once for all who wait: while it is away, each would wait for those before it.
        self._readings: OnceEach[str, TokenEndpoint] = OnceEach(lambda _error: True)

    async def token_endpoint(self) -> TokenEndpoint:
        """Where it hands out tokens; TokenError where it does not say."""
        if self._endpoint is None or time.monotonic() - self._read_at > CACHE_SECONDS:
            return await self._readings.get(self._issuer, self._found)
        return self._endpoint

    async def _found(self) -> TokenEndpoint:
        try:
            document = await metadata(self._issuer, self._settings.ca_file, SECONDS)
        except Unavailable as error:
            raise TokenError(f"does not answer ({error})") from None
        url = document.get("token_endpoint")
        if not isinstance(url, str) or not is_protected(url):
            raise TokenError("publishes no token_endpoint with https")
        self._endpoint = TokenEndpoint(url, self._settings, self._secret)
        self._read_at = time.monotonic()
        return self._endpoint
