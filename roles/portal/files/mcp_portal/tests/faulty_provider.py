"""A provider that misbehaves on purpose, in ways that no real one lets itself be made to."""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import json
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
        # Answers of other shapes, by path.
        self.answers: dict[str, Any] = {}
        self.meanwhile: Callable[[], object] | None = None
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
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            await asyncio.to_thread(happens)
        return self._given(
            "/metadata",
            {
                "issuer": self.claims.get("metadata_issuer", self.issuer),
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "id_token_signing_alg_values_supported": self.algorithms,
            },
        )

    async def _jwks(self, _request: Request) -> JSONResponse:
        return self._given("/jwks", {"keys": self._keys})

    async def _authorize(self, request: Request) -> RedirectResponse:
        asked = request.query_params
        self.nonce = asked["nonce"]
        back = urlencode({"code": "c", "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}")

    async def _token(self, _request: Request) -> JSONResponse:
        now = int(time.time())
        claims = {
            **CLAIMS,
            "iss": self.issuer,
            "aud": "intranet-mcp",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            **self.claims,
        }
        token = self._signed({k: v for k, v in claims.items() if v is not None})
        return self._given(
            "/token",
            {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token},
        )

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
