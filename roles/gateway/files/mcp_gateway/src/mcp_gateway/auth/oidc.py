"""OIDC/OAuth access tokens: JWTs checked against the issuer's published keys."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterable
from typing import Any

import jwt

from mcp_gateway import providers, subject
from mcp_gateway.identify import Principal, Unavailable, digest
from mcp_gateway.settings import OidcAuth
from mcp_gateway.subject import Subject

# How the platform's own portal calls a person; the company's subjects have any shape.
_PERSON = re.compile(r"[0-9a-f]{16}")
# Between two looks for an unknown key id: a flood of forged tokens must not become a flood there.
ROTATION_SECONDS = 10.0
_NO_TEAM = (
    "none of your groups may use tools here; ask the administrators to add you to a group that may"
)


class OidcTokens:
    """One issuer's access tokens."""

    name = "oidc"

    def __init__(self, settings: OidcAuth) -> None:
        self._settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = 0.0
        self._tried_at = -ROTATION_SECONDS
        self._lock = asyncio.Lock()
        self._verified: dict[str, tuple[float, float, Principal]] = {}

    def accepts(self, token: str) -> bool:
        """A JWT that names this issuer (nothing is trusted yet)."""
        if token.count(".") != 2:
            return False
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return False
        return claims.get("iss") == self._settings.issuer

    def remembers(self, token: str) -> bool:
        """Whether this very token was verified lately."""
        known = self._verified.get(digest(token))
        return known is not None and time.time() < known[0]

    async def identify(self, token: str) -> Principal | None:
        if self.remembers(token):
            _until, expires_at, principal = self._verified[digest(token)]
            self._came_with(token, expires_at, principal)
            return principal
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=self._settings.algorithms,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError:
            return None
        principal = self._principal(claims)
        if principal is not None:
            if len(self._verified) > 10_000:
                self._verified.clear()
            # As fresh as the keys: a key that the issuer withdraws stops counting within a cycle.
            expires_at = float(claims["exp"])
            until = min(expires_at, time.time() + self._settings.jwks_cache_seconds)
            self._verified[digest(token)] = (until, expires_at, principal)
            self._came_with(token, expires_at, principal)
        return principal

    def _came_with(self, token: str, expires_at: float, principal: Principal) -> None:
        """Servers for which tokens are exchanged need this very one."""
        subject.use(Subject(token, self._settings.issuer, principal.person, expires_at))

    def _principal(self, claims: dict[str, object]) -> Principal | None:
        s = self._settings
        scopes = claims.get("scope") or claims.get("scp") or ""
        granted = set(scopes.split() if isinstance(scopes, str) else _texts(scopes))
        if not granted.issuperset(s.required_scopes):
            return None
        subject = str(claims.get("sub") or claims.get("client_id") or "")
        if not subject:
            return None  # everybody whose token names nobody would be one caller
        if s.subjects_are_people and not _PERSON.fullmatch(subject):
            return None
        groups = _texts(claims.get(s.groups_claim))
        team = self._team(claims, groups)
        id_ = subject if s.subjects_are_people else _id(s.issuer, subject)
        # A program's token may have the program's own name for a subject (RFC 9068).
        is_person = bool(claims.get("sub")) and subject != claims.get("client_id")
        return Principal(
            id=id_,
            alias=str(claims.get(s.alias_claim) or subject or "unknown"),
            team=team,
            groups=tuple(groups),
            source=self.name,
            refusal=_NO_TEAM if s.teams and not team else "",
            person=id_ if is_person else "",
        )

    def _team(self, claims: dict[str, object], groups: list[str]) -> str:
        """The team of the table's first row that has one of the groups, else what a claim says."""
        s = self._settings
        if not s.teams:
            return next(iter(_texts(claims.get(s.team_claim))), "")
        theirs = set(groups)
        return next((row.team for row in s.teams if row.group in theirs), "")

    async def _key(self, kid: str | None) -> jwt.PyJWK | None:
        """The signing key; fetched anew when it is unknown or the set is old."""
        age = time.monotonic() - self._fetched_at
        stale = not self._keys or age > self._settings.jwks_cache_seconds
        if stale or (kid is not None and kid not in self._keys):
            async with self._lock:
                await self._refresh(kid, stale)
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid or "")

    async def _refresh(self, kid: str | None, stale: bool) -> None:
        now = time.monotonic()
        if not stale and kid in self._keys:
            return  # another caller fetched it meanwhile
        if now - self._tried_at < ROTATION_SECONDS and self._keys:
            return
        self._tried_at = now
        try:
            self._keys = await self._fetch()
            self._fetched_at = time.monotonic()
        except Unavailable:
            if not self._keys or kid not in self._keys:
                raise

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        if self._settings.jwks:
            return _usable(self._settings.jwks)
        s = self._settings
        url = s.jwks_url
        if url is None:
            metadata = await providers.metadata(s.issuer, s.ca_file, s.timeout_seconds)
            url = str(metadata.get("jwks_uri") or "")
        document = await providers.read(url, s.issuer, s.ca_file, s.timeout_seconds)
        return _usable(document.get("keys") or [])

    async def close(self) -> None:
        return None


def _usable(entries: Iterable[dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    """The keys with which tokens may be signed, by their ids."""
    keys = {}
    for entry in entries:
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue  # a kind of key that we do not use
        if entry.get("use", "sig") == "sig":
            keys[str(key.key_id or "")] = key
    if not keys:
        raise Unavailable("the issuer publishes no usable signing key")
    return keys


def _id(issuer: str, subject: str) -> str:
    return hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:16]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(v) for v in value] if isinstance(value, list) else []
