"""LiteLLM virtual keys, checked at LiteLLM's own `/key/info` with the caller's key."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import OrderedDict

import msgspec

from mcp_gateway import envelope
from mcp_gateway.authorize import matches
from mcp_gateway.httpclient import Client, HttpError
from mcp_gateway.identify import Principal, Unavailable, digest
from mcp_gateway.record import Metrics
from mcp_gateway.settings import LitellmAuth

MAX_CACHE = 10_000
# A flood of made-up keys must not become a flood at LiteLLM (27 ms of CPU a look-up there).
MAX_ASKING = 32


class _Answer(msgspec.Struct):
    principal: Principal | None
    at: float
    fresh_until: float


class LitellmKeys:
    """Asks LiteLLM who a key belongs to.

    Answers are kept for seconds, refusals too. Of many callers with the same unknown key, one
    asks. When LiteLLM is away, keys that were valid stay valid for a grace period; new ones
    cannot be checked, which is not the same as being wrong.
    """

    name = "litellm"

    def __init__(self, settings: LitellmAuth, metrics: Metrics) -> None:
        self._settings = settings
        self._client = Client(
            settings.url, ca_file=settings.ca_file, connect_timeout=settings.timeout_seconds
        )
        self._path = self._client.path.rstrip("/") + "/key/info"
        self._cache: OrderedDict[str, _Answer] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Principal | None]] = {}
        self._hit = metrics.auth_cache.labels("hit")
        self._miss = metrics.auth_cache.labels("miss")

    def accepts(self, token: str) -> bool:
        # JWTs are for the OIDC authority; LiteLLM's keys hold no dots.
        return token.count(".") != 2

    async def identify(self, token: str) -> Principal | None:
        key = digest(token)
        answer = self._cache.get(key)
        if answer is not None and time.monotonic() < answer.fresh_until:
            self._hit.inc()
            return answer.principal
        self._miss.inc()
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= MAX_ASKING:
                raise Unavailable("too many unknown keys are being checked")
            task = asyncio.create_task(self._ask(token, key))
            self._asking[key] = task
            task.add_done_callback(lambda t: self._asked(key, t))
        try:
            return await asyncio.shield(task)
        except Unavailable:
            grace = self._settings.grace_seconds
            if answer is None or answer.principal is None or time.monotonic() - answer.at > grace:
                raise
            # Ask again a little later, not on each call.
            answer.fresh_until = time.monotonic() + min(5.0, self._settings.cache_seconds)
            return answer.principal

    def _asked(self, key: str, task: asyncio.Task[Principal | None]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()

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
            self._keep(key, principal, self._settings.cache_seconds)
            return principal
        if response.status in (400, 401, 403, 404):
            self._keep(key, None, self._settings.negative_cache_seconds)
            return None
        raise Unavailable(f"LiteLLM answered HTTP {response.status}")

    def _keep(self, key: str, principal: Principal | None, seconds: float) -> None:
        now = time.monotonic()
        self._cache[key] = _Answer(principal, now, now + seconds)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHE:
            self._cache.popitem(last=False)

    async def close(self) -> None:
        self._client.close()


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
    administrator made and last changed it. LiteLLM itself sets who that was, and checks the team's
    id. (A team's alias is neither checked nor unique.)
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
    )


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
