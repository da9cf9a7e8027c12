"""What people can do here; each public method answers one address."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from mcp_portal import administrators, people, plot, sessions, tools, words
from mcp_portal.directory import Directory
from mcp_portal.kept import Kept
from mcp_portal.litellm import Keys
from mcp_portal.members import Members
from mcp_portal.pages import HEADERS, MENU, PEOPLE, PREFIX, page
from mcp_portal.people import Person
from mcp_portal.problem import Problem
from mcp_portal.provider import Provider
from mcp_portal.seal import Seal
from mcp_portal.sessions import Session
from mcp_portal.settings import Config, secret
from mcp_portal.site import Site
from mcp_portal.standing import Standings
from mcp_portal.store import Store

# How often, each in a window of seconds: by address, by person.
SIGN_INS, SIGN_INS_SECONDS = 60, 60
KEYS, KEYS_SECONDS = 20, 600
# How long the line that installs everything can be used, once.
INSTALL_SECONDS = 600
USAGE_DAYS = 30
# Where a sign-in may lead.
NEXT = (*MENU, PEOPLE, "device", "authorize")


class Portal:
    """The services behind the pages."""

    def __init__(
        self, config: Config, site: Site, provider: Provider, keys: Keys, gateway: tools.Tools,
        store: Store,
    ) -> None:  # fmt: skip
        self.config, self.site, self.store = config, site, store
        # Nobody else on the platform has the client's secret.
        self.seal = Seal(secret(config.oidc.client_secret_file))
        self.directory = Directory(store, self.seal)
        self.provider, self.keys, self.gateway = provider, keys, gateway
        self.members = Members(Kept(store, self.seal), config)
        self.standings = Standings(store, self.seal, config)

    # --- signing in and out -----------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        if "person" in request.session:
            return RedirectResponse(f"{PREFIX}/overview", 303, headers=HEADERS)
        return page(request, "welcome", issuer=self.config.oidc.issuer)

    async def sign_in(self, request: Request) -> Response:
        await self.count_address(request)
        wanted = request.query_params.get("next", "")
        # A name of our own menu, and never an address: there is nowhere else to be led to.
        request.session["next"] = wanted if wanted in NEXT else "overview"
        response = await self.provider.start(request)
        response.headers.update(HEADERS)
        return response

    async def callback(self, request: Request) -> Response:
        await self.count_address(request, "returns")
        claims, refresh_token = await self.provider.finish(request)
        if self.config.authorization is not None:
            await self.members.note(claims)
        person = people.person(claims, self.config.oidc)
        groups = claims[self.config.oidc.claims.groups]
        self._judge_refresh_token(refresh_token)
        if await self.standings.has_left(person.id, groups):
            await self.end(person)  # what they had before
        session: Session = request.scope["session"]
        wanted, asked = session.get("next", "overview"), session.get("asked")
        session.clear()
        session.renew()
        if asked is not None:  # by a program, before the sign-in
            session["asked"] = asked
        session["person"] = msgspec.to_builtins(person)
        session["signed_in_at"] = now = int(time.time())
        named = self.config.administrator_groups
        administers = administrators.groups_of(groups, named)
        if named:
            session[administrators.KEY] = administers
            await self.directory.note(person, now)
        await self.standings.note(person, administers, refresh_token)
        return RedirectResponse(f"{PREFIX}/{wanted}", 303, headers=HEADERS)

    async def sign_out(self, request: Request) -> Response:
        _person, session = await self.form(request)
        made = list(session.get("page_keys", {}).values())
        session.clear()
        if made:
            await self.keys.revoke(made)
        return RedirectResponse(f"{PREFIX}/", 303, headers=HEADERS)

    async def end_sessions(self, request: Request) -> Response:
        """Everything that was ever handed to the person: sessions first, since they make keys."""
        person, session = await self.form(request)
        session.clear()
        revoked = await self.end(person)
        has_programs = self.config.authorization is not None
        return page(request, "ended", revoked=revoked, has_programs=has_programs)

    async def end(self, person: Person) -> int:
        """End everything of a person; return how many keys were revoked.

        What the provider is asked with goes last: what fails here is done by the next check.
        """
        kept = await self.standings.leave(person.id)
        await sessions.end_all(self.store, person.id)
        revoked = await self.keys.revoke_all(person)
        await self.standings.delete(person.id, kept)
        return revoked

    def _judge_refresh_token(self, refresh_token: str) -> None:
        """Raise a Problem where one was asked for and did not come.

        What is asked for stands in an address that the person's browser opens, and can be changed
        there by whoever would not be asked about.
        """
        is_asked = "offline_access" in self.config.oidc.scopes
        if is_asked and self.config.recheck_seconds and not refresh_token:
            raise Problem("no_refresh_token", 502)

    # --- what there is ----------------------------------------------------------------------

    async def overview(self, request: Request) -> Response:
        person, session = self.signed_in(request)
        return page(
            request, "overview", teams=person.teams, hours=self.hours_left(session), site=self.site
        )

    async def usage(self, request: Request) -> Response:
        person, _session = self.signed_in(request)
        team = self.team(request, person)
        days = await self.keys.usage(person, USAGE_DAYS)
        budget, bars = await self.keys.team(team), plot.bars(days, "tokens")
        return page(
            request, "usage", days=days, bars=bars, budget=budget, team=team,
            teams=person.teams, width=plot.WIDTH, height=plot.HEIGHT,
        )  # fmt: skip

    # --- keys and settings ------------------------------------------------------------------

    async def connect(self, request: Request) -> Response:
        person, session = self.signed_in(request)
        return self._connect(request, person, session, self.team(request, person))

    async def key(self, request: Request) -> Response:
        person, session = await self.form(request)
        team = await self.form_team(request, person)
        key = await self._issue(person, session, team)
        return self._connect(request, person, session, team, key=key)

    async def bundle(self, request: Request) -> Response:
        person, session = await self.form(request)
        team = await self._form_bundle(request, person)
        packed = self.site.bundle(team, await self._issue(person, session, team), person.user)
        attachment = {"content-disposition": 'attachment; filename="intranet-mcp.tar.gz"'}
        return Response(packed, media_type="application/gzip", headers={**HEADERS, **attachment})

    async def line(self, request: Request) -> Response:
        """The one line: an address that works once, within minutes, for whoever has it."""
        person, session = await self.form(request)
        team = await self._form_bundle(request, person)
        await self.count_key(person)
        code = secrets.token_urlsafe(24)
        promised = {
            "person": msgspec.to_builtins(person),
            "team": team,
            "session": sessions.name_of(session.id),
            "ends_at": time.time() + session.seconds_left(self.config.lifetime_seconds),
        }
        sealed = self.seal.close("line", code, promised)
        await self.store.put(_promise(code), sealed, INSTALL_SECONDS)
        address = f"{self.config.listen.public_url.rstrip('/')}{PREFIX}/install/{code}"
        return self._connect(request, person, session, team, line=f"curl -fsS {address} | sh")

    async def install(self, request: Request) -> Response:
        """What the one line fetches. It has no session, but ends with the one that made it."""
        if request.method != "GET":  # who only looks at an address does not use it up
            raise Problem("no_page", 404)
        code = request.path_params["code"]
        promised = self.seal.open("line", code, await self.store.take(_promise(code)))
        if promised is None or await self.store.get(promised["session"]) is None:
            return _used_line()
        person = msgspec.convert(promised["person"], Person)
        seconds = int(promised["ends_at"] - time.time())
        key = await self.keys.issue(person, promised["team"], seconds)
        if await self.store.get(promised["session"]) is None:
            await self.keys.revoke([key])
            return _used_line()
        script = self.site.installer(promised["team"], key, person.user)
        return PlainTextResponse(script, headers=HEADERS)

    def _connect(
        self, request: Request, person: Person, session: Session, team: str, **made: str
    ) -> Response:
        return page(
            request, "connect", clients=self.site.settings(team), team=team, teams=person.teams,
            site=self.site, hours=self.hours_left(session), made={"key": "", "line": "", **made},
            has_bundle=team in self.site.teams, minutes=INSTALL_SECONDS // 60,
        )  # fmt: skip

    async def _issue(self, person: Person, session: Session, team: str) -> str:
        await self.count_key(person)
        seconds = session.seconds_left(self.config.lifetime_seconds)
        return await self._kept(session, await self.keys.issue(person, team, seconds))

    async def _kept(self, session: Session, key: str) -> str:
        """A new key, unless its session was ended while it was made: nobody revoked it then."""
        if await sessions.has_ended(self.store, session):
            await self.keys.revoke([key])
            raise NotSignedIn("overview")
        return key

    async def count_address(self, request: Request, what: str = "sign-ins") -> str:
        """Count who begins to sign in, or comes back from it; return the address."""
        address = request.client.host if request.client else ""
        asked = await self.store.count(f"{what}:{_network(address)}", SIGN_INS_SECONDS)
        if asked > SIGN_INS:
            raise Problem("too_many", 429)
        return address

    async def count_key(self, person: Person, what: str = "keys") -> None:
        if await self.store.count(f"{what}:{person.id}", KEYS_SECONDS) > KEYS:
            raise Problem("too_many", 429)

    # --- who asks ---------------------------------------------------------------------------

    def signed_in(self, request: Request) -> tuple[Person, Session]:
        session: Session = request.scope["session"]
        if "person" not in session:
            raise NotSignedIn(str(request.scope["path"]).removeprefix(f"{PREFIX}/"))
        person = people.still(msgspec.convert(session["person"], Person), self.config.oidc)
        return person, session

    async def form(self, request: Request) -> tuple[Person, Session]:
        """Who sent a form, once it is one that was made for them."""
        person, session = self.signed_in(request)
        if not session.accepts((await request.form()).get("csrf")):
            raise Problem("foreign_form", 403)
        return person, session

    def team(self, request: Request, person: Person) -> str:
        wanted = request.query_params.get("team", "")
        return wanted if wanted in person.teams else person.teams[0]

    async def form_team(self, request: Request, person: Person) -> str:
        wanted = str((await request.form()).get("team") or "")
        return wanted if wanted in person.teams else person.teams[0]

    async def _form_bundle(self, request: Request, person: Person) -> str:
        """The team of a form that wants settings."""
        team = await self.form_team(request, person)
        if team not in self.site.teams:
            raise Problem("no_bundle", 404)
        return team

    async def page_key(self, person: Person, session: Session, team: str) -> str:
        """The key with which pages see what a member of the team would, made when it is needed."""
        known: dict[str, Any] = session.setdefault("page_keys", {})
        if team not in known:
            await self.count_key(person, "page-keys")
            seconds = session.seconds_left(self.config.lifetime_seconds)
            key = await self.keys.page_key(person, team, seconds)
            known[team] = await self._kept(session, key)
        return str(known[team])

    def hours_left(self, session: Session) -> str:
        return f"{session.seconds_left(self.config.lifetime_seconds) / 3600:.3g}"


class NotSignedIn(Exception):
    """Somebody opened a page of those who are signed in; they come back to it."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted if wanted in NEXT else "overview"


def _network(address: str) -> str:
    """Who counts as one: an address, of IPv6 the network that a single machine has to itself."""
    try:
        is_wide = ipaddress.ip_address(address).version == 6
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if is_wide else address


def _used_line() -> Response:
    text = words.say("en", "problem_line_used")
    return PlainTextResponse(f"{text}\n", 404, headers=HEADERS)


def _promise(code: str) -> str:
    return "install:" + hashlib.sha256(code.encode()).hexdigest()
