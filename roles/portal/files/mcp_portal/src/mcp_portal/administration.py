"""The pages for administrators: people, their keys and usage; ends what belongs to somebody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mcp_portal import administrators, credentials, people, sessions
from mcp_portal.directory import ID, KEEP_DAYS, Known
from mcp_portal.litellm import PAGE_ROUTES
from mcp_portal.own_tokens import day
from mcp_portal.pages import PEOPLE, page
from mcp_portal.people import Person
from mcp_portal.portal import NotSignedIn, Portal
from mcp_portal.problem import Problem

SHOWN = 25
# How many people's usage is asked of LiteLLM at a time.
AT_ONCE = 5
# How long a page waits for keys or usage. Who looks for somebody's sessions must not wait longer.
SECONDS = 10
END, DELETE = "end", "tokens"
audit = logging.getLogger("mcp_portal.audit")


class Row(msgspec.Struct, frozen=True):
    """Somebody as the list shows them; None where LiteLLM did not say."""

    whom: Person
    since: str
    sessions: int
    keys: int | None
    spend: float | None


class Key(msgspec.Struct, frozen=True):
    """A key as it is shown: never the key itself."""

    alias: str
    team: str
    is_for_pages: bool
    made: str
    ends: str


class Administration:
    """Lists people, and ends sessions, keys and stored tokens of one of them."""

    def __init__(self, portal: Portal, tokens: credentials.Store | None) -> None:
        self._portal, self._tokens = portal, tokens
        self._keys, self._directory = portal.keys, portal.directory

    def routes(self) -> list[Route]:
        """Each action has a page that asks first, which works without JavaScript."""
        one = f"/{PEOPLE}/{{id}}"
        return [
            Route(f"/{PEOPLE}", self.show),
            Route(one, self.one),
            Route(f"{one}/{END}", self.ask_end),
            Route(f"{one}/{END}", self.end, methods=["POST"]),
            Route(f"{one}/{DELETE}", self.ask_delete),
            Route(f"{one}/{DELETE}", self.delete, methods=["POST"]),
        ]

    # --- what there is ----------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        self._administrator(request)
        words = request.query_params.get("q", "")[:200]
        known, problem = await self._directory.everybody(), None
        keys: dict[str, list[dict[str, Any]]] | None = None
        try:
            async with _in_time():
                keys = await self._keys.everybodys()
            known = {**_owners(keys), **known}
        except Problem as found:
            problem = found
        found = matching(known.values(), words)
        pages = max(1, -(-len(found) // SHOWN))
        number = min(_number(request.query_params.get("page", "")), pages)
        shown = found[(number - 1) * SHOWN : number * SHOWN]
        spent, problem = (None, problem) if problem else await self._spent(shown)
        rows = [
            Row(
                one.person,
                day(one.signed_in_at or None),
                await self._directory.sessions(one.person.id),
                None if keys is None else len(keys.get(one.person.user, [])),
                None if spent is None else spent[one.person.id],
            )
            for one in shown
        ]
        return page(
            request, PEOPLE, rows=rows, words=words, count=len(found), number=number, pages=pages,
            problem=problem, days=KEEP_DAYS,
        )  # fmt: skip

    async def one(self, request: Request) -> Response:
        _administrator, known = await self._asked(request)
        keys: list[Key] | None = None
        days, problem = None, None
        try:
            async with _in_time():
                keys = [_shown(key) for key in await self._keys.of(known.person)]
                days = await self._month(known.person)
        except Problem as found:
            problem = found
        return page(
            request, "person", whom=known.person, since=day(known.signed_in_at or None),
            sessions=await self._directory.sessions(known.person.id), keys=keys, days=days,
            problem=problem, has_tokens=self._tokens is not None,
        )  # fmt: skip

    async def _spent(self, shown: list[Known]) -> tuple[dict[str, float] | None, Problem | None]:
        """What each has cost since the month began."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def spent(one: Known) -> float:
            async with turn:
                return sum(day["spend"] for day in await self._month(one.person))

        try:
            async with _in_time():
                found = await asyncio.gather(*map(spent, shown), return_exceptions=True)
        except Problem as problem:
            return None, problem
        for told in found:
            if isinstance(told, Problem):
                return None, told
            if isinstance(told, BaseException):
                raise told
        return {one.person.id: told for one, told in zip(shown, found, strict=True)}, None

    async def _month(self, person: Person) -> list[dict[str, Any]]:
        return await self._keys.usage(person, datetime.now(UTC).day)

    # --- what ends --------------------------------------------------------------------------

    async def ask_end(self, request: Request) -> Response:
        _administrator, known = await self._asked(request)
        return page(request, "person_confirm", whom=known.person, action=END)

    async def end(self, request: Request) -> Response:
        """Sessions first, since they make keys; the page says how far it came without LiteLLM."""
        administrator, known = await self._form(request)
        person = known.person
        if person.id == administrator.id:
            request.scope["session"].clear()
        standings = self._portal.standings
        try:
            kept = await standings.leave(person.id)
            ended = await sessions.end_all(self._portal.store, person.id)
        except RedisError:
            _note(administrator, person, "end sessions and keys", "sessions failed, keys untouched")
            raise
        try:
            revoked = await self._keys.revoke_all(person)
        except Problem as problem:
            told = f"{ended} sessions ended, keys failed ({problem.key})"
            _note(administrator, person, "end sessions and keys", told)
            return page(
                request, "person_done", problem.status, whom=person, action=END, ended=ended,
                done=0, problem=problem,
            )  # fmt: skip
        await standings.delete(person.id, kept)
        told = f"{ended} sessions ended, {revoked} keys revoked"
        _note(administrator, person, "end sessions and keys", told)
        return page(
            request, "person_done", whom=person, action=END, ended=ended, done=revoked, problem=None
        )

    async def ask_delete(self, request: Request) -> Response:
        _administrator, known = await self._asked(request)
        self._open()
        return page(request, "person_confirm", whom=known.person, action=DELETE)

    async def delete(self, request: Request) -> Response:
        administrator, known = await self._form(request)
        person = known.person
        try:
            deleted = await self._open().delete_all(person.id)
        except Problem as problem:
            _note(administrator, person, "delete stored tokens", f"failed ({problem.key})")
            raise
        _note(administrator, person, "delete stored tokens", f"{deleted} deleted")
        return page(
            request, "person_done", whom=person, action=DELETE, ended=0, done=deleted, problem=None
        )

    # --- who asks, and for whom -------------------------------------------------------------

    def _administrator(self, request: Request) -> Person:
        """Who asks. There are no such pages for others; nor are they told of a form's token."""
        named, session = self._portal.config.administrator_groups, request.scope["session"]
        if not named or ("person" in session and not administrators.is_one(session, named)):
            raise Problem("no_page", 404)
        if not administrators.is_fresh(session, time.time()):
            raise NotSignedIn(PEOPLE)
        return self._portal.signed_in(request)[0]

    async def _asked(self, request: Request) -> tuple[Person, Known]:
        administrator = self._administrator(request)
        return administrator, await self._known(request.path_params["id"])

    async def _form(self, request: Request) -> tuple[Person, Known]:
        self._administrator(request)
        administrator, _session = await self._portal.form(request)
        return administrator, await self._known(request.path_params["id"])

    async def _known(self, id_: str) -> Known:
        """Somebody of this id, whom the portal or LiteLLM knows."""
        if not ID.fullmatch(id_):
            raise Problem("no_page", 404)
        if known := await self._directory.one(id_):
            return known
        person = Person(id=id_, name="", email="", teams=[])
        user = await self._keys.user(person)
        if user is None:
            raise Problem("no_page", 404)
        return Known(msgspec.structs.replace(person, name=_name(user)))

    def _open(self) -> credentials.Store:
        if self._tokens is None:
            raise Problem("no_page", 404)
        return self._tokens


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise Problem("litellm_away", 503, reason=f"no answer in {SECONDS} s") from None


def matching(known: Iterable[Known], words: str) -> list[Known]:
    """Those in whose name, address or teams every word is; by name.

    A word may be what the audit log calls somebody, or a key of theirs.
    """
    wanted = words.casefold().split()

    def has(person: Person, word: str) -> bool:
        text = " ".join([person.name, person.email, *person.teams]).casefold()
        return word in text or word.startswith(person.user)

    found = [one for one in known if all(has(one.person, word) for word in wanted)]
    return sorted(found, key=lambda one: (one.person.name.casefold(), one.person.id))


def _owners(keys: dict[str, list[dict[str, Any]]]) -> dict[str, Known]:
    """Who has keys, as far as LiteLLM tells; the portal may have forgotten them with its store."""
    found = {}
    for user, theirs in keys.items():
        id_ = user.removeprefix("sso-")
        teams = sorted({str(key["team_id"]) for key in theirs if key.get("team_id")})
        names = (_name(key["user"]) for key in theirs if isinstance(key.get("user"), dict))
        found[id_] = Known(Person(id_, next(names, ""), "", teams))
    return found


def _name(user: dict[str, Any]) -> str:
    return people.text(user.get("user_alias"))


def _shown(key: dict[str, Any]) -> Key:
    told = key.get("allowed_routes")
    routes = told if isinstance(told, list) else []
    return Key(
        alias=str(key.get("key_alias") or ""),
        team=str(key.get("team_id") or ""),
        is_for_pages=sorted(map(str, routes)) == sorted(PAGE_ROUTES),
        made=_moment(key.get("created_at")),
        ends=_moment(key.get("expires")),
    )


def _moment(told: object) -> str:
    """LiteLLM's time as it is shown; empty where it says none."""
    try:
        found = datetime.fromisoformat(str(told))
        return day(int(found.replace(tzinfo=found.tzinfo or UTC).timestamp()))
    except ValueError:
        return ""


def _number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 6 else 1


def _note(administrator: Person, whom: Person, what: str, outcome: str) -> None:
    """The line of the log: who did what to whom."""
    audit.info(
        "administrator %s %r: %s of %s %r: %s",
        administrator.user, administrator.name, what, whom.user, whom.name, outcome,
    )  # fmt: skip
