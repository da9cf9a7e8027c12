"""Tool servers that hand out tokens themselves: the way there and back. Authlib does OAuth.

Each server has a redirect address of its own, so that what one of them answers is never taken for
another's (RFC 9700, 4.4.2).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from typing import Any

import httpx2
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.starlette_client import OAuth
from starlette.requests import Request

from mcp_portal import bounded
from mcp_portal.problem import Problem
from mcp_portal.provider import ERROR, ERRORS, MALFORMED
from mcp_portal.settings import Oauth, secret
from mcp_portal.tokens import is_token
from mcp_portal.vault import Grant

# From the first byte to the last.
SECONDS = 10
log = logging.getLogger("mcp_portal.credentials")


class Connections:
    """Starts connections, finishes them, and revokes what came of them."""

    def __init__(self, settings: dict[str, Oauth], callback: str) -> None:
        self._settings, self._callback = settings, callback
        self._http: dict[str, Any] = {
            "verify": ssl.create_default_context(),
            "timeout": SECONDS,
            "trust_env": False,
            "headers": bounded.PLAIN,
            "event_hooks": bounded.HOOKS,
        }
        self._registry = OAuth()
        for server, client in settings.items():
            self._registry.register(
                _app(server),
                **self._client(client),
                authorize_url=client.authorization_endpoint,
                access_token_url=client.token_endpoint,
                client_kwargs={
                    "scope": " ".join(client.scopes) or None,
                    "code_challenge_method": "S256",
                    "token_endpoint_auth_method": _method(client),
                    **self._http,
                },
            )

    def __contains__(self, server: str) -> bool:
        return server in self._settings

    def can_revoke(self, server: str) -> bool:
        return server in self and self._settings[server].revocation_endpoint is not None

    async def start(self, request: Request, server: str) -> str:
        """Return where the server's own sign-in begins, with state (of this session) and PKCE."""
        app = self._registry.create_client(_app(server))
        there = await app.authorize_redirect(request, f"{self._callback}/{server}")
        return str(there.headers["location"])

    async def finish(self, request: Request, server: str) -> Grant:
        """Return what the server hands out for whoever came back; a Problem otherwise."""
        if error := request.query_params.get("error"):
            # Whoever makes somebody open an address writes the rest of it.
            raise _refused(server, OAuthError(error if error in ERRORS else "unknown_error"))
        app = self._registry.create_client(_app(server))
        try:
            async with asyncio.timeout(SECONDS):
                return _grant(server, await app.authorize_access_token(request))
        except MismatchingStateError:
            raise Problem("connection_used", 400, server=server) from None
        except OAuthError as error:
            raise _refused(server, error) from None
        except TimeoutError:
            raise _away(server, f"no answer within {SECONDS} s") from None
        except (*MALFORMED, OverflowError) as error:  # the latter by a time without an end
            raise _away(server, bounded.reason_of(error)) from None

    async def revoke(self, server: str, grant: Grant) -> bool:
        """Revoke a grant (RFC 7009); tell whether the server said that it did."""
        settings = self._settings[server]
        token, hint = grant.access_token, "access_token"
        if grant.refresh_token:  # with which the server ends the access token, too
            token, hint = grant.refresh_token, "refresh_token"
        try:
            async with (
                AsyncOAuth2Client(
                    **self._client(settings),
                    revocation_endpoint_auth_method=_method(settings),
                    **self._http,
                ) as http,
                asyncio.timeout(SECONDS),
            ):
                answer = await http.revoke_token(settings.revocation_endpoint, token, hint)
        except (httpx2.HTTPError, TimeoutError) as error:
            log.warning("%s: not revoked: %s", server, type(error).__name__)
            return False
        if answer.status_code != 200:
            log.warning("%s: not revoked: HTTP %s", server, answer.status_code)
        return answer.status_code == 200

    def _client(self, settings: Oauth) -> dict[str, Any]:
        path = settings.client_secret_file
        return {"client_id": settings.client_id, "client_secret": secret(path) if path else None}


def _app(server: str) -> str:
    """Never the name under which sessions keep sign-ins at the company."""
    return f"server-{server}"


def _method(client: Oauth) -> str:
    return client.token_endpoint_auth_method if client.client_secret_file else "none"


def _away(server: str, reason: str) -> Problem:
    return Problem("connection_away", 503, server=server, reason=reason)


def _refused(server: str, error: OAuthError) -> Problem:
    if error.error == "access_denied":
        return Problem("connection_denied", 403, server=server)
    reason = str(error.error)
    if not ERROR.fullmatch(reason):
        reason = "unknown_error"
    return Problem("connection_refused", 502, server=server, reason=reason)


def _grant(server: str, answer: dict[str, Any]) -> Grant:
    """The grant in a token response, once the gateway can send what is in it."""
    access, refresh = answer.get("access_token"), answer.get("refresh_token") or ""
    expires_at = answer.get("expires_at") or 0
    is_bearer = str(answer.get("token_type")).lower() == "bearer"
    if not is_bearer or not is_token(access) or (refresh and not is_token(refresh)):
        raise Problem("connection_token", 502, server=server)
    return Grant(secrets.token_hex(8), access, refresh, int(expires_at))
