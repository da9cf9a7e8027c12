"""LiteLLM virtual keys, checked at LiteLLM's own `/key/info` with the caller's key."""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from collections import OrderedDict

import msgspec

from mcp_gateway import envelope
from mcp_gateway.authorize import matches
from mcp_gateway.httpclient import Client
from mcp_gateway.httpconnection import HttpError
from mcp_gateway.identify import Principal, Unavailable, digest
from mcp_gateway.metrics import Metrics
from mcp_gateway.settings import LitellmAuth

MAX_KNOWN = 10_000
MAX_REFUSED = 10_000
# A flood of invented keys must not become a flood at LiteLLM (27 ms of CPU a look-up there), and
# must not keep those waiting whose key was good a moment ago.
MAX_UNKNOWN_LOOKUPS = 16
MAX_KNOWN_LOOKUPS = 16
# LiteLLM may take this long over a key that was good; then the old answer counts a little longer.
PATIENCE_SECONDS = 1.0
PAUSE_SECONDS = 5.0


# Users whom the portal made, by the person's id: that of their access tokens.
_SIGNED_ON = re.compile(r"sso-([0-9a-f]{16})")

_Lookups = dict[str, asyncio.Task[Principal | None]]


class _Answer(msgspec.Struct):
    principal: Principal
    at: float
    fresh_until: float


class LitellmKeys:
    """Asks LiteLLM who a key belongs to.

    Answers are kept for seconds, refusals too. Of many callers with the same unknown key, one
    asks. Keys that were valid have look-ups of their own, and stay valid for a grace period while
    LiteLLM is slow or away; new ones cannot be checked then, which is not the same as being wrong.
    """

    name = "litellm"

    def __init__(self, settings: LitellmAuth, metrics: Metrics) -> None:
        self._settings = settings
        self._client = Client(
            settings.url, ca_file=settings.ca_file, connect_timeout=settings.timeout_seconds
        )
        self._path = self._client.path.rstrip("/") + "/key/info"
        self._known: OrderedDict[str, _Answer] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()  # until when
        self._known_lookups: _Lookups = {}
        self._unknown_lookups: _Lookups = {}
        self._hit = metrics.auth_cache.labels("hit")
        self._miss = metrics.auth_cache.labels("miss")

    def accepts(self, token: str) -> bool:
        # JWTs are for the OIDC authority; LiteLLM's keys hold no dots. It drops every "Bearer " in
        # a credential, so one key with more of them would be as many callers with limits of theirs.
        return token.count(".") != 2 and not any(c.isspace() for c in token)

    def remembers(self, token: str) -> bool:
        key = digest(token)
        return key in self._known or time.monotonic() < self._refused.get(key, 0)

    async def identify(self, token: str) -> Principal | None:
        key = digest(token)
        now = time.monotonic()
        known = self._known.get(key)
        if (known is not None and now < known.fresh_until) or now < self._refused.get(key, 0):
            self._hit.inc()
            return known.principal if known is not None else None
        self._miss.inc()
        if known is None:
            return await self._ask_once(self._unknown_lookups, MAX_UNKNOWN_LOOKUPS, token, key)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._ask_once(self._known_lookups, MAX_KNOWN_LOOKUPS, token, key)
        except TimeoutError:
            error = Unavailable(f"LiteLLM gave no answer within {PATIENCE_SECONDS:g} s")
        except Unavailable as unavailable:
            error = unavailable
        if now - known.at > self._settings.grace_seconds:
            raise error
        # Ask again a little later, not on each call.
        known.fresh_until = time.monotonic() + min(PAUSE_SECONDS, self._settings.cache_seconds)
        return known.principal

    async def _ask_once(
        self, lookups: _Lookups, limit: int, token: str, key: str
    ) -> Principal | None:
        """Join the look-up of this key, or begin one; it goes on when nobody waits any more."""
        task = lookups.get(key)
        if task is None:
            if len(lookups) >= limit:
                raise Unavailable(f"{limit} keys are being checked already")
            task = lookups[key] = asyncio.create_task(self._ask(token, key))
            task.add_done_callback(lambda t: _lookup_done(lookups, key, t))
        return await asyncio.shield(task)

    async def _ask(self, token: str, key: str) -> Principal | None:
        timeout = self._settings.timeout_seconds
        headers = [("authorization", f"Bearer {token}"), ("accept", "application/json")]
        try:
            response = await self._client.request(
                "GET", headers, path=self._path, timeout=timeout, retry=True
            )
            body = await response.read(1 << 20, timeout)
        except HttpError as error:
            raise Unavailable(f"LiteLLM: {error}") from None
        if response.status == 200:
            principal = _principal(body, key, self._settings)
        elif response.status in (400, 401, 403, 404):
            principal = None
        else:
            raise Unavailable(f"LiteLLM answered HTTP {response.status}")
        self._keep(key, principal)
        return principal

    def _keep(self, key: str, principal: Principal | None) -> None:
        now = time.monotonic()
        self._known.pop(key, None)
        self._refused.pop(key, None)
        if principal is None:
            self._refused[key] = now + self._settings.negative_cache_seconds
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)
            return
        self._known[key] = _Answer(principal, now, now + self._settings.cache_seconds)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def close(self) -> None:
        self._client.close()


def _lookup_done(
    lookups: _Lookups,
    key: str,
    task: asyncio.Task[Principal | None],
) -> None:
    lookups.pop(key, None)
    if not task.cancelled():
        task.exception()  # whoever waited has it; nobody else needs it


def _principal(body: bytes, key: str, settings: LitellmAuth) -> Principal | None:
    """The caller in LiteLLM's answer; None for a key that is blocked or has expired."""
    try:
        decoded = envelope.decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unavailable("LiteLLM's answer is not JSON") from None
    info = decoded.get("info") if isinstance(decoded, dict) else None
    if not isinstance(info, dict):
        raise Unavailable("LiteLLM's answer has no info")
    if info.get("blocked") or _has_expired(info.get("expires")):
        return None
    return _believed(info, key, settings)


def _believed(info: dict[str, object], key: str, settings: LitellmAuth) -> Principal:
    """The caller, as far as LiteLLM vouches for what the key says of itself.

    Whoever makes a key chooses its alias and its metadata, so they count only where an
    administrator made it. LiteLLM itself sets who that was, and checks the team's id. (A team's
    alias is neither checked nor unique.) Who changed it last it does not say, up to 1.108 at least:
    its /key/update leaves `updated_by` as it was. So this rests on who may call that:
    administrators, and no key that the platform makes, since its `allowed_routes` leave it out. A
    key of the site's with wider ones is trusted to change keys.
    """
    made_by = info.get("created_by")
    makers = (made_by, info.get("updated_by") or made_by)
    alias, groups = "", []
    if all(maker in settings.administrators for maker in makers):
        metadata = info.get("metadata")
        alias = str(info.get("key_alias") or info.get("user_id") or "")
        groups = metadata.get("groups") if isinstance(metadata, dict) else []
    team = str(info.get("team_id") or "")
    return Principal(
        id=key[:16],
        alias=alias or f"key-{key[:8]}",
        team=team,
        groups=tuple(str(g) for g in groups) if isinstance(groups, list) else (),
        source="litellm",
        refusal="" if _is_known(alias, team, settings) else _unknown(alias, team),
        person=_person(info, makers, settings),
    )


def _person(info: dict[str, object], makers: tuple[object, ...], settings: LitellmAuth) -> str:
    """Who signed in for the key: only whoever makes keys of people knows, and has the last word.

    They make a key and never change it, so one that was changed is somebody else's word.
    """
    if not all(maker in settings.sign_on_makers for maker in makers):
        return ""
    if info.get("settings_updated_at"):
        return ""
    found = _SIGNED_ON.fullmatch(str(info.get("user_id") or ""))
    return found[1] if found else ""


def _is_known(alias: str, team: str, settings: LitellmAuth) -> bool:
    """Whether policy has a say about the key: by its team, or by an alias that can be believed."""
    if settings.known_teams is None or team in settings.known_teams:
        return True
    return bool(alias) and matches(alias, settings.known_keys)


def _unknown(alias: str, team: str) -> str:
    name = f"the key {alias[:80]!r}" if alias else "a key that no administrator made"
    whose = f"in the unknown team {team[:80]!r}" if team else "without a team"
    return f"{name} {whose} may use no tools here; use the key that you were given, or ask for one"


def _has_expired(expires: object) -> bool:
    """Whether an ISO 8601 time lies in the past (LiteLLM's are in UTC)."""
    if not isinstance(expires, str):
        return False
    try:
        when = datetime.datetime.fromisoformat(expires)
    except ValueError:
        return False
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return when <= datetime.datetime.now(datetime.UTC)
