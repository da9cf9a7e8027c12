"""Everything that lives as long as the process: upstreams, catalog, sessions, who and what."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mcp_gateway import envelope, translate
from mcp_gateway.address import path_prefix
from mcp_gateway.addresses import Proxies
from mcp_gateway.admit import Admission
from mcp_gateway.audit import Audit
from mcp_gateway.auth.build import build_identification
from mcp_gateway.authorize import Authorization, Verdict, matches
from mcp_gateway.call import Call
from mcp_gateway.catalog import Catalog, Item
from mcp_gateway.config import read_secret
from mcp_gateway.fingerprints import Fingerprints
from mcp_gateway.identify import AuthFailures, Principal
from mcp_gateway.limits import Bounds, Connections, RateLimiter
from mcp_gateway.lists import Lists
from mcp_gateway.peers import Peers
from mcp_gateway.pending import Parking, Questions
from mcp_gateway.record import Metrics, Recorder
from mcp_gateway.refusal import Refusal
from mcp_gateway.route import TASK_SEPARATOR
from mcp_gateway.sessions import Sealer, Sessions, read_keys
from mcp_gateway.settings import Config, Secret
from mcp_gateway.streams import Hub
from mcp_gateway.upstream import Upstream, read_secrets
from mcp_gateway.upstreams.base import Link, Outbound, UpstreamError, final, next_id

log = logging.getLogger("mcp_gateway")
SWEEP_SECONDS = 30.0
LEVEL_SECONDS = 5.0


class Gateway:
    """The gateway's state; the pipeline's stages read it, `reload` replaces parts of it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.recorder = Recorder(self.metrics, Audit(config.audit, self.metrics.audit_dropped.inc))
        self.sealer = sealer = Sealer(read_keys(config.sessions.key_files))
        self.sessions = Sessions(
            sealer, config.sessions.max_age_seconds, config.sessions.peer_url or ""
        )
        home = config.sessions.peer_url or ""
        self.questions = Questions(sealer, home)
        self.parking = Parking(sealer, config.limits.input_wait_seconds, home)
        self.hub = Hub()
        self.catalog = Catalog()
        self.lists = Lists(self)
        self.peers = Peers(config.sessions.peer_url, sealer)
        self.sse_connections: dict[str, Any] = {}
        self.log_levels: dict[str, str] = {}
        # Open streams of legacy sessions, told when their session at another server begins.
        self.followers: dict[str, set[Callable[[str], None]]] = {}
        self.subscriptions: dict[str, set[tuple[str, str]]] = {}
        self.in_flight: dict[tuple[str, bytes], tuple[Call, asyncio.Task[Any]]] = {}
        self.bounds = Bounds(config)
        self.connections = Connections(config.limits)
        self.failures = AuthFailures(0)
        self.fingerprints = Fingerprints(config.on_drift)
        self.is_draining = False
        self.is_closing = False
        self.last_reload_error = ""
        self.started_at = time.time()
        self.upstreams: dict[str, Upstream] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._seen_sessions: dict[str, float] = {}
        self._header_maps: dict[str, dict[str, dict[tuple[str, ...], str]]] = {}
        self._apply(config)

    def _apply(self, config: Config) -> None:
        """Build what a configuration decides and nothing else remembers."""
        self.config = config
        self.peers.known = frozenset(config.sessions.peers)
        listen = config.listen
        peers = [urlsplit(url).hostname or "" for url in config.sessions.peers]
        self.proxies = Proxies([*listen.trusted_proxies, *peers], listen.trust_caller_header)
        self.path_prefix = path_prefix(config.listen.public_url)
        self.admission = Admission(config.listen, config.limits)
        self.failures.per_minute = config.limits.auth_failures_per_minute
        self.identification = build_identification(config, self.metrics, self.failures)
        self.authorization = Authorization(config.policy)
        self.rate_limiter = RateLimiter(config.rate_limit, _redis_url(config), self.metrics)

    # life
    async def start(self) -> None:
        await self.proxies.resolve()
        for name, settings in self.config.upstreams.items():
            self.upstreams[name] = self._new_upstream(name, settings)
        for upstream in self.upstreams.values():
            upstream.start()
        self.background(self._sweep())

    def _new_upstream(self, name: str, settings: Any) -> Upstream:
        return Upstream(
            name,
            settings,
            self.config.limits,
            self._upstream_changed,
            self._upstream_says,
            self._session_opened,
        )

    async def reload(self, config: Config) -> None:
        """Go on with another configuration: unchanged servers keep their links and processes."""
        old = self.config
        unchanged = {
            n
            for n, s in config.upstreams.items()
            if n in self.upstreams
            and old.upstreams.get(n) == s
            and config.limits == old.limits
            and self.upstreams[n].secrets == read_secrets(n, s)
        }
        fresh = {
            n: self._new_upstream(n, s) for n, s in config.upstreams.items() if n not in unchanged
        }  # may raise: then nothing has changed yet
        fingerprints = Fingerprints(config.on_drift)
        keys = read_keys(config.sessions.key_files)
        previous = (self.identification, self.rate_limiter)
        self._apply(config)
        await self.proxies.resolve()
        self.sealer.use(keys)
        await previous[0].close()
        await previous[1].close()
        fingerprints.accepted = fingerprints.accepted or self.fingerprints.accepted
        self.fingerprints = fingerprints
        self.bounds.limits = self.connections.limits = config.limits
        self.recorder.audit.reopen()
        gone = [u for n, u in self.upstreams.items() if n not in unchanged]
        self.upstreams = {n: fresh.get(n) or self.upstreams[n] for n in config.upstreams}
        for upstream in fresh.values():
            upstream.start()
        before = self.catalog
        self._rebuild()
        self._announce_changes(before, self.upstreams.keys() | {u.name for u in gone})
        for upstream in gone:
            self.background(upstream.stop())

    async def stop(self) -> None:
        """End everything that the gateway started."""
        for task in list(self._background):
            task.cancel()
        # With shared keys another replica goes on with these sessions: they must outlive this one.
        tell = not self.config.sessions.key_files
        stopping = (u.stop(tell=tell) for u in self.upstreams.values())
        await asyncio.gather(*stopping, return_exceptions=True)
        await self.identification.close()
        await self.rate_limiter.close()
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
        """Forget what quiet callers left behind."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.proxies.resolve()
            idle = self.config.sessions.idle_seconds
            for upstream in self.upstreams.values():
                with contextlib.suppress(Exception):
                    # With shared keys another replica may be using the same upstream session.
                    tell = not self.config.sessions.key_files
                    await upstream.forget_idle(idle, tell=tell)
            limit = time.monotonic() - idle
            for uid in [u for u, seen in self._seen_sessions.items() if seen < limit]:
                self.forget_session(uid)

    # sessions' soft state
    def saw_session(self, uid: str) -> None:
        self._seen_sessions[uid] = time.monotonic()

    def keep_session(self, uid: str) -> None:
        """An open stream is a sign of life, however quiet it is."""
        self.saw_session(uid)
        for upstream in self.upstreams.values():
            upstream.keep(uid)

    def forget_session(self, uid: str) -> None:
        self._seen_sessions.pop(uid, None)
        self.log_levels.pop(uid, None)
        for server, uri in self.subscriptions.pop(uid, ()):
            if server in self.upstreams:
                self.upstreams[server].watcher.discard(uri)

    @property
    def session_count(self) -> int:
        return len(self._seen_sessions)

    def count_session(self, who: Principal, uid: str) -> None:
        """A caller opens a session; beyond `limits.sessions_per_caller` its oldest one ends."""
        oldest = self.bounds.session_opens(who, uid)
        if oldest is not None:
            self.sessions.end("", oldest)
            self.leave_servers(oldest)

    def leave_servers(self, uid: str) -> None:
        """End what a session has at servers, and forget it here."""
        self.forget_session(uid)
        for upstream in self.upstreams.values():
            if upstream.has_link(uid):
                self.background(upstream.forget(uid))

    # what upstreams tell
    def _upstream_changed(self, upstream: Upstream) -> None:
        """A server's lists or its health changed: rebuild the catalog, tell open streams."""
        if self.upstreams.get(upstream.name) is not upstream:
            return  # a reload replaced it
        drifted = self.fingerprints.observe(upstream.name, upstream.listing.items.get("tools", []))
        if drifted:
            self.metrics.drift.labels(upstream.name).inc(len(drifted))
        self.fingerprints.save_first()
        before = self.catalog
        self._rebuild()
        self._announce_changes(before, {upstream.name})

    def _rebuild(self) -> None:
        generation = self.catalog.generation + 1
        listings = {n: u.listing for n, u in self.upstreams.items() if u.listing.fetched_at}
        self.catalog = Catalog(listings)
        self.catalog.generation = generation
        self._header_maps.clear()

    def _announce_changes(self, before: Catalog, servers: set[str]) -> None:
        for server in sorted(servers):
            changed = {
                kind
                for kind, items in self.catalog.by_name.items()
                if _of(items, server) != _of(before.by_name[kind], server)
            }
            if changed:
                self.hub.announce(server, changed)

    def _upstream_says(self, upstream: Upstream, message: envelope.Message) -> None:
        """A notice that belongs to no call. Changed lists are announced once they were read."""
        if message.method == "notifications/resources/updated":
            self.hub.publish(upstream.name, message)

    async def _session_opened(self, upstream: Upstream, uid: str, link: Link) -> None:
        """A client's own session at a server began with its first call there: catch up."""
        level = self.log_levels.get(uid)
        if level is not None and "logging" in envelope.fields_of(link.info.get("capabilities")):
            params = {"level": envelope.raw(level)}
            out = Outbound(next_id(), "logging/setLevel", params, timeout=LEVEL_SECONDS)
            with contextlib.suppress(UpstreamError):
                await final(await link.request(out), upstream.name)
        for follow in self.followers.get(uid, ()):
            follow(upstream.name)

    async def settle(self, server: str = "") -> None:
        """Wait until servers that were just started have been asked once, or should have been."""
        wanted = [self.upstreams[server]] if server else list(self.upstreams.values())
        fresh = [u for u in wanted if not u.refreshed.is_set()]
        if fresh:
            seconds = self.config.sessions.initialize_seconds
            ends = max(u.started_at for u in fresh) + seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ends - time.monotonic()):
                    await asyncio.gather(*(u.refreshed.wait() for u in fresh))

    def address_of(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> str:
        """Where a request comes from, past our own load balancers."""
        peer = str(scope["client"][0]) if scope.get("client") else ""
        return self.proxies.client(peer, headers.get(b"x-forwarded-for"))

    def charged(self, scope: dict[str, Any], address: str) -> str:
        """Whom wrong credentials count against; nobody when a balancer told no client."""
        peer = str(scope["client"][0]) if scope.get("client") else ""
        return "" if address == peer and self.proxies.trusts(peer) else address

    # what callers may
    def view(self, call: Call) -> list[Upstream]:
        """The servers that a caller sees at this endpoint."""
        if call.route:
            return [self.upstreams[call.route]]
        return [u for n, u in self.upstreams.items() if self.authorization.sees_any(call.who, n)]

    def in_view(self, call: Call, server: str) -> bool:
        if call.route:
            return server == call.route
        return self.authorization.sees_any(call.who, server)

    def allows(self, who: Principal, server: str, kind: str, name: str) -> Verdict:
        """The policy's word, and the server's own list of tools that it may show."""
        settings = self.upstreams[server].settings
        if kind == "tools" and not matches(name, settings.tools):
            return Verdict(False, f"upstreams.{server}.tools")
        if kind == "tools" and self.fingerprints.is_blocked(server, name):
            return Verdict(False, "on_drift: its description changed and was not accepted")
        return self.authorization.decide(who, server, kind, name)

    def require(self, call: Call, server: str, kind: str, name: str) -> None:
        """Refusal unless the caller may use this."""
        if kind:
            verdict = self.allows(call.who, server, kind, name)
        else:
            allowed = self.authorization.sees_any(call.who, server)
            verdict = Verdict(allowed, f"policy for server {server}")
        noun = kind.removesuffix("s") or "server"
        self._insist(call, server, f"{noun} {name or server}", verdict)

    def require_all(self, call: Call, server: str) -> None:
        """Refusal for a method that policy does not know, unless nothing is refused there."""
        allowed = self.authorization.sees_all(call.who, server)
        verdict = Verdict(allowed, f"policy, which allows parts of server {server}")
        self._insist(call, server, f"method {call.method[:80]}", verdict)

    def _insist(self, call: Call, server: str, what: str, verdict: Verdict) -> None:
        call.rule = verdict.reason
        if not verdict.allowed:
            raise Refusal(
                "policy",
                200 if call.message is not None and call.message.is_request else 403,
                envelope.REFUSED,
                f"{what} is refused by {verdict.reason}",
                data={"server": server, "rule": verdict.reason},
            )

    # translations that need the catalog
    def locate_resource(self, call: Call, uri: str) -> tuple[str, str] | None:
        """(server, original URI) of a resource that the caller may use."""
        found = (call.route, uri) if call.route else self.catalog.find_uri(uri)
        if found is None or found[0] not in self.upstreams:
            return None
        return found if self.allows(call.who, found[0], "resources", found[1]).allowed else None

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

    def is_task_related(self, call: Call) -> bool:
        """Whether the result may name a task of a server."""
        return call.method.startswith("tasks/") or "task" in call.msg.params

    def with_task_prefix(self, server: str, result: msgspec.Raw) -> envelope.Fields:
        """Task ids as the aggregated endpoint knows them."""
        fields = envelope.fields_of(result)
        if "taskId" in fields:
            id_ = envelope.text(fields["taskId"]) or ""
            fields["taskId"] = envelope.raw(f"{server}{TASK_SEPARATOR}{id_}")
        if "task" in fields:
            fields["task"] = envelope.raw(self.with_task_prefix(server, fields["task"]))
        return fields

    # health
    @property
    def missing(self) -> list[str]:
        """Required servers that are not up."""
        return [n for n, u in self.upstreams.items() if u.settings.required and not u.is_up]

    @property
    def is_ready(self) -> bool:
        return not self.is_draining and not self.missing


def _redis_url(config: Config) -> str | None:
    path = config.rate_limit.redis_url_file
    if path:
        return read_secret(Secret(file=path), "rate_limit.redis_url_file")
    return config.rate_limit.redis_url


def _of(items: dict[str, Item], server: str) -> dict[str, bytes]:
    return {k: bytes(i.body) for k, i in items.items() if i.server == server}
