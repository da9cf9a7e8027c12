"""A server at which each person shows a credential of their own: which, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Coroutine, Iterator
from typing import Any, NamedTuple, Protocol

from mcp_gateway.credentials import AWAY, Credential
from mcp_gateway.httpclient import Response
from mcp_gateway.settings import PerUser
from mcp_gateway.upstreams.base import UpstreamError

log = logging.getLogger("mcp_gateway.credentials")
# What is under way in somebody's name ends about this long after their credential was deleted.
RECHECK_SECONDS = 10.0
# So many people are looked up at once, and all of them within this time, or nobody can tell: it is
# longer where there are many.
LOOKUPS = 16
LOOKUPS_SECONDS = 4.0
LOOKUPS_A_SECOND = 1000
Headers = list[tuple[str, str]]


class Shown(NamedTuple):
    """A header with somebody's credential, and which credential that is."""

    header: tuple[str, str]
    id: str

    def __repr__(self) -> str:
        return f"Shown({self.id})"


class Ending(Protocol):
    """An exchange that can be ended from outside."""

    def end(self, error: UpstreamError) -> None: ...


class Waiting:
    """A stream that was asked for, and of which nothing came yet."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self.ended: UpstreamError | None = None

    def end(self, error: UpstreamError) -> None:
        self.ended = error
        self._task.cancel()


class Source(Protocol):
    """Where credentials for one server come from. Each error says what its caller can do."""

    async def get(self, person: str) -> Credential:
        """What to show now; CredentialError when there is nothing."""

    async def current(self, person: str) -> str:
        """The id of what somebody shows, found out without asking for another one."""

    def nobody(self) -> UpstreamError:
        """Somebody calls whom no sign-in vouches for."""

    def refused(self, status: int) -> UpstreamError:
        """The server does not take what was shown."""


class Owner:
    """One person at one server: every request of a link of theirs asks here what to show."""

    def __init__(self, personal: Personal, person: str) -> None:
        self._personal, self.person = personal, person

    async def show(self) -> Shown:
        """What to show now; CredentialError when there is nothing."""
        return await self._personal.show(self.person)

    def began(self, exchange: Ending, shown: Shown) -> None:
        """An exchange is under way with this credential."""
        self._personal.open[exchange] = (self.person, shown.id)

    def ended(self, exchange: Ending) -> None:
        self._personal.open.pop(exchange, None)

    async def until_head(self, work: Coroutine[Any, Any, Response], shown: Shown) -> Response:
        """The head of a stream's answer, which a server may put off for as long as it likes."""
        task = asyncio.create_task(work)
        waiting = Waiting(task)
        self.began(waiting, shown)
        try:
            return await task
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().close()  # it came in the same moment
            if waiting.ended is None or not task.cancelled():
                raise
            raise waiting.ended from None
        finally:
            self.ended(waiting)

    def beside(self, headers: Headers) -> Headers:
        """The configured headers that go with it: without the one of the same name, if any."""
        return self._personal.without_own(headers)

    def refused(self, status: int) -> UpstreamError:
        return self._personal.refused(status)


class Personal:
    """What `per_user` of one server means for its links."""

    def __init__(self, server: str, settings: PerUser, source: Source) -> None:
        self._server, self._settings, self._source = server, settings, source
        self._unknown: set[str] = set()
        self.open: weakref.WeakKeyDictionary[Ending, tuple[str, str]] = weakref.WeakKeyDictionary()

    def owner(self, person: str) -> Owner:
        """Whose link it is; CredentialError when no sign-in says who calls."""
        if not person:
            raise self._source.nobody()
        return Owner(self, person)

    async def show(self, person: str) -> Shown:
        found = await self._source.get(person)
        return Shown((self._settings.header, self._settings.prefix + found.token), found.id)

    def without_own(self, headers: Headers) -> Headers:
        """The configured headers without the one that is the person's: there is no falling back."""
        own = self._settings.header.lower()
        return [(name, value) for name, value in headers if name.lower() != own]

    def refused(self, status: int) -> UpstreamError:
        return self._source.refused(status)

    async def watch(self) -> None:
        """End, again and again, what goes on with a credential that is no longer stored."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                await self.recheck()
            except Exception:
                log.exception("%s: open exchanges were not checked", self._server)

    async def recheck(self) -> None:
        """End exchanges whose credential was deleted or replaced, or cannot be looked up.

        The latter when that happens for the second time: Redis may be changing its primary. And
        only theirs, or one record that cannot be read would end what everybody does.
        """
        theirs: dict[str, list[tuple[Ending, str]]] = {}
        for exchange, (person, id_) in list(self.open.items()):
            theirs.setdefault(person, []).append((exchange, id_))
        people, known = iter(theirs.items()), set[str]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOKUPS_SECONDS + len(theirs) / LOOKUPS_A_SECOND):
                await asyncio.gather(*(self._recheck(people, known) for _ in range(LOOKUPS)))
        unknown = theirs.keys() - known
        text = f"server {self._server}: your credential cannot be read now; try again in a minute"
        for person in unknown & self._unknown:
            for exchange, _ in theirs[person]:
                exchange.end(UpstreamError(AWAY, text))
        self._unknown = unknown

    async def _recheck(
        self, people: Iterator[tuple[str, list[tuple[Ending, str]]]], known: set[str]
    ) -> None:
        """One after the other, beside others who take from the same people, while Redis answers."""
        for person, exchanges in people:
            error, current = await self._now(person)
            if error.kind == AWAY:
                return
            known.add(person)
            for exchange, id_ in exchanges:
                if id_ != current:
                    exchange.end(error)

    async def _now(self, person: str) -> tuple[UpstreamError, str]:
        """Why other credentials have ended, and which one is stored now; "" for none."""
        try:
            current = await self._source.current(person)
        except UpstreamError as error:
            return error, ""
        text = f"server {self._server}: your credential was replaced meanwhile; call again"
        return UpstreamError("credential_replaced", text), current
