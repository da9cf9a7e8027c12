"""The company's provider: the way there and back. Authlib does OAuth and OpenID Connect."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from starlette.requests import Request
from starlette.responses import Response

from mcp_portal import signing
from mcp_portal.problem import Problem
from mcp_portal.settings import Oidc, secret

# What a provider may say on the way back (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6). Whoever
# makes somebody open an address writes the rest of it.
ERRORS = {
    "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type",
    "invalid_scope", "server_error", "temporarily_unavailable", "interaction_required",
    "login_required", "account_selection_required", "consent_required",
}  # fmt: skip
UNKNOWN_CLIENT = ("invalid_client", "unauthorized_client")
# With these only the provider can sign. "none" and shared secrets are not accepted, whatever it
# lists.
ALGORITHMS = {
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
}
# How reading an answer of another shape ends.
MALFORMED = (
    httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError, RecursionError
)  # fmt: skip
log = logging.getLogger("mcp_portal")


class Provider:
    """Starts sign-ins and finishes them."""

    def __init__(self, settings: Oidc, callback: str) -> None:
        self._settings, self._callback = settings, callback
        self._http: dict[str, Any] = {
            "verify": ssl.create_default_context(cafile=settings.ca_file),
            "timeout": settings.timeout_seconds,
            "trust_env": False,
        }
        self._app = OAuth().register(
            "company",
            client_id=settings.client_id,
            client_secret=secret(settings.client_secret_file),
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(settings.scopes),
                "code_challenge_method": "S256",
                **self._http,
            },
        )

    async def start(self, request: Request) -> Response:
        """Send somebody to the provider, with state, nonce and PKCE; it is asked anew each time.

        So nobody is sent to one that is away, and what it changed is known.
        """
        await self.check()
        return await self._app.authorize_redirect(request, self._callback)

    async def finish(self, request: Request) -> dict[str, Any]:
        """Return the claims of whoever came back."""
        _judge_return(request.query_params)
        await self._metadata()
        try:
            token = await self._app.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                leeway=self._settings.leeway_seconds,
            )
            claims = dict(token.get("userinfo") or {})
            if not claims:
                raise Problem("no_id_token", 502)
            return await self._completed(claims, token)
        except MismatchingStateError:
            raise Problem("sign_in_used", 400) from None
        except OAuthError as error:
            raise _refused(error) from None
        except JoseError as error:
            raise _untrusted(error) from None
        except MALFORMED as error:
            raise self._away(error) from None

    async def _completed(self, claims: dict[str, Any], token: dict[str, Any]) -> dict[str, Any]:
        """The claims with those that the provider tells at its userinfo endpoint alone."""
        metadata = await self._app.load_server_metadata()
        if self._settings.claims.groups in claims or "userinfo_endpoint" not in metadata:
            return claims
        more = await self._app.userinfo(token=token)
        # OpenID Connect Core, 5.3.2: another subject's answer must not be used.
        return {**more, **claims} if more.get("sub") == claims.get("sub") else claims

    async def check(self) -> None:
        """Raise a Problem where nobody could sign in."""
        self._app.server_metadata.clear()
        await self._metadata()

    async def examine(self) -> None:
        """Raise a Problem with what would stop a sign-in on its way, as far as nobody is needed."""
        await self.check()
        try:
            metadata = await self._app.load_server_metadata()
            async with httpx2.AsyncClient(**self._http) as http:
                reply = await http.get(metadata["jwks_uri"])
            reply.raise_for_status()
            signing.judge_clock(reply.headers, time.time(), self._settings.leeway_seconds)
            signing.judge_keys(reply.json()["keys"], time.time())
            # No code is called this. Who does not know the client says so before that.
            await self._app.fetch_access_token(
                code="check", redirect_uri=self._callback, code_verifier="check" * 9
            )
        except OAuthError as error:
            if error.error in UNKNOWN_CLIENT:
                raise _refused(error) from None
        except MALFORMED as error:
            raise self._away(error) from None

    async def _metadata(self) -> None:
        """Have what the provider publishes of itself."""
        try:
            metadata = await self._app.load_server_metadata()
        except MALFORMED as error:
            raise self._away(error) from None
        offered = metadata.get("id_token_signing_alg_values_supported") or ()
        kept = [name for name in offered if name in ALGORITHMS]
        metadata["id_token_signing_alg_values_supported"] = kept
        if metadata.get("issuer") != self._settings.issuer:
            found = metadata.get("issuer")
            raise Problem("other_issuer", 502, found=found, expected=self._settings.issuer)

    def _away(self, error: Exception) -> Problem:
        reason = str(error) or type(error).__name__
        return Problem("provider_away", 503, issuer=self._settings.issuer, reason=reason)


def _judge_return(query: Mapping[str, str]) -> None:
    """Raise a Problem where the provider sent somebody back with an error."""
    error = query.get("error")
    if error is None:
        return
    # For administrators: some providers say here what is wrong with the client.
    log.warning("sign-in refused: %.40r %.300r", error, query.get("error_description", ""))
    raise _refused(OAuthError(error=error if error in ERRORS else "unknown_error"))


def _refused(error: OAuthError) -> Problem:
    """What the provider said, as a message."""
    if error.error == "access_denied":
        return Problem("sign_in_denied", 403)
    if error.error == "invalid_grant":
        return Problem("sign_in_used", 400)
    if error.error in UNKNOWN_CLIENT:
        return Problem("client_refused", 502, reason=error.error)
    return Problem("sign_in_failed", 502, reason=str(error)[:200])


def _untrusted(error: JoseError) -> Problem:
    """What is wrong with the provider's token."""
    claim = error.claim if isinstance(error, ClaimError) else ""
    if isinstance(error, ExpiredTokenError) or claim in ("iat", "nbf", "exp"):
        return Problem("clocks_differ", 502)
    if claim == "aud":
        return Problem("other_audience", 502)
    return Problem("token_untrusted", 502, reason=str(error)[:200])
