"""Sign-in of a terminal, which has no browser (RFC 8628). Authlib judges the requests.

A person types the code that the terminal shows. The terminal gets a key and a refresh token, with
which it takes another key until the person's sign-in would have ended. All of it ends with "End all
my sessions".
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import msgspec
from authlib.oauth2.rfc6749 import errors
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_portal import sessions, words
from mcp_portal.device_server import EXPIRES_IN, INTERVAL, Login, Server
from mcp_portal.kept import Kept, name
from mcp_portal.pages import HEADERS, PREFIX, page
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem

# What a terminal's key lasts at most. It is renewed when half of that is over, so that programs
# which read it once at their start can go on for the other half.
KEY_SECONDS = 4 * 3600
# How often a person may type a code, in a window of seconds.
GUESSES, GUESSES_SECONDS = 10, 600


class Device:
    """The addresses of the terminal, and the page on which its code is typed."""

    def __init__(self, portal: Portal) -> None:
        self._portal, self._store = portal, portal.store
        self._kept = Kept(portal.store, portal.seal)
        self._page = f"{portal.config.listen.public_url.rstrip('/')}{PREFIX}/device"

    # --- the person -------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        person, session = self._portal.signed_in(request)
        team, hours = self._portal.team(request, person), self._portal.hours_left(session)
        return page(request, "device", teams=person.teams, team=team, hours=hours, address="")

    async def allow(self, request: Request) -> Response:
        """Let the terminal that shows the code take keys, as far as the person could by hand."""
        person, session = await self._portal.form(request)
        if await self._store.count(f"guesses:{person.id}", GUESSES_SECONDS) > GUESSES:
            raise Problem("too_many", 429)
        code = _typed(str((await request.form()).get("code") or ""))
        waiting = await self._kept.taken("user-code", code)
        if waiting is None:
            raise Problem("code_unknown", 404)
        team = await self._portal.form_team(request, person)
        lifetime = self._portal.config.lifetime_seconds
        granted = Login(
            person=person, team=team, session=sessions.name_of(session.id),
            ends_at=time.time() + session.seconds_left(lifetime),
        )  # fmt: skip
        await self._kept.put("grant", code, granted, EXPIRES_IN)
        hours, address = self._portal.hours_left(session), waiting["address"]
        return page(request, "device", teams=person.teams, team=team, hours=hours, address=address)

    # --- the terminal -----------------------------------------------------------------------

    async def begin(self, request: Request) -> Response:
        """Hand out a device code and the code that a person types."""
        try:
            address = await self._portal.count_address(request)
        except Problem as problem:
            return _refused(problem)
        server = Server(await _form(request), self._page)
        status, body = server.create_endpoint_response("device_authorization")
        if status == 200:
            # The page does not take the code from its address: with a link that somebody was sent,
            # they would connect the sender's terminal.
            body.pop("verification_uri_complete")
            device, user = body["device_code"], body["user_code"]
            waiting = {"user_code": user, "expires_at": time.time() + EXPIRES_IN}
            await self._kept.put("device", device, waiting, EXPIRES_IN)
            await self._kept.put("user-code", user, {"address": address}, EXPIRES_IN)
        return JSONResponse(body, status, headers=HEADERS)

    async def token(self, request: Request) -> Response:
        """Hand out a key, for a device code that was allowed or a refresh token."""
        try:
            status, body = await self._token(await _form(request))
        except Problem as problem:
            return _refused(problem)
        return JSONResponse(body, status, headers=HEADERS)

    async def _token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        server = Server(form, self._page)
        device, refresh = form.get("device_code", ""), form.get("refresh_token", "")
        if device:
            server.device = await self._kept.get("device", device)
        if server.device:
            asked = await self._store.count(name("poll", device), INTERVAL - 1)
            server.is_hasty = asked > 1
            code = server.device["user_code"]
            server.login = _login(await self._kept.get("grant", code))
        elif refresh:
            server.login = _login(await self._kept.get("login", refresh))
        status, body = server.create_token_response()
        if status != 200:
            return status, body
        try:
            return 200, await self._granted(server, device, refresh)
        except errors.OAuth2Error as error:
            return error.status_code, dict(error.get_body())

    async def _granted(self, server: Server, device: str, refresh: str) -> dict[str, Any]:
        """A key; for a device code that was never used also what renews it."""
        login, table = server.login, self._portal.config.oidc.teams
        assert login is not None  # or the request would have been refused
        if server.device:
            refresh = await self._begun(login, device, server.device["user_code"])
        seconds = int(min(KEY_SECONDS, login.ends_at - time.time()))
        if login.team not in {row.team for row in table} or seconds < 1:
            raise errors.InvalidGrantError()
        await self._portal.count_key(login.person)
        key = await self._portal.keys.issue(login.person, login.team, seconds)
        if await self._store.get(name("login", refresh)) is None:  # ended while the key was made
            await self._portal.keys.revoke([key])
            raise errors.InvalidGrantError()
        return {
            "access_token": key,
            "token_type": "Bearer",
            "expires_in": seconds,
            "refresh_token": refresh,
            "refresh_token_expires_in": int(login.ends_at - time.time()),
        }

    async def _begun(self, login: Login, device: str, code: str) -> str:
        """Keep a login, once, where it ends with the person's sessions; return what renews it."""
        if await self._kept.taken("device", device) is None:
            raise errors.InvalidGrantError()
        await self._store.delete(name("grant", code))
        refresh = secrets.token_urlsafe(32)
        kept, seconds = name("login", refresh), max(1, int(login.ends_at - time.time()))
        await self._kept.put("login", refresh, login, seconds)
        await self._store.note(sessions.index_of(login.person.id), kept, seconds)
        if await self._store.get(login.session) is None:  # the person signed out meanwhile
            await self._store.delete(kept)
            raise errors.InvalidGrantError()
        return refresh


def _refused(problem: Problem) -> Response:
    said = words.say("en", f"problem_{problem.key}", **problem.values)
    body = {"error": "temporarily_unavailable", "error_description": said}
    return JSONResponse(body, problem.status, headers=HEADERS)


async def _form(request: Request) -> dict[str, str]:
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _typed(text: str) -> str:
    """A code as it was shown, however somebody typed it."""
    letters = re.sub(r"[^A-Z]", "", text.upper())[:8]
    return f"{letters[:4]}-{letters[4:]}"


def _login(found: Any) -> Login | None:
    return msgspec.convert(found, Login) if found else None
