"""Everything that lives as long as the process: what it consists of, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from mcp_gateway.access import Access
from mcp_gateway.address import path_prefix
from mcp_gateway.audit import Audit
from mcp_gateway.credentials import Credentials
from mcp_gateway.fingerprints import Fingerprints
from mcp_gateway.hub import Hub
from mcp_gateway.identify import AuthFailures
from mcp_gateway.limits import Bounds, Connections
from mcp_gateway.lists import Lists
from mcp_gateway.metrics import Metrics
from mcp_gateway.parts import Parts, build
from mcp_gateway.peers import Peers
from mcp_gateway.pending import Parking, Questions
from mcp_gateway.record import Recorder
from mcp_gateway.servers import Servers
from mcp_gateway.sessions import Sealer, Sessions
from mcp_gateway.sessionstate import SessionState
from mcp_gateway.settings import Config
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Link

log = logging.getLogger("mcp_gateway")
SWEEP_SECONDS = 30.0


class Gateway:
    """The parts that the pipeline's stages use; `reload` replaces what a configuration decides."""

    def __init__(self, config: Config) -> None:
        self.metrics = Metrics()
        self.failures = AuthFailures(0)
        parts = build(config, self.metrics, self.failures)
        self.recorder = Recorder(self.metrics, Audit(config.audit, self.metrics.audit_dropped.inc))
        home = config.sessions.peer_url or ""
        self.sealer = Sealer(parts.sealing_keys)
        self.sessions = Sessions(self.sealer, config.sessions.max_age_seconds, home)
        self.questions = Questions(self.sealer, home)
        self.parking = Parking(self.sealer, config.limits.input_wait_seconds, home)
        self.peers = Peers(config.sessions.peer_url, self.sealer)
        self.bounds = Bounds(config)
        self.connections = Connections(config.limits)
        self.hub = Hub()
        self.credentials = Credentials()
        self.servers = Servers(
            config, self.hub, self.metrics, self.credentials, self._session_opened
        )
        self.access = Access(self.servers, parts.authorization)
        self.lists = Lists(self.servers, self.access, config.limits)
        self.session_state = SessionState(self.servers, self.sessions, self.bounds, self.background)
        self.reloading = asyncio.Lock()
        self.is_draining = False
        self.is_closing = False
        self.last_reload_error = ""
        self.started_at = time.time()
        self._background: set[asyncio.Task[Any]] = set()
        self._use(parts)

    def _use(self, parts: Parts) -> None:
        """Go on with these; nothing here may raise, or a reload would be half done."""
        self._parts = parts
        self.config = config = parts.config
        self.proxies = parts.proxies
        self.admission = parts.admission
        self.identification = parts.identification
        self.rate_limiter = parts.rate_limiter
        self.access.authorization = parts.authorization
        self.sealer.use(parts.sealing_keys)
        self.credentials.use(parts.credentials)
        self.peers.known = frozenset(config.sessions.peers)
        self.peers.proxies = parts.proxies
        self.path_prefix = path_prefix(config.listen.public_url)
        self.failures.per_minute = config.limits.auth_failures_per_minute
        self.bounds.limits = self.connections.limits = self.lists.limits = config.limits
        self.sessions.max_age = config.sessions.max_age_seconds
        self.parking.wait_seconds = config.limits.input_wait_seconds

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """The servers by name."""
        return self.servers.upstreams

    @property
    def is_ready(self) -> bool:
        return not self.is_draining and not self.servers.missing

    # life
    async def start(self) -> None:
        await self.proxies.resolve()
        self.servers.start(self.config)
        self.background(self._sweep())

    async def reload(self, config: Config) -> None:
        """Go on with another configuration: unchanged servers keep their links and processes.

        When a part of it cannot be used this raises, and nothing has changed. All that may raise or
        wait comes first; from `reopen` on, no request comes in between.
        """
        parts = build(config, self.metrics, self.failures)
        await parts.proxies.resolve()
        prepared = self.servers.prepare(config)
        fingerprints = Fingerprints(config.on_drift)
        self.recorder.audit.reopen(config.audit)  # the last step that may raise
        previous = self._parts
        self._use(parts)
        for upstream in self.servers.replace(prepared, fingerprints):
            self.background(upstream.stop())
        self.background(previous.close())

    async def stop(self) -> None:
        """End everything that the gateway started."""
        for task in list(self._background):
            task.cancel()
        # With shared keys another replica goes on with these sessions: they must outlive this one.
        tell = not self.config.sessions.key_files
        stopping = (u.stop(tell=tell) for u in self.upstreams.values())
        await asyncio.gather(*stopping, return_exceptions=True)
        await self._parts.close()
        self.peers.close()
        self.recorder.refusals.summarize()
        self.recorder.audit.close()

    def announce_end(self) -> None:
        """`/ready` says 503 from now on, so that load balancers send new work elsewhere."""
        self.is_draining = True

    def drain(self) -> None:
        """Take no new work; let streams end cleanly."""
        self.is_draining = self.is_closing = True
        self.hub.end_all()

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something that nobody waits for; its failure is logged."""
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.info("in the background: %s", task.exception())

    async def _sweep(self) -> None:
        """End what quiet callers left behind."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.proxies.resolve()
            idle = self.config.sessions.idle_seconds
            for upstream in self.upstreams.values():
                with contextlib.suppress(Exception):
                    # With shared keys another replica may be using the same upstream session.
                    tell = not self.config.sessions.key_files
                    await upstream.pool.drop_idle(idle, tell=tell)
            self.session_state.drop_idle(idle)

    async def _session_opened(self, upstream: Upstream, uid: str, link: Link) -> None:
        await self.session_state.catch_up(upstream, uid, link)

    async def wait_until_read(self, server: str = "") -> None:
        """Until servers that were just started were asked once, or should have been."""
        await self.servers.wait_until_read(server, self.config.sessions.initialize_seconds)
