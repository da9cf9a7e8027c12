"""Who is still what they were at their sign-in: what is kept to ask the provider, and what follows.

A provider that gives a refresh token is asked with it what it says of a person now (`recheck`).
"""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from mcp_portal import people
from mcp_portal.people import Person
from mcp_portal.seal import Seal
from mcp_portal.settings import Config
from mcp_portal.store import Store

PLACE = "standing:"
# Whether the provider named groups when it was asked again: of anybody, since it does so of all.
TOLD = "groups-told"
# A record may change between reading and writing, when somebody is just asked about.
TRIES = 5
log = logging.getLogger("mcp_portal")


class Standing(msgspec.Struct, frozen=True):
    """What somebody was at their sign-in."""

    refresh_token: str
    ends_at: float
    teams: list[str]
    # Groups that make an administrator of them.
    administers: list[str]
    # Everything that was handed to them has to be ended still.
    left: bool = False

    def __repr__(self) -> str:
        return "Standing()"


class Standings:
    """A record a person, which ends with their newest sign-in. Sealed with the own secret."""

    def __init__(self, store: Store, seal: Seal, config: Config) -> None:
        self._store, self._seal, self._config = store, seal, config
        self._is_warned = False

    async def note(self, person: Person, administers: list[str], refresh_token: str) -> None:
        """Keep what whoever has just signed in is, where the provider can be asked about them.

        Where it gives no refresh token this time, the one of an earlier sign-in goes on.
        """
        if not refresh_token or not self._config.recheck_seconds:
            self._warn()
            return
        seconds = self._config.lifetime_seconds
        standing = Standing(refresh_token, time.time() + seconds, person.teams, administers)
        await self._store.put(place(person.id), self._sealed(person.id, standing), seconds)

    async def has_left(self, id_: str, groups: object) -> bool:
        """Whether an earlier sign-in has to be ended, by the groups that somebody has now."""
        found = await self.find(id_)
        return found is not None and (found[1].left or bool(lost(found[1], groups, self._config)))

    async def leave(self, id_: str) -> bytes | None:
        """Keep that everything of a person has to be ended; return what the store has then."""
        for _try in range(TRIES):
            found = await self.find(id_)
            if found is None:
                return None
            kept, standing = found
            if standing.left:
                return kept
            if replaced := await self.replace(id_, kept, _left(standing)):
                return replaced
        return None

    async def note_told(self) -> None:
        await self._store.put(TOLD, b"yes", self._config.lifetime_seconds)

    async def is_told(self) -> bool:
        return await self._store.get(TOLD) is not None

    async def ids(self) -> list[str]:
        return [name.removeprefix(PLACE) for name in await self._store.below(PLACE)]

    async def find(self, id_: str) -> tuple[bytes, Standing] | None:
        """Return what is kept of a person, as the store has it and in clear."""
        kept = await self._store.get(place(id_))
        opened = self._seal.open("standing", id_, kept)
        try:
            return (kept, msgspec.convert(opened, Standing)) if kept and opened else None
        except msgspec.ValidationError:
            return None  # of another version

    async def replace(self, id_: str, known: bytes, standing: Standing) -> bytes | None:
        """Return what the store has then; None where it is not that of `known` any more.

        It was deleted meanwhile and stays so, or belongs to a newer sign-in.
        """
        sealed = self._sealed(id_, standing)
        seconds = max(1, int(standing.ends_at - time.time()))
        is_done = await self._store.swap(place(id_), known, sealed, seconds)
        return sealed if is_done else None

    async def delete(self, id_: str, known: bytes | None) -> None:
        if known is not None:
            await self._store.swap(place(id_), known, None)

    def _sealed(self, id_: str, standing: Standing) -> bytes:
        return self._seal.close("standing", id_, standing)

    def _warn(self) -> None:
        if self._config.recheck_seconds and not self._is_warned:
            self._is_warned = True
            log.warning(
                "the company's sign-in gives no refresh token (some do for the scope "
                "offline_access): groups are read when people sign in, and not later on"
            )


def judged(
    standing: Standing, claims: dict[str, Any] | None, is_told: bool, config: Config
) -> tuple[Standing, str]:
    """What somebody is by the provider's claims, and why they have left where they have. Pure.

    is_told: whether it names groups when it is asked again.
    """
    claim = config.oidc.claims.groups
    if claims is None:
        why = "their sign-in at the company has ended"
    elif claim in claims:
        why = lost(standing, claims[claim], config)
    else:
        # Keycloak, for one, leaves the claim of somebody out who is in no group.
        why = "they are in no group" if is_told and claims else ""
    return (_left(standing) if why else standing), why


def lost(standing: Standing, groups: object, config: Config) -> str:
    """What somebody is no longer, by a claim of groups; empty where they are all that they were."""
    if teams := set(standing.teams).difference(people.teams_of(groups, config.oidc)):
        return f"they are no longer in team {', '.join(sorted(teams))}"
    # A group that left the list has made an administrator of nobody since.
    administered = set(standing.administers).intersection(config.administrator_groups)
    if administered.difference(people.groups_of(groups)):
        return "they are no longer in a group of administrators"
    return ""


def place(id_: str) -> str:
    """Where the store keeps with what the company is asked about a person."""
    return f"{PLACE}{id_}"


def _left(standing: Standing) -> Standing:
    return msgspec.structs.replace(standing, left=True)
