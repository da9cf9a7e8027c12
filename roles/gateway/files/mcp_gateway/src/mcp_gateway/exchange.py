"""Tokens for a server in exchange for the company's access token of its caller (RFC 8693).

A token is kept in this process for the very token that it was exchanged for, until shortly before
one of the two ends. Nothing is stored, and a caller with a key has none.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from mcp_gateway import subject, tokenrequest
from mcp_gateway.credentials import NOT_RENEWED, Credential, CredentialError
from mcp_gateway.identify import digest
from mcp_gateway.onceeach import OnceEach
from mcp_gateway.providers import Provider
from mcp_gateway.settings import Exchange
from mcp_gateway.subject import Subject
from mcp_gateway.tokenrequest import TokenError, Tokens

# So long before its end a token is not sent any more: a call is not refused on its way.
EARLY_SECONDS = 30
# Where the provider does not tell for how long a token is good.
UNTOLD_SECONDS = 60
MAX_KEPT = 10_000
# What an administrator has to correct, or has to be waited for; everything else that a provider
# says in refusal is about this person or this server.
OURS = ("", "invalid_client", "unauthorized_client", "server_error", "temporarily_unavailable")
KINDS = (tokenrequest.ACCESS_TOKEN, tokenrequest.JWT)


class Exchanged:
    """Those for one server."""

    def __init__(self, server: str, settings: Exchange, provider: Provider) -> None:
        self._server, self._settings, self._provider = server, settings, provider
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._exchanges: OnceEach[str, str] = OnceEach(lambda _error: True)

    async def get(self, person: str) -> Credential:
        given = self._given(person)
        key = digest(given.token)
        until, token = self._kept.get(key, (0.0, ""))
        if time.time() >= until:
            token = await self._exchanges.get(key, lambda: self._exchanged(key, given))
        return Credential(_id(person), token)

    async def current(self, person: str) -> str:
        return _id(person)

    def _given(self, person: str) -> Subject:
        """The caller's token, if it is theirs, the company's, and good still."""
        given = subject.current()
        if given is None or (given.person, given.issuer) != (person, self._settings.issuer):
            raise self.nobody()
        if time.time() >= given.expires_at:
            raise self._error("no_access_token", "the access token of this call has expired")
        return given

    async def _exchanged(self, key: str, given: Subject) -> str:
        try:
            endpoint = await self._provider.token_endpoint()
            tokens = await endpoint.ask(_form(self._settings, given.token))
            _check(tokens)
        except TokenError as error:
            is_ours = error.code in OURS
            raise self._error(
                NOT_RENEWED if is_ours else "exchange_refused",
                f"the company's sign-in {error}"
                + ("; try again in a minute" if is_ours else ", for you or for this server"),
            ) from None
        now = time.time()
        good_until = min(now + (tokens.expires_in or UNTOLD_SECONDS), given.expires_at)
        if good_until - EARLY_SECONDS > now:
            self._kept[key] = (good_until - EARLY_SECONDS, tokens.access_token)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return tokens.access_token

    def _error(self, kind: str, why: str) -> CredentialError:
        text = f"server {self._server} is used with your sign-in at the company: {why}"
        return CredentialError(kind, text, self._settings.sign_in_url or "")

    def nobody(self) -> CredentialError:
        where = self._settings.sign_in_url
        at = f" at {where}" if where else ""
        return self._error(
            "no_access_token",
            "this call came with a key, or with another server's token; remove the key from your "
            f"MCP client's settings, and have it sign in{at} by itself",
        )

    def refused(self, status: int) -> CredentialError:
        return self._error(
            "credential_refused",
            f"the server answered {status} to the token that it was exchanged for; ask its "
            "administrators what you may do there",
        )


def _form(settings: Exchange, token: str) -> dict[str, str]:
    """RFC 8693, 2.1."""
    asked = {"audience": settings.audience, "resource": settings.resource}
    return {
        "grant_type": tokenrequest.EXCHANGE,
        "subject_token": token,
        "subject_token_type": tokenrequest.ACCESS_TOKEN,
        "requested_token_type": tokenrequest.ACCESS_TOKEN,
        **{name: value for name, value in asked.items() if value},
        **({"scope": " ".join(settings.scopes)} if settings.scopes else {}),
    }


def _check(tokens: Tokens) -> None:
    """Raise for a token of another kind than was asked for."""
    if tokens.issued_token_type not in KINDS:
        raise TokenError("handed out no access token (issued_token_type)")


def _id(person: str) -> str:
    """The same for all of somebody's tokens: a session at the server is the person's."""
    return hashlib.sha256(f"exchanged\0{person}".encode()).hexdigest()[:16]
