"""A token endpoint, asked within bounds. Nothing that is sent or answered is written down."""

from __future__ import annotations

import asyncio

from mcp_gateway import tokenrequest
from mcp_gateway.httpclient import Client
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.settings import TokenClient
from mcp_gateway.tokenrequest import TokenError, Tokens

# From the first byte to the last.
SECONDS = 8.0


class TokenEndpoint:
    """One client at one endpoint."""

    def __init__(self, url: str, settings: TokenClient, secret: str) -> None:
        self.url = url
        self._settings, self._secret = settings, secret

    async def ask(self, fields: dict[str, str]) -> Tokens:
        """The tokens for a request of these fields; TokenError says why there are none."""
        s = self._settings
        headers, body = tokenrequest.form(
            fields, s.client_id, self._secret, s.token_endpoint_auth_method
        )
        # A connection for each: a request that was lost must not be sent twice.
        client = Client(self.url, ca_file=s.ca_file, connect_timeout=SECONDS)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await client.request("POST", headers, body, timeout=SECONDS)
                text = await answer.read(tokenrequest.MAX_ANSWER, SECONDS)
        except TimeoutError:
            raise TokenError(f"did not answer within {SECONDS:g} s") from None
        except HttpError as error:
            raise TokenError(f"does not answer ({error})") from None
        finally:
            client.close()
        return tokenrequest.read(answer.status, text)
