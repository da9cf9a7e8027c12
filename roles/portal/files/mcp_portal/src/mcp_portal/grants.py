"""What programs have of people: codes, refresh tokens and access tokens, until a sign-in ends.

A code and a refresh token work once. Whoever comes with one that was used ends everything that came
of the same consent, since one of the two is a thief.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any

import msgspec
from authlib.oauth2.rfc6749 import errors

from mcp_portal import sessions
from mcp_portal.access_tokens import SECONDS, AccessTokens
from mcp_portal.authorization_server import Code, Grant, InvalidTargetError, Server
from mcp_portal.kept import Kept, name
from mcp_portal.members import Member
from mcp_portal.people import Person
from mcp_portal.portal import Portal
from mcp_portal.programs import SCOPE

CODE_SECONDS = 60
# For replicas that are asked at the same time; later on the grant has another token's hash.
USED_SECONDS = 60


class Grants:
    """Hands out tokens for what people allowed."""

    def __init__(self, portal: Portal, tokens: AccessTokens) -> None:
        self._portal, self._store, self._tokens = portal, portal.store, tokens
        self._kept = Kept(portal.store, portal.seal)

    async def allowed(self, text: str, code: Code) -> None:
        """Keep what a code is good for, and for longer to which consent it belonged."""
        seconds = max(1, int(code.ends_at - time.time()))
        await self._kept.put("code-family", text, code.family, seconds)
        await self._kept.put("code", text, code, CODE_SECONDS)

    async def answer(self, server: Server) -> tuple[int, dict[str, Any]]:
        """Return status and body for a code or a refresh token, or raise an OAuth2Error."""
        server.asked.payload.check()
        form = server.asked.form
        code, refresh = form.get("code", ""), form.get("refresh_token", "")
        is_code = form.get("grant_type") == "authorization_code"
        if is_code:
            server.code = await self._code(code)
        else:
            server.grant = await self._grant(refresh)
        status, body = server.create_token_response()
        if status != 200:
            return status, body
        found = server.code if is_code else server.grant
        assert found is not None  # or the request would have been refused
        if form.get("resource", found.resource) != found.resource:
            raise InvalidTargetError
        member = await self._still(found.person, found.team)
        seconds = int(min(SECONDS, found.ends_at - time.time()))
        if seconds < 1:
            raise errors.InvalidGrantError
        new = await (self._begun(found, code) if is_code else self._renewed(found, refresh))
        access = self._tokens.make(
            found.person.id, member, found.team, found.resource, found.program, seconds
        )
        return 200, {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": seconds,
            "refresh_token": new,
            "scope": SCOPE,
        }

    async def _still(self, person: Person, team: str) -> Member:
        """Whoever may still work in the team, by the table and by what the company said last."""
        member = await self._portal.members.find(person.id)
        table = {row.team for row in self._portal.config.oidc.teams}
        if member is None or team not in member.teams or team not in table:
            raise errors.InvalidGrantError
        if member.has_too_many_groups:
            raise errors.InvalidGrantError
        return member

    async def _code(self, code: str) -> Code | None:
        found = await self._kept.get("code", code)
        if found is None:  # too old, or used before: then nothing that came of it is good
            await self._revoke(await self._kept.get("code-family", code))
            return None
        return msgspec.convert(found, Code)

    async def _begun(self, code: Code, text: str) -> str:
        """Keep a grant, once, where it ends with the person's sessions; return what renews it."""
        family, seconds = code.family, max(1, int(code.ends_at - time.time()))
        if await self._kept.taken("code", text) is None:
            await self._revoke(family)
            raise errors.InvalidGrantError
        token = _refresh_token(family)
        grant = Grant(
            program=code.program, resource=code.resource, person=code.person, team=code.team,
            ends_at=code.ends_at, current=_hash(token),
        )  # fmt: skip
        await self._kept.put("program-grant", family, grant, seconds)
        index = sessions.index_of(code.person.id)
        await self._store.note(index, name("program-grant", family), seconds)
        # The person ended everything meanwhile, or somebody came with the same code.
        has_ended = await self._store.get(code.session) is None
        if has_ended or await self._kept.get("revoked", family):
            await self._kept.delete("program-grant", family)
            raise errors.InvalidGrantError
        return token

    async def _grant(self, token: str) -> Grant | None:
        family = token.partition(".")[0]
        found = await self._kept.get("program-grant", family)
        if found is None:
            return None
        grant = msgspec.convert(found, Grant)
        if not secrets.compare_digest(grant.current, _hash(token)):
            await self._revoke(family)  # it was used before: one of two is a thief
            return None
        return grant

    async def _renewed(self, grant: Grant, token: str) -> str:
        """Put another refresh token in the place of this one, which works once."""
        family, seconds = token.partition(".")[0], max(1, int(grant.ends_at - time.time()))
        if await self._store.count(f"used:{_hash(token)}", USED_SECONDS) > 1:
            await self._revoke(family)
            raise errors.InvalidGrantError
        new = _refresh_token(family)
        renewed = msgspec.structs.replace(grant, current=_hash(new))
        if not await self._kept.replace("program-grant", family, renewed, seconds):
            raise errors.InvalidGrantError  # ended meanwhile
        return new

    async def _revoke(self, family: str | None) -> None:
        """End what came of one consent, also what is being made of it just now."""
        if family:
            await self._kept.put("revoked", family, True, self._portal.config.lifetime_seconds)
            await self._kept.delete("program-grant", family)


def _refresh_token(family: str) -> str:
    return f"{family}.{secrets.token_urlsafe(32)}"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
