"""Asks the provider again about people who have signed in, and ends everything of who has left.

Only where it gives refresh tokens. Of several replicas one asks about a person in an interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Any

import msgspec

from mcp_portal import standing
from mcp_portal.people import Person
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem
from mcp_portal.standing import Standing

# A round ends when the provider is away for so many one after another. It is not for others, whom
# it may have something against.
FAILURES = 3
# Of an interval: how often there is a round, and how long nobody else asks about who was asked
# about. Together they are not more than it, so that nobody waits for longer.
EACH, ASKED = 0.1, 0.9
log = logging.getLogger("mcp_portal")


class Recheck:
    """Rounds, in each of which everybody is asked about whom nobody asked lately."""

    def __init__(self, portal: Portal) -> None:
        self._portal, self._standings = portal, portal.standings
        self._seconds = portal.config.recheck_seconds
        self._is_warned = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Have rounds until this is to stop, whatever happens in one."""
        while not self._stop.is_set():
            try:
                await self.round()
            except Exception as error:
                # Its text may have anything in it.
                log.warning("people's groups are checked later: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), EACH * self._seconds)

    def stop(self) -> None:
        """Ask about nobody else.

        Whoever is just asked about is finished: a new refresh token that nobody keeps would end
        their sign-in.
        """
        self._stop.set()

    async def round(self) -> None:
        ids, failures = await self._standings.ids(), 0
        random.shuffle(ids)
        for id_ in ids:
            if self._stop.is_set() or failures == FAILURES:
                return
            if await self._portal.store.count(f"recheck:{id_}", int(ASKED * self._seconds)) > 1:
                continue
            try:
                await self._check(id_)
                failures = 0
            except Problem as problem:
                failures = failures + 1 if problem.key == "provider_away" else 0
                reason = problem.values.get("reason", "")
                log.warning("sso-%s is checked later: %s %s", id_, problem.key, reason)

    async def _check(self, id_: str) -> None:
        """Ask about one person, and end everything of theirs where they have left."""
        found = await self._standings.find(id_)
        if found is not None and not found[1].left:
            found = await self._asked(id_, *found)
        if found is not None and found[1].left:
            await self._portal.end(Person(id=id_, name="", email="", teams=[]))

    async def _asked(self, id_: str, kept: bytes, known: Standing) -> tuple[bytes, Standing] | None:
        """What is kept of somebody after the provider's answer; None where that is of no use."""
        provider, claims = self._portal.provider, None
        token = await provider.refresh(known.refresh_token)
        if token is not None:
            # Before anything else that may fail: the earlier one may be good for nothing now.
            renewed = msgspec.structs.replace(known, refresh_token=token["refresh_token"])
            found = await self._replaced(id_, kept, known, renewed)
            if found is None:
                return None
            kept, known = found
            claims = await provider.told(token, id_)
            if self._portal.config.oidc.claims.groups in claims:
                await self._standings.note_told()
        is_told = await self._standings.is_told()
        now, why = standing.judged(known, claims, is_told, self._portal.config)
        found = await self._replaced(id_, kept, known, now)
        if found is None:
            return None
        if why:
            log.info("sso-%s: everything of theirs is ended: %s", id_, why)
        if claims is not None:
            await self._noted(id_, claims, now)
        return found

    async def _replaced(
        self, id_: str, kept: bytes, known: Standing, now: Standing
    ) -> tuple[bytes, Standing] | None:
        """What is kept then; None where all was ended meanwhile, or there is a newer sign-in."""
        if now == known:
            found = await self._standings.find(id_)
            return found if found is not None and found[0] == kept else None
        replaced = await self._standings.replace(id_, kept, now)
        return (replaced, now) if replaced is not None else None

    async def _noted(self, id_: str, claims: dict[str, Any], now: Standing) -> None:
        """Have programs judged by what the provider says, where it says something of groups."""
        config, members = self._portal.config, self._portal.members
        if config.oidc.claims.groups not in claims and not now.left:
            self._warn()
        elif config.authorization is not None:
            # Rules of the gateway that name somebody go on, also where the name is not told again.
            known = await members.find(id_)
            name = {config.oidc.claims.name: known.name} if known is not None else {}
            await members.note({**name, **claims})

    def _warn(self) -> None:
        if not self._is_warned:
            self._is_warned = True
            log.warning("the company's sign-in names groups when people sign in, and not later on")
