"""From what the provider says of somebody to who that is here, and in which teams. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mcp_portal.problem import Problem
from mcp_portal.settings import Oidc

MAX_NAME = 120


class Person(msgspec.Struct, frozen=True):
    """Somebody who has signed in.

    `id` comes from issuer and subject, which nobody can choose: two people may share a name. The
    gateway makes the same id of the same person's access token.
    """

    id: str
    name: str
    email: str
    teams: list[str]

    @property
    def user(self) -> str:
        """Their user in LiteLLM."""
        return f"sso-{self.id}"


def person(claims: dict[str, Any], settings: Oidc) -> Person:
    """Return who signed in; a Problem where no team is theirs."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise Problem("no_subject", 502)
    names = settings.claims
    if names.groups not in claims:
        raise Problem("no_groups", 403, claim=names.groups)
    teams = teams_of(claims[names.groups], settings)
    if not teams:
        raise Problem("no_team", 403)
    return Person(
        id=id_of(settings.issuer, subject),
        name=text(claims.get(names.name)) or text(claims.get("name")) or subject[:MAX_NAME],
        email=text(claims.get(names.email)),
        teams=teams,
    )


def id_of(issuer: str, subject: str) -> str:
    return hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:16]


def still(known: Person, settings: Oidc) -> Person:
    """Somebody who signed in earlier, with those of their teams that the table still has."""
    named = {row.team for row in settings.teams}
    teams = [team for team in known.teams if team in named]
    if not teams:
        raise Problem("no_team", 403)
    return msgspec.structs.replace(known, teams=teams)


def teams_of(groups: object, settings: Oidc) -> list[str]:
    """The teams of somebody's groups, in the table's order."""
    theirs = groups_of(groups)
    return list(dict.fromkeys(row.team for row in settings.teams if row.group in theirs))


def groups_of(claim: object) -> set[str]:
    """The groups of a claim. A single one may come as text."""
    return {claim} if isinstance(claim, str) else set(_texts(claim))


def _texts(value: object) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def text(value: object) -> str:
    """As it is shown: nothing that turns the direction of writing or ends a line."""
    shown = "".join(c for c in value if c.isprintable()) if isinstance(value, str) else ""
    return shown.strip()[:MAX_NAME]
