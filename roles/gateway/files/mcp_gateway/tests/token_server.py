"""A token endpoint that rotates refresh tokens and exchanges tokens, and does as it is told."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from urllib.parse import parse_qsl

import msgspec
from support import raw

CLIENT, SECRET = "gateway-at-the-server", "a.secret_of~the-tests"


class TokenServer:
    """`whose` says to whom each token belongs that is good still."""

    def __init__(self):
        self.asked = []  # every form, with the client that sent it
        self.whose = {}
        self.reused = []  # refresh tokens that came again: then a server ends the grant
        self.lifetime = 3600
        self.answer = None  # status and body, in place of what is right
        self.changes = {}  # members of a right answer that are others; None leaves one out
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._used = set()
        self._number = itertools.count(1)

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    def refresh_token(self, person):
        token = f"refresh-{person}-{next(self._number)}"
        self.whose[token] = person
        return token

    async def _serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.split(": ", 1) for line in head.strip().split("\r\n")[1:]]
            headers = {name.lower(): value for name, value in lines}
            body = await reader.readexactly(int(headers["content-length"]))
            assert headers["content-type"] == "application/x-www-form-urlencoded"
            form = dict(parse_qsl(body.decode()))
            self.asked.append({**form, "client": _client(headers, form)})
            await self.goes_on.wait()
            status, answer = self.answer or self._right(form)
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await raw(writer, text, status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _right(self, form):
        if self.asked[-1]["client"] != (CLIENT, SECRET):
            return "401 Unauthorized", {"error": "invalid_client"}
        person = self._person(form)
        if person is None:
            return "400 Bad Request", {"error": "invalid_grant"}
        access = f"access-{person}-{next(self._number)}"
        self.whose[access] = person
        made = {"access_token": access, "token_type": "Bearer", "expires_in": self.lifetime}
        if form["grant_type"] == "refresh_token":
            made["refresh_token"] = self.refresh_token(person)
        else:
            made["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        return "200 OK", {k: v for k, v in (made | self.changes).items() if v is not None}

    def _person(self, form):
        if form["grant_type"] != "refresh_token":
            return _subject(form["subject_token"])
        token = form["refresh_token"]
        if token in self._used:
            self.reused.append(token)
            return None
        self._used.add(token)
        return self.whose.get(token)


def _subject(token):
    part = token.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]


def _client(headers, form):
    given = headers.get("authorization", "")
    if given.startswith("Basic "):
        return tuple(base64.b64decode(given[6:]).decode().split(":", 1))
    return form.get("client_id"), form.get("client_secret")
