"""What the company said of people when they last signed in: by that their programs are judged."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import msgspec

from mcp_portal import people
from mcp_portal.kept import Kept
from mcp_portal.settings import Config

# A token travels in a header.
MAX_GROUPS_BYTES = 4096


class Member(msgspec.Struct, frozen=True):
    """Somebody's name, teams, and the groups that rules of the gateway have a use for."""

    name: str
    teams: list[str]
    groups: list[str]
    # One group of several could be the one that a rule refuses.
    has_too_many_groups: bool = False


class _Told(msgspec.Struct, frozen=True):
    """What is kept: what it means is another matter once the table or a rule has changed."""

    name: str
    groups: list[str]


class Members:
    """Remembers people for as long as a sign-in lasts."""

    def __init__(self, kept: Kept, config: Config) -> None:
        self._kept, self._oidc, self._seconds = kept, config.oidc, config.lifetime_seconds
        self._patterns = config.authorization.groups if config.authorization else []

    async def note(self, claims: Mapping[str, Any]) -> None:
        """Keep what the provider says of whoever has just signed in, also where it is nothing."""
        subject, names = claims.get("sub"), self._oidc.claims
        if not isinstance(subject, str) or not subject:
            return
        name = people.text(claims.get(names.name))
        told = _Told(
            # Rules name people by it: one that had to be changed could be somebody else's.
            name=name if name == claims.get(names.name) else "",
            groups=sorted(people.groups_of(claims.get(names.groups))),
        )
        id_ = people.id_of(self._oidc.issuer, subject)
        await self._kept.put("member", id_, told, self._seconds)

    async def find(self, person: str) -> Member | None:
        found = await self._kept.get("member", person)
        return self._member(msgspec.convert(found, _Told)) if found else None

    def _member(self, told: _Told) -> Member:
        useful = [group for group in told.groups if self._is_useful(group)]
        is_too_much = sum(len(group.encode()) + 3 for group in useful) > MAX_GROUPS_BYTES
        return Member(
            name=told.name,
            teams=people.teams_of(told.groups, self._oidc),
            groups=[] if is_too_much else useful,
            has_too_many_groups=is_too_much,
        )

    def _is_useful(self, group: str) -> bool:
        """Whether a rule names the group. One that excludes some concerns all the others."""
        return any(p.startswith("!") or fnmatch.fnmatchcase(group, p) for p in self._patterns)
