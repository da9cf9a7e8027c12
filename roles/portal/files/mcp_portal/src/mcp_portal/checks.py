"""What the portal depends on, asked as the portal itself uses it. For verify, not for people."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from mcp_portal import words
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem

# Whoever asks more often gets the last answer, so that nobody is asked much through us.
KEPT_SECONDS = 5.0


class Checks:
    """Asks each service; the answer names those that fail."""

    def __init__(self, portal: Portal) -> None:
        self._asked: dict[str, Callable[[], Awaitable[object]]] = {
            "provider": portal.provider.check,
            "litellm": portal.keys.check,
            "gateway": portal.gateway.check,
            "store": lambda: portal.store.get("check"),
        }
        self._failed: dict[str, str] = {}
        self._at = -KEPT_SECONDS

    async def failed(self) -> dict[str, str]:
        """Return what fails, each with its reason."""
        if time.monotonic() - self._at >= KEPT_SECONDS:
            found = {name: await _reason(ask) for name, ask in self._asked.items()}
            self._failed = {name: reason for name, reason in found.items() if reason}
            self._at = time.monotonic()
        return self._failed


async def _reason(ask: Callable[[], Awaitable[object]]) -> str:
    try:
        await ask()
    except Problem as problem:
        return words.say("en", f"problem_{problem.key}", **problem.values)
    except RedisError as error:
        return words.say("en", "problem_store_away", reason=error)
    return ""
