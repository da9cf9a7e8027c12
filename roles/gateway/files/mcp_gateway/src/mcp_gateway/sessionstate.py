"""What this replica remembers of legacy sessions beside what their sealed ids carry."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.identify import Principal
from mcp_gateway.limits import Bounds
from mcp_gateway.servers import Servers
from mcp_gateway.sessions import Sessions
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Link, Outbound, UpstreamError, final, next_id

LEVEL_SECONDS = 5.0
Background = Callable[[Coroutine[Any, Any, Any]], None]


class SessionState:
    """Log levels, subscriptions, calls at work and open streams, by a session's id."""

    def __init__(
        self, servers: Servers, sessions: Sessions, bounds: Bounds, background: Background
    ) -> None:
        self.log_levels: dict[str, str] = {}
        self.subscriptions: dict[str, set[tuple[str, str]]] = {}
        self.in_flight: dict[tuple[str, bytes], tuple[Call, asyncio.Task[Any]]] = {}
        # Open streams of legacy sessions, told when their session at another server begins.
        self.followers: dict[str, set[Callable[[str], None]]] = {}
        self.sse_connections: dict[str, Any] = {}
        self._servers = servers
        self._sessions = sessions
        self._bounds = bounds
        self._background = background
        self._seen: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, who: Principal, uid: str) -> None:
        """A caller opens a session; beyond `limits.sessions_per_caller` its oldest one ends."""
        oldest = self._bounds.session_opens(who, uid)
        if oldest is not None:
            self._sessions.end("", oldest)
            self.leave_servers(oldest)

    def saw(self, uid: str) -> None:
        """A request of the session came."""
        self._seen[uid] = time.monotonic()

    def keep(self, uid: str) -> None:
        """An open stream is a sign of life, however quiet it is."""
        self.saw(uid)
        for upstream in self._servers.upstreams.values():
            upstream.pool.keep(uid)

    def drop(self, uid: str) -> None:
        """The session has ended, or nobody used it for long."""
        self._seen.pop(uid, None)
        self.log_levels.pop(uid, None)
        for server, uri in self.subscriptions.pop(uid, ()):
            if server in self._servers.upstreams:
                self._servers.upstreams[server].watcher.discard(uri)

    def drop_idle(self, idle_seconds: float) -> None:
        limit = time.monotonic() - idle_seconds
        for uid in [u for u, seen in self._seen.items() if seen < limit]:
            self.drop(uid)

    def leave_servers(self, uid: str) -> None:
        """End what the session has at servers, too."""
        self.drop(uid)
        for upstream in self._servers.upstreams.values():
            if upstream.pool.has(uid):
                self._background(upstream.pool.drop(uid))

    async def catch_up(self, upstream: Upstream, uid: str, link: Link) -> None:
        """A client's own session at a server began with its first call there."""
        level = self.log_levels.get(uid)
        if level is not None and "logging" in envelope.fields_of(link.info.get("capabilities")):
            params = {"level": envelope.raw(level)}
            out = Outbound(next_id(), "logging/setLevel", params, timeout=LEVEL_SECONDS)
            with contextlib.suppress(UpstreamError):
                await final(await link.request(out), upstream.name)
        for follow in self.followers.get(uid, ()):
            follow(upstream.name)
