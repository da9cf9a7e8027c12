"""The authorization server of a tool server: it hands out tokens as RFC 6749 and 7636 say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus, urlencode

import lab
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "portal-at-the-server", "a.secret_of~the-tests"


class UpstreamServer:
    """Allows everything at once, in the name of `person`; `answers` are those of other shapes."""

    def __init__(self, redirect_uris: list[str] | None = None) -> None:
        self.person = "sam"
        self.redirect_uris = redirect_uris or []
        # What comes back in place of a code.
        self.refusal = ""
        # Status and body, by path.
        self.answers: dict[str, tuple[int, Any]] = {}
        self.lifetime: int | None = 3600
        # What happens while a token is asked for, or revoked.
        self.meanwhile: Callable[[], Any] | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.revoked: list[str] = []
        # Tokens that are good still, and whose they are.
        self.access: dict[str, str] = {}
        self.refresh: dict[str, str] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._number = itertools.count(1)
        routes = [
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", self._revoke, methods=["POST"]),
        ]
        self.served = lab.Served(Starlette(routes=routes))
        self.url = self.served.url

    def hand_out(self, person: str) -> dict[str, Any]:
        """A token response (RFC 6749, 5.1)."""
        number = next(self._number)
        answer: dict[str, Any] = {
            "access_token": f"access-{person}-{number}",
            "refresh_token": f"refresh-{person}-{number}",
            "token_type": "bearer",
        }
        self.access[answer["access_token"]] = self.refresh[answer["refresh_token"]] = person
        if self.lifetime is not None:
            answer["expires_in"] = self.lifetime
        return answer

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(("/authorize", asked))
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code"
        assert asked["redirect_uri"] in self.redirect_uris and asked["state"]
        assert asked["code_challenge_method"] == "S256"
        if self.refusal:
            back = {"error": self.refusal, "error_description": "token-in-a-description"}
        else:
            back = {"code": f"code-{next(self._number)}"}
            self._codes[back["code"]] = {**asked, "person": self.person}
        location = f"{asked['redirect_uri']}?{urlencode({**back, 'state': asked['state']})}"
        return RedirectResponse(location)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.asked.append(("/token", form))
        if self.meanwhile is not None:
            await asyncio.to_thread(self.meanwhile)
        if "/token" in self.answers:
            status, body = self.answers["/token"]
            return body if isinstance(body, Response) else JSONResponse(body, status)
        if _client(request, form) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        person = self._redeemed(form)
        if person is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(self.hand_out(person))

    def _redeemed(self, form: dict[str, str]) -> str | None:
        """Who a code or a refresh token belongs to; it works once."""
        if form.get("grant_type") == "refresh_token":
            return self.refresh.pop(form["refresh_token"], None)
        assert form.get("grant_type") == "authorization_code"
        code = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_good = code and code["code_challenge"] == challenge
        return code["person"] if is_good and code["redirect_uri"] == form["redirect_uri"] else None

    async def _revoke(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.asked.append(("/revoke", form))
        if self.meanwhile is not None:
            await asyncio.to_thread(self.meanwhile)
        if "/revoke" in self.answers:
            return JSONResponse(None, self.answers["/revoke"][0])
        if _client(request, form) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        self.revoked.append(form["token"])
        return Response()


class Wire:
    """Sends each part, and the last one again and again for as long as somebody takes it."""

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self.sent = 0
        self._parts = parts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            taken, _address = self._listener.accept()
            with taken:
                taken.recv(65536)
                for part in itertools.chain(self._parts, itertools.repeat(self._parts[-1])):
                    taken.sendall(part)
                    self.sent += len(part)
                    time.sleep(0.02 if len(part) == 1 else 0)

    def close(self) -> None:
        self._listener.close()


def _client(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """Who asks: RFC 6749, 2.3.1, in the header or in the body."""
    given = request.headers.get("authorization", "")
    if given.startswith("Basic "):
        name, _colon, secret = base64.b64decode(given[6:]).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")
