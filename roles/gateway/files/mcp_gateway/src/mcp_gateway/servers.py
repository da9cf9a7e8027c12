"""Every configured server, and the catalog of what they offer together."""

from __future__ import annotations

import asyncio
import contextlib
import time

from mcp_gateway import envelope, translate
from mcp_gateway.catalog import Catalog, Item
from mcp_gateway.credentials import Credentials
from mcp_gateway.fingerprints import Fingerprints
from mcp_gateway.hub import Hub
from mcp_gateway.metrics import Metrics
from mcp_gateway.settings import Config
from mcp_gateway.upstream import SessionOpened, Upstream, read_authorities, read_secrets


class Servers:
    """Keeps the catalog up to date with the servers' lists, and announces what changed."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        metrics: Metrics,
        credentials: Credentials,
        on_session: SessionOpened,
    ) -> None:
        self.upstreams: dict[str, Upstream] = {}
        self.catalog = Catalog()
        self.fingerprints = Fingerprints(config.on_drift)
        self._hub = hub
        self._metrics = metrics
        self._credentials = credentials
        self._on_session = on_session
        self._header_maps: dict[str, dict[str, dict[tuple[str, ...], str]]] = {}

    def start(self, config: Config) -> None:
        self.upstreams = self.prepare(config)
        for upstream in self.upstreams.values():
            upstream.start()

    def prepare(self, config: Config) -> dict[str, Upstream]:
        """Every server of `config`, those that stay as they are included; changes nothing yet."""
        return {
            name: self.upstreams[name]
            if self._is_unchanged(name, config)
            else self._create(name, config)
            for name in config.upstreams
        }

    def _is_unchanged(self, name: str, config: Config) -> bool:
        """Whether a server may keep its links and processes: it runs with just these options."""
        settings, running = config.upstreams[name], self.upstreams.get(name)
        return (
            running is not None
            and running.settings == settings
            and running.limits == config.limits
            and running.secrets == read_secrets(name, settings)
            and running.authorities == read_authorities(name, settings)
        )

    def _create(self, name: str, config: Config) -> Upstream:
        return Upstream(
            name,
            config.upstreams[name],
            config.limits,
            self._credentials,
            self._on_change,
            self._on_notice,
            self._on_session,
        )

    def replace(self, prepared: dict[str, Upstream], fingerprints: Fingerprints) -> list[Upstream]:
        """Go on with these; the servers that are gone, still to be stopped."""
        kept = [name for name, upstream in prepared.items() if self.upstreams.get(name) is upstream]
        fingerprints.go_on_from(self.fingerprints, kept)
        self.fingerprints = fingerprints
        previous, self.upstreams = self.upstreams, prepared
        for name, upstream in prepared.items():
            if previous.get(name) is not upstream:
                upstream.start()
        gone = [u for n, u in previous.items() if prepared.get(n) is not u]
        self._rebuild(prepared.keys() | {u.name for u in gone})
        return gone

    # what servers tell
    def _on_change(self, upstream: Upstream) -> None:
        """A server's lists or its health changed: rebuild the catalog, tell open streams."""
        if self.upstreams.get(upstream.name) is not upstream:
            return  # a reload replaced it
        drifted = self.fingerprints.observe(upstream.name, upstream.listing.items.get("tools", []))
        if drifted:
            self._metrics.drift.labels(upstream.name).inc(len(drifted))
        self.fingerprints.save_first()
        self._rebuild({upstream.name})

    def _rebuild(self, servers: set[str]) -> None:
        """A new catalog; says which lists of these servers are other ones now."""
        before = self.catalog
        listings = {n: u.listing for n, u in self.upstreams.items() if u.listing.fetched_at}
        self.catalog = Catalog(listings)
        self.catalog.generation = before.generation + 1
        self._metrics.listed = {
            (name, item.name)
            for name, listing in listings.items()
            for item in listing.items.get("tools", ())
        }
        self._header_maps.clear()
        for server in sorted(servers):
            changed = {
                kind
                for kind, items in self.catalog.by_name.items()
                if _bodies_of(items, server) != _bodies_of(before.by_name[kind], server)
            }
            if changed:
                self._hub.announce(server, changed)

    def _on_notice(self, upstream: Upstream, message: envelope.Message) -> None:
        """A notice that belongs to no call. Changed lists are announced once they were read."""
        if message.method == "notifications/resources/updated":
            self._hub.publish(upstream.name, message)

    async def wait_until_read(self, server: str, seconds: float) -> None:
        """Until servers (one, or all) that were started less than `seconds` ago were asked once."""
        wanted = [self.upstreams[server]] if server else list(self.upstreams.values())
        fresh = [u for u in wanted if not u.refreshed.is_set()]
        if fresh:
            ends = max(u.started_at for u in fresh) + seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ends - time.monotonic()):
                    await asyncio.gather(*(u.refreshed.wait() for u in fresh))

    # what the catalog knows
    def param_header_map(self, server: str, tool: str) -> dict[tuple[str, ...], str]:
        """Which arguments of a tool its schema wants to see in headers."""
        maps = self._header_maps.get(server)
        if maps is None:
            maps = self._header_maps[server] = {
                item.name: translate.header_map(
                    envelope.decode_any(envelope.fields_of(item.body).get("inputSchema", b"{}"))
                )
                for item in self.upstreams[server].listing.items.get("tools", ())
                if b"x-mcp-header" in bytes(item.body)
            }
        return maps.get(tool, {})

    @property
    def missing(self) -> list[str]:
        """Required servers that are not up."""
        return [n for n, u in self.upstreams.items() if u.settings.required and not u.is_up]


def _bodies_of(items: dict[str, Item], server: str) -> dict[str, bytes]:
    return {k: bytes(i.body) for k, i in items.items() if i.server == server}
