"""Stage 7: write down what happened: one audit line a call, and the metrics."""

from __future__ import annotations

import hashlib
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mcp_gateway import __version__, envelope
from mcp_gateway.audit import Audit, Refusals, iso_now
from mcp_gateway.call import Call

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
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
        self.streams = Gauge("mcp_gateway_streams", "Open event streams.", registry=r)
        self.sessions = Gauge(
            "mcp_gateway_sessions", "Legacy sessions seen lately at this replica.", registry=r
        )
        self.in_flight = Gauge("mcp_gateway_in_flight", "Requests being served.", registry=r)
        self.auth_cache = Counter(
            "mcp_gateway_auth_cache_total", "Look-ups of credentials.", ["outcome"], registry=r
        )
        self.drift = Counter(
            "mcp_gateway_tool_drift_total",
            "Tools whose description changed.",
            ["server"],
            registry=r,
        )
        self.audit_dropped = Counter(
            "mcp_gateway_audit_dropped_total", "Audit lines lost to a full queue.", registry=r
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
        self.reloads = Counter(
            "mcp_gateway_config_reloads_total", "Configuration reloads.", ["outcome"], registry=r
        )
        self.slow_readers = Counter(
            "mcp_gateway_slow_readers_total", "Streams dropped because nobody read.", registry=r
        )
        build = Gauge("mcp_gateway_build_info", "The running version.", ["version"], registry=r)
        build.labels(__version__).set(1)
        self._children: dict[tuple[str, ...], Counter] = {}

    def count(self, server: str, method: str, era: str, status: str) -> None:
        key = (server, method, era, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self.requests.labels(*key)
        child.inc()


# Labels come from a closed set: a client cannot make metrics grow.
KNOWN_METHODS = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/list",
        "tasks/result",
        "tasks/cancel",
        "tasks/update",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "response",
    }
)


class Recorder:
    """Turns finished calls into audit lines and metrics."""

    def __init__(self, metrics: Metrics, audit: Audit) -> None:
        self.metrics = metrics
        self.audit = audit
        self.refusals = Refusals(audit)

    def refused(self, kind: str, address: str) -> None:
        """A connection, or a request of nobody known, was refused."""
        self.metrics.refused.labels(kind).inc()
        self.refusals.count(kind, address)

    def record(self, call: Call) -> None:
        """Called exactly once a request, however it ended."""
        seconds = time.perf_counter() - call.started
        method = call.method or ("response" if call.message else "")
        known = method if method in KNOWN_METHODS else "other"
        server = call.server or "-"
        metrics = self.metrics
        metrics.count(server, known, call.era or "-", call.status)
        if call.error:
            metrics.errors.labels(server, call.error).inc()
        if call.method != "subscriptions/listen":
            metrics.seconds.labels(server).observe(seconds)
        if call.status == "refused" and not call.is_identified:
            self.refused(call.error, call.address)
            return
        self.audit.write(self._entry(call, method, seconds))

    def _entry(self, call: Call, method: str, seconds: float) -> dict[str, object]:
        params = call.message.params if call.message is not None else {}
        arguments = params.get("arguments")
        entry: dict[str, object] = {
            "time": iso_now(),
            "caller": call.who.alias,
            "team": call.who.team,
            "address": call.address,
            "era": call.era,
            "version": call.version,
            "server": call.server,
            "method": method[:100],
            "name": call.name[:300],
            "status": call.status,
            "error": call.error,
            "rule": call.rule,
            "ms": round(seconds * 1000, 2),
            "bytes_in": call.bytes_in,
            "bytes_out": call.bytes_out,
            "request_id": call.request_id,
            "trace_id": _trace_id(call, params),
        }
        if arguments is not None:
            entry["arguments_sha256"] = hashlib.sha256(bytes(arguments)).hexdigest()
        return entry


def _trace_id(call: Call, params: envelope.Fields) -> str:
    """The W3C trace id of the request's header or `_meta`."""
    parent = call.header(b"traceparent")
    if parent is None and "_meta" in params:
        parent = envelope.text(envelope.fields_of(params["_meta"]).get("traceparent"))
    parts = (parent or "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""
