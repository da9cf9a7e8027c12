"""A provider that misbehaves on purpose, in ways that no real one lets itself be made to."""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import json
import secrets
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

import lab
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

CLAIMS = {"sub": "s1", "preferred_username": "sam", "groups": ["dev-payments"]}


class FaultyProvider:
    """Signs everybody in at once; `claims` are added to its tokens."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.nonce = ""
        self.algorithms = ["RS256"]
        self.has_userinfo = True
        # Answers of other shapes, by path.
        self.answers: dict[str, Any] = {}
        self.meanwhile: Callable[[], object] | None = None
        # Whether it gives refresh tokens, which work once; those that are good, and whose they are.
        self.gives_refresh_tokens = False
        self.refresh_tokens: dict[str, str] = {}
        self.expires_in = 300
        # What somebody's claims are by now; None takes one away.
        self.changed: dict[str, dict[str, Any]] = {}
        # Whom it was asked about again, and whether it can answer that.
        self.asked_again: list[str] = []
        self.is_away = False
        # What the answers to that lack.
        self.leaves_out: list[str] = []
        self._signed_in: dict[str, dict[str, Any]] = {}
        self.rotate()
        routes = [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/jwks", self._jwks),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo),
        ]
        # By how many seconds its clock is wrong.
        self.skew = 0
        self.served = lab.Served(Starlette(routes=routes), date_header=False)
        self.issuer = self.served.url

    def rotate(self, kid: str = "first", publish: bool = True) -> None:
        """Sign with another key from now on."""
        self._key = _made(kid, publish)
        if publish:
            self._keys = [self._key.as_dict(private=False)]

    def _given(self, path: str, answer: dict[str, Any]) -> JSONResponse:
        date = formatdate(time.time() + self.skew, usegmt=True)
        return JSONResponse(self.answers.get(path, answer), headers={"date": date})

    async def _userinfo(self, _request: Request) -> JSONResponse:
        return self._given("/userinfo", {"sub": "another", "groups": ["dev-payments"]})

    async def _metadata(self, _request: Request) -> JSONResponse:
        await self._happen()
        return self._given(
            "/metadata",
            {
                "issuer": self.claims.get("metadata_issuer", self.issuer),
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": self.algorithms,
                **({"userinfo_endpoint": f"{self.issuer}/userinfo"} if self.has_userinfo else {}),
            },
        )

    async def _happen(self) -> None:
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            await asyncio.to_thread(happens)

    async def _jwks(self, _request: Request) -> JSONResponse:
        return self._given("/jwks", {"keys": self._keys})

    async def _authorize(self, request: Request) -> RedirectResponse:
        asked = request.query_params
        self.nonce = asked["nonce"]
        back = urlencode({"code": "c", "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}")

    async def _token(self, request: Request) -> JSONResponse:
        form = await request.form()
        if form["grant_type"] == "refresh_token":
            return await self._refreshed(str(form["refresh_token"]))
        subject = str({**CLAIMS, **self.claims}["sub"])
        self._signed_in[subject] = dict(self.claims)
        return self._given("/token", self._tokens(subject, {"nonce": self.nonce, **self.claims}))

    async def _refreshed(self, token: str) -> JSONResponse:
        if self.is_away:
            return JSONResponse({}, 503)
        if "/refresh" in self.answers:
            return self._given("/refresh", {})
        subject = self.refresh_tokens.pop(token, None)
        self.asked_again.append(str(subject))
        await self._happen()
        if subject is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = {**self._signed_in[subject], **self.changed.get(subject, {})}
        answer = self._tokens(subject, claims)
        kept = {name: value for name, value in answer.items() if name not in self.leaves_out}
        return self._given("/token", kept)

    def _tokens(self, subject: str, changes: dict[str, Any]) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            **CLAIMS,
            "iss": self.issuer,
            "aud": "intranet-mcp",
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        token = self._signed({k: v for k, v in claims.items() if v is not None})
        answer = {"access_token": "a", "token_type": "Bearer", "id_token": token}
        answer["expires_in"] = self.expires_in
        if self.gives_refresh_tokens:
            answer["refresh_token"] = f"refresh-{secrets.token_hex(8)}"
            self.refresh_tokens[answer["refresh_token"]] = subject
        return answer

    def _signed(self, claims: dict[str, Any]) -> str:
        """A token, signed as the last of its algorithms wants it."""
        algorithm = self.algorithms[-1]
        header = {"alg": algorithm, "kid": self._key.kid}
        if algorithm == "RS256":
            return jwt.encode(header, claims, self._key)
        # What no library makes: everybody has the public key, and can sign with it as a secret.
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        public = self._key.as_pem(private=False)
        seal = hmac.digest(public, text.encode(), "sha256") if algorithm == "HS256" else b""
        return f"{text}.{_encoded(seal)}"


@functools.cache
def _made(kid: str, is_published: bool) -> RSAKey:
    """A key for all tests, since one takes long to make; another one where nobody may know it."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
