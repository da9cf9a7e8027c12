"""What the portal depends on, asked as the portal itself uses it. For verify and doctor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from mcp_portal import words
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem

# Whoever asks more often gets the last answer, so that nobody is asked much through us.
KEPT_SECONDS = 5.0
# Who asks waits for somewhat longer.
SECONDS = 6.0


class Checks:
    """Asks each service; the answer names those that fail."""

    def __init__(self, portal: Portal) -> None:
        self._asked: dict[str, Callable[[], Awaitable[object]]] = {
            "provider": portal.provider.examine,
            "litellm": portal.keys.check,
            "gateway": portal.gateway.check,
            "store": lambda: portal.store.get("check"),
        }
        self._issuer = portal.config.oidc.issuer
        self._failed: dict[str, Problem] = {}
        self._at = -KEPT_SECONDS
        self._lock = asyncio.Lock()

    async def told(self) -> dict[str, Any]:
        """Return the status and, of each part that fails, the reason and its key for programs."""
        async with self._lock:
            if time.monotonic() - self._at >= KEPT_SECONDS:
                found = await asyncio.gather(*map(self._problem, self._asked))
                self._failed = {n: p for n, p in zip(self._asked, found, strict=True) if p}
                self._at = time.monotonic()
        if not self._failed:
            return {"status": "ok"}
        reasons = {
            name: words.say("en", f"problem_{problem.key}", **problem.values)
            for name, problem in self._failed.items()
        }
        keys = {name: problem.key for name, problem in self._failed.items()}
        return {"status": "failed", **reasons, "problems": keys}

    async def _problem(self, name: str) -> Problem | None:
        try:
            await asyncio.wait_for(self._asked[name](), SECONDS)
        except Problem as problem:
            return problem
        except RedisError as error:
            return Problem("store_away", 503, reason=error)
        except TimeoutError:
            reason = f"no answer in {SECONDS:.0f} s"
            return Problem(f"{name}_away", 503, reason=reason, issuer=self._issuer)
        return None
