"""A provider that misbehaves on purpose, in ways that no real one lets itself be made to."""

from __future__ import annotations

import time
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
        self.token: dict[str, Any] | None = None
        self.published = True
        self.rotate()
        routes = [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/jwks", self._jwks),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
        ]
        self.served = lab.Served(Starlette(routes=routes))
        self.issuer = self.served.url

    def rotate(self, kid: str = "first", publish: bool = True) -> None:
        """Sign with another key from now on."""
        self._key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
        if publish:
            self._keys = [self._key.as_dict(private=False)]

    async def _metadata(self, _request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.claims.get("metadata_issuer", self.issuer),
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _jwks(self, _request: Request) -> JSONResponse:
        return JSONResponse({"keys": self._keys})

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
        header = {"alg": "RS256", "kid": self._key.kid}
        token = jwt.encode(header, {k: v for k, v in claims.items() if v is not None}, self._key)
        return JSONResponse(
            {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token}
        )
