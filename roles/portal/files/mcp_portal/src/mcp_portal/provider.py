"""The company's provider: the way there and back. Authlib does OAuth and OpenID Connect."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import httpx2
from authlib.integrations.base_client import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from starlette.requests import Request
from starlette.responses import Response

from mcp_portal import bounded, people, signing
from mcp_portal.problem import Problem
from mcp_portal.settings import Oidc, secret

# What a provider may say on the way back (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6). Whoever
# makes somebody open an address writes the rest of it.
ERRORS = {
    "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type",
    "invalid_scope", "server_error", "temporarily_unavailable", "interaction_required",
    "login_required", "account_selection_required", "consent_required",
}  # fmt: skip
# An error's name (RFC 6749, 5.2, and what servers add to it). What else they say may have secrets.
ERROR = re.compile(r"[a-z_]{1,40}")
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
# How many requests there may be in one step: keys, keys that were rotated, userinfo.
REFRESH_REQUESTS = 3
log = logging.getLogger("mcp_portal")


class Answer(NamedTuple):
    """What the provider says of somebody, and with what it is asked again; empty: it cannot be."""

    claims: dict[str, Any]
    refresh_token: str


class Provider:
    """Starts sign-ins and finishes them, and asks again about who has signed in."""

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
        self._expected: dict[str, Any] = {
            "claims_options": {
                "iss": {"essential": True, "value": settings.issuer},
                "aud": {"essential": True, "value": settings.client_id},
            },
            "leeway": settings.leeway_seconds,
        }

    async def start(self, request: Request) -> Response:
        """Send somebody to the provider, with state, nonce and PKCE; it is asked anew each time.

        So nobody is sent to one that is away, and what it changed is known.
        """
        await self.check()
        return await self._app.authorize_redirect(request, self._callback)

    async def finish(self, request: Request) -> Answer:
        """Return what is said of whoever came back."""
        _judge_return(request.query_params)
        await self._metadata()
        try:
            token = await self._app.authorize_access_token(request, **self._expected)
            claims = dict(token.get("userinfo") or {})
            if not claims:
                raise Problem("no_id_token", 502)
            return Answer(await self._completed(claims, token), _refresh_token(token))
        except MismatchingStateError:
            raise Problem("sign_in_used", 400) from None
        except OAuthError as error:
            raise _refused(error) from None
        except JoseError as error:
            raise _untrusted(error) from None
        except MALFORMED as error:
            raise self._away(error) from None

    async def refresh(self, refresh_token: str) -> dict[str, Any] | None:
        """Return another token response, with the refresh token that is good then.

        None where the provider refuses the one that it gave: the sign-in there has ended.
        """
        async with self._between_sign_ins():
            await self._metadata()
            try:
                # Without a scope it is that of the sign-in, of which less may have been granted.
                token = await self._app.fetch_access_token(
                    grant_type="refresh_token", refresh_token=refresh_token, scope=None
                )
            except OAuthError as error:
                if error.error == "invalid_grant":
                    return None
                raise
            if not token.get("access_token"):
                raise ValueError("no access token")
            return {**token, "refresh_token": _refresh_token(token) or refresh_token}

    async def told(self, token: dict[str, Any], person: str) -> dict[str, Any]:
        """Return what is said of somebody in a response to `refresh`; a Problem if of another.

        person: their id here.
        """
        async with self._between_sign_ins():
            # OpenID Connect Core, 12.2: there may be no ID token this time, and it has no nonce.
            claims = await self._app.parse_id_token(token, nonce=None, **self._expected)
            if claims is not None:
                self._judge_subject(claims, person)
            more = await self._elsewhere(claims or {}, token)
            if more is not None:
                self._judge_subject(more, person)
            return {**(more or {}), **(claims or {})}

    @contextlib.asynccontextmanager
    async def _between_sign_ins(self) -> AsyncIterator[None]:
        """Raise a Problem for whatever goes wrong, in which nothing is about the person."""
        try:
            async with asyncio.timeout(REFRESH_REQUESTS * self._settings.timeout_seconds):
                yield
        except OAuthError as error:
            is_name = ERROR.fullmatch(str(error.error))
            raise _refused(OAuthError(error.error if is_name else "unknown_error")) from None
        except JoseError as error:
            raise _untrusted(error) from None
        except TimeoutError:
            raise self._away("no answer in time") from None
        except (*MALFORMED, OverflowError) as error:  # the latter by a time without an end
            raise self._away(bounded.reason_of(error)) from None

    def _judge_subject(self, claims: dict[str, Any], person: str) -> None:
        """Raise a Problem where claims are not about a person."""
        if people.id_of(self._settings.issuer, str(claims.get("sub"))) != person:
            raise Problem("token_untrusted", 502, reason="it is about somebody else")

    async def _completed(self, claims: dict[str, Any], token: dict[str, Any]) -> dict[str, Any]:
        """The claims with those that the provider tells at its userinfo endpoint alone."""
        more = await self._elsewhere(claims, token)
        # OpenID Connect Core, 5.3.2: another subject's answer must not be used.
        if more is None or more.get("sub") != claims.get("sub"):
            return claims
        return {**more, **claims}

    async def _elsewhere(
        self, claims: dict[str, Any], token: dict[str, Any]
    ) -> dict[str, Any] | None:
        """What the userinfo endpoint says; None where nobody needs it, or there is none."""
        metadata = await self._app.load_server_metadata()
        if self._settings.claims.groups in claims or "userinfo_endpoint" not in metadata:
            return None
        # Without the rest of the response, with which Authlib would refresh it once more.
        bearer = {"access_token": token["access_token"], "token_type": "Bearer"}
        return dict(await self._app.userinfo(token=bearer))

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

    def _away(self, error: Exception | str) -> Problem:
        reason = str(error) or type(error).__name__
        return Problem("provider_away", 503, issuer=self._settings.issuer, reason=reason)


def _refresh_token(token: Mapping[str, Any]) -> str:
    given = token.get("refresh_token")
    return given if isinstance(given, str) else ""


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
