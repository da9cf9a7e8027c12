"""One configured upstream: its links, its health, its lists, and the watch over them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from mcp_gateway import discovery, envelope, faults, sources
from mcp_gateway.catalog import Listing
from mcp_gateway.config import ConfigError, read_secret
from mcp_gateway.control import ControlLink
from mcp_gateway.credentials import Credentials
from mcp_gateway.healthprobe import HealthProbe
from mcp_gateway.httpclient import Client
from mcp_gateway.personal import Personal
from mcp_gateway.settings import Limits
from mcp_gateway.settings import Upstream as UpstreamSettings
from mcp_gateway.upstreams.base import REFUSED, Breaker, Gate, Link, UpstreamError
from mcp_gateway.upstreams.channelpool import ChannelPool
from mcp_gateway.upstreams.httppool import HttpLinkPool
from mcp_gateway.upstreams.httptransport import HttpTransport
from mcp_gateway.upstreams.pool import LinkPool
from mcp_gateway.upstreams.ssechannel import SseTransport
from mcp_gateway.upstreams.stdio import StdioTransport
from mcp_gateway.watcher import ResourceWatcher

log = logging.getLogger("mcp_gateway.upstream")
MIN_REFRESH_SECONDS = 0.25

Published = Callable[["Upstream", envelope.Message], None]
SessionOpened = Callable[["Upstream", str, Link], Awaitable[None]]


def read_secrets(name: str, settings: UpstreamSettings) -> dict[str, dict[str, str]]:
    """The values behind an upstream's secret options; ConfigError when one cannot be read."""
    client = settings.per_user.client if settings.per_user is not None else None
    return {"client_secret": sources.read_secret_of(f"upstreams.{name}.per_user", client)} | {
        option: {
            key: read_secret(secret, f"upstreams.{name}.{option}.{key}")
            for key, secret in getattr(settings, option).items()
        }
        for option in ("headers_from_files", "env_from")
    }


def read_authorities(name: str, settings: UpstreamSettings) -> bytes:
    """What is in an upstream's `ca_file` now; ConfigError when it cannot be read."""
    if not settings.ca_file:
        return b""
    try:
        with open(settings.ca_file, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(
            f"upstreams.{name}.ca_file", [f"{settings.ca_file} cannot be read: {error.strerror}"]
        ) from None


class Upstream:
    """A tool server behind the gateway."""

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        limits: Limits,
        credentials: Credentials,
        on_change: Callable[[Upstream], None],
        on_event: Published,
        on_session: SessionOpened,
    ) -> None:
        self.name = name
        self.settings = settings
        self.timeout = settings.timeout_seconds or limits.request_timeout_seconds
        self.breaker = Breaker(settings.breaker)
        self.gate = Gate(settings.concurrency)
        self.listing = Listing()
        self.refreshed = asyncio.Event()
        self.started_at = 0.0
        self.limits = limits
        self._on_change = on_change
        self._on_event = on_event
        self._on_session = on_session
        self._dirty = asyncio.Event()
        self._watch_task: asyncio.Task[None] | None = None
        self._recheck_task: asyncio.Task[None] | None = None
        self._answers: set[asyncio.Task[None]] = set()
        own = settings.per_user
        self.secrets = read_secrets(name, settings)
        self.personal = None
        if own is not None:
            secret = self.secrets["client_secret"].get("", "")
            self.personal = Personal(name, own, sources.build(name, own, credentials, secret))
        self.authorities = read_authorities(name, settings)
        self.pool = self._make_pool(limits)
        self.control = ControlLink(self.pool, self._unrelated, self._renew_watches, self.touch)
        self.watcher = ResourceWatcher(name, self.timeout, self.control, self.publish)
        self.probe = HealthProbe(
            name, self.timeout, self.breaker, self.control, self.touch, may_refuse=bool(own)
        )

    def _make_pool(self, limits: Limits) -> LinkPool:
        s, limit = self.settings, limits.response_bytes
        if s.type == "stdio":
            env = s.env | self.secrets["env_from"]
            argv = [s.command or "", *s.args]
            stdio = StdioTransport(self.name, argv, env, s.cwd, limit, self.timeout)
            return ChannelPool(self.name, s, stdio, self._unrelated, self.touch)
        client = Client(s.url or "", ca_file=s.ca_file, connect_timeout=s.connect_timeout_seconds)
        headers = [*s.headers.items(), *self.secrets["headers_from_files"].items()]
        if s.type == "sse":
            sse = SseTransport(self.name, client, lambda: headers, limit, self.timeout)
            return ChannelPool(self.name, s, sse, self._unrelated, self.touch)
        http = HttpTransport(
            self.name, client, lambda: headers, limit, self.timeout, s.caller_header, self.personal
        )
        return HttpLinkPool(self.name, s, http, partial(self._on_session, self))

    # health
    @property
    def is_up(self) -> bool:
        """Whether calls are let through and the lists could be read at least once."""
        return self.breaker.state == "closed" and bool(self.listing.fetched_at)

    def call_failed(self, error: UpstreamError) -> None:
        """A call got no answer: a refused connection counts at once, the rest after a probe.

        The reason is told to others, too: not what a server says to one person in their own name.
        """
        if error.sent:
            own = self.personal is not None
            self.breaker.abandoned()
            self.probe.report(f"server {self.name}: a call failed" if own else str(error))
        else:
            self.breaker.failed(str(error))
            if self.breaker.state == "open":
                self.touch()

    @property
    def eras(self) -> frozenset[str]:
        """The eras that the server speaks, as far as it has been asked."""
        return self.pool.eras

    @property
    def is_connection_bound(self) -> bool:
        """Whether a link to it is a connection that this replica holds, and no other can use."""
        return self.pool.is_connection_bound

    def era_for(self, client_era: str) -> str:
        """The era to speak to this upstream on behalf of a client of `client_era`."""
        if client_era in self.eras and (client_era == "modern" or not self.settings.is_shared):
            return client_era
        return "modern" if "modern" in self.eras else "legacy"

    # lists
    def start(self) -> None:
        self.started_at = time.monotonic()
        self._watch_task = asyncio.create_task(self._watch(), name=f"watch {self.name}")
        if self.personal is not None:
            self._recheck_task = asyncio.create_task(self.personal.watch())

    async def stop(self, *, tell: bool = True) -> None:
        """End the watch, every link and every process.

        Without `tell` the sessions of callers stay at the upstream: another replica goes on there.
        """
        self.watcher.stop()
        self.probe.stop()
        started = (self._watch_task, self._recheck_task, *self._answers)
        tasks = [t for t in started if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.control.stop()
        await self.pool.close(tell=tell)

    def touch(self) -> None:
        """Read the lists again soon."""
        self._dirty.set()

    async def _watch(self) -> None:
        while True:
            pause = self.settings.refresh_seconds
            self._dirty.clear()
            try:
                await self.refresh()
            except UpstreamError as error:
                if self.personal is not None and error.kind == REFUSED:
                    self._unlisted(str(error))
                else:
                    self._failed(str(error))
                    pause = min(pause, max(0.25, 0.5 * 2 ** min(self.breaker.failures, 6)))
            except Exception:
                log.exception("%s: refreshing its lists failed", self.name)
                self._failed("internal error")
            self.refreshed.set()
            # However often a server says that its lists changed: everybody's are built anew.
            await asyncio.sleep(MIN_REFRESH_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause - MIN_REFRESH_SECONDS):
                    await self._dirty.wait()
                    # A server that ended is not started again before its back-off has passed.
                    await self.pool.restart_pause()

    def _unlisted(self, reason: str) -> None:
        """It answers, and what the gateway may list there says nothing about people's calls."""
        if reason != self.breaker.last_error:
            log.warning("%s: %s", self.name, reason)
        self.breaker.last_error = reason

    def _failed(self, reason: str) -> None:
        if reason != self.breaker.last_error:
            log.warning("%s: %s", self.name, reason)
        self.breaker.failed(reason)
        self._on_change(self)

    async def refresh(self) -> None:
        """Probe the upstream and read its lists; tells `on_change` when they differ."""
        link = await self.control.link()
        try:
            listing = await discovery.read_listing(
                link, self.name, self.timeout, self.limits, self.listing
            )
        except UpstreamError:
            await self.control.reset()
            raise
        listing.fetched_at = time.time()
        changed = not self.listing.fetched_at or not listing.same_as(self.listing)
        was_up = self.is_up
        faults.report(self.name, listing.faults, self.listing.faults)
        self.listing = listing
        self.breaker.succeeded()
        if changed or not was_up:
            self._on_change(self)

    # what the server says of itself
    def _renew_watches(self) -> None:
        self.watcher.renew()

    def _unrelated(self, key: str, message: envelope.Message) -> None:
        """Something arrived that belongs to no call."""
        if message.is_request and message.id is not None:
            link = self.pool.links.get(key)
            if link is not None:
                code = envelope.METHOD_NOT_FOUND
                text = "nobody is connected who could answer; use mode per_session"
                if message.method == "ping":
                    body = envelope.result(message.id, {})
                else:
                    body = envelope.error(message.id, code, text)
                task = asyncio.create_task(_quietly(link.notify(body)))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            return
        if message.method and message.method.endswith("/list_changed"):
            self._dirty.set()
        self.publish(message)

    def publish(self, message: envelope.Message) -> None:
        """Hand a notice to whoever listens to the gateway."""
        self._on_event(self, message)


async def _quietly(coroutine: object) -> None:
    with contextlib.suppress(UpstreamError):
        await coroutine  # type: ignore[misc]
