"""LiteLLM: a person's user, their keys, what they used. With a key that may do just that."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from mcp_portal.people import Person
from mcp_portal.problem import Problem
from mcp_portal.settings import Litellm, secret

# What tells keys and people of the portal from others.
MADE_BY = {"managed_by": "intranet.mcp/portal"}
# A person's user, whatever else LiteLLM has.
USER = re.compile(r"sso-[0-9a-f]{16}")
# Makes no keys. Of LiteLLM's roles it is the one with the fewest rights.
ROLE = "internal_user_viewer"
# What the portal itself asks in a person's name, which neither costs nor changes anything.
PAGE_ROUTES = ["/v1/models", "/key/info"]
PAGE = 100
# As many as somebody could have; LiteLLM would not say more in any time that people wait.
MAX_PAGES = 1000
# How many keys are revoked at a time: fewer than there are connections to wait for.
REVOKED_AT_ONCE = 50
# How reading an answer of another shape ends.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError)
# What is counted of a day: name here, and LiteLLM's.
COUNTED = {"requests": "api_requests", "tokens": "total_tokens", "spend": "spend"}
NOTHING = {"requests": 0, "tokens": 0, "spend": 0.0}


class Keys:
    """LiteLLM, as far as the portal may use it."""

    def __init__(self, settings: Litellm) -> None:
        self._routes = settings.routes
        self._http = httpx2.AsyncClient(
            base_url=settings.url,
            headers={"Authorization": f"Bearer {secret(settings.key_file)}"},
            timeout=settings.timeout_seconds,
            trust_env=False,
        )

    async def issue(self, person: Person, team: str, seconds: int) -> str:
        """Return a new key for the CLIs, with the team's models, budget and limits."""
        return await self._generate(person, team, seconds, self._routes)

    async def page_key(self, person: Person, team: str, seconds: int) -> str:
        """Return a key with which the pages see what the person would, and nothing can be used."""
        return await self._generate(person, team, seconds, PAGE_ROUTES)

    async def _generate(self, person: Person, team: str, seconds: int, routes: list[str]) -> str:
        if seconds < 1:
            raise Problem("foreign_form", 403)  # the session ended meanwhile
        await self._have_user(person)
        await self._delete_expired(person)
        made = await self._ask(
            "POST",
            "/key/generate",
            json={
                "user_id": person.user,
                "team_id": team,
                "key_alias": f"{person.user}-{secrets.token_hex(4)}",
                "duration": f"{seconds}s",
                "allowed_routes": routes,
                "metadata": MADE_BY,
            },
        )
        return str(made["key"])

    async def _have_user(self, person: Person) -> None:
        """Have the person's user, without their address: another user may have it already."""
        if await self.user(person) is not None:
            return
        await self._ask(
            "POST",
            "/user/new",
            json={
                "user_id": person.user,
                "user_alias": person.name,
                "user_role": ROLE,
                "auto_create_key": False,
                "metadata": MADE_BY,
            },
        )

    async def user(self, person: Person) -> dict[str, Any] | None:
        """Return what LiteLLM knows of the person; None where it knows nobody."""
        known = await self._http_request("GET", "/user/info", params={"user_id": person.user})
        if known.status_code == 404:
            return None
        found = _body(known).get("user_info")
        return found if isinstance(found, dict) else {}

    async def revoke_all(self, person: Person) -> int:
        """Revoke every key that was made here for the person; return how many worked."""
        hashes = [key["token"] for key in await self.of(person)]
        if hashes:
            await self.revoke(hashes)
        return len(hashes)

    async def revoke(self, keys: list[str]) -> None:
        """Revoke keys, by themselves or by their hashes."""
        failed: list[BaseException] = []
        for first in range(0, len(keys), REVOKED_AT_ONCE):
            some = keys[first : first + REVOKED_AT_ONCE]
            # Its other replicas hear of a blocked key, and not of a deleted one.
            blocks = [self._ask("POST", "/key/block", json={"key": key}) for key in some]
            blocked = await asyncio.gather(*blocks, return_exceptions=True)
            await self._ask("POST", "/key/delete", json={"keys": some})
            failed += [error for error in blocked if isinstance(error, BaseException)]
        for error in failed:
            raise error

    async def _delete_expired(self, person: Person) -> None:
        """Delete what LiteLLM would keep for ever: each sign-in leaves keys behind."""
        hashes = [key["token"] for key in await self._keys(person) if _has_expired(key)]
        if hashes:
            with contextlib.suppress(Problem):  # the same at another replica
                await self._ask("POST", "/key/delete", json={"keys": hashes})

    async def of(self, person: Person) -> list[dict[str, Any]]:
        """Return the keys that were made here for the person and work."""
        return [key for key in await self._keys(person) if not _has_expired(key)]

    async def everybodys(self) -> dict[str, list[dict[str, Any]]]:
        """Return the keys that were made here and work, by user; each with what `user` is known."""
        query = {"user_id": "sso-", "substring_matching": "true", "expires": "active"}
        found: dict[str, list[dict[str, Any]]] = {}
        for key in await self._listed({**query, "expand": "user"}):
            if USER.fullmatch(str(key.get("user_id"))) and not _has_expired(key):
                found.setdefault(str(key["user_id"]), []).append(key)
        return found

    async def _keys(self, person: Person) -> list[dict[str, Any]]:
        found = await self._listed({"user_id": person.user})
        # What the server ignores would match everybody's keys.
        return [key for key in found if key.get("user_id") == person.user]

    async def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """Keys that were made here: what the inventory declares is the playbooks'."""
        found: list[dict[str, Any]] = []
        page = pages = 1
        while page <= pages:
            asked = {**query, "return_full_object": "true", "size": PAGE, "page": page}
            reply = await self._ask("GET", "/key/list", params=asked)
            with _of_its_shape():
                found += [key for key in reply.get("keys") or [] if isinstance(key, dict)]
                pages, page = _pages(reply), page + 1
        return [key for key in found if key.get("token") and _is_made_here(key)]

    async def models(self, page_key: str) -> list[str]:
        """Return the models that a key may use."""
        bearer = {"Authorization": f"Bearer {page_key}"}
        reply = await self._ask("GET", "/v1/models", headers=bearer)
        return sorted({str(model["id"]) for model in reply.get("data") or []})

    async def team(self, team: str) -> dict[str, Any]:
        """Return a team's budget, limits and what it spent."""
        reply = await self._ask("GET", "/team/info", params={"team_id": team})
        return dict(reply.get("team_info") or {})

    async def usage(self, person: Person, days: int) -> list[dict[str, Any]]:
        """Return a person's days, the oldest first, days without a request among them."""
        today = datetime.now(UTC).date()
        first = today - timedelta(days=days - 1)
        period = {"start_date": first.isoformat(), "end_date": today.isoformat()}
        query = {"user_id": person.user, "page_size": 1000, **period}
        found = {(first + timedelta(days=n)).isoformat(): dict(NOTHING) for n in range(days)}
        page = pages = 1
        while page <= pages:
            reply = await self._ask("GET", "/user/daily/activity", params={**query, "page": page})
            with _of_its_shape():
                for row in reply.get("results") or []:
                    _add(found.get(row["date"], {}), row.get("metrics") or {})
                pages, page = _pages(reply.get("metadata") or {}), page + 1
        return [{"date": day, **counted} for day, counted in found.items()]

    async def check(self) -> None:
        """Raise a Problem where LiteLLM does not answer, or not to the portal's key."""
        await self._ask("GET", "/key/info")

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return _body(await self._http_request(method, path, **options))

    async def _http_request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            return await self._http.request(method, path, **options)
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Problem("litellm_away", 503, reason=reason) from None

    async def close(self) -> None:
        await self._http.aclose()


def _body(response: httpx2.Response) -> dict[str, Any]:
    if response.status_code != 200:
        raise _unexpected(response)
    try:
        body = response.json()
    except ValueError:
        raise _unexpected(response) from None
    return body if isinstance(body, dict) else {}


@contextlib.contextmanager
def _of_its_shape() -> Iterator[None]:
    """Raise a Problem where an answer is read that is not as LiteLLM's are."""
    try:
        yield
    except MALFORMED as error:
        reason = f"its answer has another shape, {type(error).__name__}"
        raise Problem("litellm_refused", 502, reason=reason) from None


def _pages(told: dict[str, Any]) -> int:
    pages = int(told.get("total_pages") or 0)
    if pages > MAX_PAGES:
        raise ValueError(f"found {pages} pages, expected at most {MAX_PAGES}")
    return pages


def _is_made_here(key: dict[str, Any]) -> bool:
    metadata = key.get("metadata")
    return isinstance(metadata, dict) and MADE_BY.items() <= metadata.items()


def _has_expired(key: dict[str, Any]) -> bool:
    """Whether a key's time is over, as LiteLLM tells it; one without an end has not."""
    try:
        ends_at = datetime.fromisoformat(str(key.get("expires")))
    except ValueError:
        return False
    return ends_at.replace(tzinfo=ends_at.tzinfo or UTC) < datetime.now(UTC)


def _add(counted: dict[str, Any], metrics: dict[str, Any]) -> None:
    for name, theirs in COUNTED.items():
        if name in counted:
            counted[name] += metrics.get(theirs) or 0


def _unexpected(response: httpx2.Response) -> Problem:
    """LiteLLM's refusal. Its text may name keys or addresses, so people get the status alone."""
    return Problem("litellm_refused", 502, reason=f"HTTP {response.status_code}")
