"""Who is still what they were at their sign-in: what is kept to ask the provider, and what follows.

A provider that gives a refresh token is asked with it what it says of a person now (`recheck`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from mcp_portal import people
from mcp_portal.people import Person
from mcp_portal.seal import Seal
from mcp_portal.sessions import STANDING, standing_of
from mcp_portal.settings import Config
from mcp_portal.store import Store

log = logging.getLogger("mcp_portal")


class Standing(msgspec.Struct, frozen=True):
    """What somebody was at their sign-in."""

    refresh_token: str
    ends_at: float
    teams: list[str]
    # Groups that make an administrator of them.
    administers: list[str]
    # Whether the provider named groups when it was asked again.
    told: bool = False
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
        """Keep what whoever has just signed in is; nothing, where the provider cannot be asked."""
        if not refresh_token or not self._config.recheck_seconds:
            # By that of an earlier sign-in nobody can be judged who has signed in anew.
            await self._store.delete(standing_of(person.id))
            self._warn()
            return
        ends_at = time.time() + self._config.lifetime_seconds
        standing = Standing(refresh_token, ends_at, person.teams, administers)
        if found := await self.find(person.id):
            standing = _with_earlier(standing, found[1])
        sealed = self._sealed(person.id, standing)
        await self._store.put(standing_of(person.id), sealed, self._config.lifetime_seconds)

    async def ids(self) -> list[str]:
        return [place.removeprefix(STANDING) for place in await self._store.below(STANDING)]

    async def find(self, id_: str) -> tuple[bytes, Standing] | None:
        """Return what is kept of a person, as the store has it and in clear."""
        kept = await self._store.get(standing_of(id_))
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
        is_done = await self._store.swap(standing_of(id_), known, sealed, seconds)
        return sealed if is_done else None

    async def delete(self, id_: str, known: bytes) -> None:
        await self._store.swap(standing_of(id_), known, None)

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
    standing: Standing, claims: dict[str, Any] | None, config: Config
) -> tuple[Standing, str]:
    """What somebody is by the provider's claims, and why they have left where they have. Pure."""
    if claims is None:
        return _left(standing), "their sign-in at the company has ended"
    claim = config.oidc.claims.groups
    if claim not in claims:
        # Keycloak, for one, leaves the claim of somebody out who is in no group.
        has_left = standing.told and bool(claims)
        return (_left(standing), "they are in no group") if has_left else (standing, "")
    standing = msgspec.structs.replace(standing, told=True)
    groups, named = claims[claim], config.administrator_groups
    if lost := set(standing.teams).difference(people.teams_of(groups, config.oidc)):
        return _left(standing), f"they are no longer in team {', '.join(sorted(lost))}"
    # A group that left the list has made an administrator of nobody since.
    administered = set(standing.administers).intersection(named)
    if administered.difference(people.groups_of(groups)):
        return _left(standing), "they are no longer in a group of administrators"
    return standing, ""


def _left(standing: Standing) -> Standing:
    return msgspec.structs.replace(standing, left=True)


def _with_earlier(standing: Standing, earlier: Standing) -> Standing:
    """A newer sign-in's. What came of earlier ones goes on, too, and ends with what they had."""
    return msgspec.structs.replace(
        standing,
        teams=_all(earlier.teams, standing.teams),
        administers=_all(earlier.administers, standing.administers),
        told=earlier.told,
        left=earlier.left,
    )


def _all(*names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for some in names for name in some))
