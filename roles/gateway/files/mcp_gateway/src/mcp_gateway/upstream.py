"""One configured upstream: its links, its health, its lists, and the watch over them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from mcp_gateway import envelope, faults, survey
from mcp_gateway.catalog import Listing
from mcp_gateway.config import read_secret
from mcp_gateway.doubt import Doubts
from mcp_gateway.eras import LATEST_MODERN
from mcp_gateway.httpclient import Client
from mcp_gateway.settings import Limits
from mcp_gateway.settings import Upstream as UpstreamSettings
from mcp_gateway.upstreams.base import (
    GATEWAY_KEY,
    Breaker,
    Gate,
    Hello,
    Link,
    UpstreamError,
    parsed,
)
from mcp_gateway.upstreams.channel import Channel
from mcp_gateway.upstreams.ssechannel import SseTransport
from mcp_gateway.upstreams.stdio import StdioTransport
from mcp_gateway.upstreams.streamable import HttpLink, HttpTransport
from mcp_gateway.watcher import ResourceWatcher

log = logging.getLogger("mcp_gateway.upstream")
SHARED_KEY = "@shared"
MIN_REFRESH_SECONDS = 0.25
# What the gateway can pass on for a caller who is not known yet.
OPEN_CAPABILITIES = b'{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}'

Published = Callable[["Upstream", envelope.Message], None]
SessionOpened = Callable[["Upstream", str, Link], Awaitable[None]]


def read_secrets(name: str, settings: UpstreamSettings) -> dict[str, dict[str, str]]:
    """The values behind an upstream's secret options; ConfigError when one cannot be read."""
    return {
        option: {
            key: read_secret(secret, f"upstreams.{name}.{option}.{key}")
            for key, secret in getattr(settings, option).items()
        }
        for option in ("headers_from_files", "env_from")
    }


class Upstream:
    """A tool server behind the gateway."""

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        limits: Limits,
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
        self.eras: frozenset[str] = frozenset()
        self.refreshed = asyncio.Event()
        self.started_at = 0.0
        self._limits = limits
        self._on_change = on_change
        self._on_event = on_event
        self._on_session = on_session
        self._links: dict[str, Link] = {}
        self._opening: dict[str, asyncio.Task[Link]] = {}
        self._dirty = asyncio.Event()
        self._watch_task: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._followed: Link | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._restarts = 0
        self._not_before = 0.0
        self.secrets = read_secrets(name, settings)
        self.watcher = ResourceWatcher(self)
        self.doubts = Doubts(self)
        self.transport = self._make_transport(limits.response_bytes)

    def _make_transport(self, limit: int) -> HttpTransport | StdioTransport | SseTransport:
        s = self.settings
        if s.type == "stdio":
            env = s.env | self.secrets["env_from"]
            argv = [s.command or "", *s.args]
            return StdioTransport(self.name, argv, env, s.cwd, limit, self.timeout)
        client = Client(s.url or "", ca_file=s.ca_file, connect_timeout=s.connect_timeout_seconds)
        headers = [*s.headers.items(), *self.secrets["headers_from_files"].items()]
        if s.type == "sse":
            return SseTransport(self.name, client, lambda: headers, limit, self.timeout)
        return HttpTransport(
            self.name, client, lambda: headers, limit, self.timeout, s.caller_header
        )

    # health
    @property
    def is_up(self) -> bool:
        """Whether calls are let through and the lists could be read at least once."""
        return self.breaker.state == "closed" and bool(self.listing.fetched_at)

    def call_failed(self, error: UpstreamError) -> None:
        """A call got no answer: a refused connection counts at once, the rest after a probe."""
        if error.sent:
            self.breaker.abandoned()
            self.doubts.add(str(error))
        else:
            self.breaker.failed(str(error))
            if self.breaker.state == "open":
                self._dirty.set()

    def era_for(self, client_era: str) -> str:
        """The era to speak to this upstream on behalf of a client of `client_era`."""
        if client_era in self.eras and (client_era == "modern" or not self.settings.is_shared):
            return client_era
        return "modern" if "modern" in self.eras else "legacy"

    # links
    async def link(self, era: str, key: str, hello: Hello) -> Link:
        """The open link for `key`, opened once however many ask for it."""
        if era == "modern" and isinstance(self.transport, HttpTransport):
            key = SHARED_KEY + era
        link = self._links.get(key)
        if link is not None and getattr(link, "is_open", True):
            return link
        task = self._opening.get(key)
        if task is None:
            task = asyncio.create_task(self._open(era, key, hello))
            self._opening[key] = task
            task.add_done_callback(lambda t: self._opened(key, t))
        return await asyncio.shield(task)

    def _opened(self, key: str, task: asyncio.Task[Link]) -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody else needs it

    async def _open(self, era: str, key: str, hello: Hello) -> Link:
        if isinstance(self.transport, HttpTransport):
            if era == "modern":
                link: Link = self.transport.modern()
            else:
                link = await self.transport.initialize(hello)
                link.rewrites_ids = key.startswith(("@", "p:"))
                if not link.rewrites_ids:
                    await self._on_session(self, key, link)
        else:
            link = await self._open_channel(key, hello)
        self._links[key] = link
        return link

    async def _open_channel(self, key: str, hello: Hello) -> Channel:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise UpstreamError(
                "unreachable", f"server {self.name} ended; it is started again in {wait:.1f} s"
            )
        assert not isinstance(self.transport, HttpTransport)
        await self._make_room()
        try:
            channel = await self.transport.open(
                hello,
                self.settings.era,
                lambda message: self._unrelated(key, message),
                lambda code: self._channel_ended(key, code),
            )
        except UpstreamError:
            self._back_off()
            raise
        self.eras = frozenset({channel.era})
        self._restarts = 0
        return channel

    async def _make_room(self) -> None:
        """End the process that was idle for longest when there are too many."""
        own = {k: c for k, c in self._links.items() if not k.startswith("@")}
        opening = sum(1 for k in self._opening if not k.startswith("@")) - 1
        if len(own) + max(opening, 0) < self.settings.max_processes:
            return
        idle = [k for k, c in own.items() if isinstance(c, Channel) and not c.pending]
        if not idle:
            raise UpstreamError(
                "busy",
                f"server {self.name} already runs {len(own)} processes (max_processes)",
            )
        await self.forget(min(idle, key=lambda k: own[k].last_used))

    def _channel_ended(self, key: str, code: int) -> None:
        if self._links.pop(key, None) is None:
            return
        log.warning("%s: its process ended with code %s", self.name, code)
        if key in (SHARED_KEY, GATEWAY_KEY):  # a caller's own process holds up nobody else
            self._back_off()
            self._dirty.set()

    def _back_off(self) -> None:
        self._not_before = time.monotonic() + min(0.25 * 2**self._restarts, 30)
        self._restarts += 1

    def adopt(self, key: str, sid: str | None, version: str, caller: str) -> Link:
        """The link of a session that was opened earlier, perhaps at another replica."""
        link = self._links.get(key)
        if link is None:
            assert isinstance(self.transport, HttpTransport)
            link = self._links[key] = self.transport.resumed(sid, version, caller)
        return link

    def has_link(self, key: str) -> bool:
        """Whether there is an open link for `key` already."""
        link = self._links.get(key)
        return link is not None and getattr(link, "is_open", True)

    def keep(self, key: str) -> None:
        """Somebody still wants this link, though nothing goes over it."""
        link = self._links.get(key)
        if link is not None:
            link.last_used = time.monotonic()

    async def forget(self, key: str, *, tell: bool = True) -> None:
        """Drop a link; `tell` ends the session (or process) at the upstream too."""
        link = self._links.pop(key, None)
        if link is not None and tell:
            with contextlib.suppress(UpstreamError):
                await link.close()

    async def forget_idle(self, idle_seconds: float, *, tell: bool) -> None:
        """Drop links of callers that went quiet; a process always ends with its link."""
        limit = time.monotonic() - idle_seconds
        for key, link in list(self._links.items()):
            if not key.startswith("@") and link.last_used < limit:
                await self.forget(key, tell=tell or not isinstance(link, HttpLink))

    # lists
    def start(self) -> None:
        self.started_at = time.monotonic()
        self._watch_task = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def stop(self, *, tell: bool = True) -> None:
        """End the watch, every link and every process.

        Without `tell` the sessions of callers stay at the upstream: another replica goes on there.
        """
        self.watcher.stop()
        self.doubts.stop()
        tasks = [t for t in (self._watch_task, self._listener, *self._answers) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(
                self.forget(key, tell=tell or key.startswith("@") or not isinstance(link, HttpLink))
                for key, link in list(self._links.items())
            )
        )
        await self.transport.close()

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
                    await self.restart_pause()

    async def restart_pause(self) -> None:
        """Until a process that ended may be started again."""
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))

    async def forget_control(self) -> None:
        """Open the gateway's own link anew next time; what callers share stays."""
        is_process = not isinstance(self.transport, HttpTransport)
        await self.forget(GATEWAY_KEY, tell=is_process)

    def _failed(self, reason: str) -> None:
        if reason != self.breaker.last_error:
            log.warning("%s: %s", self.name, reason)
        self.breaker.failed(reason)
        self._on_change(self)

    async def refresh(self) -> None:
        """Probe the upstream and read its lists; tells `on_change` when they differ."""
        link = await self.control()
        try:
            listing = await survey.read_listing(
                link, self.name, self.timeout, self._limits, self.listing
            )
        except UpstreamError:
            await self.forget_control()
            raise
        listing.fetched_at = time.time()
        changed = not self.listing.fetched_at or not listing.same_as(self.listing)
        was_up = self.is_up
        faults.report(self.name, listing.faults, self.listing.faults)
        self.listing = listing
        self.breaker.succeeded()
        if changed or not was_up:
            self._on_change(self)

    async def control(self) -> Link:
        """The gateway's own link, for lists and change notices."""
        channel_key = SHARED_KEY if self.settings.is_shared else GATEWAY_KEY
        if not isinstance(self.transport, HttpTransport):
            hello = Hello(LATEST_MODERN, capabilities=OPEN_CAPABILITIES)
            link = await self.link("any", channel_key, hello)
            if self._followed is not link:
                if link.era == "modern":
                    self._follow(link, channel_key)
                self._followed = link
                self.watcher.renew()
            return link
        link = self._links.get(GATEWAY_KEY)
        if link is None:
            link, self.eras = await survey.probe(self.transport, self.settings.era)
            self._links[GATEWAY_KEY] = link
            self._follow(link, GATEWAY_KEY)
            self.watcher.renew()
        return link

    def _follow(self, link: Link, key: str) -> None:
        """Listen to this link's notices, and to no other's."""
        if self._followed is link:
            return
        if self._listener is not None:
            self._listener.cancel()
        self._followed = link
        self._listener = asyncio.create_task(self._listen(link, key), name=f"listen {self.name}")

    # change notices
    async def _listen(self, link: Link, key: str) -> None:
        """Follow the upstream's notices for as long as it sends them."""
        try:
            while (exchange := await survey.notices(link)) is not None:
                while (frame := await exchange.next()) is not None:
                    message = parsed(frame)
                    if message is None:
                        continue
                    if message.error is not None:
                        return  # it has no notices to give
                    self._unrelated(key, message)
                await asyncio.sleep(1)  # an upstream that hangs up at once is not asked in a loop
                self._dirty.set()
        except UpstreamError as error:
            log.info("%s: notices ended: %s", self.name, error)
            if key == GATEWAY_KEY:
                self._links.pop(key, None)
            self._dirty.set()

    def _unrelated(self, key: str, message: envelope.Message) -> None:
        """Something arrived that belongs to no call."""
        if message.is_request and message.id is not None:
            link = self._links.get(key)
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
