"""Log-ins of programs at the tools' gateway (OAuth 2.1), where the company registers none.

The portal stands before the company's provider: a program registers itself, its person signs in at
the portal as always and is asked each time whether the program may act for them. It gets access
tokens for the gateway, and renews them until the person's sign-in would have ended. All of it ends
with "End all my sessions".
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2.rfc6749 import errors
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mcp_portal import sessions, words
from mcp_portal.access_tokens import ALGORITHM, AccessTokens
from mcp_portal.authorization_server import Code, Pairs, Server
from mcp_portal.grants import Grants
from mcp_portal.pages import HEADERS, POLICY, PREFIX, page
from mcp_portal.people import Person
from mcp_portal.portal import NotSignedIn, Portal
from mcp_portal.problem import Problem
from mcp_portal.programs import GRANT_TYPES, SCOPE, Program, Programs, Refused
from mcp_portal.seal import Seal
from mcp_portal.sessions import Session
from mcp_portal.settings import Authorization as Settings
from mcp_portal.settings import ConfigError, secret

NAME = "authorize"
MAX_REQUEST = 8192
log = logging.getLogger("mcp_portal")
# How often somebody may answer the question, in a window of seconds.
ANSWERS, ANSWERS_SECONDS = 60, 600


class Authorization:
    """The addresses of programs, and the page on which a person allows one something."""

    def __init__(self, portal: Portal, settings: Settings) -> None:
        self._portal, self._store, self._settings = portal, portal.store, settings
        own = secret(settings.key_file)
        self._base = f"{portal.config.listen.public_url.rstrip('/')}{PREFIX}"
        try:
            self._tokens = AccessTokens(own, self._base)
        except ValueError as error:
            raise ConfigError(f"{settings.key_file}: {error}") from None
        self._programs = Programs(Seal(own), settings.redirect_uris)
        self._grants = Grants(portal, self._tokens)

    def routes(self) -> list[Route]:
        """Addresses below the portal's own."""
        return [
            Route(f"/{NAME}", self.ask),
            Route(f"/{NAME}", self.answer, methods=["POST"]),
            Route("/oauth/register", self.register, methods=["POST"]),
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/oauth/keys", self.keys),
            Route("/.well-known/oauth-authorization-server", self.metadata),
            Route("/.well-known/openid-configuration", self.openid_metadata),
        ]

    def well_known(self) -> list[Route]:
        """Where RFC 8414 wants the metadata of an issuer with a path: before it, not behind it."""
        return [
            Route(f"/.well-known/oauth-authorization-server{PREFIX}", self.metadata),
            Route(f"/.well-known/openid-configuration{PREFIX}", self.openid_metadata),
        ]

    # --- what is published ------------------------------------------------------------------

    async def metadata(self, _request: Request) -> Response:
        return JSONResponse(self._metadata(), headers=HEADERS)

    async def openid_metadata(self, _request: Request) -> Response:
        """The same for clients that look here alone, which insist on two members more."""
        openid = {
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        return JSONResponse({**self._metadata(), **openid}, headers=HEADERS)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self._base,
            "authorization_endpoint": f"{self._base}/{NAME}",
            "token_endpoint": f"{self._base}/oauth/token",
            "registration_endpoint": f"{self._base}/oauth/register",
            "jwks_uri": f"{self._base}/oauth/keys",
            "scopes_supported": [SCOPE],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GRANT_TYPES,
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    async def keys(self, _request: Request) -> Response:
        return JSONResponse(self._tokens.published(), headers=HEADERS)

    async def register(self, request: Request) -> Response:
        try:
            await self._portal.count_address(request, "registrations")
            told = self._programs.register(await request.body())
        except Problem as problem:
            return _away(problem)
        except Refused as refused:
            body = {"error": refused.error, "error_description": refused.description}
            return JSONResponse(body, 400, headers=HEADERS)
        return JSONResponse(told, 201, headers=HEADERS)

    async def token(self, request: Request) -> Response:
        """Hand out tokens, for a code or a refresh token."""
        pairs = _pairs((await request.body()).decode("latin-1"))
        try:
            status, body = await self._grants.answer(self._server("POST", pairs))
        except errors.OAuth2Error as error:
            status, body = error.status_code, dict(error.get_body())
        return JSONResponse(body, status, headers=HEADERS)

    # --- the person -------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """Show what a program asks for. The session has the request while somebody signs in."""
        await self._portal.count_address(request, "authorizations")
        session: Session = request.scope["session"]
        asked = request.url.query or str(session.get("asked", ""))
        server = self._server("GET", _pairs(asked))
        try:
            grant = server.consent()
        except errors.OAuth2Error as error:
            return _refused(server, error)
        session["asked"] = asked
        person, session = self._portal.signed_in(request)
        await self._check_groups(person)
        program, redirect_uri = grant.client, grant.redirect_uri
        shown = page(
            request, NAME, asked=asked, program=program, host=urlsplit(redirect_uri).netloc,
            is_here=redirect_uri.startswith("http:"), teams=person.teams, who=person.name,
            hours=self._portal.hours_left(session),
        )  # fmt: skip
        # Chromium asks it also where the answer to the form leads.
        shown.headers["content-security-policy"] = _policy(redirect_uri)
        return shown

    async def answer(self, request: Request) -> Response:
        """Send the program back what the person said."""
        person, session = await self._portal.form(request)
        if await self._store.count(f"answers:{person.id}", ANSWERS_SECONDS) > ANSWERS:
            raise Problem("too_many", 429)
        form = await request.form()
        server = self._server("GET", _pairs(str(form.get("asked") or "")))
        try:
            grant = server.consent()
        except errors.OAuth2Error as error:
            return _refused(server, error)
        if form.get("answer") != "allow":
            session.pop("asked", None)
            return _led(server.returned(grant, None))
        await self._check_groups(person)
        session.pop("asked", None)
        team = await self._portal.form_team(request, person)
        where = server.returned(grant, person)
        await self._allowed(server, grant.client, person, session, team)
        return _led(where)

    async def _allowed(
        self, server: Server, program: Program, person: Person, session: Session, team: str
    ) -> None:
        """Keep what a code is good for, and for longer to whom it belonged."""
        asked = server.asked.payload.data
        left = session.seconds_left(self._portal.config.lifetime_seconds)
        code = Code(
            program=program.digest, redirect_uri=asked["redirect_uri"], resource=asked["resource"],
            code_challenge=asked["code_challenge"], person=person, team=team,
            session=sessions.name_of(session.id), ends_at=time.time() + left,
            family=secrets.token_urlsafe(32),
        )  # fmt: skip
        await self._grants.allowed(server.code_made, code)
        host = urlsplit(code.redirect_uri).netloc
        log.info("%s allows the program %r at %s", person.user, program.name, host)

    async def _check_groups(self, person: Person) -> None:
        """Whoever signed in before groups were kept does so again."""
        member = await self._portal.members.find(person.id)
        if member is None:
            raise NotSignedIn(NAME)
        if member.has_too_many_groups:
            raise Problem("too_many_groups", 403)

    def _server(self, method: str, pairs: Pairs) -> Server:
        find, resources = self._programs.find, self._settings.resources
        return Server(method, pairs, self._tokens.issuer, find, resources)


def _pairs(query: str) -> Pairs:
    """The parameters of a request; none where it is larger than any."""
    try:
        fits = len(query) <= MAX_REQUEST
        return parse_qsl(query, keep_blank_values=True, max_num_fields=30) if fits else []
    except ValueError:
        return []


def _led(where: str) -> Response:
    return RedirectResponse(where, 303, headers=HEADERS)


def _refused(server: Server, error: errors.OAuth2Error) -> Response:
    """Tell the program, where the address is its own; else the person, and lead nowhere."""
    if error.redirect_uri:
        return _led(server.told(error))
    if isinstance(error, errors.InvalidClientError):
        raise Problem("program_unknown", 400)
    raise Problem("program_request", 400)


def _away(problem: Problem) -> Response:
    said = words.say("en", f"problem_{problem.key}", **problem.values)
    body = {"error": "temporarily_unavailable", "error_description": said}
    return JSONResponse(body, problem.status, headers=HEADERS)


def _policy(redirect_uri: str) -> str:
    """What the page allows: its form, and where that leads. (No policy can name [::1].)"""
    parts = urlsplit(redirect_uri)
    source = "http:" if parts.hostname == "::1" else f"{parts.scheme}://{parts.netloc}"
    return POLICY.replace("form-action 'self'", f"form-action 'self' {source}")
