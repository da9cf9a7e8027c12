"""What `/metrics` shows."""

from __future__ import annotations

from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
)

from mcp_gateway import __version__

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# Tools and teams that have series of their own. What comes later is counted together.
MAX_NAMES = 1000
OTHERS = "other"
T = TypeVar("T", str, tuple[str, str])


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU and when it started
        self._children: dict[tuple[str, ...], Counter] = {}
        self.listed: set[tuple[str, str]] = set()  # every server's tools
        self._tools: set[tuple[str, str]] = set()
        self._teams: set[str] = set()
        self._define_requests(self.registry)
        self._define_tools(self.registry)
        self._define_upstreams(self.registry)
        self._define_callers(self.registry)
        self._define_gateway(self.registry)

    def _define_requests(self, r: CollectorRegistry) -> None:
        self.requests = Counter(
            "mcp_gateway_requests_total",
            "Requests by server, method, era and status.",
            ["server", "method", "era", "status"],
            registry=r,
        )
        self.errors = Counter(
            "mcp_gateway_errors_total", "Failed requests by class.", ["server", "kind"], registry=r
        )
        self.seconds = Histogram(
            "mcp_gateway_request_seconds",
            "Time from the request's first byte to its last answer.",
            ["server"],
            buckets=BUCKETS,
            registry=r,
        )
        self.in_flight = Gauge("mcp_gateway_in_flight", "Requests being served.", registry=r)
        self.streams = Gauge("mcp_gateway_streams", "Open event streams.", registry=r)
        self.slow_readers = Counter(
            "mcp_gateway_slow_readers_total", "Streams dropped because nobody read.", registry=r
        )

    def _define_tools(self, r: CollectorRegistry) -> None:
        self.tool_seconds = Summary(
            "mcp_gateway_tool_seconds",
            "Time of calls of the tools that servers list.",
            ["server", "tool", "status"],
            registry=r,
        )
        self.team_calls = Counter(
            "mcp_gateway_team_calls_total",
            "Tool calls by the caller's team.",
            ["team", "server", "status"],
            registry=r,
        )

    def _define_upstreams(self, r: CollectorRegistry) -> None:
        self.upstream_up = Gauge(
            "mcp_gateway_upstream_up", "1 when calls are let through.", ["server"], registry=r
        )
        self.upstream_tools = Gauge(
            "mcp_gateway_upstream_tools", "Tools in the last good list.", ["server"], registry=r
        )
        self.upstream_list_age = Gauge(
            "mcp_gateway_upstream_list_age_seconds",
            "Age of the last good list.",
            ["server"],
            registry=r,
        )
        self.list_faults = Gauge(
            "mcp_gateway_upstream_list_faults",
            "Items of the last lists that clients would refuse, by what became of them.",
            ["server", "kind", "outcome"],
            registry=r,
        )
        self.drift = Counter(
            "mcp_gateway_tool_drift_total",
            "Tools whose description changed.",
            ["server"],
            registry=r,
        )

    def _define_callers(self, r: CollectorRegistry) -> None:
        self.sessions = Gauge(
            "mcp_gateway_sessions", "Legacy sessions seen lately at this replica.", registry=r
        )
        self.auth_cache = Counter(
            "mcp_gateway_auth_cache_total", "Look-ups of credentials.", ["outcome"], registry=r
        )
        self.refused = Counter(
            "mcp_gateway_refused_total",
            "Connections and requests refused before it was known who sends them.",
            ["kind"],
            registry=r,
        )
        self.rate_limit_away = Counter(
            "mcp_gateway_rate_limit_store_errors_total",
            "Rate-limit checks let through because Redis was away.",
            registry=r,
        )

    def _define_gateway(self, r: CollectorRegistry) -> None:
        self.audit_dropped = Counter(
            "mcp_gateway_audit_dropped_total", "Audit lines lost to a full queue.", registry=r
        )
        self.reloads = Counter(
            "mcp_gateway_config_reloads_total", "Configuration reloads.", ["outcome"], registry=r
        )
        build = Gauge("mcp_gateway_build_info", "The running version.", ["version"], registry=r)
        build.labels(__version__).set(1)

    def count(self, server: str, method: str, era: str, status: str) -> None:
        key = (server, method, era, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.requests.labels(*key)
        child.inc()

    def tool_called(self, server: str, tool: str, team: str, status: str, seconds: float) -> None:
        """Count a tool call. A client can ask for any name, but only those listed are kept."""
        name = _kept(self._tools, (server, tool)) if (server, tool) in self.listed else None
        self.tool_seconds.labels(server, name[1] if name else OTHERS, status).observe(seconds)
        group = _kept(self._teams, team or "-") or OTHERS
        self.team_calls.labels(group, server, status).inc()


def _kept(known: set[T], name: T) -> T | None:
    """The name, as far as there is room for one more."""
    if len(known) < MAX_NAMES:
        known.add(name)
    return name if name in known else None
